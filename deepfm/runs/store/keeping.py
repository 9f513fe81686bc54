"""Runs that are there: named, noted, tagged, deleted, and forgotten after a while."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from deepfm.errors import StoreError
from deepfm.runs.store.database import Database
from deepfm.runs.store.reading import run_row
from deepfm.runs.store.rows import check_id, new_id

ASIDE: Final = ".deleted-"
"""Begins the name of a run folder whose run is being deleted."""

DAY_SECONDS: Final = 86_400.0

LONGEST_NAME: Final = 200
LONGEST_NOTE: Final = 20_000
LONGEST_TAG: Final = 40
MOST_TAGS: Final = 20

_AT_ONCE: Final = 100
"""Runs pruned in one transaction, so that nobody waits long for it."""


def check_name(name: str) -> None:
    """StoreError for a name of no sign, or of too many."""
    if not name or len(name) > LONGEST_NAME:
        raise StoreError(f"A run's name has 1 to {LONGEST_NAME} signs; this has {len(name)}.")


def check_note(text: str) -> None:
    """StoreError for a note that is too long."""
    if len(text) > LONGEST_NOTE:
        raise StoreError(f"A note has at most {LONGEST_NOTE:,} signs; this has {len(text):,}.")


def check_tags(tags: Sequence[str]) -> None:
    """StoreError for too many tags, or one that is too long."""
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise StoreError(f"A run has at most {MOST_TAGS} tags of at most {LONGEST_TAG} signs each.")


class RunKeeping:
    """The part of the store that keeps runs tidy; `Store` is what others open."""

    _database: Database
    _runs_folder: Path

    def rename_run(self, run_id: str, name: str) -> None:
        """Give a run another name; StoreError for one without a sign or with more than 200."""
        name = " ".join(name.split())
        check_name(name)
        self._set(run_id, "name", name)

    def note_run(self, run_id: str, text: str) -> None:
        """Write what a person wants to remember of a run, in place of what was there."""
        text = text.strip()
        check_note(text)
        self._set(run_id, "notes", text)

    def tag_run(self, run_id: str, tags: Iterable[str]) -> None:
        """Give a run these tags in place of those it had, each once, empty ones left out.

        A comma parts two tags.
        """
        words = [" ".join(word.split()) for tag in tags for word in tag.split(",")]
        kept = list(dict.fromkeys(filter(None, words)))
        check_tags(kept)
        self._set(run_id, "tags", json.dumps(kept, ensure_ascii=False))

    def _set(self, run_id: str, column: str, value: str) -> None:
        with self._database.writing() as connection:
            run_row(connection, run_id)
            connection.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run_id))

    def delete_run(self, run_id: str) -> None:
        """Remove a run with its events and its folder; StoreError while it trains."""
        self.delete_runs([run_id])

    def delete_runs(self, run_ids: Iterable[str]) -> None:
        """Remove several runs, all of them or, where one of them trains, none: StoreError names it.

        The folders are renamed inside the transaction and removed after it. A crash before the
        commit leaves the runs in the list, where they can be deleted again; a crash after it
        leaves folders that the next deletion sweeps away.
        """
        with self._database.writing() as connection:
            rows = [run_row(connection, run_id) for run_id in dict.fromkeys(run_ids)]
            for row in rows:
                if row["state"] == "training":
                    raise StoreError(
                        f"Run {row['name']!r} is training and cannot be deleted. Stop it first."
                    )
            for row in rows:
                self._delete(connection, row)
        self._sweep()

    def prune(self, days: float, *, noted: bool = False) -> list[str]:
        """Delete the runs that ended, or came here, more than so many days ago; their names.

        noted   also those that somebody gave a note or a tag
        One that waits or trains is never deleted, and 0 days delete nothing.
        """
        if days <= 0:
            return []
        names: list[str] = []
        while batch := self._prune_some(time.time() - days * DAY_SECONDS, noted):
            names += batch
        return names

    def _prune_some(self, before: float, noted: bool) -> list[str]:
        kept = "" if noted else " AND notes = '' AND tags = '[]'"
        with self._database.writing() as connection:
            rows = connection.execute(
                "SELECT id, name, group_id FROM runs "
                "WHERE state IN ('finished', 'stopped', 'failed', 'interrupted') "
                f"AND max(finished, created) < ?{kept} ORDER BY number LIMIT ?",
                (before, _AT_ONCE),
            ).fetchall()
            for row in rows:
                self._delete(connection, row)
        self._sweep()
        return [row["name"] for row in rows]

    def _delete(self, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        connection.execute("DELETE FROM events WHERE run_id = ?", (row["id"],))
        connection.execute("DELETE FROM runs WHERE id = ?", (row["id"],))
        connection.execute(
            "DELETE FROM groups WHERE id = ? AND NOT EXISTS "
            "(SELECT 1 FROM runs WHERE group_id = groups.id)",
            (row["group_id"],),
        )
        folder = self._runs_folder / check_id(row["id"])
        try:
            if folder.exists():
                folder.rename(folder.with_name(f"{ASIDE}{new_id()}"))
        except OSError as error:
            raise StoreError(f"The folder {folder} cannot be removed: {error.strerror}.") from error

    def _sweep(self) -> None:
        for folder in self._runs_folder.glob(f"{ASIDE}*"):
            shutil.rmtree(folder, ignore_errors=True)
