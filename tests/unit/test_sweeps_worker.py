"""Sweeps with a real worker: they go on by themselves, whatever dies, and ask nothing twice."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.locks import holder
from deepfm.runs.store import Store
from deepfm.runs.worker.service import worker_lock
from deepfm.sweeps import Axis, begin, payload_for, read_results
from tests.unit.sweeps_in_store import dataset_at, sweep_of

ROOT = Path(__file__).resolve().parents[2]
RATES = Axis("learning_rate", low=0.001, high=0.1)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@contextlib.contextmanager
def working(home: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process with the training of sweep_kinds; stopped at the end."""
    code = f"from tests.unit.sweep_kinds import serve; serve({str(home)!r}, **{options!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def eventually(holds: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until something holds; what it returned."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)
    return value


def test_a_sweep_by_tpe_goes_on_by_itself_to_its_end(home: Path) -> None:
    dataset = dataset_at(home)
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=4, seeds=(0, 1))
    with Store.open(home) as store:
        group = begin(store, sweep)
        with working(home):
            eventually(lambda: read_results(store, group).ended)
        results = read_results(store, group)
        assert [len(each.runs) for each in results.ranked] == [2] * 4
        assert {job.state for job in store.jobs()} == {"finished"}
        starts = sorted(run.created for run in results.runs)
        assert starts[2] > min(run.finished or 0 for run in results.runs), "one after the other"


def test_a_sweep_outlives_a_worker_that_is_killed(home: Path) -> None:
    dataset = dataset_at(home)
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=6, seeds=(0,))
    with Store.open(home) as store:
        group = begin(store, sweep)
        for ended in (1, 3):
            with working(home) as worker:
                eventually(lambda ended=ended: read_results(store, group).done >= ended)
                os.kill(eventually(lambda: holder(worker_lock(home))), signal.SIGKILL)
                worker.wait()
        with working(home):
            eventually(lambda: read_results(store, group).ended)
        results = read_results(store, group)
        assert len(results.configurations) == 6
        assert len({each.point for each in results.configurations}) == 6
        assert all(len(each.runs) == 1 for each in results.configurations)
        assert all(run.state in ("finished", "interrupted", "failed") for run in results.runs)


def test_several_devices_have_several_configurations_each_of_its_own(home: Path) -> None:
    dataset = dataset_at(home)
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=6, seeds=(0,))
    with Store.open(home) as store:
        group = begin(store, sweep)
        with working(home, gpus=3):
            eventually(lambda: read_results(store, group).ended)
        runs = sorted(read_results(store, group).runs, key=lambda run: run.created)
        assert len({run.train["learning_rate"] for run in runs}) == 6
        first_end = min(run.finished or 0.0 for run in runs)
        assert sum(run.created < first_end for run in runs) >= 2


def test_the_worker_prepares_what_a_sweep_needs_and_queues_it_once(home: Path) -> None:
    dataset = dataset_at(home)
    sweep = sweep_of(Axis("min_count", (1, 2)), dataset=dataset, seeds=(0,))
    with Store.open(home) as store:
        payload = {**payload_for(sweep, [{"site": "site 1"}], "me"), "token": "t"}
        job = store.queue_job("sweep", payload)
        with working(home):
            eventually(lambda: store.job(job).ended)
            group = (store.job(job).result or {})["group"]
            eventually(lambda: read_results(store, group).ended)
        again = store.queue_job("sweep", payload)
        with working(home):
            eventually(lambda: store.job(again).ended)
        assert (store.job(again).result or {})["group"] == group
        runs = store.runs()
        assert len(runs) == 2 and {run.owner for run in runs} == {"me"}
        assert runs[0].pinned == ({"site": "site 1"},)
        assert runs[0].fingerprint != runs[1].fingerprint


def test_a_sweep_that_cannot_be_fails_in_words(home: Path) -> None:
    dataset = dataset_at(home, validation=0.0)
    sweep = sweep_of(Axis("min_count", (1, 2)), dataset=dataset, seeds=(0,))
    with Store.open(home) as store, working(home):
        job = store.queue_job("sweep", {**payload_for(sweep, [], ""), "token": "t"})
        eventually(lambda: store.job(job).ended)
        assert store.job(job).state == "failed"
        assert "holds out no validation rows" in store.job(job).error
