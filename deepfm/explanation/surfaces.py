"""Two fields of one impression to the surfaces that the two branches make over their values."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from deepfm.data.value_order import meant_order
from deepfm.data.vocabulary import FieldValues
from deepfm.errors import SchemaError
from deepfm.explanation.neighbours import neighbours_of
from deepfm.terms import Floats, Terms
from deepfm.trained import TrainedModel, commonest
from deepfm.trained.weights import Float64s, Ids

ON_A_SIDE: Final = 40
"""How many values of each field a surface has; the commonest."""
_NOISE: Final = 1e-4
"""Singular values below this share of the surface's own size are rounding in float32."""


@dataclass(frozen=True, eq=False)
class Interaction:
    """What of a surface no sum of one curve for each field can say.

    values     float64[U, W]  the surface minus its row means and column means, plus its mean
    strengths  float64[min(U, W)]  its singular values, the largest first: the r-th part is one
               curve over the first field times one over the second, times the r-th strength
    rank       how many of these are more than rounding
    """

    values: Float64s
    strengths: Float64s
    rank: int

    @property
    def shares(self) -> Float64s:
        """Each part's share of the sum of squares, float64[min(U, W)]; zeros without any."""
        squares = self.strengths**2
        total = squares.sum()
        return squares / total if total > 0 else squares

    def parts_for(self, share: float) -> int:
        """How many parts hold that share of the sum of squares; 0 where there is no interaction."""
        if self.rank == 0:
            return 0
        return int(np.searchsorted(np.cumsum(self.shares), share - 1e-12)) + 1


@dataclass(frozen=True, eq=False)
class Surface:
    """The scores of one impression for every pair of values of two fields, U by W.

    values, other_values  the commonest of each field and the impression's own, the default last;
                          numbers, weekdays and months in their own order
    terms                 raw terms, float64[U, W] each: terms.fm, terms.deep, terms.logit
    current               (row, column) of the impression itself
    fm, deep, total       the interaction of each. The FM branch's has at most `fm_rank_limit`
                          parts, whatever was learned: linear is one number a value, and of the
                          pairs only ⟨v, v'⟩ of these two fields depends on both, K products. The
                          network's is limited by the number of values alone.
    fm_rank_limit         min(K, U − 1, W − 1), 0 without a pairwise term
    deep_rank_limit       min(U − 1, W − 1), 0 without a network
    """

    field: str
    other_field: str
    values: FieldValues
    other_values: FieldValues
    terms: Terms
    current: tuple[int, int]
    fm: Interaction
    deep: Interaction
    total: Interaction
    fm_rank_limit: int
    deep_rank_limit: int


def surface(
    model: TrainedModel, ids: Ids, field: str, other_field: str, most: int = ON_A_SIDE
) -> Surface:
    """Score every pair of the commonest values of two fields for the impression ids int32[F].

    most  how many values of each, beside the impression's own and “rare or unseen”
    SchemaError for an unknown field, or twice the same.
    """
    neighbours = neighbours_of(model, ids)
    places = _positions(model, field, other_field)
    sides = [
        _in_order(commonest(model.vocabulary, name, most, also=[int(ids[place])]))
        for name, place in zip((field, other_field), places, strict=True)
    ]
    rows, columns = (side.index for side in sides)
    shape = (len(rows), len(columns))
    flat = neighbours.of_two(
        places[0], np.repeat(rows, shape[1]), places[1], np.tile(columns, shape[0])
    )
    terms = Terms(*(np.asarray(term, np.float64).reshape(shape) for term in flat))
    least = min(shape) - 1
    return Surface(
        field,
        other_field,
        sides[0],
        sides[1],
        terms,
        (int(np.argmax(rows == ids[places[0]])), int(np.argmax(columns == ids[places[1]]))),
        _interaction(terms.fm),
        _interaction(terms.deep),
        _interaction(terms.logit),
        min(model.weights.factors.shape[1], least),
        least if model.weights.layers else 0,
    )


def _in_order(found: FieldValues) -> FieldValues:
    """Numbers, weekdays and months in their own order; others as they are, the commonest first."""
    meant = meant_order(found.value)
    if meant is None:
        return found
    values = tuple(found.value[place] for place in meant)
    return FieldValues(values, found.index[meant], found.count[meant], found.clicks[meant])


def _positions(model: TrainedModel, field: str, other_field: str) -> tuple[int, int]:
    if field == other_field:
        raise SchemaError(f"A surface needs two fields, but {field!r} was given twice.")
    fields, named = model.fields, model.vocabulary.field
    return fields.index(named(field)), fields.index(named(other_field))


def _interaction(surface: Floats) -> Interaction:
    rows, columns = surface.mean(axis=1, keepdims=True), surface.mean(axis=0, keepdims=True)
    rest = surface - rows - columns + surface.mean()
    strengths = np.linalg.svd(rest, compute_uv=False)
    size = float(np.linalg.norm(surface - surface.mean()))
    return Interaction(rest, strengths, int((strengths > _NOISE * size).sum()))
