"""One impression to its score with another value in one field, and to the change that does most."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.vocabulary import FieldValues
from deepfm.explanation.neighbours import Indices, Neighbours, checked, neighbours_of
from deepfm.terms import Terms
from deepfm.trained import TrainedModel, commonest, values_at
from deepfm.trained.choices import common_from
from deepfm.trained.weights import Float32s, Float64s, Ids

AT_ONCE: Final = 2_000
"""How many values of a field are scored without being asked for; the commonest."""


@dataclass(frozen=True)
class WhatIf:
    """The score of values of one field, the others staying as they are.

    values   U values with index and training counts, the commonest first, the default last
    terms    raw terms, float64[U] each
    current  which of the values the impression has; None where it is not among them
    of       how many values the field has in all
    """

    field: str
    values: FieldValues
    terms: Terms
    current: int | None
    of: int

    @property
    def complete(self) -> bool:
        """Whether every value of the field is among them."""
        return len(self.values) == self.of


def what_if(model: TrainedModel, ids: Ids, field: str, most: int = AT_ONCE) -> WhatIf:
    """Score the commonest values of a field, at most `most`, for the impression ids int32[F].

    The impression's own value and “rare or unseen” are among them in any case. SchemaError for an
    unknown field. Of 100,000 values the others are scored by `what_if_values`.
    """
    position = model.fields.index(model.vocabulary.field(field))
    checked(model, ids)
    values = commonest(model.vocabulary, field, most, also=[int(ids[position])])
    return _scored(model, ids, field, values)


def what_if_values(
    model: TrainedModel, ids: Ids, field: str, values: Sequence[str] | Indices
) -> WhatIf:
    """Score just these values of a field, by text or as features int32[U], in their order.

    A text that is none of the field's values is scored as “rare or unseen”.
    """
    checked(model, ids)
    index = (
        values
        if isinstance(values, np.ndarray)
        else model.vocabulary.encode_column(field, list(values))
    )
    return _scored(model, ids, field, values_at(model.vocabulary, field, index))


def _scored(model: TrainedModel, ids: Ids, field: str, values: FieldValues) -> WhatIf:
    position = model.fields.index(model.vocabulary.field(field))
    terms = neighbours_of(model, ids).terms(position, values.index)
    places = np.flatnonzero(values.index == ids[position])
    current = int(places[0]) if len(places) else None
    return WhatIf(field, values, terms, current, model.fields[position].size)


@dataclass(frozen=True)
class Change:
    """One field changed: from which value to which, as readable text, and the score after it.

    count   training rows with the value after it, of which `clicks` were clicked
    flips   whether the probability crosses one half
    rare    whether the value after it is seldom seen: no common value does what this one does,
            which is to cross one half or, where nothing does, to move it that way at all
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
    rare: bool = False


def best_change(
    model: TrainedModel, impression: Mapping[str, str | float | None] | Ids
) -> Change | None:
    """The one change that moves the probability most toward the other side of one half.

    Tried are the 200 commonest values of each field, without “rare or unseen”, missing and empty
    ones, which nobody can choose, and without those seen in fewer than 20 training rows where
    others were seen more often. Of them only common values are proposed, in at least 50 training
    rows and 0.1 % of them; a rarer one, which is marked so, only where it crosses one half and no
    common one does, or where no common one moves it. None where no change moves it that way.
    """
    ids = impression if isinstance(impression, np.ndarray) else model.encode(impression)
    changes = single_changes(model, ids)
    best = _most_helpful(changes)
    if best is None:
        return None
    changed = ids.copy()
    changed[changes.positions[best]] = changes.values[best]
    rare = not changes.common[best]
    return _change(model, ids, changed, int(changes.positions[best]), rare=rare)


def _most_helpful(changes: "SingleChanges") -> int | None:
    """The change that moves the score most toward the other side; a rarer one only if it must."""
    if not len(changes.logits):
        return None
    gains = (-1.0 if changes.own >= 0 else 1.0) * (changes.logits - changes.own)
    any_value = int(np.argmax(gains))
    common = int(np.argmax(np.where(changes.common, gains, -np.inf)))
    crosses = (changes.logits >= 0) != (changes.own >= 0)
    helps = changes.common[common] and gains[common] > 0
    best = common if helps and (crosses[common] or not crosses[any_value]) else any_value
    return best if gains[best] > 0 else None


@dataclass(frozen=True, eq=False)
class SingleChanges:
    """Every change of one field that may be proposed, U of them, field by field.

    positions  int64[U]    which field
    values     int32[U]    its feature after the change
    common     bool[U]     whether that value was seen often enough to be proposed first
    fm         float64[U]  the FM branch after it
    logits     float64[U]  the score after it
    own        the score before
    """

    neighbours: Neighbours
    positions: NDArray[np.intp]
    values: Indices
    common: NDArray[np.bool_]
    fm: Float64s
    logits: Float64s
    own: float

    @property
    def moved_factors(self) -> Float32s:
        """By how much each change moves its field's embedding, float32[U, K]."""
        factors, ids = self.neighbours.weights.factors, self.neighbours.ids
        moved: Float32s = factors[self.values] - factors[ids[self.positions]]
        return moved

    def among(self, kept: NDArray[np.bool_]) -> "SingleChanges":
        """Those of the changes for which bool[U] says so."""
        return dataclasses.replace(
            self,
            positions=self.positions[kept],
            values=self.values[kept],
            common=self.common[kept],
            fm=self.fm[kept],
            logits=self.logits[kept],
        )

    def logits_of_pairs(self, places: NDArray[np.intp]) -> Float64s:
        """The score after two changes at once, of two fields: float64[P] for places int64[P, 2]."""
        neighbours, first, second = self.neighbours, places[:, 0], places[:, 1]
        singles = self.fm[first] + self.fm[second] - neighbours.own.fm
        moved = self.moved_factors
        together = (moved[first] * moved[second]).sum(axis=1, dtype=np.float64)
        deep = neighbours.deep_of_pairs(self.positions, self.values, places)
        return singles + together + deep


def single_changes(model: TrainedModel, ids: Ids) -> SingleChanges:
    """Score every change of one field to one of its commonest values, those of `best_change`."""
    neighbours, choices = neighbours_of(model, ids), model.choosable
    fm = np.concatenate(
        [np.add(*neighbours.fm(position, each)) for position, each in enumerate(choices)]
    )
    positions = np.repeat(np.arange(len(choices)), [len(each) for each in choices])
    values = np.concatenate(choices)
    logits = fm + neighbours.deep_of(positions, values)
    common = model.vocabulary.counts[values] >= common_from(model.vocabulary)
    own = float(neighbours.own.logit[0])
    return SingleChanges(neighbours, positions, values, common, fm, logits, own)


def _change(model: TrainedModel, ids: Ids, changed: Ids, position: int, *, rare: bool) -> Change:
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
        rare=rare,
    )
