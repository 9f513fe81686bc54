"""Filters to one page of the list of runs: searched, sorted and cut by SQLite.

A page costs the same however many runs there are: what it is chosen by stands in one narrow
index, and only the runs of the page itself are read in full.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deepfm.errors import StoreError
from deepfm.runs.store.database import Database
from deepfm.runs.store.reading import SELECT, to_run
from deepfm.runs.store.rows import GroupRow, RunRow, RunState
from deepfm.runs.store.runs import to_group

RunOrder = Literal["created", "name", "state", "dataset", "auc", "seconds", "examples_per_second"]

_ORDERS: Final[dict[str, str]] = {
    "created": "runs.number",
    "name": "folded(runs.name)",
    "state": "runs.state",
    "dataset": "folded(runs.dataset_name)",
    "auc": "runs.auc",
    "seconds": "runs.seconds",
    "examples_per_second": "runs.examples_per_second",
}
RUN_ORDERS: Final = tuple(_ORDERS)

TAGS: Final = (
    "json_each(CASE WHEN NOT json_valid(runs.tags) THEN '[]' "
    "WHEN json_type(runs.tags) = 'array' THEN runs.tags ELSE '[]' END)"
)
"""A run's tags, one a row; none where they are damaged."""
_SEARCHED: Final = (
    "folded(CAST(runs.name || char(10) || runs.dataset_name || char(10) || runs.notes "
    "|| char(10) || runs.tags || char(10) || runs.state AS BLOB))"
)

_TOLD: Final = "told(CAST(runs.model AS BLOB), CAST(runs.train AS BLOB))"
"""As bytes, since SQLite gives a function no text that is not one."""


@dataclass(frozen=True)
class RunFilter:
    """Which runs a list is of; everything that is given must hold."""

    states: tuple[RunState, ...] | None
    group: str | None
    fingerprint: str | None
    config_key: str | None
    owner: str | None
    tag: str | None
    search: str

    def where(self) -> tuple[str, list[Any]]:
        """SQL after FROM runs, and its values."""
        tests: list[str] = []
        values: list[Any] = []
        if self.states is not None:
            tests.append(f"runs.state IN ({','.join('?' * len(self.states))})")
            values.extend(self.states)
        for column in ("group_id", "fingerprint", "config_key", "owner"):
            value = self.group if column == "group_id" else getattr(self, column)
            if value is not None:
                tests.append(f"runs.{column} = ?")
                values.append(value)
        if self.tag is not None:
            tests.append(f"EXISTS (SELECT 1 FROM {TAGS} WHERE value = ?)")
            values.append(self.tag)
        for word in self.search.casefold().split():
            tests.append(
                f"(instr({_SEARCHED}, ?) OR instr({_TOLD}, ?) "
                "OR runs.group_id IN (SELECT id FROM groups WHERE instr(folded(name), ?)) "
                "OR runs.owner IN (SELECT id FROM people WHERE instr(folded(name), ?)))"
            )
            values.extend((word, word, word, word))
        return (f" WHERE {' AND '.join(tests)}" if tests else ""), values


class RunList:
    """The part of the store that lists runs; `Store` is what others open."""

    _database: Database
    _runs_folder: Path

    def runs(
        self,
        *,
        states: Iterable[RunState] | None = None,
        group: str | None = None,
        fingerprint: str | None = None,
        config_key: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        search: str = "",
        order: RunOrder = "created",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunRow]:
        """A page of the runs that fit, the newest first unless another order is asked for.

        search   words that must all occur in name, dataset, notes, tags, state, in settings that
                 differ from their defaults, or in the name of group or person, in any case
        order    what to sort by; a run that has no such value comes last either way
        """
        if order not in _ORDERS:
            raise StoreError(f"Runs are sorted by {', '.join(RUN_ORDERS)}, not by {order!r}.")
        chosen = _filter(states, group, fingerprint, config_key, owner, tag, search)
        where, values = chosen.where()
        way = "DESC" if descending else "ASC"
        by = f" ORDER BY {_ORDERS[order]} {way} NULLS LAST, runs.number DESC"
        if order == "created":
            by = f" ORDER BY runs.number {way}"
        page = f"SELECT runs.number FROM runs{where}{by} LIMIT ? OFFSET ?"
        values += [-1 if limit is None else limit, offset]
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{SELECT} WHERE runs.number IN ({page}){by}", values
            ).fetchall()
        return [to_run(row, self._runs_folder) for row in rows]

    def count_runs(
        self,
        *,
        states: Iterable[RunState] | None = None,
        group: str | None = None,
        fingerprint: str | None = None,
        config_key: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        search: str = "",
    ) -> int:
        """How many runs fit; the filters are those of `runs`."""
        chosen = _filter(states, group, fingerprint, config_key, owner, tag, search)
        where, values = chosen.where()
        with self._database.reading() as connection:
            (count,) = connection.execute(f"SELECT count(*) FROM runs{where}", values).fetchone()
        return int(count)

    def run_datasets(self) -> list[tuple[str, str, int]]:
        """(fingerprint, name, runs) of each dataset that runs are of, that of the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT fingerprint, dataset_name, count(*) AS runs, max(number) AS newest "
                "FROM runs GROUP BY fingerprint ORDER BY newest DESC"
            ).fetchall()
        return [(row["fingerprint"], row["dataset_name"], row["runs"]) for row in rows]

    def run_tags(self) -> list[tuple[str, int]]:
        """(tag, runs) of every tag that a run has, the commonest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT value, count(*) AS runs FROM runs, {TAGS} "
                "WHERE runs.tags <> '[]' GROUP BY value ORDER BY runs DESC, value"
            ).fetchall()
        return [(row["value"], row["runs"]) for row in rows]

    def groups(self, *, kind: str | None = None, limit: int | None = None) -> list[GroupRow]:
        """Groups, the newest first, each with its runs; only those of one kind."""
        where, values = ("", []) if kind is None else (" WHERE kind = ?", [kind])
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT groups.*, (SELECT json_group_array(id) FROM (SELECT id FROM runs "
                "WHERE group_id = groups.id ORDER BY number)) AS runs "
                f"FROM groups{where} ORDER BY created DESC, id DESC LIMIT ?",
                (*values, -1 if limit is None else limit),
            ).fetchall()
        return [to_group(row, json.loads(row["runs"])) for row in rows]


def _filter(
    states: Iterable[RunState] | None,
    group: str | None,
    fingerprint: str | None,
    config_key: str | None,
    owner: str | None,
    tag: str | None,
    search: str,
) -> RunFilter:
    return RunFilter(
        None if states is None else tuple(states),
        group,
        fingerprint,
        config_key,
        owner,
        tag,
        search,
    )
