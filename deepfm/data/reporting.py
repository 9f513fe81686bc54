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
        self._done = 0.0
        self._number = 0
        self._stages = 0

    def plan(self, stages: int) -> None:
        """So many stages are to come; each step tells from then on which of them all it is of."""
        self._stages = self._number + stages

    def step(
        self, stage: str, done: float, total: float | None, unit: str, detail: str = ""
    ) -> None:
        """One step of a stage is done; raises Cancelled when the person asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled(f"Cancelled while {stage.lower()}; nothing was kept.")
        begins = stage != self._stage or done < self._done
        self._number += begins
        self._stage, self._done = stage, done
        now = time.monotonic()
        due = now - self._last >= _SECONDS_BETWEEN or done == total or begins
        if self._on_event and due:
            self._last = now
            number = min(self._number, self._stages)
            self._on_event(Progress(stage, done, total, unit, detail, number, self._stages))

    def notice(self, kind: str, text: str) -> None:
        """Say something once, in words."""
        if self._on_event:
            self._on_event(Notice(kind, text))
