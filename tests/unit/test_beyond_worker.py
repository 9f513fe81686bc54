"""Beyond pairs as a job of a real worker: it ends in files, in words, or when it is told to."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import TERM_SETS, ModelConfig, Settings
from deepfm.explanation.beyond import FIGURES, find_beyond
from deepfm.runs.store import NewRun, RunRow, Store
from deepfm.runs.worker.measuring import queue_beyond
from deepfm.runs.worker.table import Context
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose worker does jobs of every kind."""
    home = tmp_path_factory.mktemp("home")
    with working(home), Store.open(home) as store:
        yield store


@contextlib.contextmanager
def working(home: Path) -> Iterator[None]:
    code = f"from tests.unit.worker_kinds import serve; serve({str(home)!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, env=environment
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def eventually(holds: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until something holds; what it returned."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)
    return value


def small(folder: Path, **model: Any) -> Path:
    """A run over four fields, without any dataset."""
    values = {"num_factors": 3, "mlp_dims": (6,), **model}
    spec = RunSpec(model=ModelConfig(**values), numeric=False, weight_scale=0.05)
    return write_run(folder, spec)


def ended(store: Store, job_id: str) -> Any:
    eventually(lambda: store.job(job_id).ended)
    return store.job(job_id)


def test_a_job_leaves_its_answer_in_the_run_folder_without_any_dataset(
    store: Store, tmp_path: Path
) -> None:
    folder = small(tmp_path / "run")
    job = ended(store, store.queue_job("beyond", {"run": str(folder)}))
    assert (job.state, job.error) == ("finished", "")
    found = find_beyond(open_run(folder))
    assert found is not None and job.result is not None
    assert job.result["beyond"] == found.deep.beyond.value
    assert job.progress is not None and job.progress.stage == "Looking at fresh draws"


def test_a_cancelled_job_stops_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    folder = small(tmp_path / "run", mlp_dims=(1_500, 1_500, 1_500))
    job_id = store.queue_job("beyond", {"run": str(folder)})
    eventually(lambda: store.job(job_id).progress)
    store.request_cancel(job_id)
    assert ended(store, job_id).state == "stopped"
    assert not (folder / FIGURES).exists()
    assert find_beyond(open_run(folder)) is None


def test_a_run_without_a_network_fails_in_words(store: Store, tmp_path: Path) -> None:
    folder = small(tmp_path / "run", terms=TERM_SETS["LR"])
    job = ended(store, store.queue_job("beyond", {"run": str(folder)}))
    assert job.state == "failed" and "is an LR: it has no network" in job.error


def test_a_folder_that_is_gone_fails_in_words(store: Store, tmp_path: Path) -> None:
    job = ended(store, store.queue_job("beyond", {"run": str(tmp_path / "gone")}))
    assert job.state == "failed" and "There is no run folder" in job.error


# --- after a training -----------------------------------------------------------------------


def trained(store: Store, **model: Any) -> RunRow:
    """A run of a store whose folder is there."""
    settings = {"num_factors": 3, "mlp_dims": [6], **model}
    run = NewRun("a run", Path("/nowhere"), "a dataset", settings, {}, (), "browser:ada")
    row = store.run(store.submit_run(run, anew=True).run)
    small(row.folder, **model)
    return row


@pytest.mark.parametrize(
    ("seconds", "terms", "queued"),
    [(0, "DeepFM", 0), (600, "DeepFM", 1), (600, "FM", 0), (1, "DeepFM", 0)],
)
def test_it_is_queued_after_a_training_where_this_server_wants_it_and_it_is_soon_done(
    tmp_path: Path, seconds: int, terms: str, queued: int
) -> None:
    with Store.open(tmp_path) as store:
        run = trained(store, terms=TERM_SETS[terms])
        settings = Settings(home=str(tmp_path), beyond_seconds=seconds)
        queue_beyond(run, Context(tmp_path, settings, lambda event: None, lambda: False))
        jobs = store.jobs()
        assert len(jobs) == queued
        for job in jobs:
            assert (job.kind, job.owner) == ("beyond", "browser:ada")
            assert job.payload == {"run": str(run.folder)}


def test_a_training_is_done_whatever_becomes_of_the_queueing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(tmp_path) as store:
        run = trained(store)
        (run.folder / "config.json").unlink()
        settings = Settings(home=str(tmp_path), beyond_seconds=600)
        queue_beyond(run, Context(tmp_path, settings, lambda event: None, lambda: False))
        assert store.jobs() == [] and "was not queued" in caplog.text
