"""Uploaded files that nothing uses any more, and their end."""

import shutil
import time
from pathlib import Path
from typing import Final

from deepfm.runs.store.database import Database
from deepfm.runs.store.keeping import ASIDE, DAY_SECONDS
from deepfm.runs.store.rows import new_id

PART_DAYS: Final = 1.0
"""An upload that broke off is nobody's after a day."""


class UploadKeeping:
    """The part of the store that knows which uploads are used; `Store` is what others open."""

    _database: Database
    home: Path

    def prune_uploads(self, days: float) -> list[str]:
        """Delete uploaded files that no job has used for so many days; their names.

        One that a job waits for or works on is never deleted, nor is any with 0 days; what
        broke off on its way here goes after a day.
        """
        folder = self.home / "uploads"
        if not folder.is_dir():
            return []
        now = time.time()
        names = []
        last_used = self._last_used()
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith(ASIDE):
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.is_file():
                if entry.suffix == ".part" and _changed(entry) < now - PART_DAYS * DAY_SECONDS:
                    entry.unlink(missing_ok=True)
            elif days > 0:
                used = [when for payload, when in last_used if entry.name in payload]
                if max(_changed(entry), *used, 0.0) < now - days * DAY_SECONDS:
                    names += [file.name for file in entry.iterdir()]
                    aside = entry.with_name(f"{ASIDE}{new_id()}")
                    entry.rename(aside)
                    shutil.rmtree(aside, ignore_errors=True)
        return names

    def _last_used(self) -> list[tuple[str, float]]:
        """(payload, when) of every job that names an upload; one that goes on is used now."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT payload, CASE WHEN state IN ('queued', 'working') THEN 9e15 "
                "ELSE coalesce(finished, created) END AS used FROM jobs "
                "WHERE instr(payload, 'uploads')"
            ).fetchall()
        return [(row["payload"], row["used"]) for row in rows]


def _changed(path: Path) -> float:
    """When a file or folder was last written to; now for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
