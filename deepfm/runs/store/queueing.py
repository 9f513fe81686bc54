"""Runs that are asked for to runs that wait, and the one whose turn it is.

Same again is the same run: what is asked for is looked up and queued in one transaction, so of
thirty who ask at once one queues it and the others join.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepfm.config import Settings
from deepfm.errors import LimitError, StoreError
from deepfm.runs.store import people, turns
from deepfm.runs.store.database import Database
from deepfm.runs.store.disk import refuse_when_full
from deepfm.runs.store.reading import SELECT, group_row, run_row, to_run
from deepfm.runs.store.rows import (
    NewRun,
    RunRow,
    Submitted,
    SubmittedGroup,
    new_id,
    trains_alone,
)

_JOINED: Final = (
    "state IN ('queued', 'training', 'finished') AND wanted = 'train' AND imported = ''"
)
"""Runs that another one joins: not one that ended otherwise, is being stopped or came from
elsewhere, where the device was another."""


class RunQueue:
    """The part of the store that queues runs; `Store` is what others open."""

    _database: Database
    _runs_folder: Path
    _settings: Settings
    home: Path

    def submit_run(self, run: NewRun, *, anew: bool = False) -> Submitted:
        """Queue a run, or join the one that is there with the same dataset, settings and seed.

        anew   queue it in any case
        A name that another run has is numbered: "DeepFM, quick 2". LimitError where too many
        wait already, or no room is left.
        """
        with self._database.reading() as connection:
            if not anew and (found := self._same_run(connection, run)):
                return Submitted(found, joined=True)
        # A look at the disk takes time, so nobody is made to wait for it in a transaction.
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            if not anew and (found := self._same_run(connection, run)):
                return Submitted(found, joined=True)
            self._refuse_beyond_limit(connection, run.owner, 1)
            name = free_name(connection, "runs", run.name)
            return Submitted(insert_run(connection, run, None, name), joined=False)

    def submit_group(
        self,
        name: str,
        runs: Sequence[NewRun],
        *,
        kind: str = "compare",
        spec: Mapping[str, Any] | None = None,
        anew: bool = False,
    ) -> SubmittedGroup:
        """Queue several runs as one group, or join a group of the very same runs.

        kind, spec   what sort of group this is, and a sweep's description as JSON
        anew         queue them in any case
        A name that another group has is numbered. LimitError as for one run: all or none.
        """
        if not runs:
            raise StoreError("A group needs at least one run.")
        with self._database.reading() as connection:
            if not anew and (found := self._same_group(connection, kind, runs)):
                return found
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            if not anew and (found := self._same_group(connection, kind, runs)):
                return found
            self._refuse_beyond_limit(connection, runs[0].owner, len(runs))
            free = free_name(connection, "groups", name)
            group = insert_group(connection, free, runs[0].owner, kind, spec)
            ids = tuple(insert_run(connection, run, group, run.name) for run in runs)
            return SubmittedGroup(group, ids, joined=False)

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
        """Queue one run, whatever else there is, and return its id; LimitError as `submit_run`.

        group        the id of a group that is there, which the run joins
        group_name   without `group`: the name of a new group for this run and later ones
        """
        run = NewRun(
            name, Path(dataset_folder), dataset_name, model, train, pinned, owner, fingerprint
        )
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            self._refuse_beyond_limit(connection, owner, 1)
            if group is not None:
                group_row(connection, group)
            elif group_name:
                group = insert_group(connection, group_name, owner)
            return insert_run(connection, run, group, name)

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
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            self._refuse_beyond_limit(connection, runs[0].owner, len(runs))
            group = insert_group(connection, name, runs[0].owner, kind, spec)
            return [insert_run(connection, run, group, run.name) for run in runs]

    def queue_position(self, run_id: str) -> int:
        """1 for the run that trains next, 2 for the one after; 0 once it no longer waits.

        In the order of `turns`: it may grow when somebody comes who has waited for a turn longer.
        """
        with self._database.reading() as connection:
            connection.execute("BEGIN")
            try:
                row = run_row(connection, run_id)
                if row["state"] != "queued":
                    return 0
                return turns.order(turns.waiting(connection)).index(row["number"]) + 1
            finally:
                connection.execute("ROLLBACK")

    def waiting_people(self) -> int:
        """How many people have runs that wait."""
        with self._database.reading() as connection:
            (count,) = connection.execute(
                "SELECT count(DISTINCT owner) FROM runs WHERE state = 'queued'"
            ).fetchone()
        return int(count)

    def claim_run(
        self, worker: str, versions: Mapping[str, Any] | None = None, *, all_free: bool = True
    ) -> RunRow | None:
        """Take the run whose turn it is, queued → training; None if none waits or it cannot begin.

        versions   of what trains it; its device is added as soon as the run reports it
        all_free   whether nothing trains. A run on all GPUs begins only then, and while it is the
                   next one no other goes before it: so it waits for the trainings in progress,
                   and nobody waits for more than its turn.
        """
        with self._database.writing() as connection:
            while (number := turns.next_number(turns.waiting(connection))) is not None:
                row = connection.execute(f"{SELECT} WHERE number = ?", (number,)).fetchone()
                run = to_run(row, self._runs_folder)
                if run.trainable:
                    break
                _fail_damaged(connection, run)
            else:
                return None
            if trains_alone(run.train) and not all_free:
                return None
            now = time.time()
            connection.execute(
                "UPDATE runs SET state = 'training', started = ?, worker = ?, versions = ? "
                "WHERE number = ?",
                (now, worker, None if versions is None else json.dumps(dict(versions)), number),
            )
            people.mark_served(connection, row["owner"], now)
            return to_run(run_row(connection, run.id), self._runs_folder)

    def _same_run(self, connection: sqlite3.Connection, run: NewRun) -> str | None:
        """The newest run that this one may join; None if there is none."""
        rows = connection.execute(
            f"SELECT id, state FROM runs WHERE config_key = ? AND {_JOINED} ORDER BY number DESC",
            (run.config_key,),
        ).fetchall()
        return next((row["id"] for row in rows if self._still_there(row)), None)

    def _same_group(
        self, connection: sqlite3.Connection, kind: str, runs: Sequence[NewRun]
    ) -> SubmittedGroup | None:
        """The newest group of just these runs, none of which ended otherwise."""
        wanted = [run.config_key for run in runs]
        groups = connection.execute(
            "SELECT DISTINCT group_id FROM runs JOIN groups ON groups.id = group_id "
            "WHERE config_key = ? AND kind = ? ORDER BY group_id DESC",
            (wanted[0], kind),
        ).fetchall()
        for (group,) in groups:
            rows = connection.execute(
                f"SELECT id, state, config_key, {_JOINED} AS joined FROM runs "
                "WHERE group_id = ? ORDER BY number",
                (group,),
            ).fetchall()
            if [row["config_key"] for row in rows] == wanted and all(
                row["joined"] and self._still_there(row) for row in rows
            ):
                return SubmittedGroup(group, tuple(row["id"] for row in rows), joined=True)
        return None

    def _still_there(self, row: sqlite3.Row) -> bool:
        """Whether a finished run has its folder; somebody may have deleted that by hand."""
        return row["state"] != "finished" or (self._runs_folder / row["id"]).is_dir()

    def _refuse_beyond_limit(self, connection: sqlite3.Connection, owner: str, more: int) -> None:
        queued, own = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE owner = ?) FROM runs WHERE state = 'queued'",
            (owner,),
        ).fetchone()
        most = self._settings.max_queued
        if queued + more > most:
            raise LimitError(
                f"{queued} runs wait already, and this server lets {most} wait "
                "(DEEPFM_MAX_QUEUED). Wait until some are trained, or stop one of them."
            )
        most = self._settings.max_queued_per_person
        if own + more > most:
            raise LimitError(
                f"{own} of your runs wait already, and this server lets {most} of one person wait "
                "(DEEPFM_MAX_QUEUED_PER_PERSON). Wait until some are trained, or stop one of them."
            )


def _fail_damaged(connection: sqlite3.Connection, run: RunRow) -> None:
    connection.execute(
        "UPDATE runs SET state = 'failed', finished = ?, message = ? WHERE id = ?",
        (
            time.time(),
            "Its settings are damaged in the run store, so it cannot be trained. Queue it anew.",
            run.id,
        ),
    )


def free_name(connection: sqlite3.Connection, table: str, name: str) -> str:
    """The name, or the first of "name 2", "name 3" … that no other run or group has."""
    taken = connection.execute(f"SELECT 1 FROM {table} WHERE name = ?", (name,)).fetchone()
    if not taken:
        return name
    # "!" is the sign after the space: all names that go on with a space stand between.
    rows = connection.execute(
        f"SELECT name FROM {table} WHERE name >= ? AND name < ?", (f"{name} ", f"{name}!")
    ).fetchall()
    names = {row["name"] for row in rows}
    return next(
        numbered
        for number in range(2, len(names) + 3)
        if (numbered := f"{name} {number}") not in names
    )


def insert_group(
    connection: sqlite3.Connection,
    name: str,
    owner: str,
    kind: str = "compare",
    spec: Mapping[str, Any] | None = None,
) -> str:
    """Add a group; its id."""
    group_id = new_id()
    connection.execute(
        "INSERT INTO groups (id, name, owner, created, kind, spec) VALUES (?, ?, ?, ?, ?, ?)",
        (group_id, name, owner, time.time(), kind, json.dumps(dict(spec or {}))),
    )
    return group_id


def insert_run(connection: sqlite3.Connection, run: NewRun, group: str | None, name: str) -> str:
    """Add a run that waits, in a group or alone, under this name; its id."""
    values = {
        "id": new_id(),
        "name": name,
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
