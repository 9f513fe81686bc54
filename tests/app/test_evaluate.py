"""The Evaluate page: never empty, honest about rare clicks, in words where there is no curve."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from deepfm.evaluation import auc, compare_aucs
from deepfm.evaluation.baselines import Baseline, Baselines, write_baselines
from deepfm.evaluation.baselines.running import labels_digest
from deepfm.evaluation.decomposition import LogLossParts
from deepfm.runs.store import Store
from deepfm.trained import open_run
from deepfm.ui.evaluation_calibration import parts_in_words
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
    assert "Test rows** · 500 of 6,000 rows" in words(page)
    assert "It ranks" in words(page) and "Its probabilities are" in words(page)
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
        "Calibration",
        "Where it is wrong",
        "Other models",
        "Other runs",
        "Precision-recall",
        "Threshold",
        "Lift and gain",
        "Scores by label",
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


def test_other_models_of_a_group_are_compared_at_first_and_no_run_of_the_same(home, open_page):
    from deepfm.runs.store import NewRun

    alike = {"num_factors": 4}
    with Store.open(home) as store:
        wanted = [
            NewRun(name, home, "demo", {**alike, "terms": terms}, {})
            for name, terms in (("one", ["linear"]), ("<b>two</b>", ["deep"]), ("same", ["linear"]))
        ]
        ids = store.queue_group("both", wanted)
        ids += [store.queue_run("alone", home, "demo", {**alike, "terms": ["linear"]}, {})]
        for run_id in ids:
            store.claim_run("test")
            shutil.copytree(DEMO_RUN_FOLDER, store.run(run_id).folder)
            store.finish_run(run_id, "finished", "", {})
    page = open_page("evaluate", run=ids[0], view="Other runs")
    assert page.multiselect[0].value == [ids[1]]
    assert "<b>two</b> and one rank these rows alike." in words(page)
    page = open_page("evaluate", run=ids[3], view="Other runs")
    assert page.multiselect[0].value == [ids[1]]


# --- the threshold in the address ---------------------------------------------------------------


def threshold_start(page: AppTest) -> tuple[int, str]:
    """Where the threshold's slider starts, and the value there."""
    found = [json.loads(each.proto.json) for each in page.get("bidi_component")]
    (slider,) = [each["slider"] for each in found if (each.get("slider") or {}).get("report")]
    return slider["start"], slider["values"][slider["start"]]


def test_the_threshold_starts_as_the_address_names_it(open_page: Callable[..., AppTest]) -> None:
    page = open_page("evaluate")
    usual, value = threshold_start(page)
    assert f"the base rate, {value}" in words(page)
    other, value = threshold_start(open_page("evaluate", threshold="0.1"))
    assert other < usual
    assert 5 < float(value.split()[0]) < 15
    page.button(key="threshold_Half").click().run()
    assert threshold_start(page)[1] == "50.0 %"


@pytest.mark.parametrize("named", ["nonsense", "nan", "-1", "7", ""])
def test_a_threshold_that_is_none_is_the_usual_one(
    open_page: Callable[..., AppTest], named: str
) -> None:
    usual = threshold_start(open_page("evaluate"))
    assert threshold_start(open_page("evaluate", threshold=named)) == usual


def test_a_cost_below_nothing_is_refused_in_words(open_page: Callable[..., AppTest]) -> None:
    page = open_page("evaluate", view="Threshold")
    box = page.number_input(key="cost_false_positive")
    assert box.min is None, "else the browser keeps -5 to itself"
    box.set_value(-5.0).run()
    assert not page.exception
    said = "The cost of a false positive is -5; it must be above 0."
    assert said in page.error[0].value.replace("\\", "")


def test_a_rule_moves_the_threshold_to_the_very_place(open_page: Callable[..., AppTest]) -> None:
    page = open_page("evaluate", view="Threshold")
    page.number_input(key="cost_false_negative").set_value(9.0).run()
    page.button(key="use_Cost, by the formula").click().run()
    assert_nothing_wrong(page)
    _, value = threshold_start(page)
    assert value.startswith("10.0")
    assert page.query_params["threshold"] == "0.1"
    assert "price over stake" in words(page)


def test_impressions_that_cost_more_than_a_click_are_refused_in_words(
    open_page: Callable[..., AppTest],
) -> None:
    page = open_page("evaluate", view="Threshold")
    page.segmented_control(key="cost_by").select("Clicks against the price of impressions").run()
    page.number_input(key="price").set_value(3.0).run()
    assert not page.exception
    assert "must be worth more than an impression" in page.error[0].value


# --- every view -----------------------------------------------------------------------------------

VIEWS = (
    "Precision-recall",
    "Threshold",
    "Calibration",
    "Lift and gain",
    "Scores by label",
    "Where it is wrong",
    "Other runs",
    "Other models",
    "Numbers",
)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_of_all_rows_and_of_a_slice(
    open_page: Callable[..., AppTest], view: str
) -> None:
    open_page("evaluate", view=view)
    page = open_page("evaluate", view=view, field="device", value="phone")
    assert "Only where device is phone" in words(page)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_of_rows_of_one_class(
    home: Path, open_page: Callable[..., AppTest], view: str
) -> None:
    open_page("evaluate", run=trained_run(home, np.zeros(3, np.float32)), view=view)


def test_a_value_that_no_row_has_is_one_sentence_with_a_way_out(home: Path) -> None:
    page = AppTest.from_file(str(ROOT / "pages" / "evaluate.py"), default_timeout=60)
    page.query_params.update({"field": "price", "low": "3"})
    page.run()
    assert_nothing_wrong(page)
    page.query_params.update({"field": "hour", "low": "1e9"})
    page.run()
    assert not page.exception and "Choose another value" in page.error[0].value
    page.button(key="all_rows").click().run()
    assert_nothing_wrong(page)
    assert "field" not in page.query_params


def test_a_field_and_a_value_are_chosen_in_two_boxes(open_page: Callable[..., AppTest]) -> None:
    page = open_page("evaluate")
    page.selectbox(key="slice_field").select("device").run()
    assert "Only where" not in words(page)
    page.selectbox(key="slice_value").select("tablet").run()
    assert_nothing_wrong(page)
    assert "Only where device is tablet" in words(page)
    assert page.query_params["value"] == "tablet"
    page.button(key="all_rows").click().run()
    assert "Only where" not in words(page)


@pytest.mark.parametrize(
    "parts",
    [LogLossParts(0.42636, 0.00554, 0.53, 0.10918), LogLossParts(0.5, 0.00015, 0.6, 0.10015)],
)
def test_the_shown_parts_of_the_log_loss_add_up(parts: LogLossParts) -> None:
    shown = [float(number) for number in re.findall(r"0\.\d{4}", parts_in_words(parts))]
    total, calibration, refinement, uncertainty, resolution, again = shown
    assert total == pytest.approx(calibration + refinement, abs=1e-9)
    assert uncertainty - resolution == pytest.approx(refinement, abs=1e-9)
    assert again == calibration and refinement == pytest.approx(parts.refinement, abs=1.01e-4)


def test_what_the_log_loss_is_made_of_is_told_with_its_source(
    open_page: Callable[..., AppTest],
) -> None:
    page = open_page("evaluate", view="Calibration")
    assert "= calibration 0." in words(page) and "CORP" in words(page)
    assert page.segmented_control(key="recalibration").disabled
    assert "no validation rows beside it" in words(page)


def test_a_recalibration_shows_before_and_after(
    home: Path, open_page: Callable[..., AppTest]
) -> None:
    run_id = trained_run(home)
    with Store.open(home) as store:
        folder = store.run(run_id).folder
    for name in (SCORES, "impressions.parquet"):
        table = pq.read_table(folder / name)
        part = pa.array(["validation"] * len(table))
        pq.write_table(pa.concat_tables([table, table.set_column(0, "part", part)]), folder / name)
    ids = np.load(folder / "impression_ids.npy")
    np.save(folder / "impression_ids.npy", np.concatenate([ids, ids]))
    page = open_page("evaluate", run=run_id, view="Calibration", recalibration="Isotonic")
    table = page.dataframe[0].value
    assert list(table.columns) == ["", "before", "after", "fitted on"]
    assert table["before"][0] != table["after"][0]
    assert "fitted on the validation rows alone" in words(page)
    page = open_page("evaluate", run=run_id, view="Threshold")
    assert "Chosen on the 500 validation rows" in words(page)
    page = open_page("evaluate", run=run_id, view="Calibration", part="validation")
    assert page.segmented_control(key="recalibration").disabled


# --- other models ---------------------------------------------------------------------------------


def test_other_models_are_asked_for_and_waited_for(
    home: Path, open_page: Callable[..., AppTest]
) -> None:
    page = open_page("evaluate", view="Other models")
    page.button(key="fit_baselines").click().run()
    assert_nothing_wrong(page)
    with Store.open(home) as store:
        (job,) = store.jobs(active=True)
        assert (job.kind, job.payload["run_id"], job.payload["dataset"]) == (
            "baselines",
            "demo",
            "",
        )
        assert Path(job.payload["out"]).is_relative_to(home)
    assert page.button(key="baselines_job_cancel").label == "Cancel"


def test_what_other_models_reached_is_told_in_words(
    home: Path, open_page: Callable[..., AppTest]
) -> None:
    model = open_run(DEMO_RUN_FOLDER)
    labels, own = model.scores().labels, model.scores().terms.logit
    scores = {"Always the base rate": 0 * own, "Trees": own + 3 * (labels - 0.5)}
    others = tuple(
        Baseline(name, auc(labels, each), 0.1, 0.9, 0.4, 0.8, 0.02, 1.0, "some", False,
                 compare_aucs(labels, each, own))
        for name, each in scores.items()
    )  # fmt: skip
    itself = Baseline("DeepFM", auc(labels, own), 0.1, 0.9, 0.42, 0.8, 0.02, 1.0, "", False, None)
    found = Baselines(
        itself, "test", len(labels), labels_digest(labels), 48_000, "validation rows", others, {}
    )
    write_baselines(home / "baselines" / "demo.json", found)
    page = open_page("evaluate", view="Other models")
    assert "DeepFM is not worth it for the ranking alone: Trees ranks them better" in words(page)
    assert list(page.dataframe[0].value["Model"])[:2] == ["Trees", "DeepFM (this run)"]
    stale = dataclasses.replace(found, labels="of other rows")
    write_baselines(home / "baselines" / "demo.json", stale)
    assert "Trees ranks them better" not in words(open_page("evaluate", view="Other models"))


def test_the_page_needs_no_scikit_learn_until_it_is_asked_for(home: Path) -> None:
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
page = AppTest.from_file({str(ROOT / "pages" / "evaluate.py")!r}, default_timeout=60).run()
assert not page.exception
assert "sklearn" not in sys.modules and "torch" not in sys.modules
"""
    environment = {**os.environ, "DEEPFM_HOME": str(home), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
