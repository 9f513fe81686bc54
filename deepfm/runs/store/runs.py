"""Runs, their groups and their events: rows in, rows out."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepfm.errors import DataError, LimitError, StoreError
from deepfm.events import Epoch, Event, Notice, Point, from_json, to_json
from deepfm.runs.store.database import Database
from deepfm.runs.store.rows import RUN_ENDS, GroupRow, NewRun, RunRow, RunState, check_id, new_id

_SELECT: Final = (
    "SELECT runs.*, groups.name AS group_name FROM runs LEFT JOIN groups ON groups.id = group_id"
)
RESUMABLE: Final[tuple[RunState, ...]] = ("interrupted", "stopped")
CHECKPOINT: Final = "checkpoint.json"
"""Stands in the folder of a run that can go on from where it was."""
_DELETED: Final = ".deleted-"
"""Begins the name of a run folder whose run is being deleted."""


class RunTable:
    """The part of the store that holds runs; `Store` is what others open."""

    def __init__(self, database: Database, home: Path, max_queued: int) -> None:
        self._database = database
        self._runs_folder = home / "runs"
        self._max_queued = max_queued

    def queue_run(
        self,
        name: str,
        dataset_folder: Path | str,
        dataset_name: str,
        model: Mapping[str, Any],
        train: Mapping[str, Any],
        *,
        pinned: Sequence[Mapping[str, str | None]] = (),
        group: str | None = None,
        group_name: str = "",
        owner: str = "",
        fingerprint: str = "",
    ) -> str:
        """Queue one run and return its id; LimitError where too many wait already.

        group        the id of a group that is there, which the run joins
        group_name   without `group`: the name of a new group for this run and later ones
        """
        run = NewRun(
            name, Path(dataset_folder), dataset_name, model, train, pinned, owner, fingerprint
        )
        with self._database.writing() as connection:
            self._refuse_beyond_limit(connection, 1)
            if group is not None:
                _group_row(connection, group)
            elif group_name:
                group = _insert_group(connection, group_name, owner)
            return _insert_run(connection, run, group)

    def queue_group(
        self,
        name: str,
        runs: Sequence[NewRun],
        *,
        kind: str = "compare",
        spec: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Queue several runs as one group, all of them or none; their ids in the same order.

        kind, spec   what sort of group this is, and a sweep's description as JSON
        """
        if not runs:
            raise StoreError("A group needs at least one run.")
        with self._database.writing() as connection:
            self._refuse_beyond_limit(connection, len(runs))
            group = _insert_group(connection, name, runs[0].owner, kind, spec or {})
            return [_insert_run(connection, run, group) for run in runs]

    def run(self, run_id: str) -> RunRow:
        """One run; StoreError where there is none of that id."""
        with self._database.reading() as connection:
            return self._row(_run_row(connection, run_id))

    def runs(
        self,
        *,
        states: Iterable[RunState] | None = None,
        group: str | None = None,
        fingerprint: str | None = None,
        config_key: str | None = None,
        limit: int | None = None,
    ) -> list[RunRow]:
        """Runs, the newest first; only those of some states, group, dataset or configuration."""
        tests: list[str] = []
        values: list[str | int] = []
        if states is not None:
            states = tuple(states)
            tests.append(f"state IN ({','.join('?' * len(states))})")
            values.extend(states)
        for column, value in (
            ("group_id", group),
            ("fingerprint", fingerprint),
            ("config_key", config_key),
        ):
            if value is not None:
                tests.append(f"{column} = ?")
                values.append(value)
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        values.append(-1 if limit is None else limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_SELECT}{where} ORDER BY number DESC LIMIT ?", values
            ).fetchall()
        return [self._row(row) for row in rows]

    def group(self, group_id: str) -> GroupRow:
        """One group; StoreError where there is none of that id."""
        with self._database.reading() as connection:
            row = _group_row(connection, group_id)
            members = connection.execute(
                "SELECT id FROM runs WHERE group_id = ? ORDER BY number", (group_id,)
            ).fetchall()
        return GroupRow(
            row["id"],
            row["name"],
            row["owner"],
            row["created"],
            tuple(member["id"] for member in members),
            row["kind"],
            json.loads(row["spec"]),
        )

    def queue_position(self, run_id: str) -> int:
        """1 for the run that trains next, 2 for the one after; 0 once it no longer waits."""
        with self._database.reading() as connection:
            row = _run_row(connection, run_id)
            if row["state"] != "queued":
                return 0
            (position,) = connection.execute(
                "SELECT count(*) FROM runs WHERE state = 'queued' AND number <= ?",
                (row["number"],),
            ).fetchone()
            return int(position)

    def rename_run(self, run_id: str, name: str) -> None:
        """Give a run another name."""
        with self._database.writing() as connection:
            _run_row(connection, run_id)
            connection.execute("UPDATE runs SET name = ? WHERE id = ?", (name, run_id))

    def note_run(self, run_id: str, text: str) -> None:
        """Write what a person wants to remember of a run, in place of what was there."""
        with self._database.writing() as connection:
            _run_row(connection, run_id)
            connection.execute("UPDATE runs SET notes = ? WHERE id = ?", (text, run_id))

    def tag_run(self, run_id: str, tags: Iterable[str]) -> None:
        """Give a run these tags in place of those it had, each once, without empty ones."""
        kept = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
        with self._database.writing() as connection:
            _run_row(connection, run_id)
            connection.execute(
                "UPDATE runs SET tags = ? WHERE id = ?",
                (json.dumps(kept, ensure_ascii=False), run_id),
            )

    def resume_run(self, run_id: str) -> None:
        """interrupted or stopped → queued, to go on from its checkpoint as its next attempt.

        StoreError in any other state, and where its folder holds no checkpoint.
        """
        with self._database.writing() as connection:
            row = _run_row(connection, run_id)
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
                "message = '', finished = NULL WHERE id = ?",
                (run_id,),
            )

    def request_stop(self, run_id: str) -> None:
        """Ask that a run stops.

        One that waits is stopped here, since no worker has it yet; one that trains is stopped
        by its worker; one that has ended stays as it is.
        """
        with self._database.writing() as connection:
            _run_row(connection, run_id)
            connection.execute(
                "UPDATE runs SET wanted = 'stop', state = 'stopped', finished = ?, "
                "message = CASE attempt WHEN 1 THEN 'Stopped before it began.' ELSE "
                "'Stopped before it went on.' END WHERE id = ? AND state = 'queued'",
                (time.time(), run_id),
            )
            connection.execute(
                "UPDATE runs SET wanted = 'stop' WHERE id = ? AND state = 'training'", (run_id,)
            )

    def stop_requested(self, run_id: str) -> bool:
        """Whether somebody asked that the run stops, or it is gone: cheap, for polling."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT wanted FROM runs WHERE id = ?", (run_id,)).fetchone()
        return row is None or row["wanted"] == "stop"

    def claim_run(self, worker: str) -> RunRow | None:
        """Take the run that waits longest, queued → training; None if none waits."""
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT id FROM runs WHERE state = 'queued' ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE runs SET state = 'training', started = ?, worker = ? WHERE id = ?",
                (time.time(), worker, row["id"]),
            )
            return self._row(_run_row(connection, row["id"]))

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
                "SELECT seq, body FROM events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?",
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
        with self._database.writing() as connection:
            _append(connection, _expect_training(connection, run_id), events)
            connection.execute(
                "UPDATE runs SET state = ?, finished = ?, message = ?, result = ?, "
                "auc = coalesce(?, auc) WHERE id = ?",
                (
                    state,
                    time.time(),
                    message,
                    None if result is None else json.dumps(dict(result)),
                    None if result is None else result.get("auc"),
                    run_id,
                ),
            )

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
            rows = [_run_row(connection, run_id) for run_id in dict.fromkeys(run_ids)]
            for row in rows:
                if row["state"] == "training":
                    raise StoreError(
                        f"Run {row['name']!r} is training and cannot be deleted. Stop it first."
                    )
            for row in rows:
                connection.execute("DELETE FROM events WHERE run_id = ?", (row["id"],))
                connection.execute("DELETE FROM runs WHERE id = ?", (row["id"],))
                connection.execute(
                    "DELETE FROM groups WHERE id = ? AND NOT EXISTS "
                    "(SELECT 1 FROM runs WHERE group_id = groups.id)",
                    (row["group_id"],),
                )
            for row in rows:
                self._set_aside(row["id"])
        self._sweep()

    def run_folder(self, run_id: str) -> Path:
        """home/runs/id, for something that has the form of an id; StoreError otherwise."""
        return self._runs_folder / check_id(run_id)

    def _set_aside(self, run_id: str) -> None:
        folder = self.run_folder(run_id)
        try:
            if folder.exists():
                folder.rename(folder.with_name(f"{_DELETED}{new_id()}"))
        except OSError as error:
            raise StoreError(f"The folder {folder} cannot be removed: {error.strerror}.") from error

    def _sweep(self) -> None:
        for folder in self._runs_folder.glob(f"{_DELETED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _refuse_beyond_limit(self, connection: sqlite3.Connection, more: int) -> None:
        (queued,) = connection.execute(
            "SELECT count(*) FROM runs WHERE state = 'queued'"
        ).fetchone()
        if queued + more > self._max_queued:
            raise LimitError(
                f"{queued} runs wait already, and this server lets {self._max_queued} wait "
                "(DEEPFM_MAX_QUEUED). Wait until some are trained, or stop one of them."
            )

    def _row(self, row: sqlite3.Row) -> RunRow:
        return RunRow(
            id=row["id"],
            name=row["name"],
            state=row["state"],
            wanted=row["wanted"],
            group=row["group_id"],
            group_name=row["group_name"] or "",
            dataset_name=row["dataset_name"],
            dataset_folder=Path(row["dataset_folder"]),
            fingerprint=row["fingerprint"],
            config_key=row["config_key"],
            model=json.loads(row["model"]),
            train=json.loads(row["train"]),
            pinned=tuple(json.loads(row["pinned"])),
            owner=row["owner"],
            created=row["created"],
            started=row["started"],
            finished=row["finished"],
            folder=self._runs_folder / row["id"],
            message=row["message"],
            result=json.loads(row["result"]) if row["result"] else None,
            epoch=row["epoch"],
            auc=row["auc"],
            last_event=row["last_event"],
            worker=row["worker"],
            notes=row["notes"],
            tags=tuple(json.loads(row["tags"])),
            attempt=row["attempt"],
            versions=json.loads(row["versions"]) if row["versions"] else None,
            seconds=row["seconds"],
            examples_per_second=row["examples_per_second"],
            curve=tuple(auc for _, auc in json.loads(row["curve"])),
            imported=row["imported"],
        )


def _run_row(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        f"{_SELECT} WHERE runs.id = ?", (check_id(run_id),)
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no run {run_id}; it may have been deleted.")
    return row


def _expect_training(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    row = _run_row(connection, run_id)
    if row["state"] != "training":
        raise StoreError(f"Run {run_id} is {row['state']}, not training.")
    return row


def _group_row(connection: sqlite3.Connection, group_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM groups WHERE id = ?", (check_id(group_id),)
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no group {group_id}; its runs may have been deleted.")
    return row


def _insert_group(
    connection: sqlite3.Connection,
    name: str,
    owner: str,
    kind: str = "compare",
    spec: Mapping[str, Any] | None = None,
) -> str:
    group_id = new_id()
    connection.execute(
        "INSERT INTO groups (id, name, owner, created, kind, spec) VALUES (?, ?, ?, ?, ?, ?)",
        (group_id, name, owner, time.time(), kind, json.dumps(dict(spec or {}))),
    )
    return group_id


def _insert_run(connection: sqlite3.Connection, run: NewRun, group: str | None) -> str:
    values = {
        "id": new_id(),
        "name": run.name,
        "group_id": group,
        "dataset_name": run.dataset_name,
        "dataset_folder": str(run.dataset_folder),
        "fingerprint": run.fingerprint,
        "config_key": run.config_key,
        "model": json.dumps(dict(run.model)),
        "train": json.dumps(dict(run.train)),
        "pinned": json.dumps([dict(impression) for impression in run.pinned]),
        "owner": run.owner,
        "created": time.time(),
    }
    connection.execute(
        f"INSERT INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        tuple(values.values()),
    )
    return str(values["id"])


@dataclass(frozen=True)
class _Standing:
    """Where a run stands after some events: what the list of runs shows."""

    epoch: float
    auc: float | None

    def after(self, event: Event) -> "_Standing":
        if isinstance(event, Point):
            return _Standing(event.epoch, self.auc)
        if isinstance(event, Epoch):
            shown = event.validation or event.test
            return _Standing(float(event.epoch), shown.auc if shown else self.auc)
        return self


def _append(connection: sqlite3.Connection, row: sqlite3.Row, events: Sequence[Event]) -> int:
    cursor: int = row["last_event"]
    if not events:
        return cursor
    standing = _Standing(row["epoch"], row["auc"])
    for event in events:
        cursor += 1
        standing = standing.after(event)
        connection.execute(
            "INSERT INTO events (run_id, seq, body) VALUES (?, ?, ?)",
            (row["id"], cursor, to_json(event)),
        )
    connection.execute(
        "UPDATE runs SET last_event = ?, epoch = ?, auc = ? WHERE id = ?",
        (cursor, standing.epoch, standing.auc, row["id"]),
    )
    return cursor


def _event(cursor: int, body: str) -> Event:
    try:
        return from_json(body)
    except DataError:
        return Notice("damaged", f"Event {cursor} of this run is damaged in the store.")
