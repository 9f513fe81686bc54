"""Frappe to one honest table: LR, FM, DNN, Wide & Deep and DeepFM tuned with equal effort.

python -m benchmarks.frappe FOLDER    (with valid.libsvm.gz and test.libsvm.gz)

Each model gets the same trials, each one change to the preset real-data; validation AUC chooses
one, and three seeds of it are measured on the test file. LightGBM and CatBoost, where installed,
stand beside them with early stopping on the same validation rows. Prints a Markdown table and one
JSON line. `--only trees` leaves the five models out, `--only deepfm` the trees.

`--steps` compares optimisation steps instead of models: the preset is trained with the step that a
run would choose and with the plain PyTorch step, with five seeds each. The two draw their dropout
differently, so that single runs differ; the figures must agree within the spread of the seeds.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from deepfm import evaluation
from deepfm.config import PRESETS, TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.events import Epoch, Event, Finished, Started
from deepfm.model import DeepFM
from deepfm.training import session
from deepfm.training.loop import train
from deepfm.training.step import PlainStep, Step

SEEDS = (0, 1, 2)
STEP_SEEDS = (0, 1, 2, 3, 4)
FIGURES = {"auc": "test AUC", "log_loss": "log loss", "log_loss_calibrated": "calibrated"}
TRIALS: dict[str, dict[str, Any]] = {
    "the preset": {},
    "no embedding L2": {"embedding_l2": 0.0},
    "embedding L2 0.003": {"embedding_l2": 0.003},
    "learning rate 0.003": {"learning_rate": 0.003},
    "factor size 32": {"num_factors": 32},
    "MLP 128-64": {"mlp_dims": (128, 64)},
}


@dataclass(frozen=True)
class Outcome:
    """One training: its figures on the test file, and the validation AUC that chose its epoch."""

    validation_auc: float
    result: Finished
    step: str


def main() -> None:
    """Run all trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("trees", "deepfm"))
    parser.add_argument("--steps", action="store_true", help="compare optimisation steps")
    parser.add_argument("--seeds", type=int, default=len(STEP_SEEDS), help="of --steps")
    parser.add_argument("--epochs", type=int, help="of --steps, at most; by default the preset's")
    given = parser.parse_args()
    folder = given.folder
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        dataset = prepare(
            folder / "valid.libsvm.gz",
            folder / "test.libsvm.gz",
            out=Path(scratch) / "dataset",
            **PRESETS["real-data"].prepare,
        )
        if given.steps:
            print_steps(measure_steps(dataset, Path(scratch), given.seeds, given.epochs))
            return
        rows = []
        if given.only != "trees":
            rows += [measure(name, dataset, Path(scratch)) for name in TERM_SETS]
        if given.only != "deepfm":
            rows += filter(None, (measure_trees(fit, n, dataset) for n, fit in TREES.items()))
    print_table(rows, time.perf_counter() - began)


def measure(name: str, dataset: Dataset, scratch: Path) -> dict[str, Any]:
    """One model: choose a trial on validation, then measure it with each seed."""
    trials = {trial: run(name, dataset, changes, 0, scratch) for trial, changes in TRIALS.items()}
    chosen = max(trials, key=lambda trial: trials[trial].validation_auc)
    others = [run(name, dataset, TRIALS[chosen], seed, scratch) for seed in SEEDS[1:]]
    outcomes = [trials[chosen], *others]
    print(f"{name}: {chosen}", file=sys.stderr, flush=True)
    return {
        "model": name,
        "chosen": chosen,
        "auc": [outcome.result.auc for outcome in outcomes],
        "log_loss": [outcome.result.log_loss for outcome in outcomes],
        "log_loss_calibrated": [outcome.result.log_loss_calibrated for outcome in outcomes],
        "seconds": fmean(outcome.result.seconds for outcome in outcomes),
    }


Fit = Callable[[int, Dataset], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Seed and dataset to the logits of the validation and of the test rows."""


def lightgbm(seed: int, dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """LightGBM on the same indices as categories, stopped early on validation AUC."""
    import lightgbm as library

    train, validation = dataset.parts["train"], dataset.parts["validation"]
    trees = library.LGBMClassifier(
        n_estimators=5_000, learning_rate=0.05, num_leaves=63, random_state=seed, verbose=-1
    )
    trees.fit(
        np.array(train.ids),
        np.array(train.labels),
        eval_set=[(np.array(validation.ids), np.array(validation.labels))],
        eval_metric="auc",
        categorical_feature=list(range(len(dataset.fields))),
        callbacks=[library.early_stopping(100, verbose=False)],
    )
    parts = (np.array(dataset.parts[name].ids) for name in ("validation", "test"))
    validated, tested = (np.asarray(trees.predict(ids, raw_score=True)) for ids in parts)
    return validated, tested


def catboost(seed: int, dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CatBoost on the same indices as categories, stopped early on validation AUC."""
    import catboost as library  # type: ignore[import-untyped, import-not-found, unused-ignore]

    categories = list(range(len(dataset.fields)))
    pools = {
        name: library.Pool(np.array(part.ids), np.array(part.labels), cat_features=categories)
        for name, part in dataset.parts.items()
    }
    trees = library.CatBoostClassifier(
        iterations=2_000,
        learning_rate=0.1,
        eval_metric="AUC",
        early_stopping_rounds=100,
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
    )
    trees.fit(pools["train"], eval_set=pools["validation"])
    validated, tested = (
        np.asarray(trees.predict(pools[name], prediction_type="RawFormulaVal"))
        for name in ("validation", "test")
    )
    return validated, tested


def measure_trees(fit: Fit, name: str, dataset: Dataset) -> dict[str, Any] | None:
    """Three seeds of a library of trees; None, with a word, where it is not installed."""
    validation, test = (np.array(dataset.parts[part].labels) for part in ("validation", "test"))
    figures: dict[str, list[float]] = {"auc": [], "log_loss": [], "log_loss_calibrated": []}
    began = time.perf_counter()
    for seed in SEEDS:
        try:
            validated, tested = fit(seed, dataset)
        except ImportError:
            print(f"{name} is not installed: left out", file=sys.stderr)
            return None
        metrics = evaluation.metrics_of(test, tested)
        calibrated = evaluation.calibrated_log_loss(validation, validated, test, tested)
        figures["auc"].append(metrics.auc or 0.0)
        figures["log_loss"].append(metrics.loss)
        figures["log_loss_calibrated"].append(calibrated)
    seconds = (time.perf_counter() - began) / len(SEEDS)
    return {"model": name, "chosen": "early stopping", **figures, "seconds": seconds}


def measure_steps(
    dataset: Dataset, scratch: Path, seeds: int, epochs: int | None
) -> dict[str, list[Outcome]]:
    """The preset with each seed by both steps, in turns; outcomes by the step's name."""
    changes = {} if epochs is None else {"epochs": epochs}
    found: dict[str, list[Outcome]] = {}
    for seed in STEP_SEEDS[:seeds]:
        for plain in (False, True):
            with mock.patch.object(session, "choose_step", plain_step) if plain else nullcontext():
                outcome = run("DeepFM", dataset, changes, seed, scratch)
            found.setdefault(outcome.step, []).append(outcome)
            print(f"seed {seed}: {outcome.step}", file=sys.stderr, flush=True)
    return found


def plain_step(model: DeepFM, config: TrainConfig) -> tuple[Step, str]:
    """In the place of choose_step: the step that every faster one must follow."""
    return PlainStep(model, config), f"plain PyTorch step, {config.optimizer}"


def print_steps(found: Mapping[str, Sequence[Outcome]]) -> None:
    """A line a step, whether they agree, and everything as one JSON line."""
    values = {
        step: {key: [asdict(each.result)[key] for each in outcomes] for key in FIGURES}
        for step, outcomes in found.items()
    }
    cells = [
        [step, *(_mean_and_spread(figures[key]) for key in FIGURES)]
        for step, figures in values.items()
    ]
    count = max(map(len, found.values()))
    print(report.title(f"Frappe, mean ± spread of {count} seeds", report.machine()))
    print("\n" + report.markdown(["step", *FIGURES.values()], cells) + "\n")
    first, second = values.values()
    for key, label in FIGURES.items():
        difference = fmean(first[key]) - fmean(second[key])
        spread = max(stdev(first[key]), stdev(second[key]))
        verdict = "within" if abs(difference) <= spread else "BEYOND"
        print(f"{label}: they differ by {difference:+.4f}, {verdict} the spread of {spread:.4f}")
    report.print_json("frappe steps", report.machine(), {"steps": values})


def _mean_and_spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f} ± {stdev(values):.4f}"


def run(name: str, dataset: Dataset, changes: dict[str, Any], seed: int, scratch: Path) -> Outcome:
    """One training of one model."""
    preset = PRESETS["real-data"]
    values = {**preset.model, **preset.train, **changes, "terms": TERM_SETS[name], "seed": seed}
    model_names = {setting.name for setting in ModelConfig.settings()}
    model = {key: value for key, value in values.items() if key in model_names}
    config = {key: value for key, value in values.items() if key not in model_names}
    best, step = [0.0], [""]

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            step[0] = event.step
        if isinstance(event, Epoch) and event.best and event.validation is not None:
            best[0] = event.validation.auc or 0.0

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        trained = train(
            dataset,
            ModelConfig.from_dict(model),
            TrainConfig.from_dict(config),
            out=Path(folder) / "run",
            on_event=watch,
        )
    return Outcome(best[0], trained.result, step[0])


def print_table(rows: list[dict[str, Any]], seconds: float) -> None:
    """The table as Markdown, and everything behind it as one JSON line."""
    print(f"Frappe, {time.strftime('%Y-%m-%d')}, {platform.machine()}, mean ± spread of 3 seeds\n")
    print("| model | chosen trial | test AUC | log loss | calibrated | seconds |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        figures = [_mean_and_spread(row[key]) for key in FIGURES]
        print(
            f"| {row['model']} | {row['chosen']} | {' | '.join(figures)} | {row['seconds']:.0f} |"
        )
    print(json.dumps({"benchmark": "frappe", "seconds": round(seconds), "models": rows}))


TREES: dict[str, Fit] = {"LightGBM": lightgbm, "CatBoost": catboost}

if __name__ == "__main__":
    main()
