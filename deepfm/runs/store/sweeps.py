"""Sweeps: groups whose runs may follow one another, and which may count others' runs as theirs.

A sweep's `spec` is its description. Three of its entries are kept here: `joined`, the ids of runs
that were there already and count as its own; `open`, whether more runs are to follow; and
`message`, why it ended early. Of the description itself only `sweep.seeds` is read here.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deepfm.errors import DataError
from deepfm.events import Epoch, from_json
from deepfm.runs.store.disk import refuse_when_full
from deepfm.runs.store.queueing import RunQueue, free_name, insert_group, insert_run
from deepfm.runs.store.reading import SELECT, group_row, to_run
from deepfm.runs.store.rows import NewRun, RunRow

KIND: Final = "sweep"
_EPOCHS: Final = '{"event": "Epoch"%'
"""How the body of an event that ends an epoch begins, as events.to_json writes it."""

_RUNS: Final = (
    "SELECT count(*) FROM runs WHERE (group_id = groups.id OR id IN "
    "(SELECT value FROM json_each(spec, '$.joined')))"
)
_OPEN: Final = (
    "SELECT id AS \"group\", json_array_length(spec, '$.sweep.seeds') AS seeds, "
    f"({_RUNS} AND state IN ('queued', 'training')) AS active, "
    f"({_RUNS} AND state NOT IN ('queued', 'training')) AS ended "
    "FROM groups WHERE kind = 'sweep' AND json_valid(spec) AND json_extract(spec, '$.open') "
    "ORDER BY id"
)
"""The tests are those of the index groups_open, so that it is used."""


@dataclass(frozen=True)
class OpenSweep:
    """A sweep that more runs are to follow in.

    seeds   how many runs each configuration has
    active  how many of its runs wait or train, and how many have ended
    """

    group: str
    seeds: int
    active: int
    ended: int


class SweepTable(RunQueue):
    """The part of the store that holds sweeps; `Store` is what others open."""

    def queue_sweep(
        self, name: str, runs: Sequence[NewRun], spec: Mapping[str, Any], owner: str = ""
    ) -> str:
        """Queue a sweep's runs as one group, all or none; the group's id.

        Runs that are there already with the same dataset, settings and seed are joined. A name
        that another group has is numbered. LimitError where too many wait already.
        """
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            free = free_name(connection, "groups", name)
            group = insert_group(connection, free, owner, KIND, spec)
            self._add(connection, group, dict(spec), runs)
        return group

    def extend_sweep(self, group_id: str, runs: Sequence[NewRun], *, last: bool) -> bool:
        """Queue more runs of an open sweep; False where it was closed meanwhile.

        last   none follow these: the sweep is closed in the same transaction
        """
        with self._database.writing() as connection:
            spec = json.loads(group_row(connection, group_id)["spec"])
            if not spec.get("open"):
                return False
            self._add(connection, group_id, {**spec, "open": not last}, runs)
        return True

    def complete_sweep(self, group_id: str, runs: Sequence[NewRun], *, go_on: bool) -> None:
        """Queue runs of a sweep once more, and open it again where more are to follow."""
        refuse_when_full(self.home, self._settings)
        with self._database.writing() as connection:
            spec = json.loads(group_row(connection, group_id)["spec"])
            self._add(connection, group_id, {**spec, "open": go_on, "message": ""}, runs)

    def close_sweep(self, group_id: str, message: str = "") -> None:
        """Let no more runs follow; `message` says why, where it is early. Closed ones stay so."""
        with self._database.writing() as connection:
            spec = json.loads(group_row(connection, group_id)["spec"])
            if spec.get("open"):
                _write_spec(connection, group_id, {**spec, "open": False, "message": message})

    def open_sweeps(self) -> list[OpenSweep]:
        """Sweeps whose runs follow one another and are not all queued yet, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(_OPEN).fetchall()
        return [OpenSweep(**dict(row)) for row in rows]

    def runs_of_sweep(self, group_id: str) -> list[RunRow]:
        """A sweep's runs: those joined that are still there, then its own, in their order."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{SELECT} WHERE runs.group_id = ? OR runs.id IN (SELECT value FROM groups, "
                "json_each(iif(json_valid(groups.spec), groups.spec, '{}'), '$.joined') "
                "WHERE groups.id = ?) ORDER BY runs.number",
                (group_id, group_id),
            ).fetchall()
        return [to_run(row, self._runs_folder) for row in rows]

    def epochs(self, run_ids: Iterable[str]) -> dict[str, tuple[Epoch, ...]]:
        """The ends of epochs of each run, oldest first; what cannot be read is left out.

        Of a run that was resumed an epoch may come twice; the later one counts.
        """
        found: dict[str, tuple[Epoch, ...]] = {}
        with self._database.reading() as connection:
            for run_id in run_ids:
                rows = connection.execute(
                    'SELECT body FROM events WHERE run_id = ? AND body LIKE \'{"event": "Epoch"%\' '
                    "ORDER BY seq",
                    (run_id,),
                )
                found[run_id] = tuple(epoch for (body,) in rows if (epoch := _epoch(body)))
        return found

    def _add(
        self,
        connection: sqlite3.Connection,
        group: str,
        spec: dict[str, Any],
        runs: Sequence[NewRun],
    ) -> None:
        """Put runs into a sweep: those that are there are joined, the others queued."""
        same = {run.config_key: self._same_run(connection, run) for run in runs}
        fresh = [run for run in runs if same[run.config_key] is None]
        if fresh:
            self._refuse_beyond_limit(connection, fresh[0].owner, len(fresh))
        for run in fresh:
            insert_run(connection, run, group, run.name)
        members = {
            row["id"]
            for row in connection.execute("SELECT id FROM runs WHERE group_id = ?", (group,))
        }
        joined = [*spec.get("joined", ()), *(each for each in same.values() if each)]
        kept = [each for each in dict.fromkeys(joined) if each not in members]
        _write_spec(connection, group, {**spec, "joined": kept})


def _write_spec(connection: sqlite3.Connection, group_id: str, spec: Mapping[str, Any]) -> None:
    connection.execute(
        "UPDATE groups SET spec = ? WHERE id = ?", (json.dumps(dict(spec)), group_id)
    )


def _epoch(body: str) -> Epoch | None:
    try:
        event = from_json(body)
    except DataError:
        return None
    return event if isinstance(event, Epoch) else None
