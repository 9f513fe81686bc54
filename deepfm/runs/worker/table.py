"""Kinds of work to the functions that do them, by name, so that naming them imports nothing."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deepfm.config import Settings
from deepfm.errors import StoreError
from deepfm.events import Event

LaneName = Literal["training", "short"]

TRAIN: Final = "train"
"""The kind of work that a run is; every other kind is a job's."""

ADVANCE: Final = "advance"
"""The kind of job that the worker gives itself: to find what an open sweep tries next."""

BEYOND: Final = "beyond"
"""The kind of job that works out what a run's network adds beyond pairs."""


@dataclass(frozen=True)
class Context:
    """What a work function is given beside what it works on.

    report     called with each event, from any thread
    stopping   whether it should stop: cheap, ask it often
    gpu        the number of the GPU that a training has to itself, where there are several
    """

    home: Path
    settings: Settings
    report: Callable[[Event], None]
    stopping: Callable[[], bool]
    gpu: int = 0


@dataclass(frozen=True)
class WorkTable:
    """Which function does what, as "module:function".

    functions   by kind: f(payload or RunRow, Context) -> the result as JSON
    quick       kinds that take seconds, for which one child is always free
    warm_ups    by lane: f(Settings) -> None, what a spare child does before it waits for work
    """

    functions: Mapping[str, str]
    quick: frozenset[str]
    warm_ups: Mapping[LaneName, str]


WORK: Final = WorkTable(
    functions={
        TRAIN: "deepfm.runs.worker.jobs:train",
        "inspect": "deepfm.runs.worker.jobs:inspect",
        "prepare": "deepfm.runs.worker.jobs:prepare",
        "demo": "deepfm.runs.worker.jobs:demo",
        "fetch_d2l": "deepfm.runs.worker.jobs:fetch_d2l",
        "profile": "deepfm.runs.worker.jobs:profile",
        "baselines": "deepfm.runs.worker.jobs:baselines",
        "sweep": "deepfm.runs.worker.jobs:sweep",
        ADVANCE: "deepfm.runs.worker.jobs:advance",
        "training_means": "deepfm.runs.worker.measuring:training_means",
        BEYOND: "deepfm.runs.worker.measuring:beyond",
    },
    quick=frozenset({"inspect", "demo", "profile", ADVANCE}),
    warm_ups={
        "training": "deepfm.runs.worker.jobs:warm_training",
        "short": "deepfm.runs.worker.jobs:warm_short",
    },
)


def load(table: WorkTable, kind: str) -> Callable[[Any, Context], Mapping[str, Any]]:
    """The function that does a kind of work; StoreError for a kind that is not in the table."""
    if kind not in table.functions:
        raise StoreError(
            f"This worker does not know jobs of the kind {kind!r}. Restart it after an update."
        )
    function: Callable[[Any, Context], Mapping[str, Any]] = load_name(table.functions[kind])
    return function


def load_name(name: str) -> Any:
    """What "module:function" names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
