"""What can be done with runs on their page: named, noted, tagged, deleted, moved, gone on with."""

import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.errors import StoreError
from deepfm.runs.store import Store
from deepfm.ui.run_actions import file_name
from tests.app import runs_in_store
from tests.app.conftest import assert_nothing_wrong
from tests.app.runs_page import column, open_runs, run_named, trained, words


@pytest.fixture(scope="module")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


def submit(page: AppTest, label: str) -> AppTest:
    """Press a form's button."""
    return next(button for button in page.button if button.label == label).click().run()


def labels(page: AppTest) -> set[str]:
    return {button.label for button in page.button}


def test_a_run_is_renamed_and_its_name_is_text(demo: Dataset, home: Path) -> None:
    run_id = trained(home, demo, "first")
    page = open_runs(run_id)
    page.text_input(key=f"rename_{run_id}").set_value("  =1+1  *better* ")
    submit(page, "Rename")
    assert_nothing_wrong(page)
    assert run_named(home, run_id).name == "=1+1 *better*"
    assert "=1+1 *better*" in words(page)


def test_a_name_without_a_sign_is_refused_in_words(demo: Dataset, home: Path) -> None:
    run_id = trained(home, demo, "first")
    page = open_runs(run_id)
    page.text_input(key=f"rename_{run_id}").set_value("   ")
    submit(page, "Rename")
    assert "1 to 200 signs" in page.error[0].value.replace("\\", "")
    assert run_named(home, run_id).name == "first"


def test_a_run_is_noted(demo: Dataset, home: Path) -> None:
    run_id = trained(home, demo, "first")
    page = open_runs(run_id)
    page.text_area(key=f"note_{run_id}").set_value("Try again with more epochs.")
    submit(page, "Keep this note")
    assert run_named(home, run_id).notes == "Try again with more epochs."
    assert column(page, "note") == ["Try again with more epochs."]


def test_tags_of_several_runs_change_what_they_share_and_leave_what_is_one_s_own(
    demo: Dataset, home: Path
) -> None:
    first, second = trained(home, demo, "first"), trained(home, demo, "second", seed=1)
    with Store.open(home) as store:
        store.tag_run(first, ["paper", "mine"])
        store.tag_run(second, ["paper"])
        third = trained(home, demo, "third", seed=2)
        store.tag_run(third, ["good"])
    page = open_runs(first, second)
    (box,) = [each for each in page.multiselect if each.label.startswith("Tags")]
    assert box.value == ["paper"]
    box.set_value(["good"]).run()
    assert_nothing_wrong(page)
    assert set(run_named(home, first).tags) == {"good", "mine"}
    assert run_named(home, second).tags == ("good",)


def test_one_tag_too_many_is_refused_in_words(demo: Dataset, home: Path) -> None:
    full, other = trained(home, demo, "full"), trained(home, demo, "other", seed=1)
    with Store.open(home) as store:
        store.tag_run(full, [f"tag {number}" for number in range(20)])
        store.tag_run(other, ["one more"])
    page = open_runs(full, other)
    (box,) = [each for each in page.multiselect if each.label.startswith("Tags")]
    assert box.value == []
    box.set_value(["one more"]).run()
    assert "at most 20 tags" in page.error[0].value.replace("\\", "")
    assert len(run_named(home, full).tags) == 20


# --- deleting ---------------------------------------------------------------------------------


def test_deleting_names_the_runs_and_says_that_it_cannot_be_undone(
    demo: Dataset, home: Path
) -> None:
    run_id = trained(home, demo, "doomed")
    page = open_runs(run_id)
    assert "cannot be undone" in words(page) and "“doomed”" in words(page)
    page.button(key="delete_runs").click().run()
    assert_nothing_wrong(page)
    assert "No run yet" in words(page)
    with pytest.raises(StoreError), Store.open(home) as store:
        store.run(run_id)


def test_deleting_what_is_somebody_else_s_says_whose_it_is(demo: Dataset, home: Path) -> None:
    runs = [trained(home, demo, name, seed=seed) for seed, name in enumerate(("a", "b", "c", "d"))]
    owners = ("user:test@example.com", "user:ada", "user:ben", "user:ada")
    with Store.open(home) as store, store._database.writing() as connection:
        for run_id, owner in zip(runs, owners, strict=True):
            connection.execute("UPDATE runs SET owner = ? WHERE id = ?", (owner, run_id))
    assert "not yours" not in words(open_runs(runs[0]))
    assert "This run is ada's, not yours." in words(open_runs(runs[1]))
    assert "Of these runs 2 are ada's, 1 is ben's, not yours." in words(open_runs(*runs))


def test_many_runs_are_deleted_at_once_and_those_that_go_on_stay(demo: Dataset, home: Path) -> None:
    done = [trained(home, demo, f"done {number}", seed=number) for number in range(10)]
    waiting = runs_in_store.queue(home, demo, "waiting one")
    page = open_runs(*done, waiting)
    assert "these 10 runs" in words(page) and "and 2 more" in words(page)
    assert "Not deleted, since it waits or trains: “waiting one”" in words(page)
    page.button(key="delete_runs").click().run()
    assert column(page, "name") == ["waiting one"]


def test_a_run_that_trains_is_never_deleted_and_can_be_stopped(demo: Dataset, home: Path) -> None:
    run_id = runs_in_store.queue(home, demo, "busy")
    runs_in_store.begin(home, run_id)
    page = open_runs(run_id)
    assert "delete_runs" not in {button.key for button in page.button}
    page.button(key="runs_stop").click().run()
    assert page.button(key="runs_stop").label == "Stopping…"
    assert run_named(home, run_id).wanted == "stop"


# --- one file ---------------------------------------------------------------------------------


def test_an_exported_run_comes_back_as_a_run_of_its_own(
    demo: Dataset, home: Path, tmp_path: Path
) -> None:
    run_id = trained(home, demo, "first")
    with Store.open(home) as store:
        store.tag_run(run_id, ["paper"])
        file = store.export_run(run_id, tmp_path / "run.zip")
        store.delete_run(run_id)
    page = open_runs()
    page.file_uploader[0].upload(file.name, file.read_bytes(), "application/zip").run()
    assert_nothing_wrong(page)
    assert column(page, "name") == ["first"] and column(page, "tags") == [["paper"]]
    assert column(page, "ticked") == [True], "what was brought in is shown"
    assert "Imported: “first”, DeepFM on demo, finished, test AUC 0.6800." in words(page)
    assert column(page, "origin")[0].startswith("imported by ")
    assert re.search(r"Imported by test@example\.com, \d\d:\d\d$", words(page), re.M)
    page.run()
    assert column(page, "name") == ["first"], "drawing again does not bring it in again"


def test_a_run_that_is_here_already_is_shown_and_comes_in_only_when_asked(
    demo: Dataset, home: Path, tmp_path: Path
) -> None:
    run_id = trained(home, demo, "first")
    other = trained(home, demo, "second", seed=1)
    with Store.open(home) as store:
        file = store.export_run(run_id, tmp_path / "run.zip")
    page = open_runs(other)
    page.file_uploader[0].upload(file.name, file.read_bytes(), "application/zip").run()
    assert_nothing_wrong(page)
    said = "This run is here already: “first”, DeepFM on demo, finished, test AUC 0.6800."
    assert said in words(page)
    assert column(page, "name") == ["second", "first"]
    assert column(page, "ticked") == [False, True], "it is the one that is shown"
    assert page.run() and said in words(page)
    page.button(key="runs_import_anyway").click().run()
    assert_nothing_wrong(page)
    assert column(page, "name") == ["first", "second", "first"]
    assert "Imported: “first”" in words(page) and said not in words(page)
    assert column(page, "ticked") == [True, False, False]


def test_a_file_that_is_no_exported_run_is_refused_in_words(demo: Dataset, home: Path) -> None:
    trained(home, demo, "first")
    page = open_runs()
    page.file_uploader[0].upload("holiday.zip", b"not a zip", "application/zip").run()
    assert "no exported run" in page.error[0].value.replace("\\", "")
    assert column(page, "name") == ["first"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("FM, factor size 8", "FM, factor size 8"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ('<b>a:b|c?"*</b>', "_b_a_b_c_____b_"),
        ("...", "run"),
        ("名" * 80, "名" * 60),
    ],
)
def test_a_run_s_name_is_a_file_name_on_any_system(name: str, file: str) -> None:
    assert file_name(name) == file


# --- training again ---------------------------------------------------------------------------


def test_train_again_is_offered_for_every_run(demo: Dataset, home: Path) -> None:
    for state in ("failed", "interrupted"):
        run_id = runs_in_store.queue(home, demo, f"a {state} one")
        runs_in_store.begin(home, run_id)
        runs_in_store.fail(home, run_id, "Out of memory: take a smaller batch.", state)
        page = open_runs(run_id)
        assert "Train again with changes" in labels(page)
        assert "Out of memory: take a smaller batch." in words(page)
