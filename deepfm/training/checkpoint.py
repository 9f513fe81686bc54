"""A training in progress to files that another process goes on from, and back.

checkpoint.safetensors   all of it: weights, Adam's moments, the epoch's figures so far; in its
                         header, as JSON, where the training is and what it is a training of
checkpoint.jsonl         the events so far, one a line; what is behind those is cut off later
checkpoint.json          where the training is, for people and pages: written last, removed first

Each is written aside and renamed, so that a process may die at any line: the checkpoint before
is whole until the new one is. (After a power cut the newest may be damaged, and is then refused.)
Reading runs no code: there is no pickle here, and what is none of ours is refused.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError
from torch import Tensor

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.errors import DeepFMError, RunError
from deepfm.events import Epoch, Event, from_json, to_json
from deepfm.model import DeepFM
from deepfm.training.running import RunningFigures
from deepfm.training.step import StepState
from deepfm.training.tensor_file import read_tensors, write_tensors

VERSION: Final = 1
"""The one layout of a checkpoint that this program reads."""
TENSORS: Final = "checkpoint.safetensors"
EVENTS: Final = "checkpoint.jsonl"
SUMMARY: Final = "checkpoint.json"
FILES: Final = (SUMMARY, TENSORS, EVENTS)
ASIDE: Final = ".writing"

CHECKPOINT_SECONDS: Final = 10.0
"""Time between two checkpoints."""
MOST_SHARE: Final = 0.02
"""Most of the time that checkpoints may take: those of very large models come less often."""

_DAMAGE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    RecursionError,
    SafetensorError,
    DeepFMError,
)
"""What readers raise over bytes that are not what the name promises."""


@dataclass(frozen=True)
class Subject:
    """What is trained, on what."""

    model: ModelConfig
    train: TrainConfig
    dataset_name: str
    dataset_fingerprint: str
    dataset_folder: str
    pinned: tuple[Mapping[str, str | None], ...] = ()


class Position(NamedTuple):
    """Between two steps: so many steps of the epoch under way (from 1) are done."""

    epoch: int
    step: int
    steps_per_epoch: int

    @property
    def epochs(self) -> float:
        """2.25 is a quarter into the third epoch."""
        return self.epoch - 1 + self.step / self.steps_per_epoch


@dataclass(frozen=True)
class Times:
    """Seconds of training so far, and what its Stopwatch has counted."""

    seconds: float
    rows: int
    batching: float
    stepping: float


@dataclass(frozen=True)
class Checkpoint:
    """One training, stopped between two steps.

    weights, best   the model's state dict, and that of the best epoch so far, if there is one
    figures         what RunningFigures keeps of the epoch under way
    events          all so far; of what comes after them nothing has happened
    """

    subject: Subject
    attempt: int
    position: Position
    times: Times
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor] | None
    adam: StepState
    figures: Mapping[str, Tensor]
    events: Sequence[Event]
    events_bytes: int = 0
    """Their length in the file, once they are there."""

    @property
    def epochs(self) -> list[Epoch]:
        """The ends of epochs so far."""
        return [event for event in self.events if isinstance(event, Epoch)]


class Keeper:
    """Writes one training's checkpoints when they are due; where that fails, says so once.

    tell   what tells a person something: kind and text
    """

    def __init__(self, folder: Path, tell: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._next = time.monotonic() + CHECKPOINT_SECONDS
        self._kept: Position | None = None
        self._events_kept = 0
        self._bytes_kept = 0

    def due(self) -> bool:
        """Whether the last checkpoint is old enough."""
        return time.monotonic() >= self._next

    def resumed(self, checkpoint: Checkpoint) -> None:
        """There is this one, and the events that belong to it are in their file."""
        self._kept = checkpoint.position
        self._events_kept = len(checkpoint.events)
        self._bytes_kept = checkpoint.events_bytes

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint in place of the one before, which stays where that fails."""
        began = time.monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            events_bytes = self._keep_events(checkpoint.events)
            _write_tensors(self._folder, checkpoint, events_bytes)
            # From here on these events belong to what is kept, whatever comes of the summary.
            self._kept = checkpoint.position
            self._events_kept, self._bytes_kept = len(checkpoint.events), events_bytes
            _write_summary(self._folder, checkpoint)
        except OSError as error:
            self._tell("checkpoint", self._failure(error))
        took = time.monotonic() - began
        self._next = time.monotonic() + max(CHECKPOINT_SECONDS, took / MOST_SHARE)

    def _keep_events(self, events: Sequence[Event]) -> int:
        """Add the events that are new to those that are kept; how many bytes they all are."""
        path = self._folder / EVENTS
        if not path.exists():
            self._events_kept = self._bytes_kept = 0
        lines = [_line(event) for event in events[self._events_kept :]]
        with path.open("r+b" if path.exists() else "wb") as file:
            file.truncate(self._bytes_kept)
            file.seek(self._bytes_kept)
            file.writelines(lines)
        return self._bytes_kept + sum(map(len, lines))

    def _failure(self, error: OSError) -> str:
        left = (
            "There is none yet: an interruption would lose what was learned."
            if self._kept is None
            else f"The one of epoch {self._kept.epochs:.2f} is kept."
        )
        return (
            f"A checkpoint could not be written ({error.strerror}); the training goes on. {left} "
            "Free some space on the disk: it is tried again and again."
        )


def _line(event: Event) -> bytes:
    return to_json(event).encode() + b"\n"


def _write_tensors(folder: Path, checkpoint: Checkpoint, events_bytes: int) -> None:
    adam = checkpoint.adam
    groups = {
        "weights": checkpoint.weights,
        "best": checkpoint.best or {},
        "mean": adam.mean,
        "square": adam.square,
        "figures": checkpoint.figures,
        "rows": {} if adam.last is None else {"last": adam.last},
    }
    note = {
        "version": VERSION,
        **_subject_to_json(checkpoint.subject),
        "attempt": checkpoint.attempt,
        "position": checkpoint.position,
        "times": dataclasses.asdict(checkpoint.times),
        "steps": adam.steps,
        "events_bytes": events_bytes,
    }
    tensors = {
        f"{group}.{name}": tensor
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    aside = folder / (TENSORS + ASIDE)
    try:
        write_tensors(aside, tensors, json.dumps(note))
        aside.replace(folder / TENSORS)
    except OSError:
        aside.unlink(missing_ok=True)  # What is half written only fills the disk.
        raise


def _write_summary(folder: Path, checkpoint: Checkpoint) -> None:
    position, subject = checkpoint.position, checkpoint.subject
    summary = {
        "version": VERSION,
        "epoch": position.epochs,
        "epochs": subject.train.epochs,
        "seconds": checkpoint.times.seconds,
        "attempt": checkpoint.attempt,
        "dataset": subject.dataset_name,
        "written": time.time(),
    }
    aside = folder / (SUMMARY + ASIDE)
    aside.write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    aside.replace(folder / SUMMARY)


def _subject_to_json(subject: Subject) -> dict[str, Any]:
    return {
        "model": subject.model.to_dict(),
        "train": subject.train.to_dict(),
        "dataset": {
            "name": subject.dataset_name,
            "fingerprint": subject.dataset_fingerprint,
            "folder": subject.dataset_folder,
        },
        "pinned": [dict(impression) for impression in subject.pinned],
    }


def has_checkpoint(folder: Path) -> bool:
    """Whether a training was interrupted or stopped here, and can be gone on with.

    A first checkpoint that was being written, with its last file missing, is none yet.
    """
    return all((folder / name).is_file() for name in FILES)


def drop_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, if there is one: what it is a checkpoint of is done."""
    for name in (*FILES, TENSORS + ASIDE, SUMMARY + ASIDE):
        (folder / name).unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a run folder; RunError where there is none, or it is not whole or ours."""
    if not has_checkpoint(folder):
        raise RunError(
            f"There is no checkpoint in {folder}. Give the folder of a training that was "
            "interrupted or stopped, or train again."
        )
    try:
        tensors, note = read_tensors(folder / TENSORS)
        values = json.loads(note)
        version = values["version"]
        if version == VERSION:
            return _checkpoint(values, tensors, _read_events(folder, values["events_bytes"]))
    except _DAMAGE as error:
        cause = str(error) or type(error).__name__
        raise RunError(
            f"The checkpoint in {folder} is damaged or foreign: {cause.rstrip('. ')}. Train again."
        ) from error
    raise RunError(
        f"The checkpoint in {folder} was written by another version of this program (layout "
        f"{version}; this one reads {VERSION}). Resume it with that version, or train again."
    )


def _read_events(folder: Path, length: int) -> tuple[Event, ...]:
    with (folder / EVENTS).open("rb") as file:
        text = file.read(length)
    if len(text) != length:
        raise ValueError(f"{EVENTS} ends too early")
    return tuple(from_json(line) for line in text.decode().splitlines())


def _checkpoint(
    values: dict[str, Any], tensors: Mapping[str, Tensor], events: tuple[Event, ...]
) -> Checkpoint:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, member = name.partition(".")
        groups.setdefault(group, {})[member] = tensor
    position = Position(*(int(number) for number in values["position"]))
    if position.epoch < 1 or not 0 <= position.step < position.steps_per_epoch:
        raise ValueError(f"its position is {position}")
    return Checkpoint(
        _subject_of_json(values),
        int(values["attempt"]),
        position,
        Times(**values["times"]),
        groups["weights"],
        groups.get("best"),
        StepState(
            int(values["steps"]),
            groups.get("mean", {}),
            groups.get("square", {}),
            groups.get("rows", {}).get("last"),
        ),
        groups["figures"],
        events,
        int(values["events_bytes"]),
    )


def _subject_of_json(values: dict[str, Any]) -> Subject:
    dataset = values["dataset"]
    return Subject(
        ModelConfig.from_dict(values["model"]),
        TrainConfig.from_dict(values["train"]),
        str(dataset["name"]),
        str(dataset["fingerprint"]),
        str(dataset["folder"]),
        tuple(dict(impression) for impression in values["pinned"]),
    )


def check_subject(
    subject: Subject, dataset: Dataset, model: ModelConfig | None, train: TrainConfig | None
) -> None:
    """RunError unless a checkpoint is one of this dataset and, where given, these settings."""
    if subject.dataset_fingerprint != dataset.fingerprint:
        raise RunError(
            f"This checkpoint belongs to another dataset ({subject.dataset_name!r}, "
            f"{subject.dataset_fingerprint[:12]}) than {dataset.name!r} "
            f"({dataset.fingerprint[:12]}). Resume it with its own dataset, or train again."
        )
    for theirs, ours in ((subject.model, model), (subject.train, train)):
        differing = [] if ours is None else _differing(theirs.to_dict(), ours.to_dict())
        if differing:
            raise RunError(
                f"This checkpoint was written with other settings: {', '.join(differing)}. "
                "Resume it with its own, or train again."
            )


def _differing(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {theirs[name]} there and {ours[name]} here"
        for name in theirs
        if theirs[name] != ours[name]
    ]


def check_fit(checkpoint: Checkpoint, model: DeepFM, steps_per_epoch: int) -> None:
    """RunError unless the tensors are those of the model, and the position one of this training."""
    position, adam, weights = checkpoint.position, checkpoint.adam, model.state_dict()
    groups = (checkpoint.weights, checkpoint.best, adam.mean or None, adam.square or None)
    if any(group is not None and _shapes(group) != _shapes(weights) for group in groups):
        raise _unfit("its weights are not those of its model")
    if adam.last is not None and not _are_rows(adam.last, sum(model.field_dims), adam.steps):
        raise _unfit("its rows have had other steps than its model")
    epochs = checkpoint.epochs
    if position.steps_per_epoch != steps_per_epoch or len(epochs) != position.epoch - 1:
        raise _unfit("its position is not one of this training")
    if any(epoch.best for epoch in epochs) != (checkpoint.best is not None):
        raise _unfit("its best weights are of no epoch")


def figures_of(checkpoint: Checkpoint) -> RunningFigures:
    """The figures of the epoch under way; RunError where they are damaged."""
    arrays = {name: tensor.numpy() for name, tensor in checkpoint.figures.items()}
    try:
        return RunningFigures.of_state(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise _unfit("the figures of its epoch are incomplete") from error


def _unfit(why: str) -> RunError:
    return RunError(f"The checkpoint is damaged: {why}. Train again.")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[object, ...]]:
    return {name: (tensor.dtype, *tensor.shape) for name, tensor in tensors.items()}


def _are_rows(last: Tensor, rows: int, steps: int) -> bool:
    right = last.shape == (rows,) and not last.is_floating_point()
    return right and bool(((last >= 0) & (last <= steps)).all())
