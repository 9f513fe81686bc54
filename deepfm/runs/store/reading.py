"""A run's row in SQLite to a RunRow, found by id."""

import json
import sqlite3
from pathlib import Path
from typing import Final

from deepfm.errors import StoreError
from deepfm.runs.store.people import shown_name
from deepfm.runs.store.rows import RunRow, check_id

SELECT: Final = (
    "SELECT runs.*, groups.name AS group_name, people.name AS person FROM runs "
    "LEFT JOIN groups ON groups.id = runs.group_id LEFT JOIN people ON people.id = runs.owner"
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


def to_run(row: sqlite3.Row, runs_folder: Path) -> RunRow:
    """A row of SELECT as it is given to others."""
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
        owner_name=shown_name(row["owner"], row["person"]),
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        folder=runs_folder / row["id"],
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
