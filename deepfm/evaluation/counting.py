"""Labels and scores to true and false positives at every threshold: one count, many curves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import DataError

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """What lies at or above each threshold; T distinct scores, highest first.

    thresholds       float64[T]  a row counts as predicted clicked where score ≥ threshold
    true_positives   int64[T]    clicked rows at or above it
    false_positives  int64[T]    rows not clicked at or above it
    """

    thresholds: Float64s
    true_positives: Int64s
    false_positives: Int64s

    @property
    def positives(self) -> int:
        """Clicked rows in all."""
        return int(self.true_positives[-1])

    @property
    def negatives(self) -> int:
        """Rows not clicked in all."""
        return int(self.false_positives[-1])

    @property
    def rows(self) -> int:
        """Rows in all."""
        return self.positives + self.negatives

    @property
    def has_both_classes(self) -> bool:
        """Whether any ranking can be judged at all."""
        return self.positives > 0 and self.negatives > 0


def checked(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.bool_], Float64s]:
    """Labels as bool[N] and scores as float64[N]; DataError unless both fit and N > 0."""
    clicked, scores = np.asarray(labels) > 0.5, np.asarray(scores, dtype=np.float64)
    check_rows(clicked, scores)
    return clicked, scores


def check_rows(labels: NDArray[Any], scores: NDArray[Any]) -> None:
    """DataError unless there is one of both for each of N > 0 rows."""
    if labels.shape != scores.shape or labels.ndim != 1:
        raise DataError(
            f"There are labels of shape {labels.shape} for scores of shape {scores.shape}; "
            "each row needs one of both."
        )
    if not len(labels):
        raise DataError("There are no rows to evaluate. Choose a part or a file that has some.")


def count(labels: NDArray[Any], scores: NDArray[Any]) -> Counts:
    """The counts at every distinct score, in O(N log N).

    labels  N of 0 and 1
    scores  N logits or probabilities, of any order-preserving scale; not NaN
    """
    clicked, scores = checked(labels, scores)
    order = np.argsort(-scores)
    scores, clicked = scores[order], clicked[order]
    last_of_ties = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    true_positives = np.cumsum(clicked, dtype=np.int64)[last_of_ties]
    return Counts(scores[last_of_ties], true_positives, last_of_ties + 1 - true_positives)
