"""Rows of the run store as typed, frozen dataclasses, and the ids that name them."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from deepfm.config import ALL_GPUS
from deepfm.errors import StoreError
from deepfm.events import Progress

RunState = Literal["queued", "training", "finished", "stopped", "failed", "interrupted"]
JobState = Literal["queued", "working", "finished", "stopped", "failed"]

RUN_ENDS: Final[tuple[RunState, ...]] = ("finished", "stopped", "failed", "interrupted")
JOB_ENDS: Final[tuple[JobState, ...]] = ("finished", "stopped", "failed")


@dataclass(frozen=True)
class NewRun:
    """A run as the app asks for it.

    model, train   ModelConfig and TrainConfig as JSON
    pinned         impressions whose terms ride on every event, {field: value} each
    fingerprint    of the dataset
    """

    name: str
    dataset_folder: Path
    dataset_name: str
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    pinned: Sequence[Mapping[str, str | None]] = ()
    owner: str = ""
    fingerprint: str = ""

    @property
    def config_key(self) -> str:
        """The same for runs that would be the same: of dataset, model and training settings."""
        dataset = self.fingerprint or str(self.dataset_folder)
        text = json.dumps([dataset, dict(self.model), dict(self.train)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class RunRow:
    """One run. Times are seconds since 1970; a time that has not come is None.

    wanted       what the person wants: "train" or "stop"
    state        what is: queued, training, finished, stopped, failed or interrupted
    folder       where its weights and scores are once trained: home/runs/id
    message      why it failed, was stopped or interrupted, in words
    result       the fields of events.Finished, once there are any
    epoch, auc   position and latest validation (else test) AUC; of the part shown once finished
    last_event   cursor of its newest event, 0 before the first
    notes, tags  what a person wrote about it
    attempt      how often it was begun: 2 once it was resumed
    versions     package versions, device and machine that trained it, once known
    seconds      of training, and examples_per_second in it, once it has ended
    curve        its AUC by epoch, thinned to 40 numbers at most
    imported     the id it had where it was trained, if it was brought here from elsewhere
    owner_name   what the person who started it is called; "" where that is not known
    stopped_by   who asked it to stop, as far as known, and stopped_by_name what they are called
    damaged      columns of its row in the store that cannot be read; they are as if empty
    """

    id: str
    name: str
    state: RunState
    wanted: Literal["train", "stop"]
    group: str | None
    group_name: str
    dataset_name: str
    dataset_folder: Path
    fingerprint: str
    config_key: str
    model: dict[str, Any]
    train: dict[str, Any]
    pinned: tuple[dict[str, str | None], ...]
    owner: str
    created: float
    started: float | None
    finished: float | None
    folder: Path
    message: str
    result: dict[str, Any] | None
    epoch: float
    auc: float | None
    last_event: int
    worker: str
    notes: str = ""
    tags: tuple[str, ...] = ()
    attempt: int = 1
    versions: dict[str, Any] | None = None
    seconds: float | None = None
    examples_per_second: float | None = None
    curve: tuple[float, ...] = ()
    imported: str = ""
    owner_name: str = ""
    stopped_by: str = ""
    stopped_by_name: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def trainable(self) -> bool:
        """Whether it is known what was asked for."""
        return not {"model", "train"} & set(self.damaged)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in RUN_ENDS

    @property
    def author(self) -> str:
        """What the person who had it trained is called, here or where it came from; "" unknown."""
        if not self.imported:
            return self.owner_name
        return str((self.versions or {}).get("started_by") or "")

    @property
    def alone(self) -> bool:
        """Whether it trains on all GPUs, and so while no other does."""
        return trains_alone(self.train)


def trains_alone(train: Mapping[str, Any]) -> bool:
    """Whether a run of these training settings has every GPU of the machine to itself."""
    return bool(train.get("device") == ALL_GPUS)


@dataclass(frozen=True)
class Submitted:
    """What became of a run that was asked for: its id, and whether it was there already."""

    run: str
    joined: bool


@dataclass(frozen=True)
class SubmittedGroup:
    """What became of a group that was asked for; runs are its ids, in the order asked for."""

    group: str
    runs: tuple[str, ...]
    joined: bool


@dataclass(frozen=True)
class JobRow:
    """One piece of short work. Times are seconds since 1970.

    payload    what it works on, as JSON
    progress   the newest that it reported, None before the first
    result     what it found, as JSON, once finished
    error      why it failed, in words
    attempts   how often a worker has begun it
    """

    id: str
    kind: str
    payload: dict[str, Any]
    state: JobState
    wanted: Literal["work", "stop"]
    progress: Progress | None
    result: dict[str, Any] | None
    error: str
    owner: str
    created: float
    started: float | None
    finished: float | None
    attempts: int
    worker: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in JOB_ENDS


@dataclass(frozen=True)
class GroupRow:
    """Runs that were queued as one, such as “Compare all five”, in the order of queueing.

    kind   "compare" for models beside each other, "sweep" for settings
    spec   what a sweep was asked for, as JSON
    """

    id: str
    name: str
    owner: str
    created: float
    runs: tuple[str, ...]
    kind: str = "compare"
    spec: dict[str, Any] = field(default_factory=dict)


_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID: Final = re.compile(f"[{_DIGITS}]{{13}}")


@dataclass
class _Clock:
    """Milliseconds that never repeat within this process, so that ids sort as they were made."""

    last: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> int:
        with self.guard:
            self.last = max(self.last + 1, time.time_ns() // 1_000_000)
            return self.last


_clock: Final = _Clock()


def new_id() -> str:
    """13 characters of [0-9a-z]: 9 of time, so that ids sort by age, and 4 by chance."""
    time_part = _base32(_clock.tick(), 9)
    return time_part + _base32(secrets.randbelow(32**4), 4)


def _base32(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (length - 1), -1, -5))


def check_id(text: str) -> str:
    """The id itself if it has the form of one; StoreError for anything else, such as a path."""
    if not _ID.fullmatch(text):
        raise StoreError(
            f"{text[:80]!r} is not the id of a run or job; an id has 13 letters and digits."
        )
    return text
