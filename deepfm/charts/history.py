"""A run's events, as they come, to the history its charts draw: short, and never moving."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from deepfm.charts.smoothing import Area, Series, series_of
from deepfm.charts.thinning import Seen, Thinned
from deepfm.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Metrics,
    Notice,
    Point,
    Progress,
    Resumed,
    Started,
)

Metric = Literal["loss", "accuracy", "auc"]
Part = Literal["train", "validation", "test"]
Track = Literal["within", "sample", "train", "validation", "test"]
"""A curve's kind: train and validation sample within epochs, the three parts at their ends."""
MEASURED: Final = 150
"""Most observations kept of how the score varies: nine numbers each, drawn in half a column."""
METRICS: Final[tuple[Metric, ...]] = ("loss", "accuracy", "auc")
PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")


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

    seen_points    within epochs, thinned; their train figures are running means
    seen_epochs    ends of epochs, thinned; the newest is the last
    seen_samples   those points that looked at the validation sample, thinned by themselves
    ranked         ends of epochs that tell how each branch ranks alone, thinned by themselves
    measured       observations of either kind that tell how the score varies, thinned to fewer
    best           the epoch whose weights are kept, where validation rows choose one
    progress       the newest stage report, such as scoring after the last epoch
    resumed        where the run went on after an interruption, in order
    """

    started: Started | None = None
    seen_points: tuple[Seen[Point], ...] = ()
    seen_epochs: tuple[Seen[Epoch], ...] = ()
    seen_samples: tuple[Seen[Point], ...] = ()
    ranked: tuple[Epoch, ...] = ()
    measured: tuple[Point | Epoch, ...] = ()
    best: Epoch | None = None
    notices: tuple[Notice, ...] = ()
    progress: Progress | None = None
    finished: Finished | None = None
    failed: Failed | None = None
    resumed: tuple[Resumed, ...] = ()

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Observations within epochs."""
        return tuple(seen.observation for seen in self.seen_points)

    @cached_property
    def epochs(self) -> tuple[Epoch, ...]:
        """Ends of epochs."""
        return tuple(seen.observation for seen in self.seen_epochs)

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

    @cached_property
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

    def series(self, metric: Metric, track: Track) -> Series:
        """One curve with what smoothing needs.

        "within" is the train curve point by point, with the end of an epoch that had no point.
        """
        seen: list[Seen[Point] | Seen[Epoch]] = []
        if track in ("within", "sample"):
            seen += self.seen_points if track == "within" else self.seen_samples
        if track != "sample":
            seen += self.seen_epochs
        part = {"within": "train", "sample": "validation"}.get(track, track)
        found = [
            (value, each.areas[track, metric])
            for each in sorted(seen, key=lambda each: each.epoch)
            if (track, metric) in each.areas
            and (value := value_of(metrics_of(each.observation, part), metric)) is not None
        ]
        return series_of(found)


class HistoryBuilder:
    """Grows a history by a run's events in their order."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._points: Thinned[Seen[Point]] = Thinned()
        self._samples: Thinned[Seen[Point]] = Thinned()
        self._epochs: Thinned[Seen[Epoch]] = Thinned()
        self._ranked: Thinned[Epoch] = Thinned()
        self._measured: Thinned[Point | Epoch] = Thinned(MEASURED)
        self._running = RunningMean()
        self._areas: dict[tuple[str, str], Area] = {}
        self._position = 0.0
        self._bests: list[Epoch] = []
        self._notices: list[Notice] = []
        self._progress: Progress | None = None
        self._finished: Finished | None = None
        self._failed: Failed | None = None
        self._resumed: list[Resumed] = []

    def add(self, event: Event) -> None:
        """One event more."""
        match event:
            case Started():
                self._started = event
            case Point():
                self._add_point(event)
            case Epoch():
                self._add_epoch(event)
            case Notice():
                self._notices.append(event)
            case Progress():
                self._progress = event
            case Finished():
                self._finished = event
            case Failed():
                self._failed = event
            case Resumed():
                self._go_back(event)

    def _add_point(self, point: Point) -> None:
        areas = self._grow(point.epoch, {"within": point.train, "sample": point.validation})
        seen = Seen(self._running.add(point), areas)
        self._points.add(seen)
        if point.moments is not None:
            self._measured.add(point)
        if point.validation is not None:
            self._samples.add(seen)
        self._position = point.epoch

    def _add_epoch(self, epoch: Epoch) -> None:
        parts: dict[Track, Metrics | None] = {part: metrics_of(epoch, part) for part in PARTS}
        if self._position <= epoch.epoch - 1:
            parts["within"] = epoch.train
        self._epochs.add(Seen(epoch, self._grow(epoch.epoch, parts)))
        if epoch.branches is not None:
            self._ranked.add(epoch)
        if epoch.moments is not None:
            self._measured.add(epoch)
        if epoch.best:
            self._bests.append(epoch)
        self._position = epoch.epoch

    def _grow(
        self, position: float, tracks: Mapping[Track, Metrics | None]
    ) -> dict[tuple[str, str], Area]:
        """The areas under all curves that have a value at this position, up to it."""
        grown: dict[tuple[str, str], Area] = {}
        for track, metrics in tracks.items():
            for metric in METRICS:
                value = value_of(metrics, metric)
                if value is not None and math.isfinite(value):
                    before = self._areas.get((track, metric), Area())
                    grown[track, metric] = before.grown(position, value)
        self._areas.update(grown)
        return grown

    def _go_back(self, resumed: Resumed) -> None:
        """Forget what an earlier attempt said after the position that the run goes on from."""
        position = resumed.epoch
        kept = (self._points, self._samples, self._epochs, self._ranked, self._measured)
        for thinned in kept:
            thinned.drop_after(position)
        self._bests = [epoch for epoch in self._bests if epoch.epoch <= position]
        self._areas = {}
        left: list[Seen[Point] | Seen[Epoch]] = [*self._points.kept(), *self._epochs.kept()]
        for seen in sorted(left, key=lambda each: each.epoch):
            self._areas.update(seen.areas)
        self._position = position
        self._progress = self._finished = self._failed = None
        self._resumed = [each for each in self._resumed if each.epoch <= position]
        self._resumed.append(resumed)

    def history(self) -> History:
        """What has been said so far; later events do not change it."""
        return History(
            self._started,
            self._points.kept(),
            self._epochs.kept(),
            self._samples.kept(),
            self._ranked.kept(),
            self._measured.kept(),
            self._bests[-1] if self._bests else None,
            tuple(self._notices),
            self._progress,
            self._finished,
            self._failed,
            tuple(self._resumed),
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
