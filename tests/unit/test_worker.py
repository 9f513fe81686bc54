"""The worker, with real processes: what must hold while everything around it dies."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.errors import StoreError
from deepfm.events import Failed, Finished, Point, from_json
from deepfm.locks import FileLock, holder, is_held
from deepfm.runs.store import JobRow, RunRow, Store
from deepfm.runs.worker import ensure_worker, keep_worker, stop_worker, worker_alive
from deepfm.runs.worker.service import log_file, worker_lock

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something holds; what it returned."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.005)
    return value


@contextlib.contextmanager
def working(home: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process with the kinds of work in worker_kinds; stopped at the end."""
    code = f"from tests.unit.worker_kinds import serve; serve({str(home)!r}, **{options!r})"
    with errors_of(home).open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=errors,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=15)


def errors_of(home: Path) -> Path:
    """What the newest worker of a home and its children have written to stderr."""
    return home / "stderr"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose worker lives for all tests that do not kill it."""
    home = tmp_path_factory.mktemp("home")
    with working(home, max_job_memory_mb=500), Store.open(home) as store:
        warm_up(store)
        yield store


def warm_up(store: Store) -> None:
    """Wait until both lanes have done something."""
    run_ended(store, queue(store))
    job_ended(store, store.queue_job("echo", {}))


def queue(store: Store, **model: Any) -> str:
    return store.queue_run("a run", "/nowhere", "a dataset", model, {})


def run_ended(store: Store, run_id: str, seconds: float = 60.0) -> RunRow:
    eventually(lambda: store.run(run_id).ended, seconds)
    return store.run(run_id)


def job_ended(store: Store, job_id: str, seconds: float = 60.0) -> JobRow:
    eventually(lambda: store.job(job_id).ended, seconds)
    return store.job(job_id)


def trains(store: Store, run_id: str) -> bool:
    return store.run(run_id).last_event > 0


def child_of(store: Store, slot: str = "training-0") -> int:
    pid = eventually(lambda: holder(store.home / "locks" / slot))
    assert isinstance(pid, int)
    return pid


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if sys.platform == "linux":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- work that ends by itself -------------------------------------------------------------


def test_a_run_is_trained_and_its_last_event_is_there_when_it_is_finished(served: Store) -> None:
    run = run_ended(served, queue(served, points=300))
    assert (run.state, run.message) == ("finished", "")
    events = served.events(run.id)
    assert [cursor for cursor, _ in events] == list(range(1, 302))
    assert [event.epoch for _, event in events if isinstance(event, Point)] == list(range(300))
    assert isinstance(events[-1][1], Finished)
    assert run.result is not None and run.result["auc"] == run.auc == 0.875
    assert run.last_event == 301
    assert run.folder == served.home / "runs" / run.id and run.folder.is_dir()


def test_runs_are_trained_one_at_a_time_in_the_order_of_queueing(served: Store) -> None:
    rows = [run_ended(served, run) for run in [queue(served) for _ in range(3)]]
    for before, after in itertools.pairwise(rows):
        assert before.finished is not None and after.started is not None
        assert before.finished <= after.started


def test_a_run_is_claimed_within_moments(served: Store) -> None:
    waits = []
    for _ in range(5):
        time.sleep(0.5)
        run = run_ended(served, queue(served))
        assert run.started is not None
        waits.append(run.started - run.created)
    assert min(waits) < 0.15  # the others may have met a busy machine


def test_a_job_gives_its_result_and_does_not_load_torch(served: Store) -> None:
    job = job_ended(served, served.queue_job("echo", {"text": "<b>=1+1</b>"}))
    assert job.state == "finished" and job.result is not None
    assert job.result["text"] == "<b>=1+1</b>"
    assert not job.result["torch"]


def test_a_job_never_waits_for_a_training_nor_for_two_long_jobs(
    served: Store, tmp_path: Path
) -> None:
    run = queue(served, endless=True)
    long = [
        served.queue_job("wait", {"seconds": 60, "mark": str(tmp_path / name)}) for name in "ab"
    ]
    third = served.queue_job("wait", {"seconds": 60, "mark": str(tmp_path / "c")})
    eventually(lambda: trains(served, run) and all(served.job(i).state == "working" for i in long))
    assert job_ended(served, served.queue_job("echo", {})).state == "finished"
    assert served.job(third).state == "queued"
    assert served.run(run).state == "training"
    for job in (third, *long):
        served.request_cancel(job)
    served.request_stop(run)
    assert [job_ended(served, job).state for job in (third, *long)] == ["stopped"] * 3
    assert run_ended(served, run).state == "stopped"


def test_an_unknown_kind_of_job_fails_in_words(served: Store) -> None:
    job = job_ended(served, served.queue_job("brew", {}))
    assert job.state == "failed" and "'brew'" in job.error


# --- stopping -----------------------------------------------------------------------------


def test_a_run_stops_within_a_second_and_keeps_what_it_has(served: Store) -> None:
    run_id = queue(served, endless=True)
    eventually(lambda: trains(served, run_id))
    asked = time.time()
    served.request_stop(run_id)
    run = run_ended(served, run_id)
    assert run.finished is not None and run.finished - asked < 1.0
    assert run.state == "stopped" and run.result is not None and run.result["stopped"]


def test_a_queued_run_that_is_stopped_is_never_trained(served: Store) -> None:
    first, second = queue(served, endless=True), queue(served)
    eventually(lambda: trains(served, first))
    assert served.queue_position(second) == 1
    served.request_stop(second)
    assert served.run(second).state == "stopped"
    served.request_stop(first)
    run_ended(served, first)
    assert served.run(second).started is None


def test_events_are_at_most_twenty_transactions_a_second(served: Store) -> None:
    run_id = queue(served, endless=True)
    eventually(lambda: trains(served, run_id))
    watcher = served.watch()
    watcher.changed()
    end, changes = time.monotonic() + 1.0, 0
    while time.monotonic() < end:
        changes += watcher.changed()
        time.sleep(0.002)
    watcher.close()
    served.request_stop(run_id)
    run_ended(served, run_id)
    assert 5 <= changes <= 22


def test_a_job_that_does_not_listen_is_ended_when_cancelled(served: Store, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job_id = served.queue_job("wait", {"seconds": 60, "mark": str(mark), "deaf": True})
    eventually(lambda: served.job(job_id).progress)
    served.request_cancel(job_id)
    job = job_ended(served, job_id)
    assert (job.state, job.error) == ("stopped", "")
    eventually(lambda: gone(int(mark.read_text())))


# --- work that goes wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"error": "data"}, "the cause"),
        ({"error": "memory"}, "Memory ran out. Lower the batch size"),
        ({"error": "bug"}, "unexpected went wrong (ZeroDivisionError: the cause)"),
        ({"signal": "SIGKILL"}, "killed by the system (signal 9), most often because memory"),
        ({"signal": "SIGSEGV"}, "crashed (signal 11"),
    ],
)
def test_a_run_that_dies_fails_alone_with_the_cause(
    served: Store, model: dict[str, str], words: str
) -> None:
    failed, next_one = queue(served, **model), queue(served)
    run = run_ended(served, failed)
    assert run.state == "failed" and words in run.message
    assert served.events(failed)[-1][1] == Failed(run.message)
    assert run_ended(served, next_one).state == "finished"


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("refuse", {}, "No, for a reason."),
        ("hoard", {"bytes": 2_000_000_000}, "500 MB, DEEPFM_MAX_JOB_MEMORY_MB"),
        ("leave", {}, "ended unexpectedly (exit code 3)"),
        ("suicide", {"signal": "SIGKILL"}, "killed by the system (signal 9)"),
        ("suicide", {"signal": "SIGABRT"}, "crashed (signal 6"),
        ("hoard", {}, "unexpected went wrong (KeyError"),
    ],
)
def test_a_job_that_dies_fails_alone_with_the_cause(
    served: Store, kind: str, payload: dict[str, Any], words: str
) -> None:
    job = job_ended(served, served.queue_job(kind, payload))
    assert job.state == "failed" and words in job.error
    assert job_ended(served, served.queue_job("echo", {})).state == "finished"


def test_the_traceback_of_what_nobody_foresaw_is_in_the_log(served: Store) -> None:
    run_ended(served, queue(served, error="bug"))
    log = log_file(served.home).read_text()
    assert "Traceback" in log and "ZeroDivisionError: the cause" in log


def test_a_dead_spare_is_replaced(tmp_path: Path) -> None:
    with working(tmp_path) as worker, Store.open(tmp_path) as store:
        warm_up(store)
        time.sleep(0.3)
        for pid in children(worker.pid):
            os.kill(pid, signal.SIGKILL)
        warm_up(store)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every run has a child of its own")
def test_a_child_trains_run_after_run_while_they_finish_and_give_memory_back(
    tmp_path: Path,
) -> None:
    def train(store: Store, name: str, **model: Any) -> str:
        file = tmp_path / name
        run_ended(store, queue(store, pid=str(file), **model))
        return file.read_text()

    with working(tmp_path) as worker, Store.open(tmp_path) as store:
        first = train(store, "first")
        assert train(store, "second", keep_bytes=200_000_000) == first
        third = train(store, "third")
        assert third != first, "it had not given its memory back"
        eventually(lambda: gone(int(first)))
        endless = queue(store, endless=True)
        assert child_of(store) == int(third)
        eventually(lambda: trains(store, endless))
        store.request_stop(endless)
        assert run_ended(store, endless).state == "stopped"
        assert train(store, "fifth") != third, "a child that was stopped has ended"
        assert run_ended(store, queue(store, signal="SIGKILL")).state == "failed"
        assert int(train(store, "sixth")) in children(worker.pid)


def children(pid: int) -> list[int]:
    """The processes that a worker has spawned for work."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_what_waits_is_told_when_no_child_can_be_started(tmp_path: Path) -> None:
    with working(tmp_path, stillborn=True), Store.open(tmp_path) as store:
        run, job = queue(store), store.queue_job("echo", {})
        assert "could be started" in run_ended(store, run).message
        assert "could be started" in job_ended(store, job).error


def test_no_event_is_lost_while_the_store_is_locked() -> None:
    code = """
import multiprocessing, time
from deepfm.errors import StoreBusy
from deepfm.runs.worker import link
link.BUSY_SECONDS = 0.1
ours, theirs = multiprocessing.Pipe()
written, refusals = [], [StoreBusy("locked")] * 3
def write(events):
    if refusals:
        raise refusals.pop()
    written.extend(events)
line = link.Link(theirs, write, wanted=lambda: False)
for k in range(100):
    line.report(k)
    time.sleep(0.005)
before = len(written)
refusals[:] = [StoreBusy("locked")] * 2
line.end(write)
assert written == list(range(100)) and 0 < before < 100, (written, before)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=20)


# --- limits -------------------------------------------------------------------------------


def test_work_ends_at_the_longest_time_that_is_allowed(tmp_path: Path) -> None:
    limits = {"minute": 0.5, "max_train_minutes": 1, "max_job_minutes": 1}
    with working(tmp_path, **limits) as _, Store.open(tmp_path) as store:
        run_id = queue(store, endless=True)
        payload = {"seconds": 60, "mark": str(tmp_path / "mark"), "deaf": True}
        job = job_ended(store, store.queue_job("wait", payload))
        run = run_ended(store, run_id)
    assert run.state == "stopped" and "DEEPFM_MAX_TRAIN_MINUTES" in run.message
    assert run.result is not None and run.result["stopped"]
    assert job.state == "failed" and "DEEPFM_MAX_JOB_MINUTES" in job.error


# --- the worker dies ----------------------------------------------------------------------


def test_a_killed_worker_leaves_no_child_and_the_next_one_says_interrupted(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    with Store.open(tmp_path) as store:
        with working(tmp_path) as worker:
            warm_up(store)
            run, queued = queue(store, endless=True), queue(store)
            job = store.queue_job("wait", {"seconds": 1.0, "mark": str(mark)})
            eventually(lambda: trains(store, run) and store.job(job).progress)
            child, job_child = child_of(store), int(mark.read_text())
            spawned = children(worker.pid)
            assert child in spawned and job_child in spawned
            worker.kill()
            worker.wait()
            eventually(lambda: all(gone(pid) for pid in spawned), seconds=3)
        assert not worker_alive(tmp_path)
        assert store.run(run).state == "training"
        with working(tmp_path):
            assert run_ended(store, run).state == "interrupted"
            assert run_ended(store, queued).state == "finished"
            done = job_ended(store, job)
            assert (done.state, done.attempts) == ("finished", 2)
        assert "worker stopped" in store.run(run).message


def test_an_orphan_that_does_not_notice_is_ended_by_the_next_worker(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        with working(tmp_path) as worker:
            warm_up(store)
            run = queue(store, stuck=True)
            eventually(lambda: trains(store, run))
            child = child_of(store)
            time.sleep(0.4)
            worker.kill()
            worker.wait()
        assert is_held(tmp_path / "locks" / "training-0")
        with working(tmp_path):
            assert run_ended(store, run).state == "interrupted"
        assert gone(child)


def test_sigterm_interrupts_the_run_and_gives_the_job_back(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        with working(tmp_path) as worker:
            warm_up(store)
            run = queue(store, endless=True)
            payload = {"seconds": 60, "mark": str(tmp_path / "mark")}
            job = store.queue_job("wait", payload)
            eventually(lambda: trains(store, run) and store.job(job).progress)
            assert stop_worker(tmp_path)
            assert worker.wait(5) == 0
        row = store.run(run)
        assert row.state == "interrupted" and row.result is not None and row.result["stopped"]
        assert store.job(job).state == "queued"
        assert not stop_worker(tmp_path)


def test_of_two_workers_on_one_home_one_works(tmp_path: Path) -> None:
    with working(tmp_path) as first:
        eventually(lambda: worker_alive(tmp_path))
        with working(tmp_path) as second:
            assert second.wait(10) != 0
            assert f"Another worker (process {first.pid})" in errors_of(tmp_path).read_text()
        assert first.poll() is None and worker_alive(tmp_path)


def test_a_worker_leaves_when_idle_but_not_while_an_app_is_open(tmp_path: Path) -> None:
    app = FileLock(tmp_path / "locks" / "app")
    assert app.acquire()
    with working(tmp_path, idle=0.2, minute=1.0) as worker, Store.open(tmp_path) as store:
        warm_up(store)
        time.sleep(0.6)
        assert worker.poll() is None
        app.release()
        assert worker.wait(10) == 0


# --- the app's side -----------------------------------------------------------------------


def test_ensure_worker_starts_one_and_only_one(tmp_path: Path) -> None:
    try:
        assert ensure_worker(tmp_path)
        assert not ensure_worker(tmp_path)
        eventually(lambda: worker_alive(tmp_path))
        assert not ensure_worker(tmp_path)
        pid = holder(worker_lock(tmp_path))
        assert pid is not None and os.getsid(pid) == pid
    finally:
        eventually(lambda: worker_alive(tmp_path))
        assert stop_worker(tmp_path)
    assert not worker_alive(tmp_path)


def test_keep_worker_starts_another_when_it_dies(tmp_path: Path) -> None:
    with keep_worker(tmp_path):
        first = eventually(lambda: holder(worker_lock(tmp_path)))
        os.kill(first, signal.SIGKILL)
        second = eventually(lambda: (pid := holder(worker_lock(tmp_path))) != first and pid)
        assert eventually(lambda: is_held(tmp_path / "locks" / "app"))
    assert not is_held(tmp_path / "locks" / "app")
    assert not gone(second)
    assert stop_worker(tmp_path)


def test_a_home_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="DEEPFM_HOME"):
        ensure_worker(tmp_path / "file" / "home")


def test_a_lock_excludes_others_and_tells_who_holds_it(tmp_path: Path) -> None:
    lock, other = FileLock(tmp_path / "a" / "lock"), FileLock(tmp_path / "a" / "lock")
    assert holder(lock.path) is None and not is_held(lock.path)
    assert lock.acquire() and not other.acquire()
    assert holder(lock.path) == os.getpid()
    with pytest.raises(StoreError, match="works on the same thing"), other.held(0.0):
        pass
    lock.release()
    assert not is_held(lock.path)
    with other.held(0.0):
        assert is_held(lock.path)


# --- the real work ------------------------------------------------------------------------


def test_a_worker_deletes_runs_past_their_days(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        ids = []
        for days in (9, 1):
            run_id = queue(store)
            store.claim_run("an earlier worker")
            store.finish_run(run_id, "finished")
            with store._database.writing() as connection:
                connection.execute(
                    "UPDATE runs SET created = 1.0, finished = ? WHERE id = ?",
                    (time.time() - days * 86_400, run_id),
                )
            ids.append(run_id)
        with working(tmp_path, keep_days=7):
            eventually(lambda: len(store.runs()) == 1, 60)
    with Store.open(tmp_path) as store:
        assert [run.id for run in store.runs()] == ids[1:]


def test_from_a_file_to_a_trained_run_with_the_real_worker(tmp_path: Path) -> None:
    file = tmp_path / "clicks.csv"
    rows = [f"{k % 3 == 0:d},site {k % 7},{k % 2}" for k in range(400)]
    file.write_text("\n".join(["click,site,device", *rows]) + "\n")
    home = tmp_path / "home"
    ensure_worker(home)
    try:
        with Store.open(home) as store:
            config = {"min_count": 1}
            job = job_ended(store, store.queue_job("inspect", {"path": str(file)}), 60)
            assert job.state == "finished" and job.result is not None, job.error
            payload = {"train": str(file), "schema": job.result["schema"], "config": config}
            job = job_ended(store, store.queue_job("prepare", payload), 60)
            assert job.state == "finished" and job.result is not None, job.error
            dataset = job.result
            job = job_ended(store, store.queue_job("profile", {"folder": dataset["folder"]}))
            assert job.result is not None, job.error
            assert {field["name"] for field in job.result["fields"]} == {"site", "device"}
            run_id = store.queue_run(
                "real",
                dataset["folder"],
                dataset["name"],
                {"num_factors": 2, "mlp_dims": [4]},
                {"epochs": 2, "batch_size": 64},
                pinned=[{"site": "site 1", "device": "0"}],
                fingerprint=dataset["fingerprint"],
            )
            run = run_ended(store, run_id, 60)
            assert run.state == "finished" and run.result is not None, run.message
            assert run.result["epochs"] == 2 and run.epoch == 2
            assert isinstance(store.events(run_id)[-1][1], Finished)
            environment = json.loads((run.folder / "environment.json").read_text())
            assert run.versions is not None
            for name in ("python", "packages", "platform", "device"):
                assert run.versions[name] == environment[name]
            assert run.seconds == run.result["seconds"] > 0
            assert run.examples_per_second == run.result["examples_per_second"] > 0
            written = (run.folder / "metrics.jsonl").read_text().splitlines()
            assert [from_json(line) for line in written] == [e for _, e in store.events(run_id)]
            lost = run_ended(store, queue(store))
            assert lost.state == "failed" and "/nowhere" in lost.message
            bad = store.queue_job("prepare", {"train": str(home / "none.csv")})
            assert "none.csv" in job_ended(store, bad).error
    finally:
        stop_worker(home)
