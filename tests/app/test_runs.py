"""The Runs page: all runs in a table that is searched, filtered, sorted, paged, and linked to."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from deepfm import cli
from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.events import Finished, Resumed
from deepfm.runs.store import FILE_NAME, Store
from deepfm.runs.store.runs import CHECKPOINT
from deepfm.sweeps import Axis, begin, source_of, sweep_of
from deepfm.ui.run_list import PAGE_ROWS
from deepfm.ui.run_table import DATASET_LENGTH
from deepfm.ui.state import run_in_words
from tests.app import runs_in_store
from tests.app.runs_page import PAGE, column, five, open_runs, run_named, table, trained, words
from tests.unit.sweeps_in_store import train_all


@pytest.fixture(scope="module")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


def test_an_empty_list_says_what_to_do_first(home: Path) -> None:
    page = open_runs()
    assert "No run yet" in words(page)
    assert not page.get("bidi_component")
    assert page.file_uploader, "a run can be brought here from elsewhere"


def test_the_table_has_every_run_with_its_settings_and_curve(demo: Dataset, home: Path) -> None:
    trained(home, demo, "first", num_factors=6, epochs=2)
    runs_in_store.queue(home, demo, "<b>second</b>", terms=TERM_SETS["FM"])
    page = open_runs()
    assert column(page, "name") == ["<b>second</b>", "first"]
    assert column(page, "state_words") == ["waiting", "finished"]
    assert column(page, "lamps") == ["L P", "L P D"]
    assert column(page, "model") == ["FM", "DeepFM"]
    assert column(page, "settings") == ["all by default", "Factor size 6, Epochs 2"]
    assert column(page, "epoch") == ["0 of 30", "2 of 2"]
    assert column(page, "auc") == ["–", "0.6800"]
    assert column(page, "part") == ["", "test"]
    assert table(page)["rows"][1]["curve"] == pytest.approx([0.64, 0.68])


def test_a_run_that_trains_again_shows_no_figure_of_its_earlier_end(
    demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, "again", epochs=9)
    runs_in_store.begin(home, run_id, epochs=2)
    result = Finished(2, 2, 2.0, 1e5, 2e5, "test", 10, 0.75, 0.3947, 0.39, 0.8, 0.2)
    with Store.open(home) as store:
        store.finish_run(run_id, "stopped", "Stopped.", vars(result), events=[result])
        store.run_folder(run_id).mkdir(parents=True)
        (store.run_folder(run_id) / CHECKPOINT).write_text("")
        (row,) = table(open_runs())["rows"]
        assert (row["auc"], row["part"], row["loss"]) == ("0.7500", "test", "0.3947")
        store.resume_run(run_id)
        waiting = table(open_runs())["rows"][0]
        store.claim_run("test")
        begun = table(open_runs())["rows"][0]
        store.finish_run(run_id, "interrupted", "The server was stopped.")
        broken = table(open_runs())["rows"][0]
        store.resume_run(run_id)
        store.claim_run("test")
        store.append(run_id, [Resumed(3, 1.0, 1.0)])
        resumed = table(open_runs())["rows"][0]
    assert [each["auc"] for each in (waiting, begun, resumed)] == ["0.6800", "0.6800", "0.6400"]
    assert (broken["auc"], broken["part"], broken["loss"]) == ("0.6800", "last", "–")
    for each in (waiting, begun, resumed):
        assert (each["part"], each["loss"]) == ("valid. so far", "–")
    assert run_in_words(run_named(home, run_id)) == "demo · AUC 0.6400"


def test_a_damaged_run_is_told_and_hides_no_other(
    demo: Dataset, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(home, demo, "first")
    runs_in_store.queue(home, demo, "second")
    with sqlite3.connect(home / FILE_NAME) as connection:
        connection.execute("UPDATE runs SET model = '{' WHERE name = 'second'")
    connection.close()
    page = open_runs()
    assert column(page, "name") == ["second", "first"]
    assert column(page, "state_words") == ["damaged", "finished"]
    assert column(page, "model") == ["", "DeepFM"]
    assert cli.main(["runs"]) == 0
    assert '"damaged": ["model"]' in capsys.readouterr().out


def test_a_column_that_says_the_same_in_every_row_is_left_out(demo: Dataset, home: Path) -> None:
    trained(home, demo, "first")
    shown = {each["name"] for each in table(open_runs())["columns"]}
    assert shown.isdisjoint({"person", "dataset"}) and {"name", "auc", "curve"} <= shown


def test_runs_of_several_datasets_say_theirs_shortly(demo: Dataset, home: Path) -> None:
    trained(home, demo, "first")
    long = "clicks-2026-week-47-campaigns.csv"
    for number, name in enumerate((long, long.replace("47", "48"))):
        with Store.open(home) as store:
            store.queue_run(name, home / "gone", name, {}, {}, fingerprint=f"{number}" * 20)
    shown = table(open_runs())
    assert "dataset" in [each["name"] for each in shown["columns"]][:5], "in sight at 800 pixels"
    names = [row["dataset_short"] for row in shown["rows"]]
    assert names[-1] == demo.name and len(set(names)) == 3
    assert max(map(len, names)) <= DATASET_LENGTH, "short, and yet told apart"
    assert [row["dataset"] for row in shown["rows"]][1] == long, "the whole name at the pointer"


def test_the_search_looks_at_names_states_settings_notes_and_tags(
    demo: Dataset, home: Path
) -> None:
    wide = trained(home, demo, "wide", num_factors=64)
    narrow = trained(home, demo, "narrow", num_factors=4)
    with Store.open(home) as store:
        store.note_run(narrow, "Überraschend gut")
        store.tag_run(wide, ["paper"])
    assert column(open_runs(filter="factor size 64"), "name") == ["wide"]
    assert column(open_runs(filter="NARROW finished"), "name") == ["narrow"]
    assert column(open_runs(filter="überraschend"), "name") == ["narrow"]
    assert column(open_runs(filter="paper"), "name") == ["wide"]


def test_filters_are_in_the_address(demo: Dataset, home: Path) -> None:
    done = trained(home, demo, "done")
    runs_in_store.queue(home, demo, "waiting one")
    with Store.open(home) as store:
        store.tag_run(done, ["paper", "good"])
    assert column(open_runs(state="queued"), "name") == ["waiting one"]
    assert column(open_runs(tag="good"), "name") == ["done"]
    assert column(open_runs(data=demo.fingerprint), "name") == ["waiting one", "done"]


def test_a_search_without_a_hit_says_so_and_leads_back(demo: Dataset, home: Path) -> None:
    trained(home, demo, "only")
    page = open_runs(filter="nothing like it", state="finished")
    assert "No run fits" in words(page)
    next(button for button in page.button if button.label == "Show all runs").click().run()
    assert column(page, "name") == ["only"]


def test_the_list_is_sorted_by_any_column_both_ways(demo: Dataset, home: Path) -> None:
    for name, factors in (("b", 4), ("a", 8), ("c", 16)):
        trained(home, demo, name, num_factors=factors)
    runs_in_store.queue(home, demo, "d")
    assert column(open_runs(), "name") == ["d", "c", "a", "b"], "the newest first"
    assert column(open_runs(order="name"), "name") == ["a", "b", "c", "d"]
    assert column(open_runs(order="-name"), "name") == ["d", "c", "b", "a"]
    assert column(open_runs(order="auc"), "name")[-1] == "d", "a run without an AUC comes last"
    assert column(open_runs(order="-auc"), "name")[-1] == "d"
    page = open_runs(order="no such column")
    assert (table(page)["order"], table(page)["falling"]) == ("created", True)


def test_a_long_list_comes_in_pages(
    demo: Dataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_QUEUED", "1000")
    for number in range(PAGE_ROWS + 2):
        runs_in_store.queue(home, demo, f"run {number}", seed=number)
    page = open_runs()
    assert len(column(page, "name")) == PAGE_ROWS
    assert f"{PAGE_ROWS + 2} runs" in words(page)
    assert column(open_runs(page="2"), "name") == ["run 1", "run 0"]


def test_a_link_to_runs_that_were_deleted_says_so_and_leads_on(demo: Dataset, home: Path) -> None:
    kept, gone = trained(home, demo, "kept"), trained(home, demo, "gone")
    with Store.open(home) as store:
        store.delete_run(gone)
    page = open_runs(kept, gone, "no-id-at-all")
    assert "2 runs that this link ticks cannot be found" in words(page)
    next(button for button in page.button if button.label.startswith("Forget")).click().run()
    assert "cannot be found" not in words(page)
    assert page.query_params["selected"] in (kept, [kept])


# --- groups -----------------------------------------------------------------------------------


def test_a_group_is_one_row_that_opens(demo: Dataset, home: Path) -> None:
    trained(home, demo, "alone")
    group = five(home, demo)
    page = open_runs()
    assert column(page, "kind") == ["group", "run"]
    assert table(page)["rows"][0]["name"] == "All five on demo"
    assert table(page)["rows"][0]["state_words"] == "0 of 5 done"
    opened = open_runs(group=group)
    assert column(opened, "kind") == ["group", *["member"] * 5, "run"]
    assert column(opened, "name")[1:6] == list(TERM_SETS)
    assert "What differs in their settings" in words(opened)


def sweep(home: Path, demo: Dataset) -> str:
    """A sweep over two factor sizes, trained; its group."""
    with Store.open(home) as store:
        asked = sweep_of(
            (Axis("num_factors", (4, 8)),),
            source_of(demo, [], home),
            demo.prepare,
            ModelConfig(),
            TrainConfig(epochs=2),
            seeds=2,
        )
        group = begin(store, asked)
        train_all(store, lambda run: 0.7 + run.model["num_factors"] / 100 + run.train["seed"] / 1e4)
    return group


def test_a_sweep_is_one_row_that_opens_with_its_own_view(demo: Dataset, home: Path) -> None:
    group = sweep(home, demo)
    page = open_runs()
    assert column(page, "kind") == ["group"] and column(page, "model") == ["Sweep"]
    opened = open_runs(group=group)
    assert column(opened, "kind") == ["group", *["member"] * 4]
    assert "Factor size 8 wins" in words(opened)


def test_the_best_of_five_is_the_one_that_its_page_names_not_the_highest_on_the_test_rows(
    demo: Dataset, home: Path
) -> None:
    group = five(home, demo)
    with Store.open(home) as store:
        names = {run_id: store.run(run_id).name for run_id in store.group(group).runs}
    for run_id, name in names.items():
        epochs = 3 if name == "DNN" else 2
        runs_in_store.begin(home, run_id, epochs=epochs)
        (before,) = column(open_runs(), "settings")
        assert not before.startswith("best")
        runs_in_store.finish(
            home, run_id, epochs=epochs, test_auc=0.74 if name == "DeepFM" else 0.69
        )
    (row,) = table(open_runs())["rows"]
    assert row["settings"] == "best on validation: DNN"
    assert (row["auc"], row["part"]) == ("0.6900", "test")


def test_sorted_by_auc_the_test_figures_that_are_shown_come_first_and_in_their_order(
    demo: Dataset, home: Path
) -> None:
    """0.74 and 0.66 of single runs, a sweep and five models between; one that trains has 0.80."""
    sweep(home, demo)  # its best configuration: 0.78 on validation, 0.22 on the test rows
    group = five(home, demo)
    with Store.open(home) as store:
        names = {run_id: store.run(run_id).name for run_id in store.group(group).runs}
    for run_id, name in names.items():
        epochs, test_auc = (3, 0.7) if name == "DNN" else (2, 0.77)
        runs_in_store.begin(home, run_id, epochs=epochs)
        runs_in_store.finish(home, run_id, epochs=epochs, test_auc=test_auc)
    for name, seed, auc in (("low", 1, 0.1), ("high", 2, 0.74)):
        run_id = runs_in_store.queue(home, demo, name, seed=seed)
        runs_in_store.begin(home, run_id)
        runs_in_store.finish(home, run_id, test_auc=auc)
    runs_in_store.begin(home, runs_in_store.queue(home, demo, "busy", seed=3), epochs=5)
    page = open_runs(order="auc")
    assert column(page, "part") == ["test"] * 4 + ["valid. so far"]
    aucs = ["0.7400", "0.7000", "0.2200", "0.1000", "0.8000"]
    assert column(page, "auc") == aucs
    assert column(open_runs(order="-auc"), "auc") == [*reversed(aucs[:4]), "0.8000"]


def test_a_link_to_a_group_that_was_deleted_says_so(demo: Dataset, home: Path) -> None:
    trained(home, demo, "left")
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    page.query_params["group"] = "0" * 13
    page.run()
    assert not page.exception
    assert "its runs may have been deleted" in words(page)
    assert column(page, "name") == ["left"], "the list is there all the same"


def test_a_ticked_group_ticks_its_runs_and_an_unticked_run_only_that(
    demo: Dataset, home: Path
) -> None:
    group = five(home, demo)
    page = open_runs(group, group=group)
    assert column(page, "ticked") == [True] * 6
    with Store.open(home) as store:
        some = store.group(group).runs[:2]
    assert column(open_runs(*some, group=group), "ticked") == ["some", True, True, *[False] * 3]


# --- names ------------------------------------------------------------------------------------


def test_a_run_with_a_name_of_eighty_signs_and_any_signs_is_shown_whole(
    demo: Dataset, home: Path
) -> None:
    name = "[a](b) *c* `d` $e$ :red[f] <script>alert(1)</script> ".ljust(80, "x")
    run_id = trained(home, demo, name)
    page = open_runs(run_id)
    assert column(page, "name") == [name]
    assert name in words(page)
    assert run_named(home, run_id).name == name
