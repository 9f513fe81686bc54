"""Sweeps on the Train page: a study or values of one's own, what it costs, one item to watch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.config import PrepareConfig, TrainConfig
from deepfm.data.catalog import PINNED, open_demo
from deepfm.data.dataset import Dataset, open_dataset, prepare
from deepfm.runs.store import RunRow, Store
from deepfm.sweeps import STUDIES, Axis, begin, source_of
from deepfm.sweeps import sweep_of as named_sweep
from tests.app.conftest import assert_nothing_wrong
from tests.app.runs_page import open_runs, table
from tests.unit.sweeps_in_store import train_all, train_next, write_clicks

Opener = Callable[..., AppTest]


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's dataset folder, made once."""
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    """The demo in this test's home."""
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


def words(page: AppTest) -> str:
    """All text on the page, Markdown's escapes taken away."""
    boxes = [*page.markdown, *page.caption, *page.error, *page.info]
    return "\n".join(str(box.value).replace("\\", "").replace("\u2060", "") for box in boxes)


def opened(open_page: Opener, **address: str) -> AppTest:
    """The Train page with the sweep's part open."""
    page = open_page("train", **address)
    page.session_state["train_sweep_open"] = True
    page.run()
    assert_nothing_wrong(page)
    return page


def choose(page: AppTest, key: str, value: object) -> AppTest:
    box = next(
        each
        for each in (*page.selectbox, *page.text_input, *page.number_input)
        if str(each.key).startswith(key)
    )
    box.set_value(value).run()
    assert_nothing_wrong(page)
    return page


def start(page: AppTest) -> AppTest:
    page.button(key="sweep_start").click().run()
    assert_nothing_wrong(page)
    return page


def begun(home: Path, dataset: Dataset, *axes: Axis, **how: object) -> str:
    """A sweep in the store; its group."""
    with Store.open(home) as store:
        sweep = named_sweep(
            axes,
            source_of(dataset, [], home),
            dataset.prepare,
            named_model(),
            TrainConfig(epochs=2),
            **{"seeds": 3, **how},  # type: ignore[arg-type]
        )
        return begin(store, sweep)


def one_trained(open_page: Opener, demo: Dataset, home: Path) -> tuple[str, AppTest]:
    """A sweep of which one run has been trained, and its page."""
    group = begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_next(store, good)
    return group, open_page("train", group=group)


def named_model():  # type: ignore[no-untyped-def]
    from deepfm.config import ModelConfig

    return ModelConfig()


FACTORS = Axis("num_factors", (4, 8))


def good(run: RunRow) -> float:
    """More factors are better, and the seeds differ a little."""
    return 0.7 + run.model["num_factors"] / 100 + run.train["seed"] / 1000


# --- the form --------------------------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_says_its_question_and_what_it_costs(
    open_page: Opener, demo: Dataset, study: str
) -> None:
    page = choose(opened(open_page), "sweep_study", study)
    assert STUDIES[study].question in words(page)
    assert STUDIES[study].found in words(page)
    axis = STUDIES[study].axis(48_000, named_model())
    assert page.button(key="sweep_start").label == f"Queue {3 * len(axis.values)} runs"


def test_the_cost_says_what_the_runs_are_made_of(open_page: Opener, demo: Dataset) -> None:
    page = choose(opened(open_page), "sweep_study", "activation")
    costs = "".join(str(box.proto.body) for box in page.get("html") if "configur" in box.proto.body)
    assert "<b>6</b> <small>= 2 configurations × 3 seeds</small>" in costs


def test_a_study_is_queued_as_one_group_with_the_forms_settings(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = opened(open_page, learning_rate="0.02", epochs="3")
    page = start(choose(page, "sweep_study", "activation"))
    with Store.open(home) as store:
        group = store.group(page.query_params["group"])
        runs = [store.run(run_id) for run_id in group.runs]
    assert (group.kind, group.name) == ("sweep", "Activation on demo")
    assert [(run.model["activation"], run.train["seed"]) for run in runs] == [
        (name, seed) for name in ("relu", "tanh") for seed in (0, 1, 2)
    ]
    assert {(run.train["learning_rate"], run.train["epochs"]) for run in runs} == {(0.02, 3)}
    assert len(runs[0].pinned) == len(PINNED)
    assert "0 of 6 runs have ended" in words(page)


def test_values_of_ones_own_make_a_grid(open_page: Opener, demo: Dataset, home: Path) -> None:
    page = choose(opened(open_page), "sweep_study", "own")
    choose(page, "sweep_own_0", "4, 8")
    choose(page, "sweep_setting_1", "mlp_dims")
    choose(page, "sweep_own_1", "30,20,10; 64,32")
    choose(page, "sweep_seeds", 1)
    assert page.button(key="sweep_start").label == "Queue 4 runs"
    start(page)
    with Store.open(home) as store:
        shapes = [(run.model["num_factors"], run.model["mlp_dims"]) for run in store.runs()]
    assert sorted(shapes) == [(4, [30, 20, 10]), (4, [64, 32]), (8, [30, 20, 10]), (8, [64, 32])]


def test_a_sampler_draws_from_a_range(open_page: Opener, demo: Dataset, home: Path) -> None:
    page = choose(opened(open_page), "sweep_study", "own")
    choose(page, "sweep_setting_0", "learning_rate")
    choose(page, "sweep_own_0", "0.001..0.1")
    assert "choose the sampler random or tpe" in words(page).lower()
    choose(page, "sweep_sampler", "tpe")
    choose(page, "sweep_trials", 4)
    assert page.button(key="sweep_start").label == "Queue 12 runs"
    page = start(page)
    assert "0 of 12 runs have ended" in words(page)
    with Store.open(home) as store:
        assert len(store.runs()) == 3, "one configuration at a time"


@pytest.mark.parametrize(
    ("setting", "text", "sentence"),
    [
        ("num_factors", "4, 0", "Factor size is 0. It must be at least 1"),
        ("num_factors", "4, x", "'x' is not a whole number"),
        ("mlp_dims", "30,20", "Only one configuration is given"),
        ("num_factors", ",".join(map(str, range(1, 60))), "with 3 seeds 177 runs"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_queued(
    open_page: Opener, demo: Dataset, home: Path, setting: str, text: str, sentence: str
) -> None:
    page = choose(opened(open_page), "sweep_study", "own")
    choose(page, "sweep_setting_0", setting)
    choose(page, "sweep_own_0", text)
    assert sentence in words(page)
    assert all(button.key != "sweep_start" for button in page.button)
    with Store.open(home) as store:
        assert store.runs() == []


def test_min_count_is_left_to_the_worker_which_prepares_the_data_first(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = start(choose(opened(open_page), "sweep_study", "min-count"))
    with Store.open(home) as store:
        (job,) = store.jobs()
        assert (job.kind, job.state) == ("sweep", "queued")
        assert store.runs() == []
    assert page.button(key="train_sweep_cancel")


def test_min_count_of_a_dataset_whose_file_is_gone_says_the_way_out(
    open_page: Opener, home: Path, tmp_path: Path
) -> None:
    dataset = prepare(write_clicks(tmp_path / "a.tsv"))
    page = opened(open_page, dataset=dataset.fingerprint)
    choose(page, "sweep_study", "min-count")
    assert "is not kept here. Load it again on Data." in words(page)


def test_data_without_validation_rows_are_not_swept(
    open_page: Opener, home: Path, tmp_path: Path
) -> None:
    dataset = prepare(write_clicks(tmp_path / "a.tsv"), config=PrepareConfig(validation=0.0))
    page = opened(open_page, dataset=dataset.fingerprint)
    assert "holds out no validation rows" in words(page)


def test_a_network_study_of_a_model_without_one_is_refused(
    open_page: Opener, demo: Dataset
) -> None:
    page = opened(open_page, terms="FM")
    choose(page, "sweep_study", "shape")
    assert "MLP dims is of the network, which FM does not have" in words(page)


# --- one item to watch -----------------------------------------------------------------------


def test_a_sweep_that_goes_on_shows_how_far_it_is_and_can_be_stopped(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    _, page = one_trained(open_page, demo, home)
    assert "1 of 6 runs have ended" in words(page)
    page.button(key="sweep_stop").click().run()
    assert_nothing_wrong(page)
    with Store.open(home) as store:
        states = sorted(run.state for run in store.runs())
    assert states == ["finished", *["stopped"] * 5]


def test_one_seed_of_a_setting_is_not_compared_with_the_mean_of_another(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group, page = one_trained(open_page, demo, home)
    highest = "Highest mean validation AUC so far"
    assert f"{highest}, 1 of 3 seeds: factor size 4" in words(page).replace("**", "")
    with Store.open(home) as store:
        for _ in range(3):
            train_next(store, good)
    page = open_page("train", group=group)
    assert f"{highest}: factor size 4" in words(page).replace("**", "")
    assert "So far: only factor size 4 has been trained" in words(page)


def test_the_best_stands_on_top_with_its_test_figures_alone(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group = begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, good)
    page = open_page("train", group=group)
    assert "Factor size 8 wins" in words(page)
    assert "Best: factor size 8" in words(page).replace("**", "")
    tiles = "".join(str(box.proto.body) for box in page.get("html"))
    assert "0.7810" in tiles and "± 0.0010" in tiles, "validation"
    assert f"{1 - 0.781:.4f}" in tiles, "test"
    assert ">± 0.0010 · used to choose<" in tiles and "not used to choose" in tiles
    assert f"{1 - 0.741:.4f}" not in tiles, "the other's test figures are nobody's business"
    (table,) = page.dataframe
    assert list(table.value["Factor size"]) == ["8", "4"]
    assert list(table.value["seconds a run"]) == [1.0, 1.0]


def test_runs_names_the_best_of_a_sweep_by_its_validation_mean(home: Path, demo: Dataset) -> None:
    begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, good)
    (row,) = table(open_runs())["rows"]
    assert row["settings"] == "best on validation: factor size 8"
    assert (row["auc"], row["part"]) == (f"{1 - 0.781:.4f}", "test"), "as its own page says"


def test_runs_counts_a_sweeps_runs_as_its_own_page_does(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    """A run that was there before the sweep counts as its own, wherever it is counted."""
    begun(home, demo, Axis("num_factors", (8, 16)), seeds=1)
    with Store.open(home) as store:
        train_all(store, good)
    group = begun(home, demo, FACTORS, seeds=3)
    assert "1 of 6 runs have ended, 1 from before" in words(open_page("train", group=group))
    assert table(open_runs())["rows"][0]["state_words"] == "1 of 6 done, 1 from before"
    with Store.open(home) as store:
        train_all(store, good)
    page = open_page("train", group=group)
    assert "6 runs: 2 configurations × 3 seeds, 1 from before" in words(page)
    newest = table(open_runs())["rows"][0]
    assert (newest["state_words"], newest["state"]) == ("6 runs, 1 from before", "finished")
    some = table(open_runs(state="finished"))["rows"][0]
    assert some["state_words"] == "5 runs", "those that fit the filter"


def test_within_the_spread_no_winner_is_named(open_page: Opener, demo: Dataset, home: Path) -> None:
    group = begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, lambda run: 0.7 + run.train["seed"] / 100)
    page = open_page("train", group=group)
    assert "Within the seeds' spread: no winner." in words(page)
    assert "Best" not in words(page), "no winner is the best"
    assert "Highest mean validation AUC: factor size 4" in words(page).replace("**", "")
    (row,) = table(open_runs())["rows"]
    assert row["settings"] == "no winner; highest: factor size 4 (valid.)"


def test_with_one_seed_nothing_is_called_the_best(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group = begun(home, demo, FACTORS, seeds=1, objective="log_loss")
    with Store.open(home) as store:
        train_all(store, good)
    page = open_page("train", group=group)
    assert "Lowest validation log loss: factor size 8" in words(page).replace("**", "")
    (row,) = table(open_runs())["rows"]
    assert row["settings"] == "lowest log loss: factor size 8 (valid.)"


def test_train_this_with_more_epochs_fills_the_form(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group = begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, good)
    page = open_page("train", group=group)
    page.button(key="sweep_more").click().run()
    assert_nothing_wrong(page)
    fields = {str(box.key).rsplit("_", 1)[0]: box.value for box in page.text_input}
    assert fields["train_num_factors"] == "8"
    assert fields["train_epochs"] == "4"
    assert "group" not in page.query_params


def test_failed_runs_are_told_and_the_rest_counts(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group = begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, lambda run: None if run.train["seed"] == 0 else good(run))
    page = open_page("train", group=group)
    assert "failed. as asked" in words(page)
    assert "2 were not trained to the end" in words(page)
    (table,) = page.dataframe
    assert list(table.value["seeds"]) == ["2 of 3", "2 of 3"]
    page.button(key="sweep_complete").click().run()
    assert_nothing_wrong(page)
    assert "4 of 6 runs have ended" in words(page)


def test_a_sweep_of_several_settings_has_a_chart_for_each(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    group = begun(home, demo, FACTORS, Axis("activation", ("relu", "tanh")), seeds=1)
    with Store.open(home) as store:
        train_all(store, good)
    page = open_page("train", group=group)
    assert_nothing_wrong(page)
    assert len(page.dataframe[0].value) == 4


def test_a_sweep_whose_runs_were_all_there_is_shown_at_once(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    begun(home, demo, FACTORS)
    with Store.open(home) as store:
        train_all(store, good)
    again = begun(home, demo, FACTORS)
    page = open_page("train", group=again)
    assert "Factor size 8 wins" in words(page)


def test_earlier_sweeps_are_found_again(open_page: Opener, demo: Dataset, home: Path) -> None:
    begun(home, demo, FACTORS)
    assert "Earlier sweeps on this dataset" in words(open_page("train"))
