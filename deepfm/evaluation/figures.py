"""Labels and logits to single figures: loss, accuracy, AUC with interval, calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import DataError
from deepfm.evaluation.counting import Counts, Float64s, checked, count
from deepfm.intervals import NORMAL_95
from deepfm.terms import sigmoid


def log_loss(labels: NDArray[Any], logits: NDArray[Any]) -> float:
    """Mean binary cross entropy in nats, from logits so that it is finite at any logit."""
    return float(log_losses(*checked(labels, logits)).mean())


def log_losses(clicked: NDArray[np.bool_], logits: NDArray[Any]) -> Float64s:
    """The binary cross entropy of each row, float64[N], in nats."""
    logits = np.asarray(logits, dtype=np.float64)
    signed = np.where(clicked, -logits, logits)
    return np.maximum(signed, 0.0) + np.log1p(np.exp(-np.abs(signed)))


def auc(labels: NDArray[Any], scores: NDArray[Any]) -> float | None:
    """Share of pairs (clicked, not clicked) that the scores rank rightly; a tie counts half.

    None where the rows have one class only, or a score is NaN.
    """
    clicked, scores = checked(labels, scores)
    if np.isnan(scores).any():
        return None
    return auc_of(count(clicked, scores))


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
    if counts.positives < 2 or counts.negatives < 2:
        return None
    clicked = np.diff(counts.true_positives, prepend=0)
    unclicked = np.diff(counts.false_positives, prepend=0)
    # For a row of each score, the share of the other class that it is ranked rightly against.
    for_clicked = 1 - (counts.false_positives - unclicked / 2) / counts.negatives
    for_unclicked = (counts.true_positives - clicked / 2) / counts.positives
    centre = auc_of(counts)
    assert centre is not None
    variance = clicked @ (for_clicked - centre) ** 2 / (
        (counts.positives - 1) * counts.positives
    ) + unclicked @ (for_unclicked - centre) ** 2 / ((counts.negatives - 1) * counts.negatives)
    half_width = NORMAL_95 * float(np.sqrt(variance))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


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
    clicked, logits = checked(labels, logits)
    if not np.isfinite(logits).all():
        raise DataError("The logits hold values that are not numbers: the training diverged.")
    if clicked.all() or not clicked.any():
        return Calibration(1.0, 0.0)
    spread = float(logits.std()) or 1.0
    centre = float(logits.mean())
    design = np.column_stack([(logits - centre) / spread, np.ones_like(logits)])
    slope, intercept = _logistic_regression(design, clicked.astype(np.float64))
    return Calibration(float(slope) / spread, float(intercept - slope * centre / spread))


def calibrated_log_loss(
    fit_labels: NDArray[Any],
    fit_logits: NDArray[Any],
    labels: NDArray[Any],
    logits: NDArray[Any],
) -> float:
    """Log loss after Platt scaling fitted on other rows, the validation part's."""
    return log_loss(labels, platt(fit_labels, fit_logits)(logits))


def _logistic_regression(design: Float64s, labels: Float64s, ridge: float = 1e-6) -> Float64s:
    """Coefficients float64[D] of design float64[N, D] by Newton steps, halved where they fail."""

    def objective(coefficients: Float64s) -> float:
        penalty = ridge / 2 * float(coefficients @ coefficients)
        return len(labels) * log_loss(labels, design @ coefficients) + penalty

    coefficients = np.zeros(design.shape[1])
    reached = objective(coefficients)
    for _ in range(100):
        probability = sigmoid(design @ coefficients)
        gradient = design.T @ (probability - labels) + ridge * coefficients
        curvature = design.T @ (design * (probability * (1 - probability))[:, None])
        step = -np.linalg.solve(curvature + ridge * np.eye(len(coefficients)), gradient)
        while np.abs(step).max() > 1e-9 and objective(coefficients + step) > reached:
            step = step / 2
        coefficients, before = coefficients + step, reached
        reached = objective(coefficients)
        if before - reached <= 1e-12 * abs(reached):
            break
    return coefficients
