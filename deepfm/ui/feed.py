"""A run's events in the store to its history, read once for everybody who watches."""

import threading
import time
from typing import TYPE_CHECKING

from deepfm.charts.history import History, HistoryBuilder
from deepfm.ui import state
from deepfm.ui.shared import once

if TYPE_CHECKING:
    from deepfm.runs.store import Store

PAGE: int = 2_000
"""Events read at once."""
SHARED: float = 0.3
"""Seconds that all who watch are shown the same state of a run: drawn once for all of them, and
over before anybody of them looks again."""


class Feed:
    """One run's history so far. Twenty people who watch read each event once between them."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._guard = threading.Lock()
        self._builder = HistoryBuilder()
        self._cursor = 0
        self._history = History()
        self._read = 0.0

    def read(self, store: "Store", *, whole: bool) -> tuple[int, History]:
        """The cursor of the newest event, and the history up to it.

        whole   with everything that is in the store now; else what was there a moment ago will do
        """
        with self._guard:
            now = time.monotonic()
            if not whole and self._history.latest and now - self._read < SHARED:
                return self._cursor, self._history
            self._read, before = now, self._cursor
            while events := store.events(self._run_id, after=self._cursor, limit=PAGE):
                for cursor, event in events:
                    self._builder.add(event)
                    self._cursor = cursor
            if self._cursor > before:
                self._history = self._builder.history()
            return self._cursor, self._history


def history(run_id: str, *, whole: bool = True) -> tuple[int, History]:
    """(cursor of the newest event, history) of a run in the store.

    whole   False where the run has more to say and one will look again: it may be a moment old
    """
    feed = once(("feed", run_id, state.home()), lambda: Feed(run_id))
    return feed.read(state.store(), whole=whole)
