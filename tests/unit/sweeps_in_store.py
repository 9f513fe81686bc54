"""Sweeps as they stand in a store, without a worker: datasets on disk, runs that end as asked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepfm.config import ModelConfig, PrepareConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.events import Epoch, Finished, Metrics
from deepfm.runs.store import RunRow, Store
from deepfm.sweeps import Axis, DataSource, Sweep

ROWS = 400


def write_clicks(path: Path) -> Path:
    """A click log of two fields in which one value is seen once, another three times."""
    lines = ["clicked\tsite\tdevice"]
    for row in range(ROWS):
        site = "rare" if row == 0 else "seldom" if row < 4 else f"site {row % 5}"
        lines.append(f"{int(row % 5 == row % 3)}\t{site}\t{'phone' if row % 2 else 'laptop'}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def dataset_at(home: Path, **settings: Any) -> Dataset:
    """That click log prepared in a home."""
    home.mkdir(parents=True, exist_ok=True)
    file = write_clicks(home / "clicks.tsv")
    config = PrepareConfig(**settings)
    from deepfm.config import Settings

    return prepare(file, config=config, settings=Settings(home=str(home)))


def source(dataset: Dataset) -> DataSource:
    """Where it came from, so that it can be prepared again."""
    file = dataset.folder.parents[1] / "clicks.tsv"
    payload = {"train": str(file), "schema": dataset.schema.to_dict(), "name": dataset.name}
    return DataSource(str(dataset.folder), dataset.name, dataset.fingerprint, "files", payload)


def nowhere() -> DataSource:
    """A dataset that nobody needs to open."""
    return DataSource("/nowhere", "clicks", "0123", "")


def sweep_of(*axes: Axis, dataset: Dataset | None = None, **values: Any) -> Sweep:
    """A sweep of these axes over small runs."""
    given: dict[str, Any] = {
        "name": "a sweep",
        "axes": axes,
        "source": source(dataset) if dataset else nowhere(),
        "prepare": dataset.prepare if dataset else PrepareConfig(),
        "model": ModelConfig(num_factors=4, mlp_dims=(8,)),
        "train": TrainConfig(epochs=2, batch_size=128),
    }
    return Sweep(**{**given, **values})


def metrics(auc: float | None, loss: float = 0.5) -> Metrics:
    return Metrics(loss, 0.8, auc, 40)


def epoch(number: int, auc: float | None, loss: float = 0.5, *, best: bool = True) -> Epoch:
    """The end of an epoch with validation figures; its test figures are never right."""
    validation = metrics(auc, loss)
    return Epoch(number, 1.0, 1e5, 1e5, metrics(0.9), validation, metrics(0.1), best, None, ())


def finished(test_auc: float = 0.1) -> Finished:
    return Finished(1, 1, 1.0, 1e5, 1e5, "test", 40, test_auc, 0.7, 0.69, 0.8, 0.3)


def train_next(store: Store, auc_of: Callable[[RunRow], float | None]) -> RunRow:
    """Train the run whose turn it is, in no time; None as its AUC makes it fail."""
    run = store.claim_run("test")
    assert run is not None, "a run waits"
    auc = auc_of(run)
    if auc is None:
        store.finish_run(run.id, "failed", "as asked")
    else:
        run.folder.mkdir(parents=True)
        last = finished(test_auc=1 - auc)
        store.finish_run(
            run.id, "finished", result=vars(last), events=[epoch(1, auc, 1 - auc), last]
        )
    return store.run(run.id)


def train_all(store: Store, auc_of: Callable[[RunRow], float | None]) -> list[RunRow]:
    """Train what waits until nothing does."""
    trained = []
    while store.waiting():
        trained.append(train_next(store, auc_of))
    return trained


def settings_of(run: RunRow) -> Mapping[str, Any]:
    return {**run.model, **run.train}


def values_of(runs: Sequence[RunRow], name: str) -> list[Any]:
    return [settings_of(run)[name] for run in runs]
