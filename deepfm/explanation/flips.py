"""One impression and a threshold to the smallest change, of one field or two, that turns it."""

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import ConfigError
from deepfm.explanation.changes import SingleChanges, single_changes
from deepfm.formats import format_count
from deepfm.terms import sigmoid
from deepfm.trained import TrainedModel
from deepfm.trained.choices import common_from
from deepfm.trained.weights import Float64s, Ids

MOST_PAIRS: Final = 2_000
"""Pairs of changes that the whole model scores where there are too many to score them all."""
ALL_PAIRS: Final = 20_000
"""Up to so many pairs of changes all are scored."""

Places = NDArray[np.intp]


@dataclass(frozen=True)
class ChangedValue:
    """One field's value before and after as readable text, and training rows with the latter."""

    field: str
    before: str
    after: str
    count: int


@dataclass(frozen=True)
class Flip:
    """A change of one field or two, and the score after it, beyond the threshold."""

    changes: tuple[ChangedValue, ...]
    ids: Ids = dataclasses.field(compare=False)
    logit: float
    probability: float

    @property
    def seen(self) -> int:
        """Training rows with the rarest of the new values: how usual the change is."""
        return min(change.count for change in self.changes)


@dataclass(frozen=True)
class FlipSearch:
    """The smallest changes that turn a decision at a threshold.

    Common values first, rarer ones only where no change of one or two common values turns it; then
    fewest fields; among as many fields, the change whose values were seen most often.

    flips     the first few of them, all of one size; empty where none was found
    found     how many there are among those tried
    common    training rows from which on a value is common: 50, or 0.1 % of all rows
    rare      whether rarer values were tried, since no common ones turn it
    singles   changes of one field that were tried, every one exactly: the 200 commonest values
              of each field, seen in at least `common` training rows, or 20 where `rare`
    pairs     pairs of these that the whole model scored; 0 where one field is enough
    of_pairs  pairs that there are
    complete  whether none of the pairs that flip can have been overlooked as a first one: all were
              scored, or the model has no network, whose pairs are known in closed form. Otherwise
              those were scored that look best by their single effects and their pairwise product.
    """

    threshold: float
    flips: tuple[Flip, ...]
    found: int
    common: int
    rare: bool
    singles: int
    pairs: int
    of_pairs: int
    complete: bool

    @property
    def fields(self) -> int:
        """How many fields must change, 1 or 2; 0 where no such change was found."""
        return len(self.flips[0].changes) if self.flips else 0

    def in_words(self) -> str:
        """What was searched, and how sure the answer is."""
        count = format_count(self.singles)
        common = f"(in at least {format_count(self.common)} training rows)"
        singles = f"All {count} changes of one value to a common one {common} were tried"
        if self.rare:
            singles = (
                f"No common value {common} turns the decision, alone or with another. All {count} "
                "changes of one value, to rarer ones too, were tried"
            )
        if self.fields == 1:
            return f"{singles}; {format_count(self.found)} of them turn the decision."
        if self.pairs == self.of_pairs:
            tried = f"all {format_count(self.of_pairs)} pairs of them"
        else:
            tried = (
                f"of their {format_count(self.of_pairs)} pairs the {format_count(self.pairs)} "
                "that look best"
            )
        outcome = f"{format_count(self.found)} turn the decision" if self.flips else "none does"
        doubt = "" if self.complete else " Another pair may be overlooked."
        return f"{singles}, and none is enough; then {tried}: {outcome}.{doubt}"


def smallest_flip(
    model: TrainedModel, ids: Ids, threshold: float = 0.5, most: int = 5
) -> FlipSearch:
    """Search the changes of one field, then pairs, for those that turn the decision.

    threshold  a probability above 0 and below 1; from it on the decision is "click"
    most       how many of the changes that were found are given
    ConfigError for a threshold out of its bounds, RunError for indices of another model.
    """
    if not 0 < threshold < 1:
        raise ConfigError(f"The threshold is {threshold}. It must be above 0 and below 1.")
    changes = single_changes(model, ids)
    found = _search(model, ids, changes.among(changes.common), threshold, most)
    if found.flips or changes.common.all():
        return found
    return replace(_search(model, ids, changes, threshold, most), rare=True)


def _search(
    model: TrainedModel, ids: Ids, changes: SingleChanges, threshold: float, most: int
) -> FlipSearch:
    """The fewest of these changes that turn the decision."""
    goal = math.log(threshold / (1 - threshold))
    hits = np.flatnonzero((changes.logits >= goal) != (changes.own >= goal))
    places, logits, search = hits[:, None], changes.logits[hits], None
    if not len(hits):
        search = _pairs(changes, goal)
        hits = np.flatnonzero((search.logits >= goal) != (changes.own >= goal))
        places, logits = search.places[hits], search.logits[hits]
    return FlipSearch(
        threshold,
        _flips(model, ids, changes, places, logits, most),
        len(hits),
        common_from(model.vocabulary),
        False,
        len(changes.logits),
        len(search.places) if search else 0,
        search.of if search else 0,
        search is None or len(search.places) == search.of or not model.weights.layers,
    )


@dataclass(frozen=True, eq=False)
class _PairSearch:
    """Pairs of changes int64[P, 2] with their logits float64[P], of `of` in all."""

    places: Places
    logits: Float64s
    of: int


def _pairs(changes: SingleChanges, goal: float) -> _PairSearch:
    """All pairs of changes of two fields, or the best candidates, scored by the whole model."""
    sizes = np.bincount(changes.positions)
    of = int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
    if not of:
        return _PairSearch(np.empty((0, 2), np.intp), np.empty(0), 0)
    direction = 1.0 if changes.own < goal else -1.0
    places = _candidates(changes, direction, of if of <= ALL_PAIRS else MOST_PAIRS)
    return _PairSearch(places, changes.logits_of_pairs(places), of)


def _candidates(changes: SingleChanges, direction: float, most: int) -> Places:
    """The pairs that look best by everything but the network's own interaction, int64[P, 2]."""
    kept, kept_gains = np.empty((0, 2), np.intp), np.empty(0)
    gains = (direction * (changes.logits - changes.own)).astype(np.float32)
    moved = changes.moved_factors
    for position in np.unique(changes.positions):
        here = np.flatnonzero(changes.positions == position)
        later = here[-1] + 1
        estimate = gains[here, None] + gains[None, later:]
        estimate += np.float32(direction) * (moved[here] @ moved[later:].T)
        floor = kept_gains.min() if len(kept) == most else -np.inf
        rows, columns = np.nonzero(estimate > floor)
        kept = np.concatenate((kept, np.stack((here[rows], later + columns), axis=1)))
        kept_gains = np.concatenate((kept_gains, estimate[rows, columns]))
        if len(kept) > most:
            best = np.argpartition(-kept_gains, most - 1)[:most]
            kept, kept_gains = kept[best], kept_gains[best]
    return kept


def _flips(
    model: TrainedModel,
    ids: Ids,
    changes: SingleChanges,
    places: Places,
    logits: Float64s,
    most: int,
) -> tuple[Flip, ...]:
    """The changes int64[P, 1 or 2] as a person reads them, the usual ones first, at most `most`."""
    seen = model.vocabulary.counts[changes.values[places]].min(axis=1) if len(places) else logits
    before = model.decode(ids)
    flips = []
    for number in np.lexsort((-np.abs(logits), -seen))[:most]:
        changed = ids.copy()
        changed[changes.positions[places[number]]] = changes.values[places[number]]
        after = model.decode(changed)
        names = [model.fields[place].name for place in changes.positions[places[number]]]
        counts = model.vocabulary.counts[changes.values[places[number]]]
        flips.append(
            Flip(
                tuple(
                    ChangedValue(name, before[name], after[name], int(count))
                    for name, count in zip(names, counts, strict=True)
                ),
                changed,
                float(logits[number]),
                float(sigmoid(logits[number : number + 1])[0]),
            )
        )
    return tuple(flips)
