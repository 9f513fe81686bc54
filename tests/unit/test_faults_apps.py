"""Apps and a worker that are killed, restarted and stopped, with real processes of each."""

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from benchmarks.lab import MODEL, TRAINING, lab, small_dataset, until
from deepfm.data.dataset import Dataset
from deepfm.locks import holder
from deepfm.runs.store import Store
from deepfm.runs.worker import worker_alive
from deepfm.runs.worker.service import app_lock, worker_lock
from deepfm.trained import open_run
from tests.browser.server import Server, serving

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data"))


def queue(store: Store, dataset: Dataset, epochs: int) -> str:
    return store.queue_run(
        "A run",
        dataset.folder,
        dataset.name,
        MODEL,
        {**TRAINING, "epochs": epochs},
        fingerprint=dataset.fingerprint,
    )


def answers(server: Server) -> bool:
    with urllib.request.urlopen(f"{server.url}/healthz", timeout=60) as answer:
        return b'"status":"ok"' in answer.read()


def kill(*pids: int | None) -> None:
    for pid in pids:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


def words_of_train_page(home: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an app that has just started shows of a run."""
    monkeypatch.setenv("DEEPFM_HOME", str(home))
    st.cache_resource.clear()
    page = AppTest.from_file(str(ROOT / "pages" / "train.py"), default_timeout=60)
    page.query_params["run"] = run_id
    page.run()
    st.cache_resource.clear()
    assert not page.exception
    return "\n".join(str(box.value) for box in (*page.caption, *page.error, *page.markdown))


def test_two_apps_are_killed_and_then_all_at_once(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with ExitStack() as apps, Store.open(home) as store:
        first = apps.enter_context(serving(home))
        second = apps.enter_context(serving(home))
        worker = holder(worker_lock(home))
        run_id = queue(store, dataset, epochs=10_000)
        until(lambda: store.run(run_id).epoch > 0, "the run to train")
        until(lambda: holder(app_lock(home)) == first.process.pid, "the first app's lock")

        kill(first.process.pid)
        seen = store.run(run_id).last_event
        until(lambda: holder(app_lock(home)) == second.process.pid, "the second app to take over")
        until(lambda: store.run(run_id).last_event > seen, "the run to go on")
        assert answers(second)

        kill(second.process.pid)
        second.process.wait()
        seen = store.run(run_id).last_event
        until(lambda: store.run(run_id).last_event > seen, "the run to go on without an app")
        assert holder(worker_lock(home)) == worker

        third = apps.enter_context(serving(home))
        assert "training" in words_of_train_page(home, run_id, monkeypatch)
        assert holder(worker_lock(home)) == worker

        kill(third.process.pid, worker, holder(home / "locks" / "training-0"))
        third.process.wait()
        until(lambda: not worker_alive(home), "all to be dead")
        assert store.run(run_id).state == "training"
        waiting = queue(store, dataset, epochs=1)

        apps.enter_context(serving(home))
        until(lambda: store.run(run_id).ended, "the run to end")
        run = store.run(run_id)
        assert run.state == "interrupted" and "worker stopped" in run.message
        until(lambda: store.run(waiting).ended, "the next run to end")
        assert store.run(waiting).state == "finished", store.run(waiting).message
        assert open_run(store.run(waiting).folder).scores()
        assert run.message in words_of_train_page(home, run_id, monkeypatch).replace("\\", "")


def test_a_worker_alone_ends_at_sigterm_with_a_checkpoint_and_the_next_goes_on(
    tmp_path: Path, dataset: Dataset
) -> None:
    """As under a service manager: SIGTERM, exit code 0, and later another start."""
    home = tmp_path / "home"
    command = [sys.executable, "-m", "deepfm", "worker", "--home", str(home)]
    with Store.open(home) as store:
        worker = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        try:
            run_id, waiting = queue(store, dataset, epochs=10_000), queue(store, dataset, epochs=1)
            until(lambda: store.run(run_id).epoch > 0, "the run to train")
            worker.send_signal(signal.SIGTERM)
            _, errors = worker.communicate(timeout=60)
        finally:
            worker.kill()
        assert (worker.returncode, errors) == (0, b"")
        run = store.run(run_id)
        assert run.state == "interrupted" and "Resume it" in run.message
        assert store.run(waiting).state == "queued"
        store.resume_run(run_id)
    with lab(home, dataset) as opened:
        until(lambda: opened.store.run(run_id).epoch > run.epoch, "the run to go on")
        assert opened.store.run(run_id).attempt == 2
        opened.store.request_stop(run_id)
        row = opened.ended(run_id)
        assert row.state == "stopped" and open_run(row.folder).scores()
        assert opened.ended(waiting).state == "finished"
