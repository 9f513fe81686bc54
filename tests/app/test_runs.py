"""The Runs page: all runs in a table, one to open, rename, delete or stop, several to compare."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.runs.store import RunRow, Store
from deepfm.ui.queueing import queue_all_five, queue_one
from deepfm.ui.run_table import differences, runs_table, settings_in_words
from tests.app import runs_in_store
from tests.app.conftest import assert_nothing_wrong

Opener = Callable[..., AppTest]


@pytest.fixture(scope="module")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


def run_named(home: Path, run_id: str) -> RunRow:
    with Store.open(home) as store:
        return store.run(run_id)


def trained(home: Path, demo: Dataset, name: str, **settings: object) -> str:
    """A finished run, as far as the store knows."""
    run_id = runs_in_store.queue(home, demo, name, **settings)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id)
    return run_id


def words(page: AppTest) -> str:
    boxes = [*page.markdown, *page.caption, *page.subheader]
    return "\n".join(str(box.value).replace("\\", "").replace("\u2060", "") for box in boxes)


def test_an_empty_list_says_what_to_do_first(open_page: Opener) -> None:
    page = open_page("runs")
    assert "No run yet" in words(page)
    assert not page.dataframe


def test_the_table_has_every_run_with_its_settings_and_curve(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    trained(home, demo, "first", num_factors=6, epochs=2)
    runs_in_store.queue(home, demo, "<b>second</b>", terms=TERM_SETS["FM"])
    table = open_page("runs").dataframe[0].value
    assert list(table["Run"]) == ["<b>second</b>", "first"]
    assert list(table["State"]) == ["waiting", "finished"]
    assert list(table["Model"]) == ["L P  FM", "L P D  DeepFM"]
    assert list(table["Settings"]) == ["all by default", "Factor size 6, Epochs 2"]
    assert list(table["Epochs"]) == ["0 of 30", "2 of 2"]
    assert table["Curve"][1] == pytest.approx([0.64, 0.68])


def test_the_filter_looks_at_names_states_and_settings(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    trained(home, demo, "wide", num_factors=64)
    trained(home, demo, "narrow", num_factors=4)
    assert list(open_page("runs", filter="factor size 64").dataframe[0].value["Run"]) == ["wide"]
    assert list(open_page("runs", filter="NARROW finished").dataframe[0].value["Run"]) == ["narrow"]
    assert "No run fits" in words(open_page("runs", filter="nothing like it"))


def test_one_ticked_run_can_be_renamed_and_deleted_after_a_question(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = trained(home, demo, "first")
    page = open_page("runs", selected=run_id)
    page.text_input(key=f"rename_{run_id}").set_value("  =1+1  *better* ")
    page.button(key="FormSubmitter:rename-Rename").click().run()
    assert run_named(home, run_id).name == "=1+1 *better*"
    assert "This cannot be undone" in words(page)
    page.button(key="delete_runs").click().run()
    assert_nothing_wrong(page)
    assert "No run yet" in words(page)


def test_a_run_that_trains_can_be_stopped_and_not_deleted(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, "busy")
    runs_in_store.begin(home, run_id)
    page = open_page("runs", selected=run_id)
    assert "delete_runs" not in {button.key for button in page.button}
    page.button(key="runs_stop").click().run()
    assert page.button(key="runs_stop").label == "Stopping…"
    assert run_named(home, run_id).wanted == "stop"


def test_several_ticked_runs_are_compared_by_what_differs(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    ids = [trained(home, demo, "same", num_factors=size) for size in (4, 8)]
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "runs.py"))
    page.query_params["selected"] = ids
    page.run(timeout=60)
    assert_nothing_wrong(page)
    table = page.dataframe[1].value.set_index("What")
    assert list(table.loc["Factor size"])[1:] == ["8", "4"]
    assert "MLP dims" not in table.index
    assert list(table.loc["Test AUC"])[1:] == ["0.6800", "0.6800"]
    assert list(table.columns)[1:] == ["same", "same (2)"]


def test_settings_are_told_by_what_differs_from_their_defaults(demo: Dataset, home: Path) -> None:
    run_id = runs_in_store.queue(
        home, demo, mlp_dims=(64, 32), optimizer="lazy-adam", shared_embedding=False
    )
    told = settings_in_words(run_named(home, run_id))
    assert told == "MLP dims 64,32, Shared embedding False, Optimizer lazy-adam"


def test_a_run_queued_by_an_older_version_has_the_defaults_of_newer_settings(
    demo: Dataset, home: Path
) -> None:
    with Store.open(home) as store:
        run_id = store.queue_run("old", demo.folder, "demo", {"num_factors": 3}, {"epochs": 2})
        row = store.run(run_id)
    assert settings_in_words(row) == "Factor size 3, Epochs 2"
    assert "Batch size" not in set(differences([row, row])["What"])
    assert runs_table([row])["Model"][0].endswith("DeepFM")


def test_a_name_that_is_taken_is_numbered_when_it_is_queued(demo: Dataset, home: Path) -> None:
    model, train = ModelConfig(), TrainConfig()
    ids = [queue_one(demo, "DeepFM on the demo", model, train) for _ in range(3)]
    names = [run_named(home, run_id).name for run_id in ids]
    assert names == ["DeepFM on the demo", "DeepFM on the demo 2", "DeepFM on the demo 3"]


def test_the_runs_of_a_comparison_carry_its_name(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    for _ in range(2):
        queue_all_five(demo, ModelConfig(), TrainConfig())
    table = open_page("runs").dataframe[0].value
    assert list(table["Group"]) == ["All five on demo 2"] * 5 + ["All five on demo"] * 5
