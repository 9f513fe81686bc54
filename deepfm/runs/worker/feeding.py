"""Open sweeps to jobs that find what they try next, whenever a device is free for it.

Level-triggered: what is looked at is how the store stands, never what happened. So a worker that
starts after any crash goes on with every sweep, and nothing is asked for twice at once.
"""

import time
from typing import Final

from deepfm.runs.store import Store
from deepfm.runs.worker.table import ADVANCE

AGAIN_SECONDS: Final = 10.0
"""How long a sweep is left alone after a job that changed nothing: the queue may be full."""


class Feeder:
    """places: how many runs are trained at once."""

    def __init__(self, store: Store, places: int) -> None:
        self._store = store
        self._places = places
        self._tried: dict[str, tuple[int, float]] = {}
        self._next_look = 0.0

    def feed(self, changed: bool) -> None:
        """Queue a job for each sweep with a place free; cheap where there is none."""
        now = time.monotonic()
        if not changed and now < self._next_look:
            return
        self._next_look = now + AGAIN_SECONDS
        hungry = [
            sweep
            for sweep in self._store.open_sweeps()
            if sweep.active <= (self._places - 1) * sweep.seeds
        ]
        if not hungry:
            return
        jobs = self._store.jobs(active=True)
        working = {job.payload["group"] for job in jobs if job.kind == ADVANCE}
        for sweep in hungry:
            ended, since = self._tried.get(sweep.group, (-1, 0.0))
            again = ended != sweep.ended or now - since >= AGAIN_SECONDS
            if sweep.group not in working and again:
                self._tried[sweep.group] = (sweep.ended, now)
                self._store.queue_job(ADVANCE, {"group": sweep.group, "places": self._places})
