"""What is typed to a sweep, and a queued sweep to lines that tell how it goes."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from deepfm.config import ModelConfig, PrepareConfig, TrainConfig
from deepfm.errors import ConfigError, RunError
from deepfm.events import Event, Notice, Progress
from deepfm.formats import format_auc
from deepfm.sweeps.axes import Axis, axis_label, parse_axis
from deepfm.sweeps.description import Objective, Sampler, Sweep
from deepfm.sweeps.results import Results, SeedRun, read_results
from deepfm.sweeps.sources import DataSource
from deepfm.sweeps.studies import STUDIES

if TYPE_CHECKING:
    from deepfm.runs.store import Store

LOOK_SECONDS: Final = 0.3
"""How often the store is looked at while a sweep is followed."""


def axes_of(sets: Sequence[str], study: str, rows: int, model: ModelConfig) -> tuple[Axis, ...]:
    """`--set NAME=VALUES` and `--study NAME` as axes.

    rows   of the train part: a study's values fit the dataset
    """
    axes = [STUDIES[study].axis(rows, model)] if study else []
    for text in sets:
        name, separator, values = text.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {text!r} has no values. Write --set num_factors=4,8,16, and for lists "
                '--set mlp_dims="30,20,10;64,32".'
            )
        axes.append(parse_axis(name.strip().replace("-", "_"), values))
    if not axes:
        raise ConfigError(
            "What is to be swept? Give --set SETTING=VALUES or --study NAME "
            f"({', '.join(STUDIES)})."
        )
    return tuple(axes)


def sweep_of(
    axes: Sequence[Axis],
    source: DataSource,
    prepare: PrepareConfig,
    model: ModelConfig,
    train: TrainConfig,
    *,
    seeds: int,
    sampler: Sampler = "grid",
    trials: int = 0,
    objective: Objective = "auc",
    study: str = "",
    name: str = "",
) -> Sweep:
    """A sweep whose seeds count up from the one of training, named after what it varies."""
    return Sweep(
        name or sweep_name(axes, source.name, study),
        tuple(axes),
        source,
        prepare,
        model,
        train,
        tuple(range(train.seed, train.seed + seeds)),
        sampler,
        trials,
        objective,
        study,
    )


def sweep_name(axes: Sequence[Axis], dataset: str, study: str = "") -> str:
    """ "Factor size × drop rate on clicks.tsv", or a study's title."""
    what = STUDIES[study].title if study else " × ".join(axis_label(axis) for axis in axes)
    return f"{what[0].upper()}{what[1:]} on {dataset}"


def follow(
    store: "Store", group_id: str, show: Callable[[Event], None], keep: Callable[[], object]
) -> Results:
    """Wait until a sweep has ended, telling each run that ends; RunError if none was trained.

    keep   called at every look: so that a worker that died is started again
    """
    told: set[str] = set()
    while True:
        keep()
        results = read_results(store, group_id)
        for run in _ended(results):
            if run.row.id not in told:
                told.add(run.row.id)
                show(Notice("run", f"{len(told)} of {results.planned}: {_in_words(run)}"))
        show(Progress("Sweep", results.done, results.planned, "runs", _best_in_words(results)))
        if results.ended:
            break
        time.sleep(LOOK_SECONDS)
    if not results.ranked:
        raise RunError(f"No run of this sweep was trained. {_cause(results)}".strip())
    return results


def _ended(results: Results) -> list[SeedRun]:
    runs = [run for each in results.configurations for run in each.runs if run.row.ended]
    return sorted(runs, key=lambda run: run.row.finished or 0.0)


def _in_words(run: SeedRun) -> str:
    if run.validation is None:
        return f"{run.row.name}: {run.row.state}. {run.row.message}".strip()
    auc, loss = format_auc(run.validation.auc), format_auc(run.validation.loss)
    return f"{run.row.name}: validation AUC {auc}, log loss {loss}"


def _best_in_words(results: Results) -> str:
    best = results.best
    return f"best {best.figure(results.sweep.objective)}: {best.name}" if best else ""


def _cause(results: Results) -> str:
    messages = [results.record.message, *(row.message for row in results.runs)]
    return next(filter(None, messages), "")
