"""The store's schema, version by version: what an older program wrote is kept."""

import sqlite3
from pathlib import Path

from deepfm.runs.store import Store, schema
from deepfm.runs.store.database import APPLICATION_ID

ID = "1m86kga1pdkem"


def version_1(file: Path) -> None:
    """A store as the first version left it: one run trained and one waiting, in a group."""
    with sqlite3.connect(file) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        for statement in schema.MIGRATIONS[0]:
            raw.execute(statement)
        raw.execute("PRAGMA user_version = 1")
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(f"INSERT INTO groups VALUES ('{ID}', 'All five', 'ann', 100.0)")
        run = (
            "INSERT INTO runs (id, name, state, group_id, dataset_name, dataset_folder, "
            "fingerprint, config_key, model, train, pinned, owner, created, started, finished, "
            "result, epoch, auc, last_event) VALUES "
        )
        raw.execute(
            f"{run} ('{ID}', 'old', 'finished', '{ID}', 'demo', '/d', 'f00', 'k', "
            "'{\"num_factors\": 10}', '{\"seed\": 3}', '[{\"site\": \"news\"}]', 'ann', 100.0, "
            '101.0, 109.0, \'{"seconds": 7.5, "examples_per_second": 250.0, "auc": 0.8}\', '
            "3.0, 0.8, 1)"
        )
        raw.execute(
            f"{run} ('{ID[:-1]}n', 'waits', 'queued', NULL, 'demo', '/d', 'f00', 'k2', '{{}}', "
            "'{}', '[]', '', 110.0, NULL, NULL, NULL, 0.0, NULL, 0)"
        )
        raw.execute(
            f'INSERT INTO events VALUES (\'{ID}\', 1, \'{{"event": "Failed", "message": "x"}}\')'
        )
    raw.close()


def test_a_store_of_version_1_keeps_its_runs_events_and_groups(tmp_path: Path) -> None:
    version_1(tmp_path / "lab.sqlite")
    with Store.open(tmp_path) as store:
        waits, run = store.runs()
        assert (run.id, run.name, run.state, run.owner, run.auc) == (
            ID, "old", "finished", "ann", 0.8,
        )  # fmt: skip
        assert (run.model, run.train, run.pinned) == (
            {"num_factors": 10}, {"seed": 3}, ({"site": "news"},),
        )  # fmt: skip
        assert (run.seconds, run.examples_per_second) == (7.5, 250.0)
        assert (run.notes, run.tags, run.attempt, run.versions) == ("", (), 1, None)
        assert (run.curve, run.imported, run.stopped_by) == ((), "", "")
        assert (waits.seconds, waits.examples_per_second) == (None, None)
        assert len(store.events(ID)) == 1
        group = store.group(ID)
        assert (group.name, group.runs, group.kind, group.spec) == (
            "All five",
            (ID,),
            "compare",
            {},
        )
        claimed = store.claim_run("w")
        assert claimed is not None and claimed.id == waits.id


def test_a_migrated_store_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    version_1(tmp_path / "old" / "lab.sqlite")
    schemas = []
    for home in ("old", "new"):
        with Store.open(tmp_path / home) as store, store._database.reading() as connection:
            rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
            schemas.append([tuple(row) for row in rows])
    assert schemas[0] == schemas[1]
