"""Ready-made sweeps: a question, what the DeepFM paper found, and values that fit the dataset.

The first five are those of section 3.3 of Guo et al. 2017 (arXiv 1703.04247), which the paper
made on its company's app-store clicks with factor size 10 and, unless that was what it varied,
three hidden layers and dropout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from deepfm.config import TERM_SETS, ModelConfig
from deepfm.sweeps.axes import Axis


@dataclass(frozen=True)
class Study:
    """One ready-made sweep.

    question   what it answers
    found      what the paper found, or what it says where it did not vary this
    axis       rows of the train part, and the model at hand, to the values that are tried
    """

    name: str
    title: str
    question: str
    found: str
    axis: Callable[[int, ModelConfig], Axis]


def _width(rows: int) -> int:
    """The width of a hidden layer that studies go round: the paper's 200 for large data."""
    return 32 if rows < 200_000 else 100 if rows < 2_000_000 else 200


def _by_size(rows: int, small: tuple[Any, ...], large: tuple[Any, ...]) -> tuple[Any, ...]:
    return small if rows < 2_000_000 else large


def _activation(rows: int, model: ModelConfig) -> Axis:
    return Axis("activation", ("relu", "tanh"))


def _drop_rate(rows: int, model: ModelConfig) -> Axis:
    return Axis("drop_rate", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5))


def _neurons(rows: int, model: ModelConfig) -> Axis:
    width = _width(rows)
    widths = (width // 4, width // 2, width, 2 * width, 4 * width)
    return Axis(
        "mlp_dims",
        tuple((each,) * 3 for each in widths),
        tuple(f"{each} a layer" for each in widths),
    )


def _layers(rows: int, model: ModelConfig) -> Axis:
    counts = _by_size(rows, (1, 2, 3, 4, 5), (1, 3, 5, 7))
    return Axis(
        "mlp_dims",
        tuple((_width(rows),) * count for count in counts),
        tuple(f"{count} layer{'s' * (count > 1)}" for count in counts),
    )


def _shape(rows: int, model: ModelConfig) -> Axis:
    """Three layers of the same number of neurons in all: 200-200-200 is 100-200-300."""
    width = _width(rows)
    half, more = width // 2, width + width // 2
    shapes = {
        "constant": (width, width, width),
        "increasing": (half, width, more),
        "decreasing": (more, width, half),
        "diamond": (more // 2, more, more // 2),
    }
    return Axis("mlp_dims", tuple(shapes.values()), tuple(shapes))


def _factors(rows: int, model: ModelConfig) -> Axis:
    return Axis("num_factors", _by_size(rows, (2, 4, 8, 16, 32), (4, 8, 16, 32, 64)))


def _min_count(rows: int, model: ModelConfig) -> Axis:
    return Axis("min_count", _by_size(rows, (1, 2, 4, 8, 16), (1, 4, 10, 30, 100)))


def _shared(rows: int, model: ModelConfig) -> Axis:
    return Axis("shared_embedding", (True, False))


def _terms(rows: int, model: ModelConfig) -> Axis:
    return Axis("terms", tuple(TERM_SETS.values()))


STUDIES: Final[Mapping[str, Study]] = MappingProxyType(
    {
        study.name: study
        for study in (
            Study(
                "activation",
                "Activation",
                "Does it matter whether the hidden layers use relu or tanh?",
                "The paper: relu was better than tanh for DeepFM and nearly all other deep "
                "models it compared.",
                _activation,
            ),
            Study(
                "drop-rate",
                "Drop rate",
                "How much dropout does the network need?",
                "The paper: best with 10 to 40 % of the neurons dropped; some randomness makes "
                "the model more robust, too much makes it worse.",
                _drop_rate,
            ),
            Study(
                "neurons",
                "Neurons per layer",
                "Do wider hidden layers help?",
                "The paper: more is not always better. 200 or 400 neurons a layer were a good "
                "choice on its millions of rows, and DeepFM changed little from 400 to 800.",
                _neurons,
            ),
            Study(
                "layers",
                "Number of layers",
                "Do more hidden layers help?",
                "The paper: more layers help at first, then hurt, because the model begins to "
                "memorise; three did well.",
                _layers,
            ),
            Study(
                "shape",
                "Network shape",
                "With the same number of neurons, should layers widen, narrow, or stay equal?",
                "The paper: constant was better than increasing, decreasing and diamond.",
                _shape,
            ),
            Study(
                "factor-size",
                "Factor size",
                "How long should an embedding be?",
                "The paper kept 10 throughout. Longer ones say more of a value, and memorise "
                "rare values sooner.",
                _factors,
            ),
            Study(
                "min-count",
                "Min count",
                "From how many sightings on does a value deserve an embedding of its own?",
                "The paper does not vary it. Each value needs the data prepared anew, which is "
                "done first; all are judged by the same validation rows.",
                _min_count,
            ),
            Study(
                "embeddings",
                "Shared or separate embeddings",
                "Does it help that both branches read the same embeddings?",
                "The paper argues that they should share: each embedding then learns from pairs "
                "and from the network at once. Separate tables have twice the parameters.",
                _shared,
            ),
            Study(
                "terms",
                "Terms",
                "Which of the five models is best here?",
                "The paper: DeepFM was ahead of LR, FM and Wide & Deep on both of its datasets.",
                _terms,
            ),
        )
    }
)
