"""Faults with real processes and real training: no run is lost, and the next one trains.

Every test leaves the shared worker in the state in which the next one begins: its run is the
next run, which must train.
"""

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.lab import Lab, children, lab, small_dataset, until
from deepfm.data.dataset import Dataset
from deepfm.events import Event, Finished, Notice, from_json
from deepfm.runs.store import RunRow, Store
from deepfm.trained import open_run
from deepfm.training.checkpoint import has_checkpoint
from tests.unit.fault_kinds import as_trap

ENDLESS = {"epochs": 10_000}
ROOM = 6_000_000
"""Bytes: more than any file of the store here, less than the weights of LARGE."""
LARGE = {**ENDLESS, "batch_size": 64, "model": {"mlp_dims": [1_300, 1_250]}}
"""1.6 million weights, 6.6 MB in a file."""
HUGE = {"model": {"mlp_dims": [3_500, 3_500]}}
"""12 million weights, 49 MB before the first step."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def one_lab(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Iterator[Lab]:
    """One home and one worker, which no test kills."""
    with lab(tmp_path_factory.mktemp("home"), dataset, "tests.unit.fault_kinds:train") as opened:
        worker = opened.worker.pid
        yield opened
        assert_trains(opened)
        assert opened.worker.poll() is None and opened.worker.pid == worker


@pytest.fixture
def shared(one_lab: Lab) -> Iterator[Lab]:
    """That home; a run that a failed test leaves is none of the next one's."""
    yield one_lab
    for run in one_lab.store.runs(states=("queued", "training")):
        one_lab.store.request_stop(run.id)
        one_lab.ended(run.id)


def assert_trains(lab: Lab) -> None:
    row = lab.ended(lab.queue("The next one"))
    assert_whole(lab.store, row)


def assert_stops_whole(lab: Lab, run_id: str) -> None:
    """A run that would train on is stopped, and ends well."""
    assert lab.store.run(run_id).state == "training"
    lab.store.request_stop(run_id)
    assert_whole(lab.store, lab.ended(run_id), "stopped")


def in_training(lab: Lab, run_id: str) -> int:
    """Wait until a run is in the middle of its training; the process that trains it."""
    until(lambda: lab.store.run(run_id).epoch > 0, f"run {run_id} to train")
    child = lab.busy_child()
    assert child is not None
    return child


def events_of(store: Store, run_id: str) -> list[Event]:
    """All events, whose numbers have no gap."""
    found = store.events(run_id)
    assert [cursor for cursor, _ in found] == list(range(1, len(found) + 1))
    return [event for _, event in found]


def assert_whole(store: Store, row: RunRow, state: str = "finished") -> None:
    """A run that ended well: what the store has is what its folder has, and that can be read."""
    assert row.state == state, row.message
    found = events_of(store, row.id)
    assert isinstance(found[-1], Finished)
    written = (row.folder / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [from_json(line) for line in written] == found
    assert len(open_run(row.folder).scores()) == found[-1].rows


@contextlib.contextmanager
def no_space(pid: int, most: int = 1) -> Iterator[None]:
    """A living process whose files may not grow beyond so many bytes: its disk is full.

    So is that of the children that it starts meanwhile; in the end there is space for all.
    """
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        for each in (pid, *children(pid)):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(each, resource.RLIMIT_FSIZE, unlimited)


def still(store: Store, run_id: str, seconds: float = 0.5) -> None:
    """Wait until a run has reported nothing for so long."""
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        cursor = store.run(run_id).last_event
        if cursor != seen:
            seen, since = cursor, time.monotonic()
        return time.monotonic() - since > seconds

    until(quiet, f"run {run_id} to fall silent")


# --- the child dies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed by the system (signal 9), most often because memory ran out"),
        (signal.SIGSEGV, "crashed (signal 11, segmentation fault)"),
    ],
)
def test_a_child_that_dies_in_mid_epoch_interrupts_its_run_alone_with_the_cause(
    shared: Lab, number: signal.Signals, words: str
) -> None:
    run_id = shared.queue("Dies", **ENDLESS)
    child = in_training(shared, run_id)
    until((shared.store.run_folder(run_id) / "checkpoint.json").exists, "a checkpoint")
    os.kill(child, number)
    row = shared.ended(run_id)
    assert row.state == "interrupted" and words in row.message
    if number == signal.SIGSEGV:
        log = (shared.home / "worker.log").read_text()
        assert "Fatal Python error: Segmentation fault" in log
        assert "deepfm/training/loop.py" in log


def test_a_training_that_asks_for_more_memory_than_there_is_fails_in_words(shared: Lab) -> None:
    row = shared.ended(shared.queue("Large, with 40 MB of memory", **HUGE))
    assert row.state == "failed"
    assert "ran out of memory. Lower the batch size" in row.message


# --- no space left ----------------------------------------------------------------------------


def test_a_full_disk_while_the_store_is_written_loses_no_event(shared: Lab) -> None:
    run_id = shared.queue("Cannot report", **ENDLESS)
    with no_space(in_training(shared, run_id)):
        still(shared.store, run_id)
    assert_stops_whole(shared, run_id)


def test_a_full_disk_while_a_checkpoint_is_written_is_told_and_training_goes_on(
    shared: Lab,
) -> None:
    run_id = shared.queue("No room for a checkpoint", **LARGE)
    with no_space(in_training(shared, run_id), ROOM):
        until(lambda: notices(shared.store, run_id), "the notice of a checkpoint that failed")
        (notice,) = notices(shared.store, run_id)
        assert "could not be written" in notice and "Free some space" in notice
        assert shared.store.run(run_id).state == "training"
    shared.store.request_stop(run_id)
    row = shared.ended(run_id)
    assert row.state == "stopped" and open_run(row.folder)


def notices(store: Store, run_id: str) -> list[str]:
    found = events_of(store, run_id)
    return [e.text for e in found if isinstance(e, Notice) and e.kind == "checkpoint"]


def test_a_full_disk_while_the_run_folder_is_written_is_told_in_words(shared: Lab) -> None:
    run_id = shared.queue("No room for its folder", **LARGE)
    child = in_training(shared, run_id)
    with no_space(child, ROOM):
        shared.store.request_stop(run_id)
        row = shared.ended(run_id)
    resumable = has_checkpoint(row.folder)
    assert row.state == ("interrupted" if resumable else "failed")
    assert "Free some space" in row.message
    assert not (row.folder / "config.json").exists()
    assert not list(row.folder.parent.glob(f"{run_id}.*"))


def test_a_worker_that_cannot_write_the_store_claims_what_waits_once_it_can(shared: Lab) -> None:
    with no_space(shared.worker.pid):
        run_id = shared.queue("Waits for room")
        until(lambda: shared.store.queue_position(run_id) == 1, "the run to wait")
        still(shared.store, run_id)
        assert shared.store.run(run_id).state == "queued"
    assert_whole(shared.store, shared.ended(run_id))


# --- the store --------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Another process that keeps the store locked for writing."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    file = str(store.home / "lab.sqlite")
    process = subprocess.Popen(
        [sys.executable, "-c", code, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "locked\n"
        yield
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(10) == 0


def test_a_store_locked_by_another_process_delays_and_loses_nothing(shared: Lab) -> None:
    run_id = shared.queue("Trains under a lock", **ENDLESS)
    waiting = shared.queue("Waits under a lock")
    in_training(shared, run_id)
    log = shared.home / "worker.log"
    before = log.read_text().count("is locked by another process")
    with locked(shared.store):
        until(
            lambda: log.read_text().count("is locked by another process") > before,
            "the lock to be told in the log",
        )
    assert_stops_whole(shared, run_id)
    assert_whole(shared.store, shared.ended(waiting))


DAMAGED = (b"", b"{", b"null", b"[" * 100_000, b'{"event": "Point"}', b"\xff\xfe\x00", b"17")


def test_a_damaged_event_row_is_told_in_its_place(shared: Lab) -> None:
    run_id = shared.queue("Some of its events are damaged", epochs=20)
    until(lambda: shared.store.run(run_id).last_event > len(DAMAGED), "enough events")
    file = shared.home / "lab.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            "UPDATE events SET body = CAST(? AS TEXT) WHERE run_id = ? AND seq = ?",
            [(body, run_id, number) for number, body in enumerate(DAMAGED, 2)],
        )
    row = shared.ended(run_id)
    assert row.state == "finished"
    found = events_of(shared.store, run_id)
    for number in range(2, len(DAMAGED) + 2):
        words = f"Event {number} of this run is damaged in the store."
        assert found[number - 1] == Notice("damaged", words)
    assert not isinstance(found[0], Notice) and isinstance(found[-1], Finished)


# --- folders and files ------------------------------------------------------------------------


def test_a_run_folder_deleted_by_hand_while_it_trains_is_made_anew(shared: Lab) -> None:
    run_id = shared.queue("Its folder goes", **ENDLESS)
    in_training(shared, run_id)
    folder = shared.store.run_folder(run_id)
    until(folder.exists, "the first checkpoint")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.parent, ignore_errors=True)
    assert_stops_whole(shared, run_id)


def test_a_checkpoint_that_is_a_pickle_is_refused_and_not_loaded(shared: Lab) -> None:
    run_id = shared.queue("Its checkpoint is a trap", **ENDLESS)
    in_training(shared, run_id)
    folder = shared.store.run_folder(run_id)
    until((folder / "checkpoint.json").exists, "a checkpoint")
    shared.store.request_stop(run_id)
    assert shared.ended(run_id).state == "stopped"
    mark = as_trap(folder / "checkpoint.safetensors")
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert row.state == "failed" and "damaged or foreign" in row.message
    assert not mark.exists()


# --- stopping ---------------------------------------------------------------------------------


def test_a_run_stops_within_a_second_in_the_middle_of_a_long_epoch(
    shared: Lab, tmp_path: Path
) -> None:
    shared.dataset, small = small_dataset(tmp_path, 50_000), shared.dataset
    took = []
    try:
        for _ in range(3):
            run_id = shared.queue("One long epoch", epochs=1, batch_size=1)
            in_training(shared, run_id)
            asked = time.time()
            shared.store.request_stop(run_id)
            row = shared.ended(run_id)
            assert row.state == "stopped" and row.result is not None and row.result["stopped"]
            assert 0 < row.epoch <= 1 and open_run(row.folder)
            assert row.finished is not None
            took.append(row.finished - asked)
            if took[-1] < 1.0:
                break
    finally:
        shared.dataset = small
    assert min(took) < 1.0  # the others may have met a busy machine
