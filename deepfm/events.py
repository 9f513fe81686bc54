"""What a run or a job reports while it lives, and its form as JSON in the store and on disk."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final

from deepfm.errors import DataError


@dataclass(frozen=True)
class Metrics:
    """Figures of one set of rows; auc is None where the rows have one class only."""

    loss: float
    accuracy: float
    auc: float | None
    rows: int


@dataclass(frozen=True)
class BranchAucs:
    """AUC of each branch alone, scored as base + (branch − its mean).

    fm     of linear + pairwise, as far as the model has them
    deep   of the network
    None where the model has no such branch, or the rows have one class only.
    """

    fm: float | None
    deep: float | None


@dataclass(frozen=True)
class TermMoments:
    """Means and covariances of (linear, pairwise, deep) over the reference population.

    mean         3 numbers
    covariance   3 rows of 3; its sum is the variance of the logit
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is. total is None where it cannot be known.

    number   which of the work's stages this is, from 1; 0 where it is not known
    stages   how many there will be
    """

    stage: str
    done: float
    total: float | None
    unit: str
    detail: str = ""
    number: int = 0
    stages: int = 0

    @property
    def share(self) -> float:
        """How far the whole work is, 0 to 1, each stage counting the same; it only grows."""
        of_stage = min(1.0, max(0.0, self.done / self.total)) if self.total else 0.0
        return (self.number - 1 + of_stage) / self.stages if self.number else of_stage


@dataclass(frozen=True)
class Started:
    """The first event of a run: what is about to be trained, and where."""

    model: str
    train_rows: int
    validation_rows: int
    test_rows: int
    steps_per_epoch: int
    epochs: int
    parameters: int
    device: str
    step: str
    """Which implementation of the optimisation step is used, and why."""
    best_possible_auc: float | None = None
    """AUC of the true probabilities on the validation (else test) rows, where they are known."""


@dataclass(frozen=True)
class Point:
    """Within an epoch, at most 20 a second. Train figures cover the rows since the last point."""

    epoch: float
    """Position: 2.25 is a quarter into the third epoch."""
    seconds: float
    """Since the run started to train."""
    examples_per_second: float
    train: Metrics
    validation: Metrics | None
    """On a fixed sample of the validation rows, in evaluation mode; None where not taken."""
    moments: TermMoments | None
    pinned: tuple[tuple[float, float, float], ...]
    """linear, pairwise, deep of each pinned impression, raw (subtract moments.mean to show)."""
    branches: BranchAucs | None = None
    """On the same rows as `validation`; None where not taken, and in runs before it was."""


@dataclass(frozen=True)
class Epoch:
    """At the end of an epoch. epoch counts from 1."""

    epoch: int
    seconds: float
    examples_per_second: float
    """Rows used in steps over the wall time of the training part."""
    step_examples_per_second: float
    """The same for the optimisation step alone: the figure that compares with the deck."""
    train: Metrics
    """Running mean over the epoch, in training mode."""
    validation: Metrics | None
    test: Metrics | None
    best: bool
    """Whether this is the best epoch so far, by the monitored metric on validation."""
    moments: TermMoments | None
    pinned: tuple[tuple[float, float, float], ...]
    branches: BranchAucs | None = None
    """On the validation rows, else the test rows; None where not taken."""


@dataclass(frozen=True)
class Resumed:
    """A run goes on from its last checkpoint.

    What an earlier attempt reported after this position is superseded.
    """

    attempt: int
    """2 for the first time that a run is resumed."""
    epoch: float
    """Position of the checkpoint: 2.25 is a quarter into the third epoch."""
    seconds: float
    """Of training before it."""


@dataclass(frozen=True)
class Notice:
    """Something a person should be told in words, once: memorising, an idle branch, a fallback."""

    kind: str
    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of a run that was trained.

    The figures are of `part`; None where only training rows are left to look at, and auc also
    where the part has one class.
    """

    epochs: int
    best_epoch: int
    seconds: float
    examples_per_second: float
    step_examples_per_second: float
    part: str
    rows: int
    auc: float | None
    log_loss: float | None
    log_loss_calibrated: float | None
    accuracy: float | None
    base_rate: float | None
    stopped: bool = False
    """True when a person stopped it before its last epoch."""


@dataclass(frozen=True)
class Failed:
    """The last event of a run or job that could not go on: the cause, and what to do."""

    message: str


Event = Progress | Started | Point | Epoch | Resumed | Notice | Finished | Failed

_KINDS: Final = {
    kind.__name__: kind
    for kind in (Progress, Started, Point, Epoch, Resumed, Notice, Finished, Failed)
}
_NESTED: Final = {
    "train": Metrics,
    "validation": Metrics,
    "test": Metrics,
    "moments": TermMoments,
    "branches": BranchAucs,
}


def to_json(event: Event) -> str:
    """One line of JSON: the event's fields, and its type as "event"."""
    return json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)})


def from_json(text: str) -> Event:
    """The event that `to_json` wrote; DataError for anything else."""
    try:
        values = json.loads(text)
        return _KINDS[values.pop("event")](**{k: _restore(k, v) for k, v in values.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"This is not an event of a run: {text[:80]!r}") from error


def _restore(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name in _NESTED:
        return _NESTED[name](**{k: _restore(k, v) for k, v in value.items()})
    if isinstance(value, list):
        return tuple(_restore("", item) for item in value)
    return value
