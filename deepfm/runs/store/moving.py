"""Runs that leave this store as a file, and runs that come to it as one."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepfm.config import Settings
from deepfm.errors import RunError
from deepfm.events import to_json
from deepfm.runs.store.archive import ImportedRun, read_run, unpack_folder, write_run
from deepfm.runs.store.database import Database
from deepfm.runs.store.disk import MEGABYTE, refuse_when_full
from deepfm.runs.store.keeping import ASIDE
from deepfm.runs.store.rows import NewRun, new_id
from deepfm.runs.store.runs import RunTable
from deepfm.runs.store.standing import curve_of


class RunMoving(RunTable):
    """The part of the store that exports and imports runs; `Store` is what others open."""

    _database: Database
    _runs_folder: Path
    _settings: Settings
    home: Path

    def export_run(self, run_id: str, file: Path | str) -> Path:
        """Write an ended run with its events and its folder into one .zip; the file.

        RunError where the run goes on, or the file cannot be written.
        """
        file = Path(file).expanduser().resolve()
        run = self.run(run_id)
        write_run(file, run, self.events(run_id))
        return file

    def here_already(self, file: Path | str) -> str | None:
        """The id of the run here that a file holds, unchanged but for its name, note and tags.

        None where there is none; else the oldest. The same errors as `import_run`.
        """
        file = Path(file).expanduser().resolve()
        found = read_run(file, self._settings.max_unpacked_mb * MEGABYTE)
        # A run that was begun is known by the moment, wherever it went meanwhile.
        same = ("state", "started", "finished", "attempt", "epoch", "auc", "fingerprint")
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT id FROM runs WHERE {' AND '.join(f'{name} IS ?' for name in same)} "
                "AND last_event = ? AND (started IS NOT NULL OR ? IN (id, imported)) "
                "ORDER BY number LIMIT 1",
                (*(found.values[name] for name in same), len(found.events), found.id),
            ).fetchone()
        return None if row is None else str(row["id"])

    def import_run(self, file: Path | str, *, owner: str = "") -> str:
        """Take in a run that `export_run` wrote, anywhere; its new id.

        Its state, notes, tags, events and times are kept, and `imported` says which id it had.
        The folder is unpacked aside and renamed inside the transaction, so a crash leaves
        nothing but a folder that the next deletion sweeps away. RunError where the file is not
        just what an export writes, LimitError where it is too large.
        """
        file = Path(file).expanduser().resolve()
        most = self._settings.max_unpacked_mb * MEGABYTE
        found = read_run(file, most)
        refuse_when_full(self.home, self._settings, found.bytes)
        run_id = new_id()
        aside = self._runs_folder / f"{ASIDE}{run_id}"
        try:
            aside.mkdir(parents=True)
            unpack_folder(file, aside, most)
            self._insert_imported(run_id, found, owner, aside)
        except OSError as error:
            raise RunError(f"{file.name} cannot be unpacked: {error.strerror}.") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return run_id

    def _insert_imported(self, run_id: str, found: ImportedRun, owner: str, aside: Path) -> None:
        columns = self._columns(run_id, found, owner)
        with self._database.writing() as connection:
            connection.execute(
                f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                tuple(columns.values()),
            )
            connection.executemany(
                "INSERT INTO events (run_id, seq, body) VALUES (?, ?, ?)",
                [(run_id, seq, to_json(event)) for seq, event in enumerate(found.events, 1)],
            )
            if any(aside.iterdir()):
                aside.rename(self.run_folder(run_id))

    def _columns(self, run_id: str, found: ImportedRun, owner: str) -> Mapping[str, Any]:
        kept = (
            "name", "state", "dataset_name", "fingerprint", "started", "finished", "message",
            "epoch", "auc", "notes", "attempt", "seconds", "examples_per_second",
        )  # fmt: skip
        values = found.values
        # Where its dataset is here, if it is here at all, is where this home would keep it.
        dataset = self.home / "datasets" / Path(values["fingerprint"]).name
        key = NewRun(
            values["name"],
            dataset,
            values["dataset_name"],
            values["model"],
            values["train"],
            fingerprint=values["fingerprint"],
        ).config_key
        texts = ("model", "train", "pinned", "tags")
        return {
            "id": run_id,
            "imported": found.id,
            "owner": owner,
            "created": time.time(),
            "dataset_folder": str(dataset),
            "config_key": key,
            "last_event": len(found.events),
            "curve": json.dumps(curve_of(found.events)),
            **{name: values[name] for name in kept},
            **{name: json.dumps(values[name], ensure_ascii=False) for name in texts},
            "result": None if values["result"] is None else json.dumps(values["result"]),
            "versions": json.dumps(
                {**(values["versions"] or {}), "started_by": values["owner_name"]}
            ),
        }
