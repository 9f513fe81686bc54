"""Many small steps to few events: progress at most ten times a second, and a way to stop."""

import time
from collections.abc import Callable
from typing import Final

from deepfm.errors import Cancelled
from deepfm.events import Event, Notice, Progress

_SECONDS_BETWEEN: Final = 0.1

OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


class Reporter:
    """Tells how far a piece of work is, and stops it when it should.

    on_event    receives Progress (at most ten a second, and the first and the last of each stage)
                and Notice
    cancelled   asked at every step; once it says true, the step raises Cancelled
    """

    def __init__(self, on_event: OnEvent | None = None, cancelled: ShouldStop | None = None):
        self._on_event = on_event
        self._cancelled = cancelled
        self._last = -1.0
        self._stage = ""

    def step(
        self, stage: str, done: float, total: float | None, unit: str, detail: str = ""
    ) -> None:
        """One step of a stage is done; raises Cancelled when the person asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled(f"Cancelled while {stage.lower()}; nothing was kept.")
        now = time.monotonic()
        due = now - self._last >= _SECONDS_BETWEEN or done == total or stage != self._stage
        if self._on_event and due:
            self._last, self._stage = now, stage
            self._on_event(Progress(stage, done, total, unit, detail))

    def notice(self, kind: str, text: str) -> None:
        """Say something once, in words."""
        if self._on_event:
            self._on_event(Notice(kind, text))
