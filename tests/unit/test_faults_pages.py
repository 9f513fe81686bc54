"""Pages after a fault: each opens, without an exception, and says in words what is wrong."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from benchmarks.lab import MODEL, TRAINING, small_dataset
from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.errors import RunError
from deepfm.runs.store import RunRow, Store
from deepfm.trained import open_run
from deepfm.training.loop import train
from tests.unit.fault_kinds import as_trap

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
RUN_PAGES = ("evaluate", "impression", "model")
LOOKING = (*RUN_PAGES, "train", "runs")
"""Pages that show something of the run in their address."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run."""
    home = tmp_path_factory.mktemp("trained") / "home"
    dataset = small_dataset(home / "datasets")
    with Store.open(home) as store:
        train_one(store, dataset)
    return home


def train_one(store: Store, dataset: Dataset) -> None:
    settings = {**TRAINING, "epochs": 2}
    store.queue_run(
        "A run", dataset.folder, dataset.name, MODEL, settings, fingerprint=dataset.fingerprint
    )
    run = store.claim_run("here")
    assert run is not None
    done = train(
        dataset,
        ModelConfig.from_dict(run.model),
        TrainConfig.from_dict(run.train),
        out=run.folder,
        on_event=lambda event: store.append(run.id, [event]) and None,
    )
    store.finish_run(run.id, "finished", result=asdict(done.result))


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That home again for each test; what the pages kept for it is let go at the end."""
    folder = tmp_path / "home"
    shutil.copytree(trained, folder)
    monkeypatch.setenv("DEEPFM_HOME", str(folder))
    yield folder
    st.cache_resource.clear()
    st.cache_data.clear()


def the_run(home: Path) -> RunRow:
    with Store.open(home) as store:
        (run,) = store.runs()
    return run


def opened(page: str, **address: str) -> AppTest:
    """A page that has been drawn without an exception."""
    app = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert [box.value for box in app.exception] == []
    return app


def said(app: AppTest) -> str:
    """What stands on a page in words."""
    boxes = [*app.error, *app.warning, *app.markdown, *app.caption]
    return "\n".join(str(box.value).replace("\\", "") for box in boxes)


def sql(home: Path, statement: str, *values: object) -> None:
    """Damage the store, as no program of ours would."""
    with contextlib.closing(sqlite3.connect(home / "lab.sqlite")) as connection, connection:
        connection.execute(statement, values)


def test_a_run_whose_folder_was_deleted_by_hand(home: Path) -> None:
    run = the_run(home)
    shutil.rmtree(run.folder)
    for page in LOOKING:
        app = opened(page, run=run.id)
        if page in RUN_PAGES:
            assert "no model" in said(app) or "no run folder" in said(app), page


def test_a_runs_folder_deleted_as_a_whole(home: Path) -> None:
    run = the_run(home)
    shutil.rmtree(run.folder.parent)
    for page in LOOKING:
        opened(page, run=run.id)


def test_weights_that_are_a_pickle_are_refused_and_not_loaded(home: Path) -> None:
    run = the_run(home)
    mark = as_trap(run.folder / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors .* damaged or foreign"):
        open_run(run.folder)
    for page in LOOKING:
        app = opened(page, run=run.id)
        if page in RUN_PAGES:
            assert "damaged or foreign" in said(app), page
    assert not mark.exists()


@pytest.mark.parametrize("name", ["scores.parquet", "impressions.parquet", "config.json"])
def test_a_file_of_the_run_folder_that_ends_too_early(home: Path, name: str) -> None:
    run = the_run(home)
    file = run.folder / name
    file.write_bytes(file.read_bytes()[:-20])
    for page in RUN_PAGES:
        opened(page, run=run.id)


def test_damaged_event_rows_are_told_beside_the_curves(home: Path) -> None:
    run = the_run(home)
    sql(home, "UPDATE events SET body = '{' WHERE seq = 2")
    sql(home, "UPDATE events SET body = CAST(x'fffe' AS TEXT) WHERE seq = 3")
    for page in LOOKING:
        opened(page, run=run.id)
    assert "Event 2 of this run is damaged" in said(opened("train", run=run.id))


def test_all_events_of_a_run_are_gone(home: Path) -> None:
    run = the_run(home)
    sql(home, "DELETE FROM events")
    for page in LOOKING:
        opened(page, run=run.id)


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_run_that_ended_badly_says_why(home: Path, state: str) -> None:
    run = the_run(home)
    sql(home, "UPDATE runs SET state = ?, message = 'The cause in words.'", state)
    for page in LOOKING:
        opened(page, run=run.id)
    assert "The cause in words." in said(opened("train", run=run.id))


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_store_that_is_damaged_is_told_on_every_page(home: Path, content: bytes) -> None:
    for file in home.glob("lab.sqlite*"):
        file.unlink()
    (home / "lab.sqlite").write_bytes(content)
    for page in PAGES:
        opened(page)


def test_a_store_that_another_process_keeps_to_itself(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(home / "lab.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE runs SET name = name")
        app = opened("runs")
        assert "locked by another process" in said(app)
