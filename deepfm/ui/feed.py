"""A run's row and events in the store to its state, read once for everybody who watches."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from deepfm.charts.history import History, HistoryBuilder
from deepfm.ui import state
from deepfm.ui.shared import Recent, once

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow, Store

PAGE: int = 2_000
"""Events read at once."""
SHARED: float = 0.33
"""Seconds that all who watch are shown the same state of a run: its figures, which take most of
the time, are made once for all of them."""


class Feed:
    """One run's history so far. Twenty people who watch read each event once between them."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._guard = threading.RLock()
        self._builder = HistoryBuilder()
        self._cursor = 0
        self._history = History()
        self._row = Recent()

    def read(self, store: "Store", *, whole: bool) -> tuple[int, History]:
        """The cursor of the newest event, and the history up to it.

        whole   with everything that is in the store now; else what was there a moment ago will do
        """
        with self._guard:
            newest, before = self.row(store).last_event, self._cursor
            if not whole and self._history.latest and self._cursor >= newest:
                return self._cursor, self._history
            while events := store.events(self._run_id, after=self._cursor, limit=PAGE):
                for cursor, event in events:
                    self._builder.add(event)
                    self._cursor = cursor
            if self._cursor > before:
                self._history = self._builder.history()
            return self._cursor, self._history

    def row(self, store: "Store") -> "RunRow":
        """The run's row, as it was a moment ago."""
        return self._row.get(SHARED, lambda: store.run(self._run_id))


def history(run_id: str, *, whole: bool = True) -> tuple[int, History]:
    """(cursor of the newest event, history) of a run in the store.

    whole   False where the run has more to say and one will look again: it may be a moment old
    """
    return _feed(run_id).read(state.store(), whole=whole)


def _feed(run_id: str) -> Feed:
    return once(("feed", run_id, state.home()), lambda: Feed(run_id))


# --- what has come since ------------------------------------------------------------------


def run_moves(drawn: "RunRow", cursor: int) -> Callable[[], bool]:
    """Tells, when it is asked later, whether a run has moved on from a row and its newest event."""
    store, feed = state.store(), _feed(drawn.id)

    def moved() -> bool:
        row = feed.row(store)
        return row.last_event > cursor or _without_events(row) != _without_events(drawn)

    return moved


def _without_events(row: "RunRow") -> "RunRow":
    """What a row says apart from what came with events."""
    return replace(row, last_event=0, epoch=0.0, auc=None, curve=())
