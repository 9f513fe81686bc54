"""Checkpoints as files: whole or refused in words, never run, and no reason to stop a training."""

import dataclasses
import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deepfm.config import ModelConfig, TrainConfig
from deepfm.errors import RunError
from deepfm.events import Event, Metrics, Point
from deepfm.model import DeepFM
from deepfm.training import checkpoint as checkpoints
from deepfm.training.checkpoint import (
    EVENTS,
    FILES,
    SUMMARY,
    TENSORS,
    Checkpoint,
    Keeper,
    Position,
    Subject,
    Times,
    check_fit,
    drop_checkpoint,
    figures_of,
    has_checkpoint,
    read_checkpoint,
)
from deepfm.training.running import RunningFigures
from deepfm.training.step import StepState
from deepfm.training.tensor_file import read_tensors, write_tensors

ROOT = Path(__file__).resolve().parents[2]
FIELD_DIMS = (5, 300)
MODEL = ModelConfig(num_factors=4, mlp_dims=(8,))


def figures() -> RunningFigures:
    running = RunningFigures()
    rng = np.random.default_rng(0)
    for _ in range(3):
        logits = torch.from_numpy(rng.normal(size=20).astype(np.float32))
        running.add(logits.square().sum(), logits, (logits > 0.3).float())
    return running


def point(epoch: float) -> Event:
    return Point(epoch, 1.5, 1000.0, Metrics(0.5, 0.75, None, 100), None, None, ((0.1, 0.2, 0.3),))


def checkpoint(step: int = 2, events: int = 3) -> Checkpoint:
    """One in the first epoch of a training; its numbers follow from `step`."""
    torch.manual_seed(step)
    weights = DeepFM(FIELD_DIMS, MODEL).state_dict()
    moments = [{name: torch.rand_like(weight) for name, weight in weights.items()} for _ in "ab"]
    last = torch.randint(0, step + 1, (sum(FIELD_DIMS),))
    return Checkpoint(
        Subject(MODEL, TrainConfig(seed=7), "clicks", "f" * 64, "/data", ({"site": None},)),
        attempt=2,
        position=Position(1, step, 10),
        times=Times(1.5, 60, 0.25, 0.5),
        weights=weights,
        best=None,
        adam=StepState(step, *moments, last),
        figures={name: torch.from_numpy(array) for name, array in figures().state().items()},
        events=[point(number / 10) for number in range(events)],
    )


def keeper(folder: Path, told: list[str] | None = None) -> Keeper:
    return Keeper(folder, lambda kind, text: (told if told is not None else []).append(text))


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]), name


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    for field in ("subject", "attempt", "position", "times"):
        assert getattr(one, field) == getattr(other, field)
    assert tuple(one.events) == tuple(other.events)
    for group in ("weights", "figures"):
        assert_same_tensors(getattr(one, group), getattr(other, group))
    assert one.adam.steps == other.adam.steps
    assert_same_tensors(one.adam.mean, other.adam.mean)
    assert_same_tensors(one.adam.square, other.adam.square)
    assert torch.equal(one.adam.last, other.adam.last)
    assert (one.best is None) == (other.best is None)


# --- the file of tensors ------------------------------------------------------------------


def test_tensors_of_every_layout_come_back(tmp_path):
    table = torch.arange(60.0).view(12, 5)
    tensors = {
        "odd": torch.tensor([True, False, True]),
        "columns": table[:, 1:3],
        "transposed": table.t(),
        "one": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.empty(0, 7),
        "counts": torch.arange(5),
    }
    write_tensors(tmp_path / "file", tensors, 'a "note" in ü')
    back, note = read_tensors(tmp_path / "file")
    assert note == 'a "note" in ü'
    assert_same_tensors(tensors, back)
    assert_same_tensors(tensors, load_file(tmp_path / "file"))


def test_any_byte_that_changed_is_noticed(tmp_path):
    path = tmp_path / "file"
    write_tensors(path, {"a": torch.arange(40.0), "b": torch.arange(9)}, "a note")
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            tensors, note = read_tensors(path)
        except Exception:
            continue
        # The names and the note are in the header, beside the checksum of what follows it.
        assert (set(tensors), note) != ({"a", "b"}, "a note"), place


# --- writing and reading ------------------------------------------------------------------


def test_a_checkpoint_comes_back(tmp_path):
    written = checkpoint()
    keeper(tmp_path / "new" / "run").keep(written)
    folder = tmp_path / "new" / "run"
    assert_same(read_checkpoint(folder), written)
    assert figures_of(read_checkpoint(folder)).metrics() == figures().metrics()
    summary = json.loads((folder / SUMMARY).read_text())
    assert (summary["epoch"], summary["attempt"], summary["dataset"]) == (0.2, 2, "clicks")
    assert sorted(path.name for path in folder.iterdir()) == sorted((TENSORS, EVENTS, SUMMARY))


def test_best_weights_come_back(tmp_path):
    written = checkpoint()
    written = dataclasses.replace(written, best=written.adam.mean)
    keeper(tmp_path).keep(written)
    assert_same_tensors(read_checkpoint(tmp_path).best, written.best)


def test_the_next_one_takes_the_place_of_the_one_before(tmp_path):
    keep = keeper(tmp_path)
    for step in (2, 5, 9):
        keep.keep(checkpoint(step, events=step))
        assert_same(read_checkpoint(tmp_path), checkpoint(step, events=step))


def test_events_are_appended_and_what_is_behind_them_is_cut_off(tmp_path):
    keep = keeper(tmp_path)
    keep.keep(checkpoint(2, events=2))
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"event": "half a li')  # a process that died while it wrote the next ones
    assert len(read_checkpoint(tmp_path).events) == 2
    keep.keep(checkpoint(5, events=4))
    assert len((tmp_path / EVENTS).read_text().splitlines()) == 4
    later = keeper(tmp_path)
    later.resumed(read_checkpoint(tmp_path))
    later.keep(checkpoint(9, events=6))
    assert_same(read_checkpoint(tmp_path), checkpoint(9, events=6))


def test_a_folder_that_was_deleted_is_made_again_with_all_events(tmp_path):
    folder = tmp_path / "run"
    keep = keeper(folder)
    keep.keep(checkpoint(2, events=2))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    keep.keep(checkpoint(5, events=4))
    assert_same(read_checkpoint(folder), checkpoint(5, events=4))


@pytest.mark.parametrize("missing", FILES)
def test_a_first_checkpoint_that_was_not_finished_is_none(tmp_path, missing):
    keeper(tmp_path).keep(checkpoint())
    (tmp_path / missing).unlink()
    assert not has_checkpoint(tmp_path)


def test_dropping_leaves_nothing(tmp_path):
    keeper(tmp_path).keep(checkpoint())
    (tmp_path / (TENSORS + ".writing")).write_bytes(b"half")
    assert has_checkpoint(tmp_path)
    drop_checkpoint(tmp_path)
    assert not has_checkpoint(tmp_path) and not list(tmp_path.iterdir())
    drop_checkpoint(tmp_path)


def test_large_models_are_checkpointed_less_often(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    write = checkpoints.write_tensors

    def slow(*arguments: object) -> None:
        write(*arguments)
        now[0] += 4.0

    monkeypatch.setattr(checkpoints, "write_tensors", slow)
    keep = keeper(tmp_path)
    assert not keep.due()
    now[0] += 10.0
    assert keep.due()
    keep.keep(checkpoint())
    now[0] += 199.0
    assert not keep.due(), "4 s are 2 % of 200 s"
    now[0] += 1.0
    assert keep.due()


# --- what is refused ----------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    keeper(tmp_path).keep(checkpoint())
    return tmp_path


@pytest.mark.parametrize("name", [TENSORS, EVENTS])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(name, share, kept):
    whole = (kept / name).read_bytes()
    (kept / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RunError, match=r"The checkpoint in .* is damaged or foreign: .*again\."):
        read_checkpoint(kept)


@pytest.mark.parametrize("name", [TENSORS, EVENTS])
def test_a_damaged_checkpoint_is_refused(name, kept):
    whole = bytearray((kept / name).read_bytes())
    for place in (8, len(whole) // 2, len(whole) - 1):
        whole[place] ^= 0xFF
    (kept / name).write_bytes(whole)
    with pytest.raises(RunError, match="is damaged or foreign"):
        read_checkpoint(kept)


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return (Path.touch, (self._mark,))


@pytest.mark.parametrize("name", [TENSORS, EVENTS, SUMMARY])
@pytest.mark.parametrize("make", [pickle.dumps, None], ids=["pickle", "torch"])
def test_a_pickle_is_never_run(name, make, kept):
    trap, mark = Trap(kept / "mark"), kept / "mark"
    if make is None:
        torch.save(trap, kept / name)
    else:
        (kept / name).write_bytes(make(trap))
    if name == SUMMARY:
        assert_same(read_checkpoint(kept), checkpoint())  # it is for people; nothing is read of it
    else:
        with pytest.raises(RunError, match="is damaged or foreign"):
            read_checkpoint(kept)
    assert not mark.exists()


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"There is no checkpoint in .* or train again"):
        read_checkpoint(tmp_path)


def test_another_safetensors_file_is_refused(kept):
    save_file({"weights.a": torch.zeros(3)}, kept / TENSORS)
    with pytest.raises(RunError, match="is damaged or foreign: its checksum is wrong"):
        read_checkpoint(kept)


def changed(folder: Path, **values: object) -> None:
    """The checkpoint with other values in its note, otherwise whole."""
    tensors, note = read_tensors(folder / TENSORS)
    write_tensors(folder / TENSORS, tensors, json.dumps({**json.loads(note), **values}))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_checkpoint_of_another_version_is_refused(version, kept):
    changed(kept, version=version)
    with pytest.raises(RunError, match=r"written by another version of this program .*this one re"):
        read_checkpoint(kept)


@pytest.mark.parametrize(
    "values",
    [
        {"position": [0, 2, 10]},
        {"position": [1, 10, 10]},
        {"position": [1, -1, 10]},
        {"position": "nowhere"},
        {"times": {"seconds": 1.0}},
        {"events_bytes": 10**9},
        {"model": {"num_factors": 4, "colour": "red"}},
        {"train": {"epochs": -3}},
        {"dataset": None},
        {"steps": "many"},
    ],
)
def test_values_that_make_no_sense_are_refused(values, kept):
    changed(kept, **values)
    with pytest.raises(RunError, match="is damaged or foreign"):
        read_checkpoint(kept)


def replaced(group: str, **changes: object) -> Checkpoint:
    whole = checkpoint()
    return dataclasses.replace(whole, **{group: {**getattr(whole, group), **changes}})


def with_adam(**changes: object) -> Checkpoint:
    whole = checkpoint()
    return dataclasses.replace(whole, adam=dataclasses.replace(whole.adam, **changes))


@pytest.mark.parametrize(
    "unfit",
    [
        replaced("weights", **{"factors.weight": torch.zeros(3, 4)}),
        replaced("weights", more=torch.zeros(3)),
        with_adam(mean={"factors.weight": torch.zeros(305, 4)}),
        with_adam(last=torch.zeros(304, dtype=torch.int64)),
        with_adam(last=torch.full((305,), 3)),
        with_adam(last=torch.full((305,), -1)),
        with_adam(last=torch.zeros(305)),
        dataclasses.replace(checkpoint(), position=Position(1, 2, 11)),
        dataclasses.replace(checkpoint(), position=Position(2, 2, 10)),
        dataclasses.replace(checkpoint(), best=checkpoint().weights),
    ],
)
def test_tensors_of_another_model_are_refused(unfit):
    model = DeepFM(FIELD_DIMS, MODEL)
    check_fit(checkpoint(), model, 10)
    with pytest.raises(RunError, match=r"The checkpoint is damaged: its .*\. Train again\."):
        check_fit(unfit, model, 10)


@pytest.mark.parametrize("name", ["figures", "logits", "clicked"])
def test_figures_that_are_incomplete_are_refused(name):
    whole = checkpoint()
    lacking = {key: value for key, value in whole.figures.items() if key != name}
    with pytest.raises(RunError, match="the figures of its epoch are incomplete"):
        figures_of(dataclasses.replace(whole, figures=lacking))


# --- a disk without space -----------------------------------------------------------------


@pytest.mark.parametrize("failing", ["write_tensors", "_write_summary", "_line"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(failing, tmp_path, monkeypatch):
    told: list[str] = []
    keep = keeper(tmp_path, told)
    keep.keep(checkpoint(2, events=2))

    def full(*arguments: object) -> None:
        if failing == "write_tensors":
            (tmp_path / (TENSORS + ".writing")).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, failing, full)
        keep.keep(checkpoint(5, events=4))
    assert "No space left on device" in told[0] and "the training goes on" in told[0]
    kept_epoch = "0.50" if failing == "_write_summary" else "0.20"
    assert f"The one of epoch {kept_epoch} is kept" in told[0]
    assert not (tmp_path / (TENSORS + ".writing")).exists()
    read = read_checkpoint(tmp_path)
    assert read.position.step == (5 if failing == "_write_summary" else 2)
    keep.keep(checkpoint(9, events=6))
    assert_same(read_checkpoint(tmp_path), checkpoint(9, events=6))


def test_events_of_what_is_kept_are_not_cut_off_by_a_later_failure(tmp_path, monkeypatch):
    keep = keeper(tmp_path)
    keep.keep(checkpoint(2, events=2))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_write_summary", full)
        keep.keep(checkpoint(5, events=4))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_tensors", full)
        patch.setattr(checkpoints, "_line", lambda event: b"")  # nothing more fits on the disk
        keep.keep(checkpoint(9, events=6))
    assert_same(read_checkpoint(tmp_path), checkpoint(5, events=4))


def test_the_first_one_that_cannot_be_written_says_there_is_none(tmp_path, monkeypatch):
    told: list[str] = []

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    keeper(tmp_path, told).keep(checkpoint())
    assert "There is none yet" in told[0]
    assert not has_checkpoint(tmp_path)


TRAIN_WITH_LITTLE_SPACE = """
import resource, sys
from pathlib import Path
from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import open_dataset
from deepfm.events import Notice, to_json
from deepfm.training import checkpoint
from deepfm.training.loop import train
import torch
torch.set_num_threads(1)
checkpoint.CHECKPOINT_SECONDS, checkpoint.MOST_SHARE = 0.0, 1e9
steps, read = 0, []
def should_stop():
    global steps
    steps += 1
    if steps == 5:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    if steps == 9:
        read.append(checkpoint.read_checkpoint(Path(sys.argv[2])).adam.steps)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    if steps == 12:
        read.append(checkpoint.read_checkpoint(Path(sys.argv[2])).adam.steps)
    return False
notices = []
train(
    open_dataset(Path(sys.argv[1])),
    ModelConfig(num_factors=4, mlp_dims=(8,)),
    TrainConfig(epochs=2, batch_size=64),
    out=sys.argv[2],
    should_stop=should_stop,
    on_event=lambda event: notices.append(event) if isinstance(event, Notice) else None,
)
print(read, [notice.text for notice in notices if notice.kind == "checkpoint"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX stands in for a full disk")
def test_a_training_goes_on_while_there_is_no_space_and_says_so_once(tmp_path):
    from deepfm.data.dataset import prepare
    from tests.unit.test_resume import write_clicks

    prepare(write_clicks(tmp_path / "clicks.tsv", 1_000, 0), out=tmp_path / "dataset")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_WITH_LITTLE_SPACE, tmp_path / "dataset", tmp_path / "run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    read, words = done.stdout.strip().split("] [", 1)
    assert read == "[4, 11", "the one before stays whole; once there is space, there are new ones"
    assert words.count("could not be written (File too large); the training goes on") == 1
    assert (tmp_path / "run" / "result.json").exists()
