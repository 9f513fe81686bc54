"""A home folder to the bytes it takes, and a refusal before the disk is full."""

import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfm.config import Settings
from deepfm.errors import LimitError
from deepfm.formats import format_bytes

MEGABYTE: Final = 1_000_000
SPARE_BYTES: Final = 200 * MEGABYTE
"""Left free on the disk in any case: enough to end what is going on."""

FRESH_SECONDS: Final = 10.0
"""How long a size is believed; looking at many files takes time."""

PARTS: Final = ("runs", "datasets", "uploads")


@dataclass(frozen=True)
class DiskUse:
    """Bytes that a home folder takes, by part; other is the store, logs and downloads."""

    runs: int
    datasets: int
    uploads: int
    other: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.runs + self.datasets + self.uploads + self.other


@dataclass
class _Looked:
    use: DiskUse
    when: float


_looked: Final[dict[Path, _Looked]] = {}
_guard: Final = threading.Lock()


def disk_use(home: Path, fresh: float = 0.0) -> DiskUse:
    """What a home folder takes; a look that is at most `fresh` seconds old will do."""
    with _guard:
        looked = _looked.get(home)
        if looked is not None and time.monotonic() - looked.when < fresh:
            return looked.use
    sizes = {part: folder_bytes(home / part) for part in PARTS}
    use = DiskUse(**sizes, other=folder_bytes(home, skip=PARTS))
    with _guard:
        _looked[home] = _Looked(use, time.monotonic())
    return use


def folder_bytes(folder: Path, skip: tuple[str, ...] = ()) -> int:
    """Bytes of all files in a folder, links not followed; 0 where there is none.

    skip   names in the folder itself that are left out
    """
    total, waiting = 0, [str(folder)]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name in skip and here == str(folder):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # Deleted while it was looked at.
    return total


def refuse_when_full(home: Path, settings: Settings, more: int = 0) -> None:
    """LimitError where the home has its most bytes, or its disk next to none left.

    more   bytes that are about to come
    """
    limit = settings.max_disk_mb * MEGABYTE
    use = disk_use(home, fresh=FRESH_SECONDS)
    if use.total + more >= limit:
        use = disk_use(home)  # Something may just have been deleted.
    if use.total + more >= limit:
        raise LimitError(
            f"The files of this server take {format_bytes(use.total)} of the "
            f"{format_bytes(limit)} they may take (DEEPFM_MAX_DISK_MB). {_what_to_delete(use)}"
        )
    free = _free(home)
    if free - more < SPARE_BYTES:
        raise LimitError(
            f"The disk of this server has {format_bytes(free)} left, too little to begin "
            f"something new. {_what_to_delete(use)}"
        )


def _what_to_delete(use: DiskUse) -> str:
    return (
        f"Delete runs on the Runs page ({format_bytes(use.runs)}) or datasets on the Data page "
        f"({format_bytes(use.datasets)}); uploaded files take {format_bytes(use.uploads)}."
    )


def _free(home: Path) -> int:
    """Bytes left on the disk that the folder is, or will be, on."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    return shutil.disk_usage(there).free
