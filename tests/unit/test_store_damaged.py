"""A damaged row of the runs table: it is named, it hides no other, and nothing trains by it."""

import sqlite3
from pathlib import Path

import pytest

from deepfm.runs.store import FILE_NAME, OVERVIEW_ORDERS, Store
from tests.app.runs_in_store import events

JSON_COLUMNS = ("model", "train", "pinned", "tags", "curve", "result", "versions")
DAMAGES = ('{"terms": [', "7", "b\x00", b"\xff\xfe{")


def damage(home: Path, run_id: str, column: str, value: str | bytes) -> None:
    """Write something else into one column of one run, as a failing disk might."""
    with sqlite3.connect(home / FILE_NAME) as connection:
        text = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
        connection.execute(f"UPDATE runs SET {column} = {text} WHERE id = ?", (value, run_id))
    connection.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two runs, "first" and "second", that wait."""
    with Store.open(tmp_path) as store:
        for name in ("first", "second"):
            run = store.queue_run(name, tmp_path, "demo", {"num_factors": 4}, {"epochs": 2})
            store.tag_run(run, ["kept"])
    return tmp_path


@pytest.mark.parametrize("value", DAMAGES)
@pytest.mark.parametrize("column", JSON_COLUMNS)
def test_a_damaged_column_is_named_and_hides_no_other_run(
    home: Path, column: str, value: str | bytes
) -> None:
    with Store.open(home) as store:
        second, first = store.runs()
        damage(home, first.id, column, value)
        assert store.runs()[0] == second
        assert store.run(first.id).damaged == (column,)
        assert store.run(first.id).name == "first"
        for order in OVERVIEW_ORDERS:
            found = [item.run.name for item in store.overview(order=order).items]
            assert sorted(found) == ["first", "second"]
        assert [run.name for run in store.runs(search="factor 4")][:1] == ["second"]
        assert {run.name for run in store.runs(search="waiting first")} <= {"first"}
        assert "second" in [run.name for run in store.runs(tag="kept")]
        assert store.run_tags()[0][0] == "kept"


def test_a_run_whose_settings_are_damaged_fails_in_words_and_the_next_is_trained(
    home: Path,
) -> None:
    with Store.open(home) as store:
        second, first = store.runs()
        damage(home, first.id, "train", "{")
        claimed = store.claim_run("worker")
        assert claimed is not None and claimed.id == second.id
        failed = store.run(first.id)
        assert failed.state == "failed" and "damaged" in failed.message


def test_a_run_whose_curve_is_damaged_goes_on(home: Path) -> None:
    with Store.open(home) as store:
        claimed = store.claim_run("worker")
        assert claimed is not None
        damage(home, claimed.id, "curve", "[[1,")
        store.append(claimed.id, events(1))
        assert not store.run(claimed.id).damaged
