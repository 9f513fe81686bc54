"""What steps saw to the running figures of an epoch, in memory that does not grow with its rows."""

from collections.abc import Mapping
from typing import Any, Final, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.evaluation import Tally
from deepfm.events import Metrics

PENDING_ROWS: Final = 1 << 19
"""Rows kept on the device before they are counted: counting waits for it."""
POINT_EXACT_ROWS: Final = 200_000
"""Between two points of the curves, the AUC is exact up to so many rows."""


class RunningFigures:
    """Loss, accuracy and AUC of the rows that steps have seen, in training mode.

    Of all rows since the epoch began, and of those since the last point of the curves. How exact
    the AUC is with very many rows: see Tally. `state` holds what the epoch's figures need to go on
    after a checkpoint to the same digits; the next point then begins anew.
    """

    def __init__(self, epoch: Tally | None = None) -> None:
        self._epoch = epoch or Tally()
        self._point = Tally(POINT_EXACT_ROWS)
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self._pending_rows = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """One step's summed loss, and its logits and labels; seldom waits for the device."""
        self._pending.append((loss, logits, labels))
        self._pending_rows += len(labels)
        if self._pending_rows >= PENDING_ROWS:
            self._count()

    def metrics(self) -> Metrics:
        """Figures of all steps."""
        self._count()
        return self._epoch.metrics

    def metrics_since_point(self) -> Metrics:
        """Figures of the steps since this was last called; the next ones count anew."""
        self._count()
        point, self._point = self._point, Tally(POINT_EXACT_ROWS)
        return point.metrics

    def state(self) -> dict[str, NDArray[Any]]:
        """The epoch's figures so far as arrays, at most 20 MB."""
        self._count()
        return self._epoch.state()

    @classmethod
    def of_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The figures whose `state` this is."""
        return cls(Tally.of_state(state))

    def _count(self) -> None:
        if not self._pending:
            return
        losses, logits, labels = zip(*self._pending, strict=True)
        self._pending, self._pending_rows = [], 0
        seen = torch.cat(labels).cpu().numpy(), torch.cat(logits).cpu().numpy()
        steps = torch.stack(losses).cpu().numpy()
        for tally in (self._epoch, self._point):
            tally.add(*seen, losses=steps)
