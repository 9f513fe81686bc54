"""Three terms to one logit to one probability: the only place where the sigmoid is applied."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]

TERM_NAMES: Final = ("linear", "pairwise", "deep")


def sigmoid(logit: Floats) -> NDArray[np.float64]:
    """Logits to probabilities, float64 of the same shape; does not overflow at any logit."""
    logit = np.asarray(logit, dtype=np.float64)
    return np.where(logit >= 0, 1.0, np.exp(np.minimum(logit, 0.0))) / (
        1.0 + np.exp(-np.abs(logit))
    )


@dataclass(frozen=True)
class Terms:
    """The three terms of the logit for N impressions.

    linear, pairwise, deep   float[N] each; a term that the model does not have is all zeros
    """

    linear: Floats
    pairwise: Floats
    deep: Floats

    @property
    def fm(self) -> Floats:
        """The FM branch, linear + pairwise: float[N]."""
        return self.linear + self.pairwise

    @property
    def logit(self) -> Floats:
        """linear + pairwise + deep: float[N]."""
        return self.linear + self.pairwise + self.deep

    @property
    def probability(self) -> NDArray[np.float64]:
        """sigmoid(logit): float64[N]."""
        return sigmoid(self.logit)

    def __len__(self) -> int:
        return len(self.linear)

    def __iter__(self) -> Iterator[Floats]:
        return iter((self.linear, self.pairwise, self.deep))

    def __getitem__(self, rows: slice | NDArray[np.int_] | NDArray[np.bool_]) -> "Terms":
        """The terms of some rows, chosen as numpy chooses them."""
        return Terms(self.linear[rows], self.pairwise[rows], self.deep[rows])
