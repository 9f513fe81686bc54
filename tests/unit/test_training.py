"""What a training promises: its events, its folder, its seed, its stop, its best epoch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfm import evaluation
from deepfm.config import PRESETS, TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.errors import LimitError, RunError
from deepfm.events import (
    BranchAucs,
    Epoch,
    Event,
    Finished,
    Metrics,
    Notice,
    Point,
    Started,
    from_json,
)
from deepfm.model import DeepFM
from deepfm.terms import Terms
from deepfm.trained import open_run
from deepfm.training.loop import train
from deepfm.training.notices import away_notice, branch_notices, curve_notice, ran_away
from deepfm.training.report import Observer
from deepfm.training.rows import Rows
from deepfm.training.step import Step, StepResult, StepState

SMALL = ModelConfig(num_factors=4, mlp_dims=(8,))
PINNED = [{"site": "s1", "ad": "a2", "hour": "h3"}, {"site": "never", "ad": "a0", "hour": "h0"}]


@dataclass
class Recorder:
    """Collects events; asks to stop once so many points or epochs were seen."""

    stop_after: int = 10**9
    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return sum(isinstance(e, Point | Epoch) for e in self.events) >= self.stop_after

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def write_clicks(path: Path, rows: int, seed: int) -> Path:
    """A small click log whose ad matches its site: a pair effect that can be learned."""
    rng = np.random.default_rng(seed)
    site, ad, hour = rng.integers(0, (6, 6, 4), (rows, 3)).T
    clicked = rng.random(rows) < np.where(site == ad, 0.85, 0.15)
    columns = zip(clicked, site, ad, hour, strict=True)
    lines = [f"{int(c)}\ts{s}\ta{a}\th{h}" for c, s, a, h in columns]
    path.write_text("click\tsite\tad\thour\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny steps on many threads wait for one another more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clicks")
    return prepare(
        write_clicks(folder / "train.tsv", 3_000, 0),
        write_clicks(folder / "test.tsv", 500, 1),
        out=folder / "dataset",
    )


@pytest.fixture(scope="module")
def dataset_without_validation(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clicks")
    path = write_clicks(folder / "train.tsv", 1_000, 0)
    return prepare(path, out=folder / "dataset", validation=0.0)


@pytest.mark.parametrize("name", sorted(TERM_SETS))
def test_the_folder_scores_as_the_trained_model_did(name, dataset, tmp_path):
    config = SMALL.with_values(terms=TERM_SETS[name])
    run = train(dataset, config, TrainConfig(epochs=2, batch_size=256), out=tmp_path / "run")
    model = open_run(run.folder)
    for part in ("test", "validation"):
        scores, again = model.scores(part), model.score(dataset.parts[part].ids)
        for stored, scored in zip(scores.terms, again, strict=True):
            np.testing.assert_allclose(stored, scored, atol=1e-5)
        np.testing.assert_array_equal(scores.labels, dataset.parts[part].labels)
    assert model.model == config
    assert model.impressions("test")["site"].to_pylist() == (
        dataset.parts["test"].rows()["site"].to_pylist()
    )


def test_separate_tables_and_tanh_come_back_too(dataset, tmp_path):
    config = SMALL.with_values(shared_embedding=False, activation="tanh")
    run = train(dataset, config, TrainConfig(epochs=1), out=tmp_path / "run")
    model = open_run(run.folder)
    again = model.score(dataset.parts["test"].ids)
    np.testing.assert_allclose(model.scores("test").terms.logit, again.logit, atol=1e-5)


def test_events_begin_with_started_and_end_with_finished(dataset, tmp_path):
    recorder = Recorder()
    run = train(dataset, SMALL, TrainConfig(epochs=3), out=tmp_path / "run", on_event=recorder)
    assert isinstance(recorder.events[0], Started)
    assert recorder.events[-1] == run.result
    assert [epoch.epoch for epoch in recorder.of(Epoch)] == [1, 2, 3]
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [from_json(line) for line in lines] == recorder.events


def test_finished_holds_the_figures_of_the_test_part(dataset, tmp_path):
    run = train(dataset, SMALL, TrainConfig(epochs=4), out=tmp_path / "run")
    scores = open_run(run.folder).scores("test")
    metrics = evaluation.metrics_of(scores.labels, scores.terms.logit)
    assert run.result.part == "test"
    assert run.result.rows == 500
    assert run.result.auc == pytest.approx(metrics.auc, abs=1e-6)
    assert run.result.log_loss == pytest.approx(metrics.loss, abs=1e-5)
    assert run.result.log_loss_calibrated < 0.7


def test_same_seed_same_curve_and_another_seed_another(dataset, tmp_path):
    def curve(seed: int, name: str) -> list[tuple[Metrics, Metrics]]:
        recorder = Recorder()
        config = TrainConfig(epochs=3, batch_size=128, seed=seed)
        train(dataset, SMALL, config, out=tmp_path / name, on_event=recorder)
        return [(epoch.train, epoch.validation) for epoch in recorder.of(Epoch)]

    assert curve(1, "a") == curve(1, "b")
    assert curve(1, "c") != curve(2, "d")


def test_the_best_epoch_is_kept(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=12, batch_size=64, learning_rate=0.05)
    run = train(dataset, SMALL, config, out=tmp_path / "run", on_event=recorder)
    epochs = recorder.of(Epoch)
    best = max(epochs, key=lambda epoch: epoch.validation.auc)
    assert run.result.best_epoch == best.epoch
    scores = open_run(run.folder).scores("validation")
    assert evaluation.auc(scores.labels, scores.terms.logit) == pytest.approx(
        best.validation.auc, abs=1e-6
    )


def test_patience_ends_the_training(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=200, batch_size=64, learning_rate=0.05, patience=2)
    run = train(dataset, SMALL, config, out=tmp_path / "run", on_event=recorder)
    assert run.result.epochs == run.result.best_epoch + 2 < 200


def test_without_validation_the_last_epoch_is_kept(dataset_without_validation, tmp_path):
    recorder = Recorder()
    run = train(
        dataset_without_validation,
        SMALL,
        TrainConfig(epochs=3, patience=1),
        out=tmp_path / "run",
        on_event=recorder,
    )
    assert (run.result.epochs, run.result.best_epoch, run.result.part) == (3, 3, "train")
    assert run.result.auc is None
    assert run.result.log_loss is None
    assert not any(epoch.best for epoch in recorder.of(Epoch))
    assert open_run(run.folder).parts == ("train",)


def test_one_class_in_validation_falls_back_to_log_loss(dataset, tmp_path):
    part = dataset.parts["validation"]
    one_class = np.flatnonzero(np.asarray(part.labels) == 0)
    dataset = _with_part(
        dataset, replace(part, ids=part.ids[one_class], labels=part.labels[one_class])
    )
    recorder = Recorder()
    train(
        dataset,
        SMALL,
        TrainConfig(epochs=5, patience=3),
        out=tmp_path / "run",
        on_event=recorder,
    )
    epochs = recorder.of(Epoch)
    assert all(epoch.validation.auc is None for epoch in epochs)
    losses = [epoch.validation.loss for epoch in epochs]
    assert [epoch.best for epoch in epochs] == [
        loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)
    ]


def _with_part(dataset: Dataset, part) -> Dataset:
    changed = {**dataset.parts, part.name: part}
    other = Dataset.__new__(Dataset)
    other.__dict__.update({**dataset.__dict__, "parts": changed})
    return other


def test_stop_keeps_what_was_learned(dataset, tmp_path):
    recorder = Recorder(stop_after=2)
    run = train(
        dataset,
        SMALL,
        TrainConfig(epochs=10_000, batch_size=16),
        out=tmp_path / "run",
        on_event=recorder,
        should_stop=recorder.should_stop,
    )
    assert run.result.stopped
    assert run.result.epochs < 10_000
    assert open_run(run.folder).result == run.result


def test_points_come_at_most_twenty_times_a_second(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=2, batch_size=8)
    train(dataset, SMALL, config, out=tmp_path / "run", on_event=recorder)
    points = recorder.of(Point)
    assert points[0].epoch == pytest.approx(1 / (2_700 / 8), rel=0.01), "the first step is a point"
    assert all(b.seconds - a.seconds >= 0.049 for a, b in pairwise(points))
    assert all(b.epoch > a.epoch for a, b in pairwise(points))


def test_pinned_impressions_ride_on_every_event(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=2, batch_size=256)
    run = train(dataset, SMALL, config, out=tmp_path / "run", pinned=PINNED, on_event=recorder)
    model = open_run(run.folder)
    last = next(epoch for epoch in recorder.of(Epoch) if epoch.epoch == run.result.best_epoch)
    ids = np.stack([model.encode(impression) for impression in PINNED])
    np.testing.assert_allclose(last.pinned, np.stack(list(model.score(ids)), axis=1), atol=1e-5)
    reference = np.stack(list(model.score(model.reference_ids)))
    np.testing.assert_allclose(last.moments.mean, reference.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(last.moments.covariance, np.cov(reference, bias=True), atol=1e-5)
    assert model.pinned == tuple(PINNED)


def test_an_epoch_takes_every_row_once(dataset):
    rows = Rows(dataset.parts["train"], torch.device("cpu"))
    whole = [labels for _, labels in rows.batches(512, 0, 1, False)]
    assert sum(len(labels) for labels in whole) == len(rows)
    assert sum(float(labels.sum()) for labels in whole) == float(rows.labels.sum())
    dropped = list(rows.batches(512, 0, 1, True))
    assert {len(labels) for _, labels in dropped} == {512}
    assert len(dropped) == len(rows) // 512
    assert len(list(rows.batches(100_000, 0, 1, True))) == 1, "never an epoch of nothing"


def test_the_order_differs_by_epoch_and_repeats_by_seed(dataset):
    rows = Rows(dataset.parts["train"], torch.device("cpu"))

    def order(seed: int, epoch: int) -> list[float]:
        return torch.cat([ids for ids, _ in rows.batches(512, seed, epoch, False)]).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_taken_folder_is_refused_and_untouched(dataset, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"is not empty\. Give --out a new folder"):
        train(dataset, SMALL, TrainConfig(epochs=1), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_above_the_limit_is_refused_before_it_is_made(dataset, tmp_path):
    huge = ModelConfig(num_factors=1_024, mlp_dims=(8_192,) * 16)
    with pytest.raises(LimitError, match=r"at most 500,000,000 are allowed here.*Lower"):
        train(dataset, huge, TrainConfig(epochs=1), out=tmp_path / "run")


def test_a_model_larger_than_memory_is_refused_before_it_is_made(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("deepfm.training.memory.memory_bytes", lambda device: 2**10)
    with pytest.raises(LimitError, match=r"GiB to train; .* GiB are there\. Lower"):
        train(dataset, SMALL, TrainConfig(epochs=1), out=tmp_path / "run")


def test_a_diverged_training_says_so(dataset, tmp_path, monkeypatch):
    class Diverging(Step):
        def __call__(self, ids, labels, epoch, index):
            loss = torch.tensor(float("nan") if epoch == 2 else 1.0)
            return StepResult(torch.zeros(len(labels)), loss)

        def state(self):
            return StepState(0, {}, {})

        def load_state(self, state):
            raise AssertionError("nothing is resumed here")

    monkeypatch.setattr("deepfm.training.session.choose_step", lambda m, c: (Diverging(), "test"))
    with pytest.raises(RunError, match=r"diverged in epoch 2.*Lower the learning rate"):
        train(dataset, SMALL, TrainConfig(epochs=3), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_d2l_preset_drops_the_last_batch_and_shows_the_test_curve(tmp_path):
    prepared = prepare(
        write_clicks(tmp_path / "train.tsv", 3_000, 0),
        write_clicks(tmp_path / "test.tsv", 500, 1),
        out=tmp_path / "dataset",
        **PRESETS["d2l"].prepare,
    )
    recorder = Recorder()
    config = TrainConfig.from_dict({**PRESETS["d2l"].train, "epochs": 2})
    train(prepared, SMALL, config, out=tmp_path / "run", on_event=recorder)
    for epoch in recorder.of(Epoch):
        assert epoch.train.rows == 2_048
        assert epoch.test.rows == 500
        assert epoch.validation is None


def test_the_environment_says_what_repeats_the_run(dataset, tmp_path):
    run = train(dataset, SMALL, TrainConfig(epochs=1, seed=7), out=tmp_path / "run")
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["seed"] == 7
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["device"].startswith("CPU, ")


def _epoch(number: int, best_until: int, validation_loss: float) -> Epoch:
    """Training improves all the time; validation does until one epoch."""
    train, validation = (Metrics(loss, 0.5, 0.5, 10) for loss in (1 / number, validation_loss))
    return Epoch(number, 0, 0, 0, train, validation, None, number <= best_until, None, ())


def test_a_validation_curve_that_turns_is_told_in_words():
    turned_at_once = [_epoch(i, 1, 0.5 + i / 50) for i in range(1, 5)]
    assert curve_notice(turned_at_once[:3]) is None
    assert curve_notice(turned_at_once).kind == "best-after-first-epoch"
    turned_later = [_epoch(i, 4, 0.5 + abs(i - 4) / 50) for i in range(1, 8)]
    notice = curve_notice(turned_later)
    assert notice.kind == "memorising"
    assert "best after epoch 4" in notice.text and "Epoch 4 is kept" in notice.text
    assert curve_notice(turned_later[:6]) is None
    flat = [_epoch(i, 1, 0.5 + i / 10_000) for i in range(1, 8)]
    assert curve_notice(flat) is None


def test_a_training_that_runs_away_is_told_to_lower_its_learning_rate(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=5, batch_size=128, learning_rate=10.0)
    train(dataset, SMALL, config, out=tmp_path / "run", on_event=recorder)
    (notice,) = [each for each in recorder.of(Notice) if each.kind != "order"]
    kept = [epoch for epoch in recorder.of(Epoch) if epoch.best][-1]
    rate = float(np.mean(dataset.parts["validation"].labels))
    base = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert notice == Notice(
        "ran-away",
        f"The training has run away: validation loss {kept.validation.loss:,.2f}, always giving "
        f"the base rate has {base:.3f}. Lower the learning rate, now 10.",
    )


def test_memorising_is_not_running_away():
    def epoch(train: float, validation: float) -> Epoch:
        metrics = [Metrics(loss, 0.5, 0.5, 10) for loss in (train, validation)]
        return Epoch(1, 0, 0, 0, *metrics, None, True, None, ())

    assert not ran_away(epoch(0.1, 9.0), 0.5), "it has learned its training rows"
    assert not ran_away(epoch(0.7, 0.9), 0.5)
    assert ran_away(epoch(8.0, 9.0), 0.5)
    untested = Epoch(1, 0, 0, 0, Metrics(9.0, 0.5, 0.5, 10), None, None, True, None, ())
    assert away_notice(untested, 0.5, 1.0) is None


def test_a_branch_that_says_nothing_is_told_in_words():
    rng = np.random.default_rng(0)
    labels = (rng.random(2_000) < 0.5).astype(np.float32)
    signal, noise = labels + rng.normal(size=2_000), rng.normal(size=2_000)

    def kinds(fm: np.ndarray, deep: np.ndarray) -> list[tuple[str, bool]]:
        terms = Terms(fm, np.zeros(2_000), deep)
        return [(n.kind, "network" in n.text) for n in branch_notices(terms, labels)]

    assert kinds(signal, noise * 1e-4) == [("idle-branch", True)]
    assert kinds(signal, noise) == [("unneeded-branch", True)]
    assert kinds(signal, np.zeros(2_000)) == [], "a model without a network has no idle one"
    assert kinds(signal, labels + rng.normal(size=2_000)) == []


def test_a_notice_comes_once(dataset, tmp_path):
    recorder = Recorder()
    config = TrainConfig(epochs=15, batch_size=128, learning_rate=0.05)
    train(dataset, SMALL, config, out=tmp_path / "run", on_event=recorder)
    kinds = [notice.kind for notice in recorder.of(Notice)]
    assert len(kinds) == len(set(kinds))


def test_finished_is_reported_after_the_folder_is_there(dataset, tmp_path):
    seen = []

    def look(event: Event) -> None:
        if isinstance(event, Finished):
            seen.append(open_run(tmp_path / "run").result == event)

    train(dataset, SMALL, TrainConfig(epochs=1), out=tmp_path / "run", on_event=look)
    assert seen == [True]


@pytest.mark.parametrize("name", sorted(TERM_SETS))
def test_the_last_epoch_tells_how_each_branch_ranks_alone(name, dataset, tmp_path):
    recorder = Recorder()
    config = SMALL.with_values(terms=TERM_SETS[name])
    run = train(dataset, config, TrainConfig(epochs=1), out=tmp_path / "run", on_event=recorder)
    model = open_run(run.folder)
    scores, mean = model.scores("validation"), model.score(model.reference_ids)
    branches = recorder.of(Epoch)[-1].branches
    for branch, names in (("fm", ("linear", "pairwise")), ("deep", ("deep",))):
        there = [name for name in names if name in config.terms]
        alone = np.full(len(scores.labels), float(np.mean(mean.logit)))
        for term in there:
            alone += getattr(scores.terms, term) - float(np.mean(getattr(mean, term)))
        clicks, others = alone[scores.labels == 1], alone[scores.labels == 0]
        pairs = np.sign(clicks[:, None] - others[None, :])
        known = getattr(branches, branch)
        assert known == (pytest.approx((pairs.mean() + 1) / 2, abs=1e-3) if there else None)


def test_the_first_and_the_last_epoch_rank_the_branches_however_short_they_are(dataset, tmp_path):
    recorder = Recorder()
    train(dataset, SMALL, TrainConfig(epochs=6), out=tmp_path / "run", on_event=recorder)
    ranked = [epoch.epoch for epoch in recorder.of(Epoch) if epoch.branches is not None]
    assert ranked[0] == 1 and ranked[-1] == 6


def test_branches_are_ranked_at_most_five_times_a_second_but_for_first_and_last(
    dataset, monkeypatch
):
    now = 100.0
    monkeypatch.setattr("deepfm.training.report.time.perf_counter", lambda: now)
    model = DeepFM(dataset.vocabulary.field_dims, SMALL)
    device = torch.device("cpu")
    none = np.empty((0, 3), dtype=np.int32)
    observer = Observer(model, device, none, none, None, lambda _: None, lambda _: None)
    labels = np.array([0, 1, 1], dtype=np.float32)
    terms = Terms(*(np.arange(3, dtype=np.float32) for _ in range(3)))
    taken = []
    for _ in range(100):
        taken.append(observer.branch_aucs(labels, terms) is not None)
        now += 0.01
    assert 4 <= sum(taken) <= 5 and taken[0]
    assert observer.branch_aucs(labels, terms) is not None
    assert observer.branch_aucs(labels, terms) is None
    assert observer.branch_aucs(labels, terms, always=True) == BranchAucs(1.0, 1.0)


def test_without_validation_the_branches_are_those_of_the_test_rows(tmp_path):
    prepared = prepare(
        write_clicks(tmp_path / "train.tsv", 600, 0),
        write_clicks(tmp_path / "test.tsv", 200, 1),
        out=tmp_path / "dataset",
        validation=0.0,
    )
    recorder = Recorder()
    train(prepared, SMALL, TrainConfig(epochs=1), out=tmp_path / "run", on_event=recorder)
    (epoch,) = recorder.of(Epoch)
    assert epoch.validation is None and epoch.branches is not None
