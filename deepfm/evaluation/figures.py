"""Labels and logits to single figures: loss, accuracy, AUC with interval, calibration."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import DataError
from deepfm.evaluation.counting import Counts, Float64s, check_rows
from deepfm.events import Metrics
from deepfm.intervals import NORMAL_95
from deepfm.terms import sigmoid

BLOCK: Final = 1 << 20
"""Rows looked at together, so that millions of them take no more memory than their scores."""


def metrics_of(labels: NDArray[Any], logits: NDArray[Any]) -> Metrics:
    """Loss, accuracy at 0.5 and AUC of N rows; auc is None with one class or a diverged model."""
    right = 0
    for clicked, some in _blocks(labels, logits):
        right += int(((some >= 0) == clicked).sum())
    rows = len(labels)
    return Metrics(log_loss(labels, logits), right / rows, auc(labels, logits), rows)


def log_loss(labels: NDArray[Any], logits: NDArray[Any]) -> float:
    """Mean binary cross entropy in nats, from logits so that it is finite at any logit."""
    sums = (float(log_losses(*block).sum()) for block in _blocks(labels, logits))
    return sum(sums) / len(labels)


def log_losses(clicked: NDArray[np.bool_], logits: NDArray[Any]) -> Float64s:
    """The binary cross entropy of each row, float64[N], in nats."""
    logits = np.asarray(logits, dtype=np.float64)
    signed = np.where(clicked, -logits, logits)
    return np.maximum(signed, 0.0) + np.log1p(np.exp(-np.abs(signed)))


def _blocks(
    labels: NDArray[Any], scores: NDArray[Any]
) -> Iterator[tuple[NDArray[np.bool_], Float64s]]:
    """Checked rows, some at a time."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    check_rows(labels, scores)
    for start in range(0, len(labels), BLOCK):
        rows = slice(start, start + BLOCK)
        yield labels[rows] > 0.5, np.asarray(scores[rows], dtype=np.float64)


def auc(labels: NDArray[Any], scores: NDArray[Any]) -> float | None:
    """Share of pairs (clicked, not clicked) that the scores rank rightly; a tie counts half.

    None where the rows have one class only, or a score is NaN. Both classes are sorted apart, and
    where the clicked rows fall among the others is found block by block: memory for one copy of
    the scores.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    check_rows(labels, scores)
    is_clicked = labels > 0.5
    clicked, others = np.sort(scores[is_clicked]), np.sort(scores[~is_clicked])
    if not len(clicked) or not len(others) or np.isnan(clicked[-1]) or np.isnan(others[-1]):
        return None
    twice_right = 0
    for start in range(0, len(clicked), BLOCK):
        some = clicked[start : start + BLOCK]
        for side in ("left", "right"):
            twice_right += int(np.searchsorted(others, some, side).sum())
    return twice_right / (2 * len(clicked) * len(others))


def auc_of(counts: Counts) -> float | None:
    """The AUC from counts, by trapezes in whole numbers; None with one class only."""
    if not counts.has_both_classes:
        return None
    # Python's whole numbers cannot overflow; int64 holds the sum up to 3 · 10⁹ rows of each class.
    widths = np.diff(counts.false_positives, prepend=0)
    heights = counts.true_positives + np.append(0, counts.true_positives[:-1])
    return int(widths @ heights) / (2 * counts.positives * counts.negatives)


def auc_interval(counts: Counts) -> tuple[float, float] | None:
    """The 95 % interval of the AUC by DeLong et al. 1988, in O(T) after counting.

    None where it cannot be had: fewer than two rows of either class.
    """
    centre, spreads = auc_of(counts), auc_spreads(counts)
    if centre is None or spreads is None:
        return None
    variance = spreads[0] / counts.positives + spreads[1] / counts.negatives
    half_width = NORMAL_95 * float(np.sqrt(variance))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


def auc_spreads(counts: Counts) -> tuple[float, float] | None:
    """How far single rows differ in how well they are ranked: variances of the clicked and others.

    The AUC's variance is the first over the clicked rows plus the second over the others (DeLong).
    None with fewer than two rows of either class.
    """
    centre = auc_of(counts)
    if centre is None or counts.positives < 2 or counts.negatives < 2:
        return None
    clicked = np.diff(counts.true_positives, prepend=0)
    unclicked = np.diff(counts.false_positives, prepend=0)
    # For a row of each score, the share of the other class that it is ranked rightly against.
    for_clicked = 1 - (counts.false_positives - unclicked / 2) / counts.negatives
    for_unclicked = (counts.true_positives - clicked / 2) / counts.positives
    return (
        float(clicked @ (for_clicked - centre) ** 2 / (counts.positives - 1)),
        float(unclicked @ (for_unclicked - centre) ** 2 / (counts.negatives - 1)),
    )


def average_precision_of(counts: Counts) -> float | None:
    """Mean precision over the clicked rows, by steps (no interpolation); None without clicks."""
    if not counts.positives:
        return None
    precision = counts.true_positives / (counts.true_positives + counts.false_positives)
    return float(np.diff(counts.true_positives, prepend=0) @ precision / counts.positives)


def base_rate_log_loss(base_rate: float) -> float:
    """Log loss of always guessing the base rate of the same rows."""
    return float(-sum(share * np.log(share) for share in (base_rate, 1.0 - base_rate) if share > 0))


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: the calibrated logit is slope · logit + intercept."""

    slope: float
    intercept: float

    def __call__(self, logits: NDArray[Any]) -> Float64s:
        """Calibrated logits, float64[N]."""
        return self.slope * np.asarray(logits, dtype=np.float64) + self.intercept


def platt(labels: NDArray[Any], logits: NDArray[Any]) -> Calibration:
    """The logistic regression of the labels on the logits (two parameters), by Newton's method.

    A ridge of 10⁻⁶ keeps it finite where the logits separate the classes; with one class only
    the logits stay as they are.
    """
    rows = clicks = 0
    total = squares = 0.0
    for clicked, some in _blocks(labels, logits):
        if not np.isfinite(some).all():
            raise DataError("The logits hold values that are not numbers: the training diverged.")
        rows, clicks, total = rows + len(some), clicks + int(clicked.sum()), total + some.sum()
    if clicks in (0, rows):
        return Calibration(1.0, 0.0)
    centre = float(total) / rows
    for _, some in _blocks(labels, logits):
        squares += float(((some - centre) ** 2).sum())
    standard = _Standardised(labels, logits, centre, np.sqrt(squares / rows) or 1.0)
    slope, intercept = _logistic_regression(standard)
    slope = slope / standard.spread
    return Calibration(float(slope), float(intercept - slope * centre))


@dataclass(frozen=True)
class _Standardised:
    """N labels and logits, less their mean and over their spread, block by block."""

    labels: NDArray[Any]
    logits: NDArray[Any]
    centre: float
    spread: float

    def blocks(self) -> Iterator[tuple[NDArray[np.bool_], Float64s]]:
        """bool[n], and the design float64[n, 2] of a logistic regression."""
        for clicked, logits in _blocks(self.labels, self.logits):
            standard = (logits - self.centre) / self.spread
            yield clicked, np.column_stack([standard, np.ones_like(standard)])


def calibrated_log_loss(
    fit_labels: NDArray[Any],
    fit_logits: NDArray[Any],
    labels: NDArray[Any],
    logits: NDArray[Any],
) -> float:
    """Log loss after Platt scaling fitted on other rows, the validation part's."""
    return log_loss(labels, platt(fit_labels, fit_logits)(logits))


def _logistic_regression(rows: _Standardised, ridge: float = 1e-6) -> Float64s:
    """Slope and intercept, float64[2], by Newton steps, halved where they fail."""

    def objective(coefficients: Float64s) -> float:
        losses = (log_losses(clicked, design @ coefficients) for clicked, design in rows.blocks())
        penalty = ridge / 2 * float(coefficients @ coefficients)
        return sum(float(each.sum()) for each in losses) + penalty

    coefficients = np.zeros(2)
    reached = objective(coefficients)
    for _ in range(100):
        gradient, curvature = ridge * coefficients, ridge * np.eye(2)
        for clicked, design in rows.blocks():
            probability = sigmoid(design @ coefficients)
            gradient = gradient + design.T @ (probability - clicked)
            curvature += design.T @ (design * (probability * (1 - probability))[:, None])
        step = -np.linalg.solve(curvature, gradient)
        while np.abs(step).max() > 1e-9 and objective(coefficients + step) > reached:
            step = step / 2
        coefficients, before = coefficients + step, reached
        reached = objective(coefficients)
        if before - reached <= 1e-12 * abs(reached):
            break
    return coefficients
