"""A training that was interrupted goes on as if it had not been: same curves, weights, figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.errors import Interrupted, RunError
from deepfm.events import Epoch, Event, Finished, Notice, Point, Resumed, Started, from_json
from deepfm.trained import open_run
from deepfm.trained.run_folder import RunFolder
from deepfm.training import checkpoint as checkpoints
from deepfm.training import session
from deepfm.training.checkpoint import FILES, has_checkpoint, read_checkpoint
from deepfm.training.cpu_step import CpuStep
from deepfm.training.loop import Run, resume, train
from deepfm.training.step import PlainStep

MODEL = ModelConfig(num_factors=4, mlp_dims=(8,), drop_rate=0.2, embedding_drop_rate=0.1)
PLAN = TrainConfig(epochs=4, batch_size=64, learning_rate=0.02, seed=3)


class Killed(BaseException):
    """Stands for the death of the process: nothing of the training runs after it."""


@dataclass
class Watcher:
    """Collects events, and stops or dies after so many steps of this attempt."""

    stop_after: int = 10**9
    die_after: int = 10**9
    events: list[Event] = field(default_factory=list)
    steps: int = 0

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        self.steps += 1
        if self.steps > self.die_after:
            raise Killed
        return self.steps >= self.stop_after

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def write_clicks(path: Path, rows: int, seed: int, sites: int = 40) -> Path:
    """Clicks with a long tail of rare sites, so that rows of the tables wait long for a batch."""
    rng = np.random.default_rng(seed)
    site = np.minimum(rng.geometric(0.08, rows), sites) - 1
    ad, hour = rng.integers(0, (6, 4), (rows, 2)).T
    clicked = rng.random(rows) < np.where(site % 6 == ad, 0.8, 0.2)
    columns = zip(clicked, site, ad, hour, strict=True)
    lines = [f"{int(c)}\ts{s}\ta{a}\th{h}" for c, s, a, h in columns]
    path.write_text("click\tsite\tad\thour\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clicks")
    return prepare(
        write_clicks(folder / "train.tsv", 2_000, 0),
        write_clicks(folder / "test.tsv", 400, 1),
        out=folder / "dataset",
        min_count=1,
    )


@pytest.fixture(scope="module")
def without_validation(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clicks")
    path = write_clicks(folder / "train.tsv", 1_000, 0)
    return prepare(path, out=folder / "dataset", validation=0.0, min_count=1)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, as if each took ten seconds."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "MOST_SHARE", 1e9)


def compiled(update: str) -> Callable:
    return lambda model, config: (CpuStep(model, config, update), f"compiled, {update}")


def plain(model, config) -> tuple[PlainStep, str]:
    return PlainStep(model, config), "plain"


STEPS = {
    "dense": (compiled("dense"), PLAN),
    "catch-up": (compiled("catch-up"), PLAN),
    "lazy": (compiled("lazy"), PLAN.with_values(optimizer="lazy-adam")),
    "weight decay": (compiled("dense"), PLAN.with_values(weight_decay=0.001)),
    "embedding_l2": (compiled("catch-up"), PLAN.with_values(embedding_l2=0.01)),
    "plain": (plain, PLAN),
    "plain lazy": (plain, PLAN.with_values(optimizer="lazy-adam")),
}
STEPS_PER_EPOCH = 29  # 1,800 training rows
PLACES = {
    "after the first step": 1,
    "in the first epoch": 10,
    "in the third epoch": 2 * STEPS_PER_EPOCH + 7,
    "before the last step of an epoch": STEPS_PER_EPOCH - 1,
    "at an epoch's end": 2 * STEPS_PER_EPOCH,
    "after the next epoch's first step": 2 * STEPS_PER_EPOCH + 1,
}


def curve(events: list[Event]) -> list[tuple]:
    """What must be the same to the last digit: all but times."""
    return [
        (e.epoch, e.train, e.validation, e.test, e.best, e.moments, e.pinned)
        for e in events
        if isinstance(e, Epoch)
    ]


def figures(result: Finished) -> tuple:
    return (
        *(result.epochs, result.best_epoch, result.part, result.rows, result.auc),
        *(result.log_loss, result.log_loss_calibrated, result.accuracy, result.stopped),
    )


def assert_same_run(resumed: Run, undisturbed: Run) -> None:
    """Weights, scores, figures and the whole curve in metrics.jsonl."""
    one, other = (RunFolder(run.folder) for run in (resumed, undisturbed))
    for name, tensor in other.tensors().items():
        np.testing.assert_array_equal(one.tensors()[name], tensor, err_msg=name)
    assert curve(list(one.events())) == curve(list(other.events()))
    assert figures(resumed.result) == figures(undisturbed.result)
    assert one.scores().table.equals(other.scores().table)
    assert not any((resumed.folder / name).exists() for name in FILES)


def undisturbed(dataset: Dataset, config: TrainConfig, folder: Path, **options) -> Run:
    return train(dataset, MODEL, config, out=folder, **options)


def stopped_then_resumed(
    dataset: Dataset, config: TrainConfig, folder: Path, *stops: int, **options
) -> Run:
    """Stopped after so many steps, resumed, stopped again …, and trained to its end."""
    watcher = Watcher(stops[0])
    run = train(
        dataset, MODEL, config, out=folder, should_stop=watcher.should_stop, **options
    )
    for stop in (*stops[1:], 10**9):
        assert run.result.stopped and has_checkpoint(folder)
        run = resume(folder, dataset, should_stop=Watcher(stop).should_stop)
    return run


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", STEPS)
def test_a_resumed_run_is_the_undisturbed_one(name, place, dataset, tmp_path, monkeypatch):
    step, config = STEPS[name]
    monkeypatch.setattr(session, "choose_step", step)
    one = undisturbed(dataset, config, tmp_path / "one")
    other = stopped_then_resumed(dataset, config, tmp_path / "other", PLACES[place])
    assert_same_run(other, one)
