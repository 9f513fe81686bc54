"""Labels and scores to the curves and tables of the Evaluate page, thinned for display."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.counting import Counts, Float64s, Int64s, checked, count
from deepfm.intervals import wilson_interval

DISPLAY_STEP: Final = 1 / 400
"""How far a thinned curve may stray from the full one, as a share of the axis."""


@dataclass(frozen=True)
class RocCurve:
    """True against false positive rate, from (0, 0) to (1, 1); same length T each.

    thresholds  float64[T]  falling; the first is infinite, where nothing is predicted clicked
    """

    fpr: Float64s
    tpr: Float64s
    thresholds: Float64s


def roc(
    labels: NDArray[Any], scores: NDArray[Any], step: float | None = DISPLAY_STEP
) -> RocCurve | None:
    """The ROC curve, at most `step` away from the full one; every point with step None.

    None where the rows have one class only: there is no such curve.
    """
    return roc_of(count(labels, scores), step)


def roc_of(counts: Counts, step: float | None = DISPLAY_STEP) -> RocCurve | None:
    """The same from counts."""
    if not counts.has_both_classes:
        return None
    fpr = np.append(0.0, counts.false_positives / counts.negatives)
    tpr = np.append(0.0, counts.true_positives / counts.positives)
    kept = _thin_rising(fpr, tpr, step)
    return RocCurve(fpr[kept], tpr[kept], np.append(np.inf, counts.thresholds)[kept])


def _thin_rising(x: Float64s, y: Float64s, step: float | None) -> Int64s:
    """Which points of a curve that rises in x and y to keep, so that it moves by at most `step`.

    The way x + y is cut into stretches of length `step`, and the first and last point of each
    stretch are kept: a point between them lies within a box of that size.
    """
    if step is None:
        return np.arange(len(x))
    stretch = np.floor((x + y) / step)
    new = np.diff(stretch) > 0
    return np.flatnonzero(np.append(True, new) | np.append(new, True))


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision against recall as the threshold falls; float64[T] each."""

    recall: Float64s
    precision: Float64s
    thresholds: Float64s
    base_rate: float
    """Precision of guessing: the level that any model has to beat."""


def precision_recall(
    labels: NDArray[Any], scores: NDArray[Any], step: float | None = DISPLAY_STEP
) -> PrecisionRecallCurve | None:
    """The precision-recall curve, thinned in recall but with its peaks; None without clicks."""
    return precision_recall_of(count(labels, scores), step)


def precision_recall_of(
    counts: Counts, step: float | None = DISPLAY_STEP
) -> PrecisionRecallCurve | None:
    """The same from counts."""
    if not counts.positives:
        return None
    recall = counts.true_positives / counts.positives
    precision = counts.true_positives / (counts.true_positives + counts.false_positives)
    kept = np.arange(len(recall)) if step is None else _thin_jagged(recall, precision, step)
    return PrecisionRecallCurve(
        recall[kept], precision[kept], counts.thresholds[kept], counts.positives / counts.rows
    )


def _thin_jagged(x: Float64s, y: Float64s, step: float) -> Int64s:
    """Which points of a curve that rises in x alone to keep: per stretch of `step` along x the
    first, last, lowest and highest, so that what is drawn covers the same ground.
    """
    starts = np.append(0, np.flatnonzero(np.diff(np.floor(x / step))) + 1)
    ends = np.append(starts[1:], len(x))
    kept = [
        (start, end - 1, start + np.argmin(y[start:end]), start + np.argmax(y[start:end]))
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.unique(np.array(kept))


@dataclass(frozen=True)
class CalibrationTable:
    """Predicted against seen click rate in bins of about equal count, lowest first; B bins.

    low, high  float64[B]  95 % Wilson interval of the seen click rate
    """

    rows: Int64s
    clicks: Int64s
    predicted: Float64s
    low: Float64s
    high: Float64s

    @property
    def seen(self) -> Float64s:
        """Seen click rate of each bin."""
        return self.clicks / self.rows

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of predicted and seen rate, by rows."""
        return float(self.rows @ np.abs(self.predicted - self.seen) / self.rows.sum())


def calibration(
    labels: NDArray[Any], probability: NDArray[Any], bins: int = 15
) -> CalibrationTable:
    """The calibration table; equal probabilities share a bin, so there may be fewer bins."""
    clicked, probability = checked(labels, probability)
    order = np.argsort(probability)
    clicked, probability = clicked[order], probability[order]
    starts = equal_groups(probability, bins)
    rows = np.diff(starts, append=len(probability))
    clicks = np.add.reduceat(clicked.astype(np.int64), starts)
    low, high = wilson_interval(clicks, rows)
    return CalibrationTable(rows, clicks, np.add.reduceat(probability, starts) / rows, low, high)


def equal_groups(ordered: Float64s, bins: int) -> Int64s:
    """Where groups of about equal size start in N rising values, int64[B]; equal ones share one."""
    wanted = len(ordered) * np.arange(1, bins + 1) // bins
    ends = np.unique(np.searchsorted(ordered, ordered[np.maximum(wanted, 1) - 1], side="right"))
    return np.append(0, ends[:-1])


@dataclass(frozen=True)
class Histogram:
    """How many rows of each label lie between neighbouring edges; B bins, B + 1 edges."""

    edges: Float64s
    clicked: Int64s
    not_clicked: Int64s


def histogram(labels: NDArray[Any], values: NDArray[Any], bins: int = 40) -> Histogram:
    """Counts by label in bins of equal width over the range of the values."""
    is_clicked, values = checked(labels, values)
    edges = np.histogram_bin_edges(values, bins)
    return Histogram(
        edges,
        np.histogram(values[is_clicked], edges)[0],
        np.histogram(values[~is_clicked], edges)[0],
    )


@dataclass(frozen=True)
class GainCurve:
    """Taking rows from the highest score down: the share of all clicks caught, float64[T]."""

    share_of_rows: Float64s
    share_of_clicks: Float64s

    @property
    def lift(self) -> Float64s:
        """How many times more clicks than among as many random rows; 1 at the very start."""
        lift = np.ones_like(self.share_of_rows)
        np.divide(self.share_of_clicks, self.share_of_rows, out=lift, where=self.share_of_rows > 0)
        return lift


def gain(
    labels: NDArray[Any], scores: NDArray[Any], step: float | None = DISPLAY_STEP
) -> GainCurve | None:
    """The cumulative gain curve from (0, 0) to (1, 1); None without clicks."""
    return gain_of(count(labels, scores), step)


def gain_of(counts: Counts, step: float | None = DISPLAY_STEP) -> GainCurve | None:
    """The same from counts."""
    if not counts.positives:
        return None
    taken = counts.true_positives + counts.false_positives
    share_of_rows = np.append(0.0, taken / counts.rows)
    share_of_clicks = np.append(0.0, counts.true_positives / counts.positives)
    kept = _thin_rising(share_of_rows, share_of_clicks, step)
    return GainCurve(share_of_rows[kept], share_of_clicks[kept])


def confusion(
    labels: NDArray[Any], probability: NDArray[Any], threshold: float
) -> tuple[int, int, int, int]:
    """(tp, fp, fn, tn) where a row is predicted clicked if its probability ≥ threshold."""
    clicked, probability = checked(labels, probability)
    predicted = probability >= threshold
    tp, fp = int((predicted & clicked).sum()), int((predicted & ~clicked).sum())
    positives = int(clicked.sum())
    return tp, fp, positives - tp, len(clicked) - positives - fp


@dataclass(frozen=True)
class ThresholdTable:
    """The confusion matrix at every position of a slider; S positions, thresholds rising.

    tp, fp, fn, tn  int64[S]
    tpr, fpr        float64[S]; nan where the rows have no such class
    """

    threshold: Float64s
    tp: Int64s
    fp: Int64s
    fn: Int64s
    tn: Int64s

    @property
    def tpr(self) -> Float64s:
        """True positive rate, recall: the share of the clicked rows that are found."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def fpr(self) -> Float64s:
        """False positive rate: the share of the rows not clicked that are predicted clicked."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def precision(self) -> Float64s:
        """The share of the rows predicted clicked that were; nan where none is predicted."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> Float64s:
        """The share of rows predicted rightly."""
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)

    def position(self, threshold: float) -> int:
        """The slider's position nearest to a threshold."""
        return int(np.argmin(np.abs(self.threshold - threshold)))


def _ratio(part: Int64s, whole: Int64s) -> Float64s:
    ratio = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def threshold_table(
    labels: NDArray[Any], probability: NDArray[Any], points: int = 201
) -> ThresholdTable:
    """About `points` thresholds from 0 to 1, among them exactly 0.5 and the base rate.

    They stand at even distances along the ROC curve, not along the probability: each step of the
    slider moves the point visibly, also where clicks are rare and all probabilities small.
    """
    return threshold_table_of(count(labels, probability), points)


def threshold_table_of(
    counts: Counts, points: int = 201, also: Sequence[float] = ()
) -> ThresholdTable:
    """The same from counts whose thresholds are probabilities.

    also   further thresholds that must be among them
    """
    above_all = np.nextafter(counts.thresholds[0], np.inf)
    thresholds = np.unique(
        np.concatenate(
            [
                _even_thresholds(counts, points),
                [0.0, 0.5, counts.positives / counts.rows, max(1.0, float(above_all))],
                also,
            ]
        )
    )
    return _table_at(counts, thresholds)


def _even_thresholds(counts: Counts, points: int) -> Float64s:
    way = counts.true_positives / max(counts.positives, 1) + (
        counts.false_positives / max(counts.negatives, 1)
    )
    nearest = np.searchsorted(way, np.linspace(0, way[-1], points))
    return counts.thresholds[np.minimum(nearest, len(way) - 1)]


def _table_at(counts: Counts, thresholds: Float64s) -> ThresholdTable:
    """The confusion matrices at any thresholds, float64[S]."""
    # -thresholds rise; as many distinct scores are at or above the threshold as stand before it.
    at_or_above = np.searchsorted(-counts.thresholds, -thresholds, side="right")
    tp = np.append(0, counts.true_positives)[at_or_above]
    fp = np.append(0, counts.false_positives)[at_or_above]
    return ThresholdTable(thresholds, tp, fp, counts.positives - tp, counts.negatives - fp)
