"""Runs and their events, from training to their end: rows in, rows out."""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepfm.errors import DataError, StoreError
from deepfm.events import Event, Notice, from_json, to_json
from deepfm.runs.store.database import Database
from deepfm.runs.store.reading import group_row, json_of, run_row, to_run
from deepfm.runs.store.rows import RUN_ENDS, GroupRow, RunRow, RunState, check_id
from deepfm.runs.store.standing import Standing

RESUMABLE: Final[tuple[RunState, ...]] = ("interrupted", "stopped")
CHECKPOINT: Final = "checkpoint.json"
"""Stands in the folder of a run that can go on from where it was."""


class RunTable:
    """The part of the store that holds runs; `Store` is what others open."""

    _database: Database
    _runs_folder: Path

    def run(self, run_id: str) -> RunRow:
        """One run; StoreError where there is none of that id."""
        with self._database.reading() as connection:
            return to_run(run_row(connection, run_id), self._runs_folder)

    def group(self, group_id: str) -> GroupRow:
        """One group; StoreError where there is none of that id."""
        with self._database.reading() as connection:
            row = group_row(connection, group_id)
            members = connection.execute(
                "SELECT id FROM runs WHERE group_id = ? ORDER BY number", (group_id,)
            ).fetchall()
        return to_group(row, [member["id"] for member in members])

    def resume_run(self, run_id: str) -> None:
        """interrupted or stopped → queued, to go on from its checkpoint as its next attempt.

        StoreError in any other state, and where its folder holds no checkpoint.
        """
        with self._database.writing() as connection:
            row = run_row(connection, run_id)
            if row["state"] not in RESUMABLE:
                raise StoreError(
                    f"Run {row['name']!r} is {row['state']}; only one that was interrupted or "
                    "stopped can be resumed."
                )
            if not (self.run_folder(run_id) / CHECKPOINT).is_file():
                raise StoreError(
                    f"Run {row['name']!r} left no checkpoint to go on from. Train it again."
                )
            connection.execute(
                "UPDATE runs SET state = 'queued', wanted = 'train', attempt = attempt + 1, "
                "message = '', stopped_by = '', finished = NULL WHERE id = ?",
                (run_id,),
            )

    def request_stop(self, run_id: str, by: str = "") -> None:
        """Ask that a run stops; the store keeps who was the first to ask, where that is known.

        One that waits is stopped here, since no worker has it yet; one that trains is stopped
        by its worker; one that has ended stays as it is.
        """
        with self._database.writing() as connection:
            run_row(connection, run_id)
            connection.execute(
                "UPDATE runs SET wanted = 'stop', state = 'stopped', finished = ?, stopped_by = ?, "
                "message = CASE attempt WHEN 1 THEN 'Stopped before it began.' ELSE "
                "'Stopped before it went on.' END WHERE id = ? AND state = 'queued'",
                (time.time(), by, run_id),
            )
            connection.execute(
                "UPDATE runs SET wanted = 'stop', stopped_by = ? "
                "WHERE id = ? AND state = 'training' AND wanted = 'train'",
                (by, run_id),
            )

    def stop_requested(self, run_id: str) -> bool:
        """Whether somebody asked that the run stops, or it is gone: cheap, for polling."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT wanted FROM runs WHERE id = ?", (run_id,)).fetchone()
        return row is None or row["wanted"] == "stop"

    def append(self, run_id: str, events: Sequence[Event]) -> int:
        """Append events to a run that trains, in one transaction; the newest one's cursor.

        StoreError where the run does not train (it was interrupted or deleted meanwhile).
        """
        with self._database.writing() as connection:
            return _append(connection, _expect_training(connection, run_id), events)

    def events(
        self, run_id: str, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, Event]]:
        """(cursor, event) for the events after a cursor, oldest first, at most `limit`.

        A row that cannot be read comes as a Notice that says so, in its place.
        """
        check_id(run_id)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, CAST(body AS BLOB) AS body FROM events "
                "WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (run_id, after, -1 if limit is None else limit),
            ).fetchall()
        return [(row["seq"], _event(row["seq"], row["body"])) for row in rows]

    def finish_run(
        self,
        run_id: str,
        state: RunState,
        message: str = "",
        result: Mapping[str, Any] | None = None,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        """training → finished, stopped, failed or interrupted, with the last events, at once.

        StoreError where the run does not train.
        """
        if state not in RUN_ENDS:
            raise StoreError(f"A run cannot end as {state!r}; it ends as {', '.join(RUN_ENDS)}.")
        known = {} if result is None else dict(result)
        with self._database.writing() as connection:
            _append(connection, _expect_training(connection, run_id), events)
            connection.execute(
                "UPDATE runs SET state = ?, finished = ?, message = ?, result = ?, "
                "auc = coalesce(?, auc), seconds = coalesce(?, seconds), "
                "examples_per_second = coalesce(?, examples_per_second) WHERE id = ?",
                (
                    state,
                    time.time(),
                    message,
                    None if result is None else json.dumps(known),
                    known.get("auc"),
                    known.get("seconds"),
                    known.get("examples_per_second"),
                    run_id,
                ),
            )

    def run_folder(self, run_id: str) -> Path:
        """home/runs/id, for something that has the form of an id; StoreError otherwise."""
        return self._runs_folder / check_id(run_id)


def to_group(row: sqlite3.Row, runs: Sequence[str]) -> GroupRow:
    """A group and its runs' ids as they are given to others."""
    return GroupRow(
        row["id"],
        row["name"],
        row["owner"],
        row["created"],
        tuple(runs),
        row["kind"],
        json_of(row["spec"], dict) or {},
    )


def _expect_training(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    row = run_row(connection, run_id)
    if row["state"] != "training":
        raise StoreError(f"Run {run_id} is {row['state']}, not training.")
    return row


def _append(connection: sqlite3.Connection, row: sqlite3.Row, events: Sequence[Event]) -> int:
    cursor: int = row["last_event"]
    if not events:
        return cursor
    standing = Standing.of(row)
    for event in events:
        cursor += 1
        standing = standing.after(event)
        connection.execute(
            "INSERT INTO events (run_id, seq, body) VALUES (?, ?, ?)",
            (row["id"], cursor, to_json(event)),
        )
    values = {"last_event": cursor, **standing.columns()}
    connection.execute(
        f"UPDATE runs SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?",
        (*values.values(), row["id"]),
    )
    return cursor


def _event(cursor: int, body: bytes) -> Event:
    try:
        return from_json(body.decode("utf-8", "replace"))
    except DataError:
        return Notice("damaged", f"Event {cursor} of this run is damaged in the store.")
