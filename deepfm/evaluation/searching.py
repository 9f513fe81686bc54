"""Every value of every field to those where the model is worst, corrected for looking at many."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.comparing import SIGNIFICANT, benjamini_hochberg, one_sided, two_sided
from deepfm.evaluation.figures import auc_of, auc_spreads
from deepfm.evaluation.grouping import GroupRanks, rank_within_groups
from deepfm.evaluation.judged import JudgedRows, Selection

Measure = Literal["log_loss", "calibration", "auc"]

MEASURES: Final[Mapping[Measure, str]] = {
    "log_loss": "Log loss",
    "calibration": "Calibration gap",
    "auc": "AUC",
}
FEWEST_ROWS: Final = 100
"""Fewer rows than this are no slice of their own: chance alone makes some of them bad."""


@dataclass(frozen=True)
class FoundSlice:
    """One value of a field, and how much worse the model is there than in all other rows.

    value     of the measure in the slice: log loss; predicted − seen click rate; AUC
    rest      the same in all other rows
    excess    how much worse, 0 or below where it is not: value − rest of a log loss, the distance
              of predicted from seen, rest − value of an AUC
    error     standard error of the difference that is tested
    p_value   that it is no worse (calibration: that predicted and seen agree)
    adjusted  that p-value by Benjamini & Hochberg over all slices that were looked at
    """

    selection: Selection
    rows: int
    clicks: int
    value: float
    rest: float
    excess: float
    error: float
    p_value: float
    adjusted: float

    @property
    def significant(self) -> bool:
        """Whether it is worse by more than chance, after the correction."""
        return self.adjusted < SIGNIFICANT


@dataclass(frozen=True)
class SliceSearch:
    """What a search has found, the worst first: those beyond chance, then the others.

    rows         that were searched
    looked_at    how many slices with enough rows there were
    """

    measure: Measure
    rows: int
    fewest_rows: int
    looked_at: int
    found: tuple[FoundSlice, ...]

    @property
    def significant(self) -> tuple[FoundSlice, ...]:
        """Those that are worse by more than chance."""
        return tuple(one for one in self.found if one.significant)


def worst_slices(
    rows: JudgedRows,
    measure: Measure = "log_loss",
    fewest_rows: int = FEWEST_ROWS,
    most: int = 20,
) -> SliceSearch:
    """Look at every value of every field that has enough rows, and at the buckets of numbers.

    rows         as far as their values are known
    fewest_rows  a slice must have, and the rest too
    most         how many slices to return
    Log loss: Welch's test against the rest, one-sided. Calibration gap: clicks against the sum of
    the predicted probabilities, whose variance is Σ p(1 − p), two-sided. AUC: DeLong, one-sided.
    """
    known = rows.known
    tested = [
        one
        for field in known.model.fields
        for one in _TESTS[measure](known, field.name, field.size, fewest_rows)
    ]
    adjusted = benjamini_hochberg(np.array([one.p_value for one in tested]))
    slices = [_named(known, one, float(p)) for one, p in zip(tested, adjusted, strict=True)]
    slices.sort(key=lambda one: (not one.significant or one.excess <= 0, -one.excess))
    return SliceSearch(measure, len(known), fewest_rows, len(slices), tuple(slices[:most]))


@dataclass(frozen=True)
class _Tested:
    """A value by its code, before it has a name."""

    field: str
    code: int
    rows: int
    clicks: int
    value: float
    rest: float
    excess: float
    error: float
    p_value: float


def _named(known: JudgedRows, one: _Tested, adjusted: float) -> FoundSlice:
    selection = Selection(one.field, known.value_of(one.field, one.code))
    return FoundSlice(
        selection,
        one.rows,
        one.clicks,
        one.value,
        one.rest,
        one.excess,
        one.error,
        one.p_value,
        adjusted,
    )


@dataclass(frozen=True)
class _Sums:
    """A field's rows by value, and sums over them: int64[S] and float64[S]."""

    codes: NDArray[np.int32]
    rows: NDArray[np.int64]
    clicks: NDArray[np.int64]

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of a figure over the rows of each value."""
        return np.bincount(self.codes, values, len(self.rows)).astype(np.float64)

    def large(self, fewest: int) -> list[int]:
        """Values with enough rows, which leave enough others."""
        enough = (self.rows >= fewest) & (self.rows.sum() - self.rows >= fewest)
        return [int(code) for code in np.flatnonzero(enough)]


def _sums(known: JudgedRows, field: str, size: int) -> _Sums:
    codes = known.codes(field)
    return _Sums(
        codes,
        np.bincount(codes, minlength=size),
        np.bincount(codes[known.labels > 0.5], minlength=size),
    )


def _by_log_loss(known: JudgedRows, field: str, size: int, fewest: int) -> Iterator[_Tested]:
    sums, losses = _sums(known, field, size), known.losses
    total, squares = sums.of(losses), sums.of(losses**2)
    all_total, all_squares, all_rows = losses.sum(), float((losses**2).sum()), len(known)
    for code in sums.large(fewest):
        rows = int(sums.rows[code])
        mean, spread = _moments(total[code], squares[code], rows)
        rest, rest_spread = _moments(
            all_total - total[code], all_squares - squares[code], all_rows - rows
        )
        error = float(np.sqrt(spread / rows + rest_spread / (all_rows - rows)))
        excess = mean - rest
        p_value = one_sided(excess / error) if error > 0 else 1.0
        clicks = int(sums.clicks[code])
        yield _Tested(field, code, rows, clicks, mean, rest, excess, error, p_value)


def _moments(total: float, squares: float, rows: int) -> tuple[float, float]:
    """Mean and variance."""
    mean = float(total) / rows
    return mean, max(0.0, (float(squares) - rows * mean**2) / (rows - 1))


def _by_calibration(known: JudgedRows, field: str, size: int, fewest: int) -> Iterator[_Tested]:
    sums, probability = _sums(known, field, size), known.probability
    promised, variance = sums.of(probability), sums.of(probability * (1 - probability))
    all_gap = float(promised.sum() - sums.clicks.sum())
    for code in sums.large(fewest):
        rows, clicks = int(sums.rows[code]), int(sums.clicks[code])
        gap = float(promised[code]) - clicks
        error = float(np.sqrt(variance[code])) / rows
        p_value = two_sided(gap / rows / error) if error > 0 else 1.0
        rest = (all_gap - gap) / (len(known) - rows)
        yield _Tested(field, code, rows, clicks, gap / rows, rest, abs(gap) / rows, error, p_value)


def _by_auc(known: JudgedRows, field: str, size: int, fewest: int) -> Iterator[_Tested]:
    whole, spreads = auc_of(known.counts), auc_spreads(known.counts)
    if whole is None or spreads is None:
        return
    sums = _sums(known, field, size)
    ranks = rank_within_groups(known.labels, known.logit, sums.codes, size)
    rest_aucs = _aucs_of_the_rest(known, sums, ranks)
    for code in sums.large(fewest):
        value, rest, variance = ranks.auc[code], rest_aucs[code], ranks.variance[code]
        if np.isnan(value + rest + variance):
            continue
        rows, clicks = int(sums.rows[code]), int(sums.clicks[code])
        # Single rows of the rest differ as those of all rows do, but for what the slice was of.
        positives, negatives = known.counts.positives - clicks, known.counts.negatives - rows
        variance += spreads[0] / positives + spreads[1] / (negatives + clicks)
        error, excess = float(np.sqrt(variance)), float(rest - value)
        p_value = one_sided(excess / error) if error > 0 else 1.0
        yield _Tested(field, code, rows, clicks, float(value), float(rest), excess, error, p_value)


def _aucs_of_the_rest(known: JudgedRows, sums: _Sums, ranks: GroupRanks) -> NDArray[np.float64]:
    """The AUC among the rows that do not have each value, float64[S]; nan with one class.

    Of all pairs that are ranked rightly, those with a row of the slice are taken away; pairs
    within the slice, taken away twice, are given back.
    """
    clicked = known.labels > 0.5
    counts = known.counts
    right = _rightly_ranked_against(known)
    in_slice = sums.of(np.where(clicked, right, 0.0)) + sums.of(np.where(clicked, 0.0, right))
    wins = float(right[clicked].sum()) - in_slice + ranks.wins
    positives = (counts.positives - sums.clicks).astype(np.float64)
    negatives = counts.negatives - (sums.rows - sums.clicks)
    with np.errstate(divide="ignore", invalid="ignore"):
        return wins / (positives * negatives)


def _rightly_ranked_against(known: JudgedRows) -> NDArray[np.float64]:
    """How many rows of the other class each row is ranked rightly against, a tie half."""
    counts = known.counts
    place = np.searchsorted(-counts.thresholds, -np.asarray(known.logit, np.float64))
    clicks_above = np.append(0, counts.true_positives)
    others_above = np.append(0, counts.false_positives)
    below = counts.negatives - (others_above[place] + others_above[place + 1]) / 2
    above = (clicks_above[place] + clicks_above[place + 1]) / 2
    return np.where(known.labels > 0.5, below, above)


_TESTS: Final = {"log_loss": _by_log_loss, "calibration": _by_calibration, "auc": _by_auc}
