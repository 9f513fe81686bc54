"""Labels and logits, some rows at a time, to loss, accuracy and AUC in bounded memory."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import DataError
from deepfm.evaluation.counting import Counts
from deepfm.evaluation.figures import auc, auc_of, log_losses
from deepfm.events import Metrics

EXACT_ROWS: Final = 4_000_000
"""Up to so many rows the AUC is exact."""
BINS: Final = 1 << 18
HIGHEST: Final = 32.0
"""Bins reach from −HIGHEST to HIGHEST, each 1/4096 wide; what lies beyond is in the last one."""
BLOCK: Final = 1 << 20
"""Rows looked at together."""


class Tally:
    """Running figures of rows that come in any number of portions, in any order.

    The AUC is exact up to `exact_rows` rows. From there on the logits are only counted, by label,
    in bins of equal width: two rows of one bin count as a tie, so the AUC is off by at most
    `auc_error`, half the share of pairs that lie in one bin. (For logits spread like a normal
    distribution of width 1 that is 0.00004, and the true error, where labels lie evenly within a
    bin, some thousand times less.) Memory: 5 bytes a row while exact, then 4 MiB.
    """

    def __init__(self, exact_rows: int = EXACT_ROWS) -> None:
        self.loss = 0.0
        self.rows = self.correct = self._nans = 0
        self._exact_rows = exact_rows
        self._logits: list[NDArray[np.float32]] = []
        self._clicked: list[NDArray[np.bool_]] = []
        self._bins: NDArray[np.int64] | None = None

    def add(
        self,
        labels: NDArray[Any],
        logits: NDArray[np.float32],
        losses: NDArray[np.float32] | None = None,
    ) -> None:
        """Count some rows: N labels of 0 and 1, and their logits.

        losses   where they are known already: any number of sums over these rows, added one after
                 the other, so that it does not matter how rows are divided into portions
        """
        for start in range(0, len(labels), BLOCK):
            rows = slice(start, start + BLOCK)
            clicked, some = np.asarray(labels[rows]) > 0.5, np.array(logits[rows], np.float32)
            self._count(clicked, some)
            if losses is None:
                self.loss += float(log_losses(clicked, some).sum())
        if losses is not None:
            self.loss = float(np.cumsum([self.loss, *losses.astype(np.float64)])[-1])

    def _count(self, clicked: NDArray[np.bool_], logits: NDArray[np.float32]) -> None:
        self.rows += len(logits)
        self.correct += int(((logits >= 0) == clicked).sum())
        self._nans += int(np.isnan(logits).sum())
        self._logits.append(logits)
        self._clicked.append(clicked)
        if self._bins is not None or self.rows > self._exact_rows:
            self._to_bins()

    def _to_bins(self) -> None:
        """Count what is kept row by row, and keep it no more."""
        if self._bins is None:
            self._bins = np.zeros((2, BINS), np.int64)
        for clicked, logits in zip(self._clicked, self._logits, strict=True):
            places = bins_of(logits)
            self._bins[1] += np.bincount(places[clicked], minlength=BINS)
            self._bins[0] += np.bincount(places[~clicked], minlength=BINS)
        self._logits, self._clicked = [], []

    @property
    def metrics(self) -> Metrics:
        """Figures of all rows so far; DataError where there are none."""
        if not self.rows:
            raise DataError("There are no rows to evaluate. Choose a part that has some.")
        return Metrics(self.loss / self.rows, self.correct / self.rows, self.auc, self.rows)

    @property
    def auc(self) -> float | None:
        """None where the rows have one class only, or a logit is NaN."""
        if self._nans or not self.rows:
            return None
        if self._bins is None:
            return auc(np.concatenate(self._clicked), np.concatenate(self._logits))
        falling = self._bins[:, ::-1]
        edges = np.linspace(-HIGHEST, HIGHEST, BINS + 1)[:-1]
        return auc_of(Counts(edges[::-1], np.cumsum(falling[1]), np.cumsum(falling[0])))

    @property
    def auc_error(self) -> float:
        """The most by which the AUC may be off; 0 while it is exact."""
        if self._bins is None:
            return 0.0
        pairs = float(self._bins[0].sum()) * float(self._bins[1].sum())
        return float(self._bins[0] @ self._bins[1].astype(np.float64)) / (2 * pairs)

    def state(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, at most 20 MB, from which `of_state` goes on to the same figures."""
        kept = {
            "figures": np.array([self.loss, self.rows, self.correct, self._nans], np.float64),
            "logits": np.concatenate([*self._logits, np.empty(0, np.float32)]),
            "clicked": np.concatenate([*self._clicked, np.empty(0, np.bool_)]),
        }
        return kept if self._bins is None else {**kept, "bins": self._bins.copy()}

    @classmethod
    def of_state(cls, state: Mapping[str, NDArray[Any]], exact_rows: int = EXACT_ROWS) -> Self:
        """The tally whose `state` this is."""
        tally = cls(exact_rows)
        tally.loss = float(state["figures"][0])
        tally.rows, tally.correct, tally._nans = (int(x) for x in state["figures"][1:])
        if len(state["logits"]):
            tally._logits = [np.array(state["logits"], np.float32)]
            tally._clicked = [np.array(state["clicked"], np.bool_)]
        tally._bins = np.array(state["bins"], np.int64) if "bins" in state else None
        return tally


def bins_of(logits: NDArray[np.float32]) -> NDArray[np.int32]:
    """float32[N] to places of bins, int32[N]; NaN anywhere."""
    scaled = logits * np.float32(BINS / (2 * HIGHEST))
    scaled += np.float32(BINS // 2)
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return np.clip(scaled, 0, BINS - 1).astype(np.int32)
