"""A sweep's runs to its configurations, best first, and to what may honestly be said of them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from deepfm.events import Epoch, Metrics
from deepfm.formats import format_auc
from deepfm.sweeps.description import Point, Sweep
from deepfm.sweeps.record import Record

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow, Store

_T975: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179),
    *(2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064),
    *(2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t, two-sided 95 %, for 1, 2 … 30 degrees of freedom."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds.

    deviation   of the sample (n − 1); None with one seed
    """

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None where there are no values."""
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values))

    def __str__(self) -> str:
        if self.deviation is None:
            return format_auc(self.mean)
        return f"{self.mean:.4f} ± {self.deviation:.4f}"


@dataclass(frozen=True)
class SeedRun:
    """One run of a configuration: its row, and the validation figures of the weights it kept."""

    row: "RunRow"
    validation: Metrics | None

    @property
    def seed(self) -> int:
        """The seed it was trained with."""
        return int(self.row.train.get("seed", 0))


@dataclass(frozen=True)
class Configuration:
    """One point of a sweep with its runs, one for each seed."""

    point: Point
    name: str
    runs: tuple[SeedRun, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to any of its runs."""
        return all(run.row.ended for run in self.runs)

    @cached_property
    def auc(self) -> Spread | None:
        """Validation AUC over the seeds that are trained; None before any is, or of one class."""
        aucs = [metrics.auc for metrics in self._figures]
        return Spread.of([auc for auc in aucs if auc is not None])

    @cached_property
    def log_loss(self) -> Spread | None:
        """Validation log loss over the seeds that are trained."""
        return Spread.of([metrics.loss for metrics in self._figures])

    @property
    def seeds_so_far(self) -> str:
        """ ", 1 of 3 seeds"; "" once all of its runs have ended."""
        return "" if self.ended else f", {len(self.trained)} of {len(self.runs)} seeds"

    @property
    def trained(self) -> list[SeedRun]:
        """Its runs that have validation figures."""
        return [run for run in self.runs if run.validation is not None]

    @property
    def _figures(self) -> list[Metrics]:
        return [run.validation for run in self.runs if run.validation is not None]

    def figure(self, objective: str) -> Spread | None:
        """The one that the sweep goes by."""
        return self.auc if objective == "auc" else self.log_loss

    def best_run(self, objective: str) -> SeedRun | None:
        """Its seed with the best validation figure."""
        judged = [
            (goodness, run)
            for run in self.runs
            if (goodness := _goodness(run.validation, objective)) is not None
        ]
        return max(judged, key=lambda each: each[0])[1] if judged else None


@dataclass(frozen=True)
class Results:
    """A sweep as it stands.

    ranked    configurations that have a figure, the best first; those whose seeds have not all
              ended come after those whose seeds have
    waiting   those that have none yet, or never will, in the order of trying
    """

    record: Record
    ranked: tuple[Configuration, ...]
    waiting: tuple[Configuration, ...]

    @property
    def sweep(self) -> Sweep:
        """What was asked for."""
        return self.record.sweep

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """All of them, the best first."""
        return (*self.ranked, *self.waiting)

    @cached_property
    def runs(self) -> tuple["RunRow", ...]:
        """All runs so far."""
        return tuple(run.row for each in self.configurations for run in each.runs)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return not self.record.open and all(row.ended for row in self.runs)

    @property
    def planned(self) -> int:
        """Runs in all, those to come included; once ended, those there are."""
        return len(self.runs) if not self.record.open else max(self.sweep.runs, len(self.runs))

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return sum(row.ended for row in self.runs)

    @property
    def joined(self) -> int:
        """How many of its runs were there before it and count as its own."""
        known = set(self.record.joined)
        return sum(row.id in known for row in self.runs)

    @property
    def comparable(self) -> tuple[Configuration, ...]:
        """Of the ranked those that have ended; before any has, those with as many seeds."""
        return tuple(
            each for each in self.ranked if _fewer_seeds(each) == _fewer_seeds(self.ranked[0])
        )

    @property
    def best(self) -> Configuration | None:
        """The best so far."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def verdict(self) -> "Verdict":
        """Whether the best one stands out."""
        return _verdict(self)


@dataclass(frozen=True)
class Verdict:
    """Whether a sweep has a winner, in words.

    winner      the best one's mean differs from the next one's by more than seeds explain
    margin      the difference of the two means, None with fewer than two configurations
    explained   the difference that seeds alone would exceed once in twenty; None where no
                configuration has two seeds
    """

    words: str
    winner: bool
    margin: float | None
    explained: float | None


def read_results(store: "Store", group_id: str) -> Results:
    """A sweep in the store as it stands; StoreError or ConfigError where there is none."""
    record = Record.from_dict(store.group(group_id).spec)
    rows = store.runs_of_sweep(group_id)
    return results_of(record, rows, store.epochs([row.id for row in rows if row.ended]))


def results_of(
    record: Record, rows: Sequence["RunRow"], epochs: Mapping[str, Sequence[Epoch]]
) -> Results:
    """A sweep as its runs stand.

    epochs   run id to the ends of its epochs, for runs that have ended
    """
    points: dict[Point, list[SeedRun]] = {}
    for row in rows:
        point = record.point_of(row)
        if point is not None:
            figures = _kept_figures(row, epochs.get(row.id, ()))
            points.setdefault(point, []).append(SeedRun(row, figures))
    sweep = record.sweep
    configurations = [
        Configuration(point, sweep.point_name(point), _one_a_seed(runs))
        for point, runs in points.items()
    ]
    known = [each for each in configurations if each.figure(sweep.objective)]
    sign = -1.0 if sweep.objective == "auc" else 1.0
    known.sort(key=lambda each: (*_fewer_seeds(each), sign * _mean(each, sweep)))
    waiting = [each for each in configurations if not each.figure(sweep.objective)]
    return Results(record, tuple(known), tuple(waiting))


def _fewer_seeds(configuration: Configuration) -> tuple[bool, int]:
    """Alike for configurations whose means may be compared: seeds all ended, or as many trained."""
    if configuration.ended:
        return False, 0
    return True, -len(configuration.trained)


def _one_a_seed(runs: Sequence[SeedRun]) -> tuple[SeedRun, ...]:
    """Where a seed was trained again, the run that counts: trained, else active, else newest."""
    chosen: dict[int, SeedRun] = {}
    for run in runs:
        before = chosen.get(run.seed)
        if before is None or _standing(run) >= _standing(before):
            chosen[run.seed] = run
    return tuple(chosen.values())


def _standing(run: SeedRun) -> int:
    return 2 if run.row.state == "finished" else 0 if run.row.ended else 1


def _kept_figures(row: "RunRow", epochs: Sequence[Epoch]) -> Metrics | None:
    """Validation figures of the epoch whose weights a run kept; None where it was not trained."""
    if row.state not in ("finished", "stopped") or row.result is None:
        return None
    kept = row.result.get("best_epoch")
    found = [epoch.validation for epoch in epochs if epoch.epoch == kept]
    return found[-1] if found else None


def _goodness(metrics: Metrics | None, objective: str) -> float | None:
    if metrics is None:
        return None
    return metrics.auc if objective == "auc" else -metrics.loss


def _mean(configuration: Configuration, sweep: Sweep) -> float:
    figure = configuration.figure(sweep.objective)
    assert figure is not None
    return figure.mean


def explained_by_seeds(
    first: Spread, second: Spread, all_spreads: Sequence[Spread]
) -> float | None:
    """How far two means may differ by the choice of seeds alone, once in twenty times.

    Student's t with one variance for all configurations, pooled over them:
    t · s · √(1/n₁ + 1/n₂), s² = Σ (n − 1)·deviation² / Σ (n − 1).
    None where no configuration has two seeds.
    """
    known = [each for each in all_spreads if each.deviation is not None]
    freedom = sum(each.count - 1 for each in known)
    if not freedom:
        return None
    variance = sum((each.count - 1) * (each.deviation or 0.0) ** 2 for each in known) / freedom
    t = _T975[freedom - 1] if freedom <= len(_T975) else 1.96 + 2.5 / freedom
    return t * math.sqrt(variance * (1 / first.count + 1 / second.count))


def _verdict(results: Results) -> Verdict:
    sweep = results.sweep
    if not results.ranked:
        return Verdict("No configuration has been trained yet.", False, None, None)
    ranked = results.comparable
    best, figures = ranked[0], [_figure(each, sweep) for each in ranked]
    tell = _capital if results.ended else partial(_so_far, best.seeds_so_far)
    if len(ranked) == 1:
        words = f"only {best.name} has been trained; {sweep.metric} {figures[0]}."
        return Verdict(tell(words), False, None, None)
    margin = abs(figures[0].mean - figures[1].mean)
    explained = explained_by_seeds(figures[0], figures[1], figures)
    second = ranked[1].name
    if explained is None:
        words = (
            f"{best.name} has the best {sweep.metric}, {figures[0]}, {margin:.4f} better "
            f"than {second}. With one seed nobody knows what chance did: take more seeds."
        )
        return Verdict(tell(words), False, margin, None)
    if margin <= explained:
        level = [
            each.name
            for each, figure in zip(ranked, figures, strict=True)
            if abs(figure.mean - figures[0].mean)
            <= (explained_by_seeds(figures[0], figure, figures) or 0.0)
        ]
        words = (
            f"within the seeds' spread: no winner. {_capital(best.name)} has the best "
            f"{sweep.metric}, {figures[0]}, but {_others(level[1:])} by no more than chance: "
            f"{_seeds_alone(explained)}."
        )
        return Verdict(tell(words), False, margin, explained)
    words = (
        f"{best.name} wins: {sweep.metric} {figures[0]} over {figures[0].count} seeds, "
        f"{margin:.4f} better than {second}. {_capital(_seeds_alone(explained))}."
    )
    return Verdict(tell(words), True, margin, explained)


def _figure(configuration: Configuration, sweep: Sweep) -> Spread:
    figure = configuration.figure(sweep.objective)
    assert figure is not None
    return figure


def _others(names: Sequence[str]) -> str:
    """ "tanh differs", "8 and 16 differ", "4 others differ"."""
    if len(names) == 1:
        return f"{names[0]} differs"
    return f"{names[0]} and {names[1]} differ" if len(names) == 2 else f"{len(names)} others differ"


def _seeds_alone(explained: float) -> str:
    return f"seeds alone set two means up to {explained:.4f} apart, 19 times in 20"


def _so_far(seeds: str, words: str) -> str:
    return f"So far{seeds}: {words}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def to_json(results: Results, group_id: str) -> dict[str, Any]:
    """What the command line prints: configurations, best first; test figures of the best only."""
    return {
        "sweep": group_id,
        "objective": results.sweep.metric,
        "runs": len(results.runs),
        "configurations": [_configuration_json(each, results) for each in results.configurations],
        "winner": results.verdict.winner,
        "verdict": results.verdict.words,
        "best": _best_json(results),
    }


def _configuration_json(configuration: Configuration, results: Results) -> dict[str, Any]:
    auc, loss = configuration.auc, configuration.log_loss
    return {
        "settings": _settings_json(configuration, results.sweep),
        "validation_auc": auc and auc.mean,
        "validation_auc_spread": auc and auc.deviation,
        "validation_log_loss": loss and loss.mean,
        "validation_log_loss_spread": loss and loss.deviation,
        "seeds": len(configuration.trained),
        "runs": [run.row.id for run in configuration.runs],
        "states": [run.row.state for run in configuration.runs],
    }


def _settings_json(configuration: Configuration, sweep: Sweep) -> dict[str, Any]:
    return {
        axis.setting: list(value) if isinstance(value, tuple) else value
        for axis, value in zip(sweep.axes, configuration.point, strict=True)
    }


def _best_json(results: Results) -> dict[str, Any] | None:
    """The best configuration with the figures of its own runs on the part that is shown."""
    if results.best is None:
        return None
    run = results.best.best_run(results.sweep.objective)
    assert run is not None
    figures = final_figures(results.best)
    return {
        "settings": _settings_json(results.best, results.sweep),
        "run": run.row.id,
        "part": (run.row.result or {}).get("part"),
        **{
            key: value
            for name, spread in figures.items()
            for key, value in (
                (name, spread and spread.mean),
                (f"{name}_spread", spread and spread.deviation),
            )
        },
    }


def final_figures(configuration: Configuration) -> dict[str, Spread | None]:
    """AUC, log loss and accuracy over the seeds, of the part that a finished run is shown by."""
    results = [run.row.result for run in configuration.trained if run.row.result]
    return {
        name: Spread.of([result[name] for result in results if result.get(name) is not None])
        for name in ("auc", "log_loss", "log_loss_calibrated", "accuracy")
    }
