"""Runs as the worker leaves them in the store, for pages that read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.catalog import PINNED
from deepfm.data.dataset import Dataset
from deepfm.events import (
    Epoch,
    Event,
    Finished,
    Metrics,
    Notice,
    Point,
    Started,
    TermMoments,
)
from deepfm.runs.store import Store

MOMENTS = TermMoments((0.1, 0.2, -0.3), ((1.0, 0.2, 0.1), (0.2, 2.0, -0.4), (0.1, -0.4, 3.0)))
TERMS = ((0.1, 0.5, -0.25),) * len(PINNED)


def queue(
    home: Path, dataset: Dataset, name: str = "A run", *, owner: str = "", **settings: Any
) -> str:
    """A queued run of the demo; its id."""
    model_names = {setting.name for setting in ModelConfig.settings()}
    model = ModelConfig(**{k: v for k, v in settings.items() if k in model_names})
    train = TrainConfig(**{k: v for k, v in settings.items() if k not in model_names})
    with Store.open(home) as store:
        return store.queue_run(
            name,
            dataset.folder,
            dataset.name,
            model.to_dict(),
            train.to_dict(),
            pinned=[dict(each.values) for each in PINNED],
            owner=owner,
            fingerprint=dataset.fingerprint,
        )


def events(epochs: int = 2) -> list[Event]:
    """What a run says until its last epoch has ended."""
    found: list[Event] = [
        Started("DeepFM", 100, 10, 10, 2, epochs, 5_600, "CPU, 2 threads", "plain")
    ]
    for number in range(1, epochs + 1):
        loss, auc = 0.6 - 0.05 * number, 0.6 + 0.04 * number
        train = Metrics(loss, 0.8, auc, 100)
        found.append(Point(number - 0.5, number - 0.5, 1e5, train, train, MOMENTS, TERMS))
        found.append(
            Epoch(number, float(number), 1e5, 2e5, train, train, train, True, MOMENTS, TERMS)
        )
    return found


def begin(home: Path, run_id: str, *, epochs: int = 2) -> None:
    """queued → training, with the events of some epochs."""
    with Store.open(home) as store:
        claimed = store.claim_run("test")
        assert claimed is not None and claimed.id == run_id
        store.append(run_id, events(epochs))


def finish(
    home: Path, run_id: str, *notices: Notice, epochs: int = 2, test_auc: float = 0.68
) -> None:
    """training → finished, with a folder that looks trained from afar."""
    result = Finished(epochs, epochs, 2.0, 1e5, 2e5, "test", 10, test_auc, 0.5, 0.49, 0.8, 0.225)
    with Store.open(home) as store:
        folder = store.run_folder(run_id)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        store.finish_run(run_id, "finished", result=vars(result), events=[*notices, result])


def fail(home: Path, run_id: str, message: str, state: Any = "failed") -> None:
    """training → failed or interrupted."""
    with Store.open(home) as store:
        store.finish_run(run_id, state, message)


def settings_of(home: Path, run_id: str) -> Mapping[str, Any]:
    """The settings that a run was queued with."""
    with Store.open(home) as store:
        row = store.run(run_id)
    return {**row.model, **row.train}
