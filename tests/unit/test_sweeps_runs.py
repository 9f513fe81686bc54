"""Sweeps in the store: queued, joined, followed by what was learned, and judged honestly."""

import itertools
import math
import random
import statistics
from pathlib import Path

import pytest

from deepfm.config import Settings, TrainConfig
from deepfm.data.dataset import open_dataset
from deepfm.errors import ConfigError, LimitError, StoreError
from deepfm.events import Metrics
from deepfm.runs.store import Store
from deepfm.sweeps import (
    Axis,
    Spread,
    advance,
    begin,
    complete,
    missing,
    read_results,
    sampling,
    stop,
    to_json,
)
from deepfm.sweeps.results import explained_by_seeds
from deepfm.sweeps.sampling import Trial, first_points, next_point
from tests.unit.sweeps_in_store import (
    dataset_at,
    epoch,
    finished,
    settings_of,
    sweep_of,
    train_all,
    train_next,
    values_of,
)

FACTORS = Axis("num_factors", (2, 4, 8))
RATES = Axis("learning_rate", low=0.001, high=0.1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def dataset(home):
    return dataset_at(home)


@pytest.fixture
def store(home, dataset):
    with Store.open(home) as opened:
        yield opened


# --- a grid ----------------------------------------------------------------------------------


def test_a_grid_is_queued_whole_each_configuration_with_each_seed(store, dataset):
    axes = (FACTORS, Axis("activation", ("relu", "tanh")))
    group = store.group(begin(store, sweep_of(*axes, dataset=dataset, seeds=(3, 4)), owner="me"))
    runs = [store.run(run_id) for run_id in group.runs]
    assert (group.kind, group.name, group.owner) == ("sweep", "a sweep", "me")
    wanted = list(itertools.product((2, 4, 8), ("relu", "tanh"), (3, 4)))
    found = list(
        zip(*(values_of(runs, name) for name in ("num_factors", "activation", "seed")), strict=True)
    )
    assert found == wanted
    assert runs[0].name == "Factor size 2, activation relu, seed 3"
    assert {run.fingerprint for run in runs} == {dataset.fingerprint}


def test_min_count_prepares_the_same_rows_for_each_value_before_runs_are_queued(store, dataset):
    sweep = sweep_of(Axis("min_count", (1, 2, 4)), dataset=dataset, seeds=(0,))
    group = store.group(begin(store, sweep))
    runs = [store.run(run_id) for run_id in group.runs]
    prepared = [open_dataset(run.dataset_folder) for run in runs]
    assert [each.prepare.min_count for each in prepared] == [1, 2, 4]
    assert runs[2].fingerprint == dataset.fingerprint, "the dataset at hand is one of them"
    features = [each.vocabulary.num_features for each in prepared]
    assert features == sorted(features, reverse=True) and features[0] > features[2]
    for each in prepared:
        assert each.parts["validation"].labels.tolist() == (
            dataset.parts["validation"].labels.tolist()
        )
    results = read_results(store, group.id)
    assert [each.name for each in results.waiting] == ["min count 1", "min count 2", "min count 4"]


def test_a_dataset_without_validation_rows_is_refused_with_the_way_out(home, tmp_path):
    dataset = dataset_at(home, validation=0.0)
    with Store.open(home) as store, pytest.raises(ConfigError) as refused:
        begin(store, sweep_of(FACTORS, dataset=dataset))
    assert "never by the test rows" in str(refused.value)
    assert "validation fraction" in str(refused.value)


def test_a_model_that_is_too_large_for_this_server_is_named(store, dataset):
    settings = Settings(home=str(store.home), max_parameters=100)
    with pytest.raises(ConfigError, match=r"With factor size \d the model has .*allows 100"):
        begin(store, sweep_of(FACTORS, dataset=dataset), settings=settings)


def test_more_runs_than_may_wait_are_refused_and_none_is_queued(home, dataset):
    with Store.open(home, settings=Settings(home=str(home), max_queued=8)) as store:
        with pytest.raises(LimitError):
            begin(store, sweep_of(FACTORS, dataset=dataset))
        assert store.runs() == [] and store.groups() == []


def test_asked_twice_with_one_token_it_is_begun_once(store, dataset):
    sweep = sweep_of(FACTORS, dataset=dataset)
    assert begin(store, sweep, token="t") == begin(store, sweep, token="t")
    assert len(store.runs()) == 9


# --- the same again --------------------------------------------------------------------------


def test_runs_that_are_there_are_joined_instead_of_trained_again(store, dataset):
    first = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0, 1)))
    train_all(store, lambda run: 0.7)
    wider = Axis("num_factors", (4, 8, 16))
    second = begin(store, sweep_of(wider, dataset=dataset, seeds=(0, 1)))
    waiting = store.runs(states=("queued",))
    assert sorted(values_of(waiting, "num_factors")) == [16, 16]
    results = read_results(store, second)
    assert [each.point for each in results.ranked] == [(4,), (8,)]
    assert (results.done, results.planned) == (4, 6)
    train_all(store, lambda run: 0.8)
    assert read_results(store, second).best.point == (16,)
    assert len(read_results(store, first).runs) == 6


def test_a_sweep_all_of_whose_runs_are_there_is_over_at_once(store, dataset):
    sweep = sweep_of(FACTORS, dataset=dataset, seeds=(0,))
    begin(store, sweep)
    train_all(store, lambda run: 0.7)
    again = begin(store, sweep)
    assert store.group(again).runs == ()
    assert read_results(store, again).ended
    assert not store.waiting()


def test_a_failed_run_is_not_joined(store, dataset):
    sweep = sweep_of(FACTORS, dataset=dataset, seeds=(0,))
    begin(store, sweep)
    train_all(store, lambda run: None)
    begin(store, sweep)
    assert len(store.runs(states=("queued",))) == 3


def test_a_joined_run_that_is_deleted_leaves_the_rest_of_the_sweep(store, dataset):
    begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0,)))
    (run, *_) = train_all(store, lambda run: 0.7)
    second = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0, 1)))
    store.delete_run(run.id)
    assert len(read_results(store, second).runs) == 5


# --- samplers --------------------------------------------------------------------------------


def test_random_tries_as_many_different_points_as_asked_for_all_queued_at_once(store, dataset):
    sweep = sweep_of(RATES, FACTORS, dataset=dataset, sampler="random", trials=5, seeds=(0,))
    runs = [store.run(run_id) for run_id in store.group(begin(store, sweep)).runs]
    points = {(settings_of(r)["learning_rate"], settings_of(r)["num_factors"]) for r in runs}
    assert len(points) == 5
    assert all(0.001 <= rate <= 0.1 and factor in (2, 4, 8) for rate, factor in points)
    assert first_points(sweep, 5) == first_points(sweep, 5), "the same seed, the same points"


def test_every_combination_is_found_though_it_is_drawn_at_random():
    sweep = sweep_of(FACTORS, Axis("drop_rate", (0.0, 0.5)), sampler="random", trials=6)
    assert sorted(first_points(sweep, 6)) == sorted(sweep.grid())
    assert next_point(sweep, [Trial(point, 0.5, True) for point in sweep.grid()]) is None


def test_points_that_do_not_go_together_are_never_drawn():
    axes = (Axis("optimizer", ("adam", "lazy-adam")), Axis("weight_decay", (0.0, 0.1, 0.2)))
    sweep = sweep_of(*axes, sampler="random", trials=4)
    assert len(first_points(sweep, 6)) == 4


def test_tpe_asks_one_configuration_at_a_time_and_goes_where_it_went_well(store, dataset):
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=20, seeds=(0,))
    group = begin(store, sweep)
    assert len(store.runs()) == 1
    assert advance(store, group, 1) == 0, "one is in training; a second would not know of it"

    def best_at_a_hundredth(run):
        return 0.9 - 0.1 * abs(math.log10(run.train["learning_rate"]) + 2)

    rates = []
    while store.waiting():
        rates.append(train_next(store, best_at_a_hundredth).train["learning_rate"])
        advance(store, group, 1)
    assert len(rates) == len(set(rates)) == 20
    assert not store.group(group).spec["open"]
    late = statistics.fmean(abs(math.log10(rate) + 2) for rate in rates[12:])
    early = statistics.fmean(abs(math.log10(rate) + 2) for rate in rates[:8])
    assert late < early
    assert read_results(store, group).ended


def test_with_several_devices_several_configurations_are_in_flight(store, dataset):
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=5, seeds=(0, 1))
    group = begin(store, sweep)
    assert advance(store, group, 3) == 2
    assert len(set(values_of(store.runs(), "learning_rate"))) == 3
    (open_sweep,) = store.open_sweeps()
    assert (open_sweep.group, open_sweep.active, open_sweep.ended) == (group, 6, 0)


def test_the_next_trial_is_the_same_after_any_restart(store, dataset, home):
    sweep = sweep_of(RATES, FACTORS, dataset=dataset, sampler="tpe", trials=9, seeds=(0,))
    group = begin(store, sweep)
    for _ in range(6):
        train_next(store, lambda run: 0.5 + run.train["learning_rate"])
        with Store.open(home) as other:  # as another process sees it
            known = sampling.next_point(sweep, _trials(other, group))
        advance(store, group, 1)
        newest = store.runs(limit=1)[0]
        assert (newest.train["learning_rate"], newest.model["num_factors"]) == known


def _trials(store, group):
    from deepfm.sweeps.starting import trials_of

    return trials_of(read_results(store, group))


def test_a_trial_that_fails_is_told_and_the_sweep_goes_on(store, dataset):
    sweep = sweep_of(FACTORS, dataset=dataset, sampler="tpe", trials=3, seeds=(0,))
    group = begin(store, sweep)
    for auc in (0.7, None, 0.6):
        train_next(store, lambda run, auc=auc: auc)
        advance(store, group, 1)
    results = read_results(store, group)
    assert results.ended and len(results.ranked) == 2 and len(results.waiting) == 1


def test_a_stopped_sweep_asks_for_nothing_more(store, dataset):
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=9, seeds=(0, 1))
    group = begin(store, sweep)
    train_next(store, lambda run: 0.7)
    stop(store, group)
    assert advance(store, group, 1) == 0
    assert not store.extend_sweep(group, [], last=False)
    results = read_results(store, group)
    assert results.ended
    assert sorted(run.state for run in results.runs) == ["finished", "stopped"]
    assert results.record.message == "Stopped by a person."


def test_a_full_queue_leaves_the_sweep_open_for_later(home, dataset):
    with Store.open(home, settings=Settings(home=str(home), max_queued=2)) as store:
        sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=4, seeds=(0, 1))
        group = begin(store, sweep)
        train_all(store, lambda run: 0.7)
        store.queue_run("another's", dataset.folder, "clicks", {}, {})
        assert advance(store, group, 1) == 0
        assert store.group(group).spec["open"]
        train_all(store, lambda run: 0.7)
        assert advance(store, group, 1) == 1


def test_what_makes_going_on_impossible_ends_the_sweep_with_the_cause(store, dataset, monkeypatch):
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=4, seeds=(0,))
    group = begin(store, sweep)
    train_all(store, lambda run: 0.7)
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match="need the package optuna"):
        advance(store, group, 1)
    assert "optuna" in store.group(group).spec["message"]
    assert store.open_sweeps() == []


def test_a_grid_needs_no_optuna(store, dataset, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    begin(store, sweep_of(FACTORS, dataset=dataset))
    with pytest.raises(ConfigError, match="or use the sampler grid"):
        begin(store, sweep_of(RATES, dataset=dataset, sampler="random", trials=2))


# --- what is missing -------------------------------------------------------------------------


def test_what_failed_is_trained_again_and_counts_once(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset), owner="me")
    train_all(store, lambda run: None if run.train["seed"] == 1 else 0.7)
    assert missing(read_results(store, group)) == 3
    complete(store, group)
    again = store.runs(states=("queued",))
    assert values_of(again, "seed") == [1, 1, 1] and {run.owner for run in again} == {"me"}
    train_all(store, lambda run: 0.8)
    results = read_results(store, group)
    assert missing(results) == 0
    assert [each.auc.count for each in results.ranked] == [3, 3, 3]
    assert (len(results.runs), len(store.group(group).runs)) == (9, 12)


def test_what_was_interrupted_goes_on_from_its_checkpoint(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0,)))
    run = store.claim_run("test")
    run.folder.mkdir(parents=True)
    (run.folder / "checkpoint.json").write_text("{}")
    store.finish_run(run.id, "interrupted", "The worker stopped.")
    train_all(store, lambda run: 0.7)
    complete(store, group)
    assert store.run(run.id).state == "queued"
    assert len(store.runs()) == 3


def test_a_sweep_that_was_stopped_goes_on_with_the_rest_of_its_trials(store, dataset):
    sweep = sweep_of(RATES, dataset=dataset, sampler="tpe", trials=4, seeds=(0,))
    group = begin(store, sweep)
    train_all(store, lambda run: 0.7)
    advance(store, group, 1)
    stop(store, group)
    assert missing(read_results(store, group)) == 3
    complete(store, group)
    while store.waiting() or store.open_sweeps():
        train_all(store, lambda run: 0.7)
        advance(store, group, 1)
    results = read_results(store, group)
    assert results.ended and missing(results) == 0 and len(results.ranked) == 4


def test_a_sweep_that_has_all_it_asked_for_misses_nothing(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset))
    assert missing(read_results(store, group)) == 0, "it goes on"
    train_all(store, lambda run: 0.7)
    assert missing(read_results(store, group)) == 0


def test_the_sweeps_that_go_on_are_found_by_an_index(store, dataset):
    """The worker looks for them twenty times a second."""
    from deepfm.runs.store import sweeps

    with store._database.reading() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sweeps._OPEN}").fetchall()
    assert any("groups_open" in str(row["detail"]) for row in plan)


# --- what is made of it ----------------------------------------------------------------------


def noise(run, scale=0.001):
    return scale * (run.train["seed"] - 1)


def test_the_best_is_chosen_by_validation_and_told_with_its_spread(store, dataset):
    """The test figures of these runs go the other way; choosing by them would turn it round."""
    group = begin(store, sweep_of(FACTORS, dataset=dataset))
    train_all(store, lambda run: 0.7 + run.model["num_factors"] / 100 + noise(run))
    results = read_results(store, group)
    assert [each.point for each in results.ranked] == [(8,), (4,), (2,)]
    aucs = [0.78 - 0.001, 0.78, 0.78 + 0.001]
    assert results.best.auc.mean == pytest.approx(sum(aucs) / 3)
    assert results.best.auc.deviation == pytest.approx(statistics.stdev(aucs))
    assert results.best.best_run("auc").seed == 2
    assert results.verdict.winner
    assert results.verdict.words.startswith("Factor size 8 wins: validation AUC 0.7800 ± 0.0010")
    explained = f"{results.verdict.explained:.4f}"
    assert f"Seeds alone set two means up to {explained} apart" in results.verdict.words
    printed = to_json(results, group)
    assert printed["best"]["settings"] == {"num_factors": 8}
    assert printed["best"]["part"] == "test"
    assert printed["best"]["auc"] == pytest.approx(1 - 0.78)
    assert all("auc" not in each for each in printed["configurations"])


def test_within_the_seeds_spread_there_is_no_winner(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset))
    train_all(store, lambda run: 0.7 + run.model["num_factors"] / 1e5 + noise(run, 0.01))
    verdict = read_results(store, group).verdict
    assert not verdict.winner
    assert verdict.words.startswith("Within the seeds' spread: no winner.")
    said = f"seeds alone set two means up to {verdict.explained:.4f} apart, 19 times in 20."
    assert verdict.words.endswith(f"factor size 2 differ by no more than chance: {said}")


def test_one_seed_names_no_winner(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(5,)))
    train_all(store, lambda run: 0.7 + run.model["num_factors"] / 100)
    verdict = read_results(store, group).verdict
    assert not verdict.winner and "take more seeds" in verdict.words


def test_a_sweep_by_log_loss_puts_the_lowest_first(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset, objective="log_loss"))
    train_all(store, lambda run: 0.7 + run.model["num_factors"] / 100 + noise(run))
    results = read_results(store, group)
    losses = [each.log_loss.mean for each in results.ranked]
    assert losses == sorted(losses)
    assert "validation log loss" in results.verdict.words


def test_half_done_it_says_so(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset))
    for _ in range(6):
        train_next(store, lambda run: 0.7 + noise(run))
    results = read_results(store, group)
    assert not results.ended
    assert results.verdict.words.startswith("So far: ")
    assert (results.done, results.planned) == (6, 9)


def test_figures_are_those_of_the_epoch_whose_weights_are_kept(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0,)))
    run = store.claim_run("test")
    ends = [epoch(1, 0.7), epoch(2, 0.9, best=False), epoch(1, 0.75), epoch(2, 0.6, best=False)]
    store.finish_run(run.id, "finished", result=vars(finished()), events=ends)
    results = read_results(store, group)
    assert results.best.auc.mean == 0.75, "epoch 1 is kept; a resumed run told it twice"


def test_rows_of_one_class_have_no_auc_and_no_rank(store, dataset):
    group = begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0,)))
    run = store.claim_run("test")
    store.finish_run(run.id, "finished", result=vars(finished()), events=[epoch(1, None)])
    assert read_results(store, group).ranked == ()


def test_a_group_that_is_no_sweep_is_refused_in_words(store, dataset):
    (run,) = store.queue_group("five", [_new_run(dataset)])
    with pytest.raises(ConfigError, match="not a sweep"):
        read_results(store, store.run(run).group)
    with pytest.raises(StoreError):
        read_results(store, "0" * 13)


def _new_run(dataset):
    from deepfm.runs.store import NewRun

    return NewRun("a", dataset.folder, dataset.name, {}, TrainConfig().to_dict())


def test_what_seeds_explain_is_students_t_on_the_pooled_spread():
    """A second writing, with scipy's t and the spread pooled value by value."""
    from scipy.stats import t as student

    chance = random.Random(3)
    for sizes in [(3, 3), (3, 3, 3), (2, 5, 4), (20, 20, 20), (3, 1)]:
        samples = [[chance.gauss(0.7, 0.01) for _ in range(size)] for size in sizes]
        spreads = [Spread.of(sample) for sample in samples]
        squares = sum((x - sum(s) / len(s)) ** 2 for s in samples for x in s)
        freedom = sum(len(s) - 1 for s in samples)
        error = math.sqrt(squares / freedom * (1 / sizes[0] + 1 / sizes[1]))
        wanted = student.ppf(0.975, freedom) * error
        assert explained_by_seeds(spreads[0], spreads[1], spreads) == pytest.approx(
            wanted, rel=3e-3
        )
    alone = Spread.of([0.7])
    assert explained_by_seeds(alone, alone, [alone]) is None


def test_epochs_are_read_in_order_and_what_is_damaged_is_left_out(store, dataset):
    begin(store, sweep_of(FACTORS, dataset=dataset, seeds=(0,)))
    run = store.claim_run("test")
    store.append(run.id, [epoch(1, 0.7), epoch(2, 0.8)])
    with store._database.writing() as connection:
        connection.execute(
            'INSERT INTO events (run_id, seq, body) VALUES (?, 9, \'{"event": "Epoch", 7\')',
            (run.id,),
        )
    found = store.epochs([run.id])[run.id]
    assert [each.validation for each in found] == [
        Metrics(0.5, 0.8, 0.7, 40),
        Metrics(0.5, 0.8, 0.8, 40),
    ]
