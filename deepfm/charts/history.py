"""A run's events, as they come, to the history its charts draw: short, and never moving."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from deepfm.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Metrics,
    Notice,
    Point,
    Progress,
    Started,
)

KEPT: Final = 400
"""Most observations kept of one curve: about one for each two pixels of a wide chart."""

Metric = Literal["loss", "accuracy", "auc"]
Part = Literal["train", "validation", "test"]
METRICS: Final[tuple[Metric, ...]] = ("loss", "accuracy", "auc")

_Observation = TypeVar("_Observation", Point, Epoch)


class Thinned(Generic[_Observation]):
    """The first observation in each stretch of a curve, and the newest of all.

    Stretches double in length whenever more than `kept` are filled, two old ones making one new:
    observations may go as a curve grows, but those that stay stay where they are.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._most = kept
        self._length = 2.0**-20
        self._firsts: list[_Observation] = []
        self._newest: _Observation | None = None

    def add(self, observation: _Observation) -> None:
        """One more observation; what was at or after its position is superseded (a resumed run)."""
        while self._firsts and self._firsts[-1].epoch >= observation.epoch:
            self._firsts.pop()
        self._newest = observation
        if not self._firsts or self._stretch(observation) > self._stretch(self._firsts[-1]):
            self._firsts.append(observation)
        while len(self._firsts) > self._most:
            self._length *= 2
            self._firsts = self._one_a_stretch()

    def kept(self) -> tuple[_Observation, ...]:
        """What is left, in order; the newest is always the last."""
        kept = list(self._firsts)
        if self._newest is not None and kept[-1] is not self._newest:
            kept.append(self._newest)
        return tuple(kept)

    def _stretch(self, observation: _Observation) -> int:
        return math.floor(observation.epoch / self._length)

    def _one_a_stretch(self) -> list[_Observation]:
        firsts: dict[int, _Observation] = {}
        for observation in self._firsts:
            firsts.setdefault(self._stretch(observation), observation)
        return list(firsts.values())


class RunningMean:
    """Train figures of single points to a running mean over about a tenth of an epoch.

    A point covers the rows since the one before, a batch or two, and jumps about. The mean looks
    back only, so that a value, once drawn, never changes.
    """

    def __init__(self, epochs: float = 0.1) -> None:
        self._epochs = epochs
        self._position = 0.0
        self._sums: dict[Metric, tuple[float, float]] = {}

    def add(self, point: Point) -> Point:
        """The point with its train figures replaced by their running mean."""
        if point.epoch <= self._position:
            self._sums.clear()
        kept = math.exp(-(point.epoch - self._position) / self._epochs)
        self._position = point.epoch
        train = point.train
        means = {
            metric: self._mean(metric, value_of(train, metric), train.rows, kept)
            for metric in METRICS
        }
        return dataclasses.replace(
            point,
            train=Metrics(
                means["loss"] if means["loss"] is not None else train.loss,
                means["accuracy"] if means["accuracy"] is not None else train.accuracy,
                means["auc"],
                train.rows,
            ),
        )

    def _mean(self, metric: Metric, value: float | None, rows: int, kept: float) -> float | None:
        total, weight = self._sums.get(metric, (0.0, 0.0))
        total, weight = total * kept, weight * kept
        if value is not None:
            total, weight = total + rows * value, weight + rows
        self._sums[metric] = total, weight
        return total / weight if weight else None


@dataclass(frozen=True)
class History:
    """What a run has said so far.

    points     within epochs, thinned; their train figures are running means
    epochs     ends of epochs, thinned; the newest is the last
    best       the epoch whose weights are kept, where validation rows choose one
    progress   the newest stage report, such as scoring after the last epoch
    """

    started: Started | None = None
    points: tuple[Point, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    best: Epoch | None = None
    notices: tuple[Notice, ...] = ()
    progress: Progress | None = None
    finished: Finished | None = None
    failed: Failed | None = None

    @property
    def latest(self) -> Point | Epoch | None:
        """The newest observation of either kind."""
        newest: list[Point | Epoch] = [*self.epochs[-1:], *self.points[-1:]]
        return max(newest, key=lambda observation: observation.epoch, default=None)

    @property
    def kept(self) -> Point | Epoch | None:
        """Whose weights a finished run has: the best epoch's, else the newest; None before."""
        return (self.best or self.latest) if self.finished else None

    @property
    def resting(self) -> Point | Epoch | None:
        """Whose weights the run has now: the newest ones until it has finished."""
        return self.kept or self.latest

    @property
    def position(self) -> float:
        """Epochs trained so far, with their fraction; 0 before the first observation."""
        return self.latest.epoch if self.latest else 0.0

    @property
    def observations(self) -> tuple[Point | Epoch, ...]:
        """Points and ends of epochs in order of position; an epoch's end comes after its points."""
        both: list[Point | Epoch] = [*self.points, *self.epochs]
        return tuple(sorted(both, key=lambda each: (each.epoch, isinstance(each, Epoch))))

    @property
    def judged_by(self) -> Part:
        """The part whose curve is read: validation, else test, else train."""
        for part in ("validation", "test"):
            if any(metrics_of(epoch, part) for epoch in self.epochs):
                return part
        return "train"

    def curve(self, metric: Metric, part: Part) -> tuple[list[float], list[float]]:
        """Positions and values of a metric at the ends of epochs, where it is known."""
        return curve(self.epochs, metric, part)


class HistoryBuilder:
    """Grows a history by a run's events in their order."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._points: Thinned[Point] = Thinned()
        self._running = RunningMean()
        self._epochs: Thinned[Epoch] = Thinned()
        self._best: Epoch | None = None
        self._notices: list[Notice] = []
        self._progress: Progress | None = None
        self._finished: Finished | None = None
        self._failed: Failed | None = None

    def add(self, event: Event) -> None:
        """One event more."""
        match event:
            case Started():
                self._started = event
            case Point():
                self._points.add(self._running.add(event))
            case Epoch():
                self._epochs.add(event)
                self._best = event if event.best else self._best
            case Notice():
                self._notices.append(event)
            case Progress():
                self._progress = event
            case Finished():
                self._finished = event
            case Failed():
                self._failed = event

    def history(self) -> History:
        """What has been said so far; later events do not change it."""
        return History(
            self._started,
            self._points.kept(),
            self._epochs.kept(),
            self._best,
            tuple(self._notices),
            self._progress,
            self._finished,
            self._failed,
        )


def history_of(events: Iterable[Event]) -> History:
    """The history of all events of a run, in their order."""
    builder = HistoryBuilder()
    for event in events:
        builder.add(event)
    return builder.history()


def metrics_of(observation: Point | Epoch, part: str) -> Metrics | None:
    """An observation's figures of one part; a point has none of the test part."""
    if part == "train":
        return observation.train
    if part == "validation":
        return observation.validation
    return observation.test if isinstance(observation, Epoch) else None


def value_of(metrics: Metrics | None, metric: Metric) -> float | None:
    """One figure by name; None where there are no rows, or rows of one class have no AUC."""
    if metrics is None:
        return None
    return {"loss": metrics.loss, "accuracy": metrics.accuracy, "auc": metrics.auc}[metric]


def curve(
    observations: Sequence[Point | Epoch], metric: Metric, part: Part
) -> tuple[list[float], list[float]]:
    """Positions and values of one metric of one part, where it is known."""
    positions, values = [], []
    for observation in observations:
        value = value_of(metrics_of(observation, part), metric)
        if value is not None and math.isfinite(value):
            positions.append(float(observation.epoch))
            values.append(value)
    return positions, values


def sparkline(history: History, points: int = 40) -> list[float]:
    """The AUC (else the loss) of the part that is judged, at most `points` values."""
    part = history.judged_by
    _, values = history.curve("auc", part)
    if not values:
        _, values = history.curve("loss", part)
    step = max(1, math.ceil(len(values) / points))
    # Counted from the end, so that the last value, which the table also names, is always there.
    return values[::-step][::-1]
