"""Filters to one page of the list in which a group is one row: counted and summed by SQLite."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deepfm.errors import StoreError
from deepfm.runs.store.database import Database
from deepfm.runs.store.listing import RunFilter
from deepfm.runs.store.people import shown_name
from deepfm.runs.store.reading import SELECT, to_run
from deepfm.runs.store.rows import RUN_ENDS, RunRow, RunState

OverviewOrder = Literal["created", "name", "state", "dataset", "person", "auc", "loss", "seconds"]

_ORDERS: Final[dict[str, str]] = {
    "created": "max(runs.number)",
    "name": "min(folded(coalesce(groups.name, runs.name)))",
    "state": "min(runs.state)",
    "dataset": "min(folded(runs.dataset_name))",
    "person": "min(folded(coalesce(nullif(people.name, ''), runs.owner)))",
    "auc": "max(runs.auc)",
    "loss": "min(iif(json_valid(runs.result), json_extract(runs.result, '$.log_loss'), NULL))",
    "seconds": "sum(runs.seconds)",
}
OVERVIEW_ORDERS: Final = tuple(_ORDERS)

_TEST_AUC: Final = (
    "coalesce(max(shown.auc), max(iif(runs.group_id IS NULL AND runs.state IN "
    "('finished', 'stopped') AND json_valid(runs.result) "
    "AND json_extract(runs.result, '$.part') = 'test', runs.auc, NULL)))"
)

_FROM: Final = (
    "FROM runs LEFT JOIN groups ON groups.id = runs.group_id "
    "LEFT JOIN people ON people.id = runs.owner"
)
_ITEM: Final = "coalesce(runs.group_id, runs.id)"


@dataclass(frozen=True)
class GroupSummary:
    """Those runs of a group that fit the filters, summed up.

    runs, ended   how many there are, and how many of them have ended
    seconds       of training, of all together; None before the first has any
    """

    id: str
    name: str
    kind: str
    created: float
    runs: int
    ended: int
    seconds: float | None


@dataclass(frozen=True)
class Item:
    """One row of the list: a run, or a group with the run that has its highest AUC."""

    run: RunRow
    group: GroupSummary | None = None


@dataclass(frozen=True)
class Overview:
    """One page of the list: its rows, and how many rows and runs fit in all."""

    items: tuple[Item, ...]
    rows: int
    runs: int


class RunOverview:
    """The part of the store that lists groups as one; `Store` is what others open."""

    _database: Database
    _runs_folder: Path

    def overview(
        self,
        *,
        states: Iterable[RunState] | None = None,
        fingerprint: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        search: str = "",
        order: OverviewOrder = "created",
        test_aucs: Mapping[str, float] | None = None,
        descending: bool = True,
        limit: int = 50,
        offset: int = 0,
    ) -> Overview:
        """A page of what fits, the newest first unless another order is asked for.

        A group stands where its best run would: the newest, the highest AUC, the lowest loss.
        What has no such value comes last either way; before it, by AUC, comes what has none of
        the test rows, which is another measure.

        test_aucs   group to the AUC of the test rows that it is shown by, where it has one
        """
        if order not in _ORDERS:
            known = ", ".join(OVERVIEW_ORDERS)
            raise StoreError(f"The list is sorted by {known}, not by {order!r}.")
        states = None if states is None else tuple(states)
        where, values = RunFilter(states, None, fingerprint, None, owner, tag, search).where()
        way = "DESC" if descending else "ASC"
        first = _TEST_AUC if order == "auc" else "NULL"
        page = (
            "WITH shown(id, auc) AS (SELECT key, value FROM json_each(?)) "
            f"SELECT {_ITEM} AS item, runs.group_id AS group_id, {first} AS tested, "
            f"{_ORDERS[order]} AS rank, max(runs.number) AS newest {_FROM} "
            f"LEFT JOIN shown ON shown.id = runs.group_id{where} GROUP BY item "
            f"ORDER BY tested {way} NULLS LAST, rank {way} NULLS LAST, newest DESC LIMIT ? OFFSET ?"
        )
        shown = json.dumps(dict(test_aucs or {}))
        with self._database.reading() as connection:
            connection.execute("BEGIN")  # the three questions see one moment
            try:
                found = connection.execute(page, (shown, *values, limit, offset)).fetchall()
                rows, runs = connection.execute(
                    f"SELECT count(DISTINCT {_ITEM}), count(*) {_FROM}{where}", values
                ).fetchone()
                groups = [row["group_id"] for row in found if row["group_id"]]
                summed = _summed(connection, groups, where, values)
                single = [row["item"] for row in found if not row["group_id"]]
                best = {group: number for group, (_, number) in summed.items()}
                read = _read(connection, single, list(best.values()), self._runs_folder)
            finally:
                connection.execute("COMMIT")
        items = tuple(
            Item(read[best[row["group_id"]]], summed[row["group_id"]][0])
            if row["group_id"]
            else Item(read[row["item"]])
            for row in found
        )
        return Overview(items, rows, runs)

    def group_moves(self) -> list[tuple[str, str, str]]:
        """(id, kind, standing) of every group; the standing is another once a run has moved on."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT groups.id, groups.kind, count(*) AS runs, sum(runs.number) AS numbers, "
                f"sum(runs.state IN {RUN_ENDS!r}) AS ended, max(runs.finished) AS last, "
                "total(runs.auc) AS aucs FROM groups JOIN runs ON runs.group_id = groups.id "
                "GROUP BY groups.id"
            ).fetchall()
        return [(row["id"], row["kind"], json.dumps(tuple(row)[2:])) for row in rows]

    def run_people(self) -> list[tuple[str, str]]:
        """(id, name) of everybody known who started a run, who did so last first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT runs.owner AS owner, people.name AS person, max(runs.number) AS newest "
                f"{_FROM} WHERE runs.owner <> '' GROUP BY runs.owner ORDER BY newest DESC"
            ).fetchall()
        return [(row["owner"], shown_name(row["owner"], row["person"])) for row in rows]


def _summed(
    connection: sqlite3.Connection, groups: Sequence[str], where: str, values: Sequence[Any]
) -> dict[str, tuple[GroupSummary, int]]:
    """Group to its summary and the number of its best run."""
    marks = ",".join("?" * len(groups))
    inside = f"{where} AND" if where else " WHERE"
    # Beside max(), SQLite takes the other columns from the row that has the highest value.
    rows = connection.execute(
        "SELECT groups.id, groups.name, groups.kind, groups.created, count(*) AS runs, "
        f"sum(runs.state IN {RUN_ENDS!r}) AS ended, sum(runs.seconds) AS seconds, "
        f"runs.number AS best, max(coalesce(runs.auc, -1)) {_FROM}{inside} "
        f"runs.group_id IN ({marks}) GROUP BY groups.id",
        (*values, *groups),
    ).fetchall()
    return {
        row["id"]: (
            GroupSummary(
                row["id"],
                row["name"],
                row["kind"],
                row["created"],
                row["runs"],
                row["ended"],
                row["seconds"],
            ),
            row["best"],
        )
        for row in rows
    }


def _read(
    connection: sqlite3.Connection, ids: Sequence[str], numbers: Sequence[int], folder: Path
) -> dict[str | int, RunRow]:
    """Runs by id and by number, each under what it was asked for by."""
    rows = connection.execute(
        f"{SELECT} WHERE runs.id IN ({','.join('?' * len(ids))}) "
        f"OR runs.number IN ({','.join('?' * len(numbers))})",
        (*ids, *numbers),
    ).fetchall()
    found: dict[str | int, RunRow] = {}
    for row in rows:
        found[row["id"]] = found[row["number"]] = to_run(row, folder)
    return found
