"""A training that was interrupted goes on as if it had not been: same curves, weights, figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.errors import Interrupted, RunError
from deepfm.events import Epoch, Event, Finished, Notice, Point, Resumed, Started
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
def one_thread() -> Iterator[None]:
    """torch's own threads wait for one another more than they compute on tiny steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, as if each took ten seconds."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "MOST_SHARE", 1e9)


def compiled(update: str) -> Callable:
    """A step with two threads of its own."""

    def choose(model, config) -> tuple[CpuStep, str]:
        torch.set_num_threads(2)
        step = CpuStep(model, config, update)
        torch.set_num_threads(1)
        return step, f"compiled, {update}"

    return choose


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
    run = train(dataset, MODEL, config, out=folder, should_stop=watcher.should_stop, **options)
    for stop in (*stops[1:], 10**9):
        assert run.result.stopped and has_checkpoint(folder)
        run = resume(folder, dataset, should_stop=Watcher(stop).should_stop)
    return run


CASES = [
    *((name, place) for name in ("catch-up", "plain") for place in PLACES),
    *((name, "in the third epoch") for name in STEPS if name not in ("catch-up", "plain")),
]


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_resumed_run_is_the_undisturbed_one(name, place, dataset, tmp_path, monkeypatch):
    step, config = STEPS[name]
    monkeypatch.setattr(session, "choose_step", step)
    one = undisturbed(dataset, config, tmp_path / "one")
    other = stopped_then_resumed(dataset, config, tmp_path / "other", PLACES[place])
    assert_same_run(other, one)


def test_a_run_may_be_stopped_again_and_again(dataset, tmp_path):
    one = undisturbed(dataset, PLAN, tmp_path / "one")
    other = stopped_then_resumed(dataset, PLAN, tmp_path / "other", 20, 1, 8, 29, 40)
    assert_same_run(other, one)
    events = RunFolder(other.folder).events()
    resumed = [event for event in events if isinstance(event, Resumed)]
    assert [event.attempt for event in resumed] == [2, 3, 4, 5, 6]
    assert [round(event.epoch * STEPS_PER_EPOCH) for event in resumed] == [20, 21, 29, 58, 98]


@pytest.mark.parametrize("name", ["catch-up", "plain"])
@pytest.mark.parametrize("steps", [1, 33, 58])
def test_a_run_that_dies_goes_on_from_its_last_checkpoint(
    name, steps, dataset, tmp_path, monkeypatch, every_step
):
    step, config = STEPS[name]
    monkeypatch.setattr(session, "choose_step", step)
    one = undisturbed(dataset, config, tmp_path / "one")
    folder = tmp_path / "other"
    with pytest.raises(Killed):
        undisturbed(dataset, config, folder, should_stop=Watcher(die_after=steps).should_stop)
    assert read_checkpoint(folder).adam.steps == steps
    with pytest.raises(RunError, match=r"was interrupted\. Go on with it by python -m"):
        open_run(folder)
    watcher = Watcher()
    other = resume(folder, on_event=watcher)
    assert watcher.events[0] == Resumed(2, steps / STEPS_PER_EPOCH, read_seconds(watcher.events[0]))
    assert_same_run(other, one)


def read_seconds(event: Event) -> float:
    assert isinstance(event, Resumed) and event.seconds > 0
    return event.seconds


def test_a_run_that_dies_before_its_first_checkpoint_leaves_nothing(dataset, tmp_path):
    with pytest.raises(Killed):
        undisturbed(dataset, PLAN, tmp_path / "run", should_stop=Watcher(die_after=5).should_stop)
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match="There is no checkpoint in"):
        resume(tmp_path / "run", dataset)


@pytest.mark.parametrize("steps", [10, 3 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH + 4])
def test_without_validation_the_last_epoch_is_kept(steps, without_validation, tmp_path):
    config = PLAN.with_values(batch_size=32)  # 32 steps an epoch
    one = undisturbed(without_validation, config, tmp_path / "one")
    other = stopped_then_resumed(without_validation, config, tmp_path / "other", steps)
    assert_same_run(other, one)


PATIENT = TrainConfig(epochs=60, batch_size=64, learning_rate=0.08, patience=2)


def test_patience_ends_a_resumed_run_where_it_would_have_ended(dataset, tmp_path):
    one = undisturbed(dataset, PATIENT, tmp_path / "one")
    assert one.result.epochs == one.result.best_epoch + 2 < 60
    last = one.result.epochs
    for number, steps in enumerate(
        (
            5,  # in the first epoch
            one.result.best_epoch * STEPS_PER_EPOCH,  # at the end of the best one
            (last - 1) * STEPS_PER_EPOCH + 3,  # when patience has all but run out
            last * STEPS_PER_EPOCH,  # when it has
        )
    ):
        folder = tmp_path / f"other {number}"
        assert_same_run(stopped_then_resumed(dataset, PATIENT, folder, steps), one)


def test_a_run_stopped_at_its_very_end_only_has_to_be_saved(dataset, tmp_path):
    one = undisturbed(dataset, PLAN, tmp_path / "one")
    steps = PLAN.epochs * STEPS_PER_EPOCH
    assert_same_run(stopped_then_resumed(dataset, PLAN, tmp_path / "other", steps), one)


def test_checkpoints_on_the_way_change_nothing(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "choose_step", compiled("catch-up"))
    one = undisturbed(dataset, PLAN, tmp_path / "one")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    assert_same_run(undisturbed(dataset, PLAN, tmp_path / "other"), one)


def test_the_folder_tells_the_whole_history_once(dataset, tmp_path):
    folder = tmp_path / "run"
    first = Watcher(2 * STEPS_PER_EPOCH + 9)
    stopped = undisturbed(dataset, PLAN, folder, on_event=first, should_stop=first.should_stop)
    assert stopped.result.epochs == 3, "the epoch that was begun has its end"
    second = Watcher()
    run = resume(folder, on_event=second)
    position = 2 + 9 / STEPS_PER_EPOCH
    told = list(RunFolder(folder).events())
    kept = [event for event in first.events if getattr(event, "epoch", 0) <= position]
    kept = kept[: kept.index(first.of(Epoch)[1]) + 1]
    assert told[: len(kept)] == kept
    assert told[-len(second.events) :] == second.events
    assert isinstance(second.events[0], Resumed) and isinstance(second.events[1], Started)
    assert second.events[0].epoch == pytest.approx(position)
    assert [event.epoch for event in told if isinstance(event, Epoch)] == [1, 2, 3, 4]
    kinds = [event.kind for event in told if isinstance(event, Notice)]
    assert len(kinds) == len(set(kinds))
    assert second.of(Epoch)[0].seconds > second.events[0].seconds
    assert told[-1] == run.result


def test_points_of_a_resumed_run_go_on_from_where_it_was(dataset, tmp_path):
    folder = tmp_path / "run"
    undisturbed(dataset, PLAN, folder, should_stop=Watcher(STEPS_PER_EPOCH + 10).should_stop)
    watcher = Watcher()
    resume(folder, on_event=watcher)
    first = watcher.of(Point)[0]
    assert first.epoch == pytest.approx(1 + 11 / STEPS_PER_EPOCH)
    assert first.train.rows == PLAN.batch_size, "of the new rows alone"


def test_a_stopped_run_can_be_looked_at_before_while_and_after_it_is_resumed(
    dataset, tmp_path, every_step
):
    folder = tmp_path / "run"
    undisturbed(dataset, PLAN, folder, should_stop=Watcher(40).should_stop)
    assert open_run(folder).result.stopped
    seen = []

    def look(event: Event) -> None:
        if isinstance(event, Point | Epoch):
            seen.append(open_run(folder).result.stopped)

    resume(folder, on_event=look)
    assert seen and all(seen)
    assert not open_run(folder).result.stopped


def test_a_new_training_does_not_take_the_folder_of_an_interrupted_one(dataset, tmp_path):
    folder = tmp_path / "run"
    undisturbed(dataset, PLAN, folder, should_stop=Watcher(40).should_stop)
    before = read_checkpoint(folder).position
    with pytest.raises(RunError, match=r"Go on with it by python -m deepfm resume .*run, or give"):
        train(dataset, MODEL, PLAN, out=folder)
    assert read_checkpoint(folder).position == before


def test_a_finished_run_has_nothing_to_resume(dataset, tmp_path, every_step):
    run = undisturbed(dataset, PLAN, tmp_path / "run")
    assert not any(path.name.startswith("checkpoint") for path in run.folder.iterdir())
    with pytest.raises(RunError, match="There is no checkpoint in"):
        resume(run.folder, dataset)


def test_a_checkpoint_of_another_dataset_is_refused(dataset, without_validation, tmp_path):
    undisturbed(dataset, PLAN, tmp_path / "run", should_stop=Watcher(40).should_stop)
    with pytest.raises(RunError, match=r"belongs to another dataset.*Resume it with its own"):
        resume(tmp_path / "run", without_validation)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": MODEL.with_values(num_factors=5)}, "num_factors is 4 there and 5 here"),
        ({"train": PLAN.with_values(seed=4)}, "seed is 3 there and 4 here"),
        ({"train": PLAN.with_values(epochs=5)}, "epochs is 4 there and 5 here"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(options, words, dataset, tmp_path):
    undisturbed(dataset, PLAN, tmp_path / "run", should_stop=Watcher(40).should_stop)
    with pytest.raises(RunError, match=f"with other settings: {words}"):
        resume(tmp_path / "run", dataset, **options)


def test_a_run_that_goes_on_elsewhere_says_so(dataset, tmp_path):
    folder = tmp_path / "run"
    undisturbed(dataset, PLAN, folder, should_stop=Watcher(40).should_stop)
    torch.set_num_threads(2)
    watcher = Watcher()
    resume(folder, on_event=watcher)
    words = [notice.text for notice in watcher.of(Notice) if notice.kind == "resumed-elsewhere"]
    assert len(words) == 1
    assert "begun on CPU, 1 thread (" in words[0] and "goes on on CPU, 2 threads (" in words[0]


def test_a_disk_that_is_full_at_the_end_leaves_a_run_to_resume(dataset, tmp_path, monkeypatch):
    one = undisturbed(dataset, PLAN, tmp_path / "one")
    folder = tmp_path / "run"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(session, "write_run_folder", full)
        with pytest.raises(Interrupted, match=r"No space left on device\. Free some space"):
            undisturbed(dataset, PLAN, folder)
    assert_same_run(resume(folder), one)
