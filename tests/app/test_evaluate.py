"""The Evaluate page: never empty, honest about rare clicks, in words where there is no curve."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from deepfm.runs.store import Store
from deepfm.ui.evaluation_views import rows_words
from deepfm.ui.state import DEMO_RUN_FOLDER
from tests.app.conftest import ROOT, assert_nothing_wrong

SCORES = "scores.parquet"


def metrics(page: AppTest) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def words(page: AppTest) -> str:
    return " ".join(
        element.value.replace("\\", "") for element in (*page.markdown, *page.caption, *page.title)
    )


def trained_run(home: Path, labels: "np.ndarray | None" = None) -> str:
    """The bundled run as a finished run of this home, its labels replaced."""
    with Store.open(home) as store:
        run_id = store.queue_run("mine", home / "datasets" / "x", "mine", {}, {})
        store.claim_run("test")
        folder = store.run(run_id).folder
        shutil.copytree(DEMO_RUN_FOLDER, folder)
        if labels is not None:
            table = pq.read_table(folder / SCORES)
            place = table.column_names.index("label")
            fresh = pa.array(np.resize(labels, len(table)), table.schema.field("label").type)
            pq.write_table(table.set_column(place, "label", fresh), folder / SCORES)
        store.finish_run(run_id, "finished", "", {})
    return run_id


def test_without_an_address_the_bundled_run_is_shown(open_page):
    page = open_page("evaluate")
    assert list(metrics(page)) == ["AUC", "Log loss", "Accuracy", "Calibration error"]
    assert metrics(page)["AUC"][1].startswith("95 %: 0.")
    assert metrics(page)["Accuracy"][1].startswith("majority: ")
    assert "Test rows" in words(page)
    assert "times in 100" in words(page)
    assert "optimistic" not in words(page)
    assert metrics(page)["Log loss"][1].startswith("always guessing the base rate: 0.")


@pytest.mark.parametrize("has_test", [False, True])
def test_rows_that_chose_the_epoch_are_said_to_flatter(has_test):
    assert "a little optimistic" in rows_words("validation", has_test=has_test)
    assert rows_words("test", has_test=True) == "Test rows"


def test_every_view_has_its_tab(open_page):
    page = open_page("evaluate")
    assert [tab.label for tab in page.tabs] == [
        "Precision-recall",
        "Threshold",
        "Calibration",
        "Lift and gain",
        "Scores by label",
        "Where it is wrong",
        "Other runs",
        "Other models",
        "Numbers",
    ]


def test_under_five_percent_clicks_accuracy_makes_way_for_guessing(home, open_page):
    labels = np.zeros(100, np.float32)
    labels[7] = 1
    page = open_page("evaluate", run=trained_run(home, labels))
    assert list(metrics(page)) == [
        "AUC",
        "Log loss",
        "Log loss against guessing",
        "Calibration error",
    ]
    assert metrics(page)["Log loss"][1].startswith("always guessing the base rate: 0.05")
    assert "Precision-recall" not in [tab.label for tab in page.tabs]  # it stands beside ROC


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rows_of_one_class_are_said_in_words(home, open_page, label):
    page = open_page("evaluate", run=trained_run(home, np.full(3, label, np.float32)))
    assert metrics(page)["AUC"][0] == "–"
    assert "one class only" in words(page)


def test_another_field_can_be_sliced(open_page):
    page = open_page("evaluate", view="Where it is wrong")
    page.selectbox(key="by_value_field").select("site").run()
    assert_nothing_wrong(page)
    assert [metric.label for metric in page.metric][-1] == "Grouped AUC by site"


def test_a_damaged_run_is_one_sentence_with_a_way_out(home):
    run_id = trained_run(home)
    with Store.open(home) as store:
        (store.run(run_id).folder / SCORES).write_bytes(b"PAR1 this is none")
    page = AppTest.from_file(str(ROOT / "pages" / "evaluate.py"), default_timeout=60)
    page.query_params["run"] = run_id
    page.run()
    assert not page.exception
    assert SCORES in page.error[0].value.replace("\\", "")


def test_runs_of_a_group_are_compared_at_first(home, open_page):
    with Store.open(home) as store:
        from deepfm.runs.store import NewRun

        wanted = [NewRun(name, home, "demo", {}, {}) for name in ("one", "<b>two</b>")]
        ids = store.queue_group("both", wanted)
        for run_id in ids:
            store.claim_run("test")
            shutil.copytree(DEMO_RUN_FOLDER, store.run(run_id).folder)
            store.finish_run(run_id, "finished", "", {})
    page = open_page("evaluate", run=ids[0], view="Other runs")
    assert page.multiselect[0].value == [ids[1]]
    assert "<b>two</b> and one rank these rows alike." in words(page)


# --- the threshold in the address ---------------------------------------------------------------


def threshold_start(page: AppTest) -> tuple[int, str]:
    """Where the threshold's slider starts, and the value there."""
    found = [json.loads(each.proto.json) for each in page.get("bidi_component")]
    (slider,) = [each["slider"] for each in found if (each.get("slider") or {}).get("report")]
    return slider["start"], slider["values"][slider["start"]]


def test_the_threshold_starts_as_the_address_names_it(open_page: Callable[..., AppTest]) -> None:
    usual, value = threshold_start(open_page("evaluate"))
    assert value.startswith("50")
    other, value = threshold_start(open_page("evaluate", threshold="0.2"))
    assert other < usual
    assert 15 < float(value.split()[0]) < 25


@pytest.mark.parametrize("named", ["nonsense", "nan", "-1", "7", ""])
def test_a_threshold_that_is_none_is_the_usual_one(
    open_page: Callable[..., AppTest], named: str
) -> None:
    usual = threshold_start(open_page("evaluate"))
    assert threshold_start(open_page("evaluate", threshold=named)) == usual
