"""Uploaded files that nothing uses any more, and their end."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfm.errors import LimitError
from deepfm.runs.store.database import Database
from deepfm.runs.store.keeping import ASIDE, DAY_SECONDS
from deepfm.runs.store.rows import new_id

PART_DAYS: Final = 1.0
"""An upload that broke off is nobody's after a day."""


_OPEN_SWEEPS: Final = (
    "SELECT spec FROM groups WHERE kind = 'sweep' AND json_valid(spec) "
    "AND json_extract(spec, '$.open')"
)
"""Sweeps that more runs are to follow in, for which their files may be prepared anew."""


@dataclass(frozen=True)
class KeptUpload:
    """One uploaded file that a dataset was made of.

    id        of its content, the name of its folder under home/uploads
    bytes     of its files on disk
    datasets  fingerprints of all datasets that were made of it, whether they are there or not
    busy      whether a job or a sweep that goes on needs it
    """

    id: str
    names: tuple[str, ...]
    bytes: int
    datasets: frozenset[str]
    busy: bool


class UploadKeeping:
    """The part of the store that knows which uploads are used; `Store` is what others open."""

    _database: Database
    home: Path

    def uploads_of(self, fingerprint: str) -> list[KeptUpload]:
        """The uploaded files that a dataset was made of, as far as they are still here."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT payload, state, iif(json_valid(result), json_extract(result, "
                "'$.fingerprint'), NULL) AS made FROM jobs WHERE instr(payload, 'uploads') "
                "AND json_valid(payload)"
            ).fetchall()
            sweeps = connection.execute(_OPEN_SWEEPS).fetchall()
        jobs = [
            (_ids(row["payload"]), row["made"], row["state"] in ("queued", "working"))
            for row in rows
        ]
        own = sorted({id_ for ids, made, _ in jobs if made == fingerprint for id_ in ids})
        found = []
        for id_ in own:
            folder = self.home / "uploads" / id_
            if not folder.is_dir():
                continue
            files = [file for file in sorted(folder.iterdir()) if file.is_file()]
            found.append(
                KeptUpload(
                    id_,
                    tuple(file.name for file in files),
                    sum(file.stat().st_size for file in files),
                    frozenset(made for ids, made, _ in jobs if made and id_ in ids),
                    any(busy for ids, _, busy in jobs if id_ in ids)
                    or any(id_ in spec for (spec,) in sweeps),
                )
            )
        return found

    def delete_upload(self, upload: KeptUpload) -> None:
        """Remove an uploaded file; LimitError while a job or a sweep needs it.

        Nothing happens where it is gone already.
        """
        with self._database.reading() as connection:
            sweeps = [spec for (spec,) in connection.execute(_OPEN_SWEEPS)]
        now = time.time()
        working = [payload for payload, used in self._last_used() if used > now]
        if any(upload.id in text for text in (*working, *sweeps)):
            raise LimitError(
                f"The file {', '.join(upload.names)} is still needed. Wait until what reads it "
                "is done, then delete it."
            )
        self._remove(self.home / "uploads" / upload.id)

    @staticmethod
    def _remove(folder: Path) -> None:
        if folder.is_dir():
            aside = folder.with_name(f"{ASIDE}{new_id()}")
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

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
                    self._remove(entry)
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


def _ids(payload: str) -> set[str]:
    """The ids of the uploads whose files a job reads."""
    values = json.loads(payload)
    paths = [Path(each) for each in values.values() if isinstance(each, str)]
    return {path.parent.name for path in paths if path.parent.parent.name == "uploads"}


def _changed(path: Path) -> float:
    """When a file or folder was last written to; now for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
