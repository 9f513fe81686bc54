"""Between a piece of work and the store: events go out in batches, wishes to stop come in."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, Literal

from deepfm.errors import StoreBusy, StoreError
from deepfm.events import Event, Notice, Started

FLUSH_SECONDS: Final = 0.05
"""At least so long between two transactions with events: 20 a second at most. A run's beginning,
which is told once, does not count: its first point comes milliseconds after it."""

BUSY_SECONDS: Final = 1.0
"""How long to leave a store alone that is locked or full."""

LOOK_SECONDS: Final = 0.1
"""How often the store is asked whether a person wants the work to stop."""

ORPHANED: Final = 70
REFUSED: Final = 71
DEAF: Final = 72
"""Exit codes of a child whose worker is gone, of one whose work is no longer its own, and of one
that could no longer be told to stop."""

StopCause = Literal["person", "limit", "worker"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StopNow:
    """The worker to its child: stop, and why."""

    cause: StopCause


class Link:
    """One for each piece of work. A thread of its own listens to the worker and to the store.

    write    puts events into the store, all or none
    wanted   whether a person asked in the store that the work stops

    Where the worker dies, its end of the pipe closes and this process exits at once; where the
    store says that the work is no longer this child's, likewise.
    """

    def __init__(
        self,
        worker: "Connection[object, object]",
        write: Callable[[Sequence[Event]], None],
        wanted: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._write = write
        self._wanted = wanted
        self._pending: list[Event] = []
        self._pending_guard = threading.Lock()
        self._writer = threading.Lock()
        self._next_write = 0.0
        self._looked = time.monotonic()
        self._ended = self._left = False
        self._stop = threading.Event()
        self.cause: StopCause | None = None
        self._thread = threading.Thread(target=self._serve, name="link", daemon=True)
        self._thread.start()

    def report(self, event: Event) -> None:
        """Send an event on its way; at once if the last ones went long enough ago."""
        with self._pending_guard:
            self._pending.append(event)
        if self._writer.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._writer.release()

    def stopping(self) -> bool:
        """Whether the work should stop."""
        return self._stop.is_set()

    def stop(self, cause: StopCause) -> None:
        """Ask the work to stop; the first cause is the one that is told."""
        self.cause = self.cause or cause
        self._stop.set()

    def end(self, write: Callable[[Sequence[Event]], None]) -> None:
        """Write the end of the work together with the events that are still on their way.

        A store that is locked or full is waited for as long as the worker lives: what was
        learned is safe in the run folder, and nothing else can begin on that store either.
        """
        with self._writer:
            self._ended = True
        while True:
            try:
                return write(self._pending)
            except StoreBusy as error:
                _log.warning("%s The end of this work is kept until it works.", error)
                time.sleep(BUSY_SECONDS)

    def leave(self) -> None:
        """Listen no more: what the worker says next is not meant for this work."""
        self._left = True
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._listen()
        except Exception:
            _log.exception("This child can no longer be told to stop, so it gives up.")
            os._exit(DEAF)

    def _listen(self) -> None:
        while not self._left:
            try:
                if self._worker.poll(FLUSH_SECONDS):
                    message = self._worker.recv()
                    if isinstance(message, StopNow):
                        self.stop(message.cause)
            except (EOFError, OSError):
                _log.warning("The worker is gone; this child goes too.")
                os._exit(ORPHANED)
            with self._writer:
                self._flush()
            self._look()

    def _flush(self) -> None:
        if self._ended or time.monotonic() < self._next_write:
            return
        with self._pending_guard:
            batch = list(self._pending)
        if not batch:
            return
        try:
            self._write(batch)
        except StoreBusy as error:
            _log.warning("%s The events are kept until it works.", error)
            self._next_write = time.monotonic() + BUSY_SECONDS
        except StoreError as error:
            _log.warning("%s This child gives up.", error)
            os._exit(REFUSED)
        else:
            with self._pending_guard:
                del self._pending[: len(batch)]
            opening = all(isinstance(event, Started | Notice) for event in batch)
            self._next_write = time.monotonic() + (0.0 if opening else FLUSH_SECONDS)

    def _look(self) -> None:
        now = time.monotonic()
        if self._ended or self._stop.is_set() or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            if self._wanted():
                self.stop("person")
        except StoreError as error:
            _log.warning("%s", error)
