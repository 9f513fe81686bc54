"""Two rankings of the same rows, and many p-values, to what chance alone would not explain."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.counting import Float64s, checked
from deepfm.intervals import NORMAL_95

SIGNIFICANT = 0.05
"""Below this a p-value, corrected for how many were looked at, is taken for more than chance."""


@dataclass(frozen=True)
class AucDifference:
    """How much better one model ranks the same rows than another.

    first, second    the AUC of each
    difference       first − second, with its 95 % interval low to high
    p_value          two-sided, for no difference at all
    """

    first: float
    second: float
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float


def compare_aucs(
    labels: NDArray[Any], first: NDArray[Any], second: NDArray[Any]
) -> AucDifference | None:
    """DeLong's test for the AUCs of two models on the same rows, in O(N log N).

    labels          N of 0 and 1
    first, second   N scores each, on any order-preserving scale; not NaN
    None with fewer than two rows of either class. DataError unless all have one length.
    DeLong et al. 1988, with the mid-ranks of Sun & Xu 2014 instead of all pairs.
    """
    clicked, first = checked(labels, first)
    clicked, second = checked(clicked, second)
    positives = int(clicked.sum())
    if positives < 2 or len(clicked) - positives < 2:
        return None
    both = [_placements(clicked, scores) for scores in (first, second)]
    aucs = [float(for_clicked.mean()) for for_clicked, _ in both]
    variance = 0.0
    for mine, others in zip(*both, strict=True):
        variance += float(np.var(mine - others, ddof=1)) / len(mine)
    return _difference(aucs[0], aucs[1], math.sqrt(variance))


def _difference(first: float, second: float, error: float) -> AucDifference:
    difference = first - second
    # Two rankings that are one and the same differ by rounding alone.
    same = abs(difference) < 1e-12
    return AucDifference(
        first,
        second,
        difference,
        error,
        max(-1.0, difference - NORMAL_95 * error),
        min(1.0, difference + NORMAL_95 * error),
        1.0 if same else two_sided(difference / error) if error > 0 else 0.0,
    )


def _placements(clicked: NDArray[np.bool_], scores: Float64s) -> tuple[Float64s, Float64s]:
    """For each row, the share of the other class that it is ranked rightly against.

    returns  float64[P] of the clicked rows and float64[Q] of the others, in their order
    """
    ranks = midranks(scores)
    above = ranks[clicked] - midranks(scores[clicked])
    below = ranks[~clicked] - midranks(scores[~clicked])
    return above / len(below), 1 - below / len(above)


def midranks(values: NDArray[Any]) -> Float64s:
    """Ranks from 1, lowest first, float64[N]; equal values share the mean of their ranks."""
    order = np.argsort(values)
    ordered = np.asarray(values)[order]
    starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    ends = np.append(starts[1:], len(ordered))
    ranks = np.empty(len(ordered))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def two_sided(z: float) -> float:
    """How often a standard normal lies at least so far from 0."""
    return math.erfc(abs(z) / math.sqrt(2))


def one_sided(z: float) -> float:
    """How often a standard normal lies at least so high."""
    return math.erfc(z / math.sqrt(2)) / 2


def benjamini_hochberg(p_values: NDArray[Any]) -> Float64s:
    """Adjusted p-values, float64[M]: below q, a share of at most q of the finds is chance.

    Benjamini & Hochberg 1995: p_(i) · M / i, made monotone from the largest down.
    """
    p_values = np.asarray(p_values, np.float64)
    number = len(p_values)
    falling = np.argsort(-p_values)
    steps = p_values[falling] * number / np.arange(number, 0, -1)
    adjusted = np.empty(number)
    adjusted[falling] = np.minimum.accumulate(np.minimum(steps, 1.0)) if number else steps
    return adjusted


def holm(p_values: NDArray[Any]) -> Float64s:
    """Adjusted p-values, float64[M]: below q, the chance of any false find is at most q.

    Holm 1979: p_(i) · (M − i + 1), made monotone from the smallest up.
    """
    p_values = np.asarray(p_values, np.float64)
    number = len(p_values)
    rising = np.argsort(p_values)
    steps = p_values[rising] * np.arange(number, 0, -1)
    adjusted = np.empty(number)
    adjusted[rising] = np.maximum.accumulate(np.minimum(steps, 1.0)) if number else steps
    return adjusted


def p_in_words(p_value: float) -> str:
    """ "= 0.031", "< 0.0001": never 0."""
    return "< 0.0001" if p_value < 0.0001 else f"= {p_value:.2g}"
