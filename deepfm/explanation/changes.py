"""One impression to the scores of its neighbours, in which one field has another value."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.vocabulary import Field, FieldValues, Vocabulary
from deepfm.errors import RunError
from deepfm.terms import Terms
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Float32s, Float64s, Ids, Weights

COMMONEST: Final = 200
"""How many values of each field are tried for the best change."""
SEEN_OFTEN: Final = 20
"""Training rows from which on a value's own effect is more than chance."""


@dataclass(frozen=True)
class Neighbours:
    """The impressions that differ from one, int32[F], in a single field."""

    weights: Weights
    ids: Ids

    def terms(self, position: int, values: NDArray[np.int32]) -> Terms:
        """The terms with each of the values, int32[U], in place of the field at a position.

        Only what changes is computed: O(U · (K + H)) before the network's second layer.
        """
        old = self.ids[position : position + 1]
        effects = self.weights.linear_effects
        linear = self._own.linear + effects[values] - effects[old]
        factors = self.weights.factors
        partners = self._factor_sum - factors[old[0]]
        pairwise = self._own.pairwise + (factors[values] - factors[old]) @ partners
        return Terms(linear, pairwise, self._deep(position, old, values))

    def _deep(self, position: int, old: NDArray[np.int32], values: NDArray[np.int32]) -> Float64s:
        if not self.weights.layers:
            return np.zeros(len(values))
        others = self._first_layer_sum - self.weights.first_layer(old, position)
        return self.weights.deep_after_first_layer(
            others + self.weights.first_layer(values, position)
        )

    @cached_property
    def _own(self) -> Terms:
        return self.weights.terms(self.ids[None])

    @cached_property
    def _factor_sum(self) -> Float64s:
        return self.weights.factors[self.ids].sum(axis=0, dtype=np.float64)

    @cached_property
    def _first_layer_sum(self) -> Float32s:
        by_field = [self.weights.first_layer(self.ids[i : i + 1], i) for i in range(len(self.ids))]
        return np.sum(by_field, axis=0, dtype=np.float32)


@dataclass(frozen=True)
class WhatIf:
    """The score of every value of one field, the others staying as they are.

    values   U values with index and training counts, the commonest first, the default last
    terms    raw terms, float64[U] each
    current  which of the values the impression has
    """

    field: str
    values: FieldValues
    terms: Terms
    current: int


def what_if(model: TrainedModel, ids: Ids, field: str) -> WhatIf:
    """Score every value of a field for the impression ids int32[F]; SchemaError if unknown."""
    position = model.fields.index(model.vocabulary.field(field))
    values = model.vocabulary.values(field)
    terms = Neighbours(model.weights, _checked(model, ids)).terms(position, values.index)
    return WhatIf(field, values, terms, int(np.flatnonzero(values.index == ids[position])[0]))


@dataclass(frozen=True)
class Change:
    """One field changed: from which value to which, as readable text, and the score after it.

    count   training rows with the value after it, of which `clicks` were clicked
    flips   whether the probability crosses one half
    """

    field: str
    before: str
    after: str
    count: int
    clicks: int
    ids: Ids = dataclasses.field(compare=False)
    logit: float
    probability: float
    flips: bool


def best_change(
    model: TrainedModel, impression: Mapping[str, str | float | None] | Ids
) -> Change | None:
    """The one change that moves the probability most toward the other side of one half.

    Tried are the 200 commonest values of each field, without “rare or unseen”, missing and empty
    ones, which nobody can choose, and without those seen in fewer than 20 training rows where
    others were seen more often. None where no change moves it that way.
    """
    ids = impression if isinstance(impression, np.ndarray) else model.encode(impression)
    neighbours = Neighbours(model.weights, _checked(model, ids))
    logit = float(model.score(ids[None]).logit[0])
    direction = -1.0 if logit >= 0 else 1.0
    best, best_gain = ids, 0.0
    for position, field in enumerate(model.fields):
        values = _choosable(model.vocabulary, field)
        gains = direction * (neighbours.terms(position, values).logit - logit)
        if len(gains) and gains.max() > best_gain:
            best_gain = float(gains.max())
            best = ids.copy()
            best[position] = values[np.argmax(gains)]
    return None if best is ids else _change(model, ids, best)


def _change(model: TrainedModel, ids: Ids, changed: Ids) -> Change:
    position = int(np.flatnonzero(ids != changed)[0])
    field, index = model.fields[position].name, int(changed[position])
    terms = model.score(np.stack([ids, changed]))
    return Change(
        field=field,
        before=model.decode(ids)[field],
        after=model.decode(changed)[field],
        count=int(model.vocabulary.counts[index]),
        clicks=int(model.vocabulary.clicks[index]),
        ids=changed,
        logit=float(terms.logit[1]),
        probability=float(terms.probability[1]),
        flips=bool((terms.logit[0] >= 0) != (terms.logit[1] >= 0)),
    )


def _choosable(vocabulary: Vocabulary, field: Field) -> NDArray[np.int32]:
    """Indices of the commonest values that a person can choose, int32[U]."""
    last = field.default - (field.role == "numeric")
    first = field.offset
    if first < last and not vocabulary.decode_column(field.name, np.array([first]))[0].as_py():
        first += 1
    counts = vocabulary.counts[first:last]
    places = np.arange(len(counts))
    if len(counts) > COMMONEST:
        places = np.argpartition(-counts, COMMONEST)[:COMMONEST]
    often = places[counts[places] >= SEEN_OFTEN]
    return (first + (often if len(often) else places)).astype(np.int32)


def _checked(model: TrainedModel, ids: Ids) -> Ids:
    """ids itself; RunError unless int32[F] with each index within its field."""
    fields = model.fields
    if ids.shape != (len(fields),) or any(
        not field.offset <= index <= field.default
        for field, index in zip(fields, ids.tolist(), strict=False)
    ):
        raise RunError(
            f"The feature indices do not fit this run's {len(fields)} fields. "
            "Encode the impression with this run's vocabulary."
        )
    return ids
