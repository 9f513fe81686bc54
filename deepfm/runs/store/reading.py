"""A run's row in SQLite to a RunRow, found by id; what is damaged in it hides nothing else."""

import json
import sqlite3
from pathlib import Path
from typing import Any, Final, TypeVar

from deepfm.errors import StoreError
from deepfm.runs.store.people import shown_name
from deepfm.runs.store.rows import RunRow, check_id

T = TypeVar("T", dict[str, Any], list[Any])

SELECT: Final = (
    "SELECT runs.*, groups.name AS group_name, people.name AS person, stoppers.name AS stopper "
    "FROM runs LEFT JOIN groups ON groups.id = runs.group_id "
    "LEFT JOIN people ON people.id = runs.owner "
    "LEFT JOIN people AS stoppers ON stoppers.id = runs.stopped_by"
)


def run_row(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    """The row of one run; StoreError where there is none of that id."""
    row: sqlite3.Row | None = connection.execute(
        f"{SELECT} WHERE runs.id = ?", (check_id(run_id),)
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no run {run_id}; it may have been deleted.")
    return row


def group_row(connection: sqlite3.Connection, group_id: str) -> sqlite3.Row:
    """The row of one group; StoreError where there is none of that id."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM groups WHERE id = ?", (check_id(group_id),)
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no group {group_id}; its runs may have been deleted.")
    return row


def json_of(text: str | bytes | None, kind: type[T]) -> T | None:
    """What a column holds as JSON; None where that cannot be read or is of another kind."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, kind) else None


def to_run(row: sqlite3.Row, runs_folder: Path) -> RunRow:
    """A row of SELECT as it is given to others.

    A column that cannot be read is as if it were empty, and named in `damaged`.
    """
    damaged: list[str] = []

    def column(name: str, kind: type[T]) -> T:
        value = json_of(row[name], kind)
        if value is None:
            damaged.append(name)
        return kind() if value is None else value

    values = {name: column(name, dict) for name in ("model", "train")}
    pinned = [each for each in column("pinned", list) if isinstance(each, dict)]
    tags = [each for each in column("tags", list) if isinstance(each, str)]
    curve = [each for each in column("curve", list) if isinstance(each, list) and len(each) == 2]
    result = column("result", dict) if row["result"] else None
    versions = column("versions", dict) if row["versions"] else None
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
        model=values["model"],
        train=values["train"],
        pinned=tuple(pinned),
        owner=row["owner"],
        owner_name=shown_name(row["owner"], row["person"]),
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        folder=runs_folder / row["id"],
        message=row["message"],
        result=result or None,
        epoch=row["epoch"],
        auc=row["auc"],
        last_event=row["last_event"],
        worker=row["worker"],
        notes=row["notes"],
        tags=tuple(tags),
        attempt=row["attempt"],
        versions=versions or None,
        seconds=row["seconds"],
        examples_per_second=row["examples_per_second"],
        curve=tuple(auc for _, auc in curve),
        imported=row["imported"],
        stopped_by=row["stopped_by"],
        stopped_by_name=shown_name(row["stopped_by"], row["stopper"]),
        damaged=tuple(damaged),
    )
