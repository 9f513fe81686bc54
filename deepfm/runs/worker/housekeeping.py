"""What has been kept for long enough to room on the disk: once an hour, beside the work."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Final

from deepfm.config import Settings
from deepfm.errors import DeepFMError
from deepfm.runs.store import Store

HOUR: Final = 3_600.0
LEAVE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def housekeeping(store: Store, settings: Settings) -> Iterator[None]:
    """While this lasts, runs and uploads past their days are deleted, in a thread of its own."""
    over = threading.Event()
    thread = threading.Thread(
        target=_keep, args=(store, settings, over), name="housekeeping", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        # It may be deleting a large folder: what it leaves, the next deletion sweeps away.
        thread.join(LEAVE_SECONDS)


def _keep(store: Store, settings: Settings, over: threading.Event) -> None:
    while True:
        try:
            keep_house(store, settings.keep_days)
        except (DeepFMError, OSError) as error:
            _log.warning("Old runs and uploads stay for now: %s", error)
        if over.wait(HOUR):
            return


def keep_house(store: Store, days: int) -> None:
    """Delete what has been kept for more than so many days; 0 keeps everything."""
    for what, names in (("runs", store.prune(days)), ("uploads", store.prune_uploads(days))):
        if names:
            _log.info("Deleted %d %s older than %d days", len(names), what, days)
