"""A dataset to the tour's runs: DeepFM, and beside it FM and DNN, which never had the other half.

The app's own worker trains them in a home folder, so that the app can show them too, and runs that
are there already are not trained again.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfm.config import PRESETS, TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.explanation.beyond import Beyond, find_beyond, measure_beyond, save_beyond
from deepfm.runs.store import NewRun, Store
from deepfm.runs.worker import ensure_worker, stop_worker
from deepfm.trained import TrainedModel, open_run

MODELS: Final = ("DeepFM", "FM", "DNN")
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, eq=False)
class SeedRuns:
    """The trained models of one seed, and what DeepFM's network adds beyond pairs."""

    seed: int
    whole: TrainedModel
    trained: Mapping[str, TrainedModel]
    beyond: Beyond


def train_all(dataset: Dataset, home: Path, seeds: Sequence[int]) -> list[SeedRuns]:
    """Train what is not there yet and measure beyond pairs; SystemExit where a training failed."""
    with Store.open(home) as store:
        ids = {
            (name, seed): store.submit_run(new_run(dataset, name, seed)).run
            for seed in seeds
            for name in MODELS
        }
    train_queued(home, list(ids.values()))
    with Store.open(home) as store:
        models = {key: open_run(store.run_folder(run)) for key, run in ids.items()}
    return [seed_runs(seed, {name: models[name, seed] for name in MODELS}) for seed in seeds]


def train_queued(home: Path, runs: Sequence[str]) -> None:
    """Let a worker train them to the end; SystemExit, with its words, where one did not finish."""
    told: set[str] = set()
    try:
        with Store.open(home) as store:
            while waiting := [row for row in map(store.run, runs) if not row.ended]:
                ensure_worker(home)
                now = waiting[0].name
                if now not in told:
                    told.add(now)
                    print(f"{now} …", file=sys.stderr, flush=True)
                time.sleep(_LOOK_SECONDS)
            unfinished = [row for row in map(store.run, runs) if row.state != "finished"]
    finally:
        stop_worker(home)
    if unfinished:
        raise SystemExit(f"{unfinished[0].name} is {unfinished[0].state}: {unfinished[0].message}")


def new_run(dataset: Dataset, name: str, seed: int) -> NewRun:
    """One model with the preset real-data."""
    preset = PRESETS["real-data"]
    return NewRun(
        f"{name}, seed {seed}",
        dataset.folder,
        dataset.name,
        ModelConfig(**preset.model, terms=TERM_SETS[name]).to_dict(),
        TrainConfig(**preset.train, seed=seed).to_dict(),
        fingerprint=dataset.fingerprint,
    )


def seed_runs(seed: int, models: Mapping[str, TrainedModel]) -> SeedRuns:
    """The models of a seed with `beyond` of DeepFM, kept in its run folder for the app."""
    whole = models["DeepFM"]
    found = find_beyond(whole)
    if found is None:
        found = measure_beyond(whole)
        save_beyond(whole, found)
    others = {name: model for name, model in models.items() if name != "DeepFM"}
    return SeedRuns(seed, whole, others, found)
