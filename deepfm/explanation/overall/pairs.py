"""A model and its reference population to how strong each pair of fields is, and where."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.explanation.populations import check_dataset
from deepfm.trained import Reference, TrainedModel, commonest
from deepfm.trained.weights import BLOCK_NUMBERS, Float64s, Ids, Weights, slices

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.data.vocabulary import FieldValues

MOST_VALUES: Final = 200
"""The commonest values of each field that are looked at for the strongest meetings."""
FEWEST_ROWS: Final = 20
"""A value seen in fewer training rows is left out where others were seen more often."""
MOST_ROWS: Final = 5_000_000
_BLOCK_ROWS: Final = 2**18


@dataclass(frozen=True, eq=False)
class PairStrengths:
    """How strong each pair of F fields is over a population.

    fields    F names
    strength  float64[F, F]  spread (standard deviation) of ⟨v_i − v̄_i, v_j − v̄_j⟩ over the
              population, in logit units; symmetric, with a zero diagonal
    """

    fields: tuple[str, ...]
    strength: Float64s

    @property
    def ranked(self) -> tuple[tuple[int, int, float], ...]:
        """(i, j, strength) with i < j, the strongest pair first."""
        first, second = np.triu_indices(len(self.fields), 1)
        values = self.strength[first, second]
        order = np.argsort(-values, kind="stable")
        return tuple((int(first[n]), int(second[n]), float(values[n])) for n in order)

    @property
    def by_strength(self) -> tuple[int, ...]:
        """The fields, the one with the strongest pairs first."""
        return tuple(int(n) for n in np.argsort(-self.strength.sum(axis=1), kind="stable"))


def pair_strengths(model: TrainedModel, reference: Reference | None = None) -> PairStrengths:
    """The purified strength of every pair; all zero without a pairwise term.

    The raw product ⟨v_i, v_j⟩ carries what each field does by itself as well: only what is left
    once both embeddings are centred belongs to the pair.
    """
    reference = reference or model.reference
    weights = model.weights
    fields, factors = weights.num_fields, max(1, weights.factors.shape[1])
    sums, squares = np.zeros((2, fields, fields))
    means = _means(weights, reference.ids)
    step = max(1, BLOCK_NUMBERS // (fields * max(fields, factors)))
    for block in slices(len(reference.ids), step):
        centred = weights.factors[reference.ids[block]] - means
        products = centred @ centred.transpose(0, 2, 1)
        sums += products.sum(axis=0)
        squares += (products**2).sum(axis=0)
    rows = len(reference.ids)
    strength = np.sqrt(np.maximum(0.0, squares / rows - (sums / rows) ** 2))
    np.fill_diagonal(strength, 0.0)
    return PairStrengths(tuple(field.name for field in model.fields), strength)


def _means(weights: Weights, ids: Ids) -> Float64s:
    """The mean embedding of each field over rows int32[R, F], float64[F, K]."""
    return np.stack([weights.factors[column].mean(axis=0, dtype=np.float64) for column in ids.T])


@dataclass(frozen=True, eq=False)
class PairOfValues:
    """Two values that meet: what their pair adds to the score, purified, in logit units.

    rows, clicks  training rows in which they meet, and clicks among them; None without dataset
    """

    values: tuple[str, str]
    logit: float
    counts: tuple[int, int]
    rows: int | None
    clicks: int | None


@dataclass(frozen=True, eq=False)
class PairValues:
    """The values of two fields as they meet.

    first, second  the commonest values of each, M and N of them
    logit          float64[M, N]  ⟨v − v̄, v' − v̄'⟩
    strongest      the pairs that raise or lower the score most
    looked_at      training rows in which meetings were counted; 0 without dataset
    """

    fields: tuple[str, str]
    first: "FieldValues"
    second: "FieldValues"
    logit: Float64s
    strongest: tuple[PairOfValues, ...]
    looked_at: int


def pair_values(
    model: TrainedModel,
    field: str,
    other: str,
    dataset: "Dataset | None" = None,
    most: int = 12,
) -> PairValues:
    """The strongest meetings of two fields' values, by what they add to the score.

    dataset  the run's own, to count how often they meet; RunError for another one
    SchemaError for an unknown field.
    """
    if dataset is not None:
        check_dataset(model, dataset)
    vocabulary = model.vocabulary
    names = (field, other)
    places = [model.fields.index(vocabulary.field(name)) for name in names]
    values = [_looked_at(model, name) for name in names]
    centred = [
        model.weights.factors[each.index] - _means(model.weights, model.reference_ids[:, [place]])
        for each, place in zip(values, places, strict=True)
    ]
    logit = centred[0] @ centred[1].T
    order = np.argsort(-np.abs(logit), axis=None, kind="stable")[:most]
    chosen = np.stack(np.unravel_index(order, logit.shape), axis=1)
    met, looked_at = _meetings(model, dataset, places, values, chosen)
    strongest = tuple(
        PairOfValues(
            (values[0].value[a], values[1].value[b]),
            float(logit[a, b]),
            (int(values[0].count[a]), int(values[1].count[b])),
            *((int(met[n, 0]), int(met[n, 1])) if looked_at else (None, None)),
        )
        for n, (a, b) in enumerate(chosen.tolist())
    )
    return PairValues((field, other), values[0], values[1], logit, strongest, looked_at)


def _looked_at(model: TrainedModel, field: str) -> "FieldValues":
    """The commonest values without those that were hardly ever seen, where others were."""
    from deepfm.data.vocabulary import FieldValues

    found = commonest(model.vocabulary, field, MOST_VALUES)
    often = found.count >= min(FEWEST_ROWS, int(found.count.max(initial=0)))
    kept = np.flatnonzero(often)
    return FieldValues(
        tuple(found.value[i] for i in kept),
        found.index[kept],
        found.count[kept],
        found.clicks[kept],
    )


def _meetings(
    model: TrainedModel,
    dataset: "Dataset | None",
    places: list[int],
    values: list["FieldValues"],
    chosen: NDArray[np.int64],
) -> tuple[NDArray[np.int64], int]:
    """Training rows and clicks of each chosen pair of places, int64[M, 2], and rows looked at."""
    met = np.zeros((len(chosen), 2), np.int64)
    if dataset is None:
        return met, 0
    part, looked_at = dataset.parts["train"], 0
    wanted = [values[side].index[chosen[:, side]] for side in (0, 1)]
    for block in _spread(len(part)):
        ids, labels = part.ids[block], part.labels[block]
        first, second = ids[:, places[0]], ids[:, places[1]]
        looked_at += len(ids)
        for number, (one, other) in enumerate(zip(*wanted, strict=True)):
            both = (first == one) & (second == other)
            met[number] += int(both.sum()), int(labels[both].sum())
    return met, looked_at


def _spread(rows: int) -> list[slice]:
    """Blocks that cover all rows, or evenly as many as are looked at."""
    blocks = list(slices(rows, _BLOCK_ROWS))
    most = max(1, MOST_ROWS // _BLOCK_ROWS)
    if len(blocks) <= most:
        return blocks
    return [blocks[i] for i in np.linspace(0, len(blocks) - 1, most).astype(int)]
