"""Several GPUs, one run on each or one on all: how they are counted, and which run gets which."""

from pathlib import Path

import pytest

from deepfm.runs.store import Store
from deepfm.runs.worker.gpus import gpu_count, gpu_of, training_slots
from tests.unit.test_worker import eventually, pytestmark, queue, run_ended, trains, working

__all__ = ["pytestmark"]


@pytest.fixture
def two_gpus(tmp_path: Path) -> str:
    """A driver's tool that lists two GPUs, one of them in two parts."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"\n'
        'echo "  MIG 1g.10gb Device 0: (UUID: MIG-1)"\n'
        'echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2)"\n'
    )
    tool.chmod(0o755)
    return str(tool)


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 2), ("0,1", 2), ("1", 1), ("GPU-2", 1), ("", 0), ("-1", 0), ("0,1,2,3", 2)],
)
def test_gpus_that_are_there_and_not_hidden_are_counted(two_gpus, visible, count):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_count(environment, two_gpus) == count


def test_without_a_driver_there_is_no_gpu(tmp_path):
    assert gpu_count({}, str(tmp_path / "missing")) == 0


def test_a_driver_that_answers_with_an_error_counts_as_no_gpu(tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Failed to initialize NVML' >&2\nexit 9\n")
    tool.chmod(0o755)
    assert gpu_count({}, str(tool)) == 0


def test_there_is_a_slot_for_each_gpu_and_one_without_any():
    assert training_slots(0) == training_slots(1) == ("training-0",)
    assert [gpu_of(slot) for slot in training_slots(3)] == [0, 1, 2]


def test_with_two_gpus_two_runs_train_at_once_each_on_its_own(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with working(home, gpus=2), Store.open(home) as store:
        marks = [tmp_path / f"mark-{number}" for number in range(3)]
        runs = [queue(store, endless=True, mark=str(mark)) for mark in marks]
        eventually(lambda: trains(store, runs[0]) and trains(store, runs[1]), 30.0)
        assert store.run(runs[2]).state == "queued"
        assert [mark.read_text() for mark in marks[:2]] == ["0", "1"]
        store.request_stop(runs[1])
        eventually(lambda: trains(store, runs[2]), 30.0)
        assert marks[2].read_text() == "1"
        for run in (runs[0], runs[2]):
            store.request_stop(run)
            assert run_ended(store, run).state == "stopped"


def test_a_run_on_all_gpus_trains_alone_after_those_before_it_and_before_those_after(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with working(home, gpus=2), Store.open(home) as store:
        before = queue(store, endless=True)
        eventually(lambda: trains(store, before), 30.0)
        mark = tmp_path / "mark"
        settings = {"device": "cuda:all"}
        model = {"endless": True, "mark": str(mark)}
        everywhere = store.queue_run("all", "/nowhere", "a dataset", model, settings)
        after = [queue(store), queue(store)]
        store.request_stop(before)
        eventually(lambda: trains(store, everywhere), 30.0)
        assert mark.read_text() == "0"
        assert {store.run(run).state for run in after} == {"queued"}
        store.request_stop(everywhere)
        ended = [run_ended(store, run) for run in (before, everywhere, *after)]
    assert [run.state for run in ended] == ["stopped", "stopped", "finished", "finished"]
    ends = [run.finished or 0.0 for run in ended]
    begins = [run.started or 0.0 for run in ended]
    assert ends[0] <= begins[1] and ends[1] <= min(begins[2:])
