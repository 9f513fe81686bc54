"""What a person sets for a dataset, a model and its training: each setting declared once."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from deepfm.config.models import TERM_SETS, model_name
from deepfm.config.setting import Config, declare
from deepfm.errors import ConfigError

ALL_GPUS: Final = "cuda:all"
"""The device of a training that has every GPU of the machine to itself."""


MOST_HELD_OUT: Final = 0.8
"""Of the rows, in validation and test together."""


@dataclass(frozen=True)
class PrepareConfig(Config):
    """Raw file to dataset."""

    min_count: int = declare(
        4,
        "Values seen fewer times than this in the training rows share their field's "
        "default feature, “rare or unseen”.",
        low=1,
        high=1_000_000,
    )
    validation: float = declare(
        0.1,
        "Fraction of the training rows held out to choose the best epoch. "
        "With 0 nothing is held out and the last epoch is kept.",
        low=0.0,
        high=0.5,
    )
    test_share: float = declare(
        0.0,
        "Fraction of the rows held out as test rows, which choose nothing, so that figures are "
        "honest; where a test file is given there is no need.",
        low=0.0,
        high=0.5,
    )
    split: str = declare(
        "random",
        "How validation and test rows are chosen: random (stratified by label), time:COLUMN "
        "(the latest rows) or group:COLUMN (whole groups).",
    )
    numeric_buckets: int = declare(
        10, "Quantile buckets for each numeric column.", low=2, high=1_000
    )
    seed: int = declare(0, "Seed of the split.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation + self.test_share > MOST_HELD_OUT:
            raise ConfigError(
                f"Validation {self.validation:g} and test share {self.test_share:g} leave too few "
                f"rows to learn from; hold out at most {MOST_HELD_OUT:g} together."
            )
        kind, _, column = self.split.partition(":")
        if not (self.split == "random" or (kind in ("time", "group") and column)):
            raise ConfigError(
                f"Split is {self.split!r}; write random, time:COLUMN or group:COLUMN."
            )


@dataclass(frozen=True)
class ModelConfig(Config):
    """The function that is learned."""

    num_factors: int = declare(
        10,
        "Length K of the embedding of each feature, shared by the factorization machine "
        "and the network.",
        low=1,
        high=1_024,
    )
    mlp_dims: tuple[int, ...] = declare(
        (30, 20, 10),
        "Width of each hidden layer of the network, first to last.",
        kind="ints",
        low=1,
        high=8_192,
    )
    drop_rate: float = declare(
        0.1, "Dropout after each hidden layer of the network.", low=0.0, high=0.95
    )
    terms: tuple[str, ...] = declare(
        TERM_SETS["DeepFM"],
        "Which terms make the logit: linear (LR), linear,pairwise (FM), deep (DNN), "
        "linear,deep (Wide & Deep) or linear,pairwise,deep (DeepFM).",
        kind="terms",
    )
    shared_embedding: bool = declare(
        True,
        "The network reads the same embedding table as the factorization machine; "
        "off gives it a table of its own.",
    )
    activation: str = declare(
        "relu",
        "Non-linearity of the network's hidden layers.",
        kind="choice",
        choices=("relu", "tanh"),
    )
    embedding_drop_rate: float = declare(
        0.0, "Dropout on the embeddings as the network reads them.", low=0.0, high=0.95
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.mlp_dims) <= 16:
            raise ConfigError("MLP dims: give 1 to 16 layers. Example: 30,20,10.")

    @property
    def name(self) -> str:
        """LR, FM, DNN, Wide & Deep or DeepFM."""
        return model_name(self.terms)


@dataclass(frozen=True)
class TrainConfig(Config):
    """How it is learned."""

    learning_rate: float = declare(0.01, "Step size of Adam.", above=0.0, high=10.0)
    epochs: int = declare(30, "Passes over the training rows, at most.", low=1, high=10_000)
    batch_size: int = declare(2048, "Rows in one step.", low=1, high=1_048_576)
    patience: int = declare(
        0,
        "Stop when this many epochs in a row have not improved on the best one; 0 never stops.",
        low=0,
        high=10_000,
    )
    monitor: str = declare(
        "auc",
        "What chooses the best epoch on the validation rows.",
        kind="choice",
        choices=("auc", "log_loss"),
    )
    weight_decay: float = declare(0.0, "L2 penalty in Adam, on every weight.", low=0.0, high=1.0)
    embedding_l2: float = declare(
        0.0,
        "L2 penalty on the embedding rows that a batch touches, by occurrence.",
        low=0.0,
        high=10.0,
    )
    optimizer: str = declare(
        "adam",
        "adam moves every row of the tables at every step, as in the paper; lazy-adam only "
        "the rows in the batch (faster on large tables, not the same optimiser).",
        kind="choice",
        choices=("adam", "lazy-adam"),
    )
    drop_last: bool = declare(
        False, "Leave out the last, smaller batch of each epoch, as the book's recipe does."
    )
    seed: int = declare(0, "Seed of initial weights, shuffling and dropout.", low=0, high=2**31 - 1)
    device: str = declare(
        "auto",
        "Where to train: auto takes one GPU where there is one; cuda:all divides every batch "
        "among all GPUs of the machine, which pays only for large batches and wide networks.",
        kind="choice",
        choices=("auto", "cpu", "cuda", ALL_GPUS),
    )
    mlp_precision: str = declare(
        "float32",
        "How the network's matrix products are computed while it trains on a GPU: bfloat16 is "
        "faster where its layers are wide, and rounds; scores are float32 either way.",
        kind="choice",
        choices=("float32", "bfloat16"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer == "lazy-adam" and self.weight_decay:
            raise ConfigError(
                "Weight decay does not go with lazy-adam, which leaves untouched rows alone. "
                "Use embedding L2 instead, or the optimizer adam."
            )


BYTES_A_PARAMETER: Final = 20
"""Weight, gradient, two moments of Adam and a copy of the best weights, float32 each."""


def parameter_count(num_features: int, num_fields: int, model: ModelConfig) -> int:
    """How many numbers the model learns, for V features in F fields.

    The tables hold V·1 (linear) and V·K (factors); the network F·K → mlp_dims → 1.
    """
    count = 0
    if "linear" in model.terms:
        count += num_features + 2
    tables = ("pairwise" in model.terms) + ("deep" in model.terms)
    count += (
        num_features * model.num_factors * (min(tables, 1) if model.shared_embedding else tables)
    )
    if "deep" in model.terms:
        widths = (num_fields * model.num_factors, *model.mlp_dims, 1)
        count += sum((before + 1) * after for before, after in pairwise(widths))
    return count
