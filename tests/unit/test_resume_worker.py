"""Runs that a real worker resumes after it, or the child that trained them, was killed."""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lab import Lab, lab, small_dataset, until
from deepfm.charts.history import history_of
from deepfm.data.dataset import Dataset
from deepfm.events import Epoch, Event, Failed, Finished, Notice, Resumed
from deepfm.runs.store import RunRow
from deepfm.trained.run_folder import RunFolder
from deepfm.training.checkpoint import SUMMARY, TENSORS

PLAN = {"epochs": 4, "batch_size": 64, "seed": 5}
STEPS_PER_EPOCH = 75  # 4,800 training rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("home")
    with lab(home, dataset, "tests.unit.resume_kinds:train") as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(shared: Lab) -> RunRow:
    return shared.ended(shared.queue("Undisturbed", **PLAN))


def with_checkpoint(lab: Lab, run_id: str, steps: int) -> int:
    """Wait until a run waits after so many steps of all; the process that trains it.

    Its newest checkpoint is of the step before: the one after it is written once it has waited.
    """
    file = lab.store.run_folder(run_id) / SUMMARY

    def there() -> bool:
        if not file.exists():
            return False
        return round(json.loads(file.read_text())["epoch"] * STEPS_PER_EPOCH) == steps - 1

    until(there, f"the checkpoint of step {steps - 1}")
    child = lab.busy_child()
    assert child is not None and lab.store.run(run_id).state == "training"
    return child


def events_of(lab: Lab, run_id: str) -> list[Event]:
    found = lab.store.events(run_id)
    assert [cursor for cursor, _ in found] == list(range(1, len(found) + 1))
    return [event for _, event in found]


def curve(row: RunRow) -> list[tuple]:
    """What must be the same to the last digit: all but times."""
    return [
        (e.epoch, e.train, e.validation, e.best, e.moments)
        for e in RunFolder(row.folder).events()
        if isinstance(e, Epoch)
    ]


def assert_as_undisturbed(row: RunRow, undisturbed: RunRow) -> None:
    assert (row.state, row.message) == ("finished", "")
    assert curve(row) == curve(undisturbed)
    ours, theirs = (RunFolder(each.folder).tensors() for each in (row, undisturbed))
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor, err_msg=name)
    assert not list(row.folder.glob("checkpoint*"))
    assert row.auc == undisturbed.auc


def assert_told(lab: Lab, row: RunRow, attempts: list[int]) -> None:
    """The store tells of each attempt, and its history is the whole run's."""
    events = events_of(lab, row.id)
    resumed = [event for event in events if isinstance(event, Resumed)]
    assert [event.attempt for event in resumed] == attempts
    history = history_of(events)
    assert history.position == PLAN["epochs"] and history.finished == events[-1]
    assert history.failed is None
    ends = [epoch.epoch for epoch in history.epochs]
    assert ends == sorted(set(ends))


def test_a_run_whose_child_is_killed_goes_on_as_if_it_had_not_been(
    shared: Lab, undisturbed: RunRow
) -> None:
    run_id = shared.queue("Killed, waits after 40, 100 steps", **PLAN)
    for steps, number in ((40, signal.SIGKILL), (139, signal.SIGSEGV)):
        os.kill(with_checkpoint(shared, run_id, steps), number)
        row = shared.ended(run_id)
        assert row.state == "interrupted" and "signal" in row.message
        shared.store.resume_run(run_id)
        assert shared.store.run(run_id).state in ("queued", "training")
    row = shared.ended(run_id)
    assert_as_undisturbed(row, undisturbed)
    assert_told(shared, row, [2, 3])


def test_a_run_whose_worker_is_killed_goes_on_as_if_it_had_not_been(
    shared: Lab, undisturbed: RunRow
) -> None:
    run_id = shared.queue("Orphaned, waits after 90 steps", **PLAN)
    with_checkpoint(shared, run_id, 90)
    shared.worker.kill()
    shared.worker.wait()
    shared.revive()
    row = shared.ended(run_id)
    assert row.state == "interrupted"
    assert row.message == "The worker stopped while this run was training. Resume it."
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert_as_undisturbed(row, undisturbed)
    assert_told(shared, row, [2])


def test_a_run_whose_worker_leaves_in_order_keeps_what_it_has_and_goes_on(
    shared: Lab, undisturbed: RunRow
) -> None:
    run_id = shared.queue("Left, waits after 90 steps", **PLAN)
    with_checkpoint(shared, run_id, 90)
    shared.worker.terminate()
    shared.worker.wait()
    row = shared.store.run(run_id)
    assert row.state == "interrupted" and row.message.endswith("Resume it.")
    shared.revive()
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert_as_undisturbed(row, undisturbed)
    assert_told(shared, row, [2])


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    shared: Lab, undisturbed: RunRow
) -> None:
    run_id = shared.queue("Stopped, waits after 90 steps", **PLAN)
    with_checkpoint(shared, run_id, 90)
    shared.store.request_stop(run_id)
    row = shared.ended(run_id)
    assert row.state == "stopped" and row.result is not None and row.result["stopped"]
    assert json.loads((row.folder / SUMMARY).read_text())["epoch"] <= row.result["epochs"]
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert_as_undisturbed(row, undisturbed)
    assert_told(shared, row, [2])


def test_a_run_whose_checkpoint_was_taken_away_begins_again_and_says_so(
    shared: Lab, undisturbed: RunRow
) -> None:
    run_id = shared.queue("Robbed, waits after 90 steps", **PLAN)
    os.kill(with_checkpoint(shared, run_id, 90), signal.SIGKILL)
    row = shared.ended(run_id)
    (row.folder / TENSORS).unlink()
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert_as_undisturbed(row, undisturbed)
    events = events_of(shared, run_id)
    at = events.index(Resumed(2, 0.0, 0.0))
    assert isinstance(events[at + 1], Notice) and "begun again" in events[at + 1].text
    assert len(history_of(events).epochs) == PLAN["epochs"]


@pytest.mark.parametrize("damage", ["pickle", "truncated", "settings"])
def test_a_checkpoint_that_cannot_be_used_fails_the_run_in_words(shared: Lab, damage: str) -> None:
    run_id = shared.queue("Damaged, waits after 90 steps", **PLAN)
    os.kill(with_checkpoint(shared, run_id, 90), signal.SIGKILL)
    row = shared.ended(run_id)
    file = row.folder / TENSORS
    if damage == "settings":
        change_settings(shared.home / "lab.sqlite", run_id)
        words = "seed is 5 there and 6 here"
    else:
        whole = file.read_bytes()
        file.write_bytes(b"\x80\x04K\x01." if damage == "pickle" else whole[: len(whole) // 2])
        words = "is damaged or foreign"
    shared.store.resume_run(run_id)
    row = shared.ended(run_id)
    assert row.state == "failed" and words in row.message and "rain again" in row.message
    assert events_of(shared, run_id)[-1] == Failed(row.message)
    assert isinstance(events_of(shared, shared.ended(shared.queue(epochs=1)).id)[-1], Finished)


def change_settings(path: Path, run_id: str) -> None:
    """As if somebody had changed the run in the store: its seed."""
    connection = sqlite3.connect(path)
    (train,) = connection.execute("SELECT train FROM runs WHERE id = ?", (run_id,)).fetchone()
    changed = json.dumps({**json.loads(train), "seed": 6})
    with connection:
        connection.execute("UPDATE runs SET train = ? WHERE id = ?", (changed, run_id))
    connection.close()
