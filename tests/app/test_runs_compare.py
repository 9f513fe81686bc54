"""Ticked runs beside each other: what differs, which is best, and whether they may be compared."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from deepfm.config import ModelConfig, TrainConfig, settings_in_words
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.evaluation import roc
from deepfm.events import Finished
from deepfm.runs.store import RunRow, Store
from deepfm.ui.run_differences import differences, differences_html, not_comparable
from deepfm.ui.run_roc import Judged
from deepfm.ui.state import DEMO_RUN_FOLDER
from tests.app.runs_page import differing, open_runs, run_named, trained, words


@pytest.fixture(scope="module")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


@pytest.fixture
def two(home: Path, demo: Dataset) -> list[RunRow]:
    ids = [trained(home, demo, f"factor size {size}", num_factors=size) for size in (4, 8)]
    return [run_named(home, run_id) for run_id in ids]


def with_result(row: RunRow, **figures: object) -> RunRow:
    return dataclasses.replace(row, result={**(row.result or {}), **figures})


def judged(labels: str, part: str = "test") -> Judged:
    clicked, scores = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.9])
    return Judged(part, 3, labels, roc(clicked, scores), 1.0)


# --- on the page ------------------------------------------------------------------------------


def test_only_what_differs_is_shown(demo: Dataset, home: Path) -> None:
    ids = [trained(home, demo, "same", num_factors=size) for size in (4, 8)]
    first, second = differing(open_runs(*ids))
    assert (first["Factor size"], second["Factor size"]) == ("4", "8")
    assert "MLP dims" not in first and "Test AUC" not in first
    assert first["Run"].endswith("same") and second["Run"].endswith("same (2)")


def test_runs_of_the_same_settings_and_results_are_said_to_be_the_same(
    demo: Dataset, home: Path
) -> None:
    ids = [trained(home, demo, name) for name in ("a", "b")]
    (first, _) = differing(open_runs(*ids))
    assert (first["Settings"], first["Results"]) == ("the same", "the same")


def test_metric_and_axis_are_in_the_address(two: list[RunRow], home: Path) -> None:
    page = open_runs(*(row.id for row in two), metric="loss", along="seconds")
    assert [each.value for each in page.button_group] == ["loss", "seconds"]
    page = open_runs(*(row.id for row in two), metric="nonsense")
    assert page.button_group[0].value == "auc"


def test_more_than_six_runs_are_compared_and_the_first_six_drawn(demo: Dataset, home: Path) -> None:
    ids = [trained(home, demo, f"run {seed}", seed=seed) for seed in range(8)]
    page = open_runs(*ids)
    assert len(differing(page)) == 8
    assert "first 6 of 8" in words(page)


def bundled(home: Path, name: str, flipped: int = 0) -> str:
    """The bundled run as a finished one of this home; some of its labels flipped."""
    with Store.open(home) as store:
        run_id = store.queue_run(
            name, home / "x", "demo", {}, {"seed": len(name)}, fingerprint="same"
        )
        store.claim_run("test")
        folder = store.run(run_id).folder
        shutil.copytree(DEMO_RUN_FOLDER, folder)
        table = pq.read_table(folder / "scores.parquet")
        labels = table["label"].to_numpy().copy()
        labels[:flipped] = 1 - labels[:flipped]
        place = table.column_names.index("label")
        column = pa.array(labels, table.schema.field("label").type)
        pq.write_table(table.set_column(place, "label", column), folder / "scores.parquet")
        result = Finished(2, 2, 2.0, 1e5, 2e5, "test", 10, 0.68, 0.5, 0.49, 0.8, 0.2)
        store.finish_run(run_id, "finished", result=vars(result))
    return run_id


def roc_lines(page: AppTest) -> list[str]:
    """The names in the ROC chart's legend."""
    for each in page.get("bidi_component"):
        data = json.loads(each.proto.json)
        if "(ROC)" in data.get("title", ""):
            traces = json.loads(data["figure"])["data"]
            return [trace["name"] for trace in traces if trace.get("legendgroup")]
    return []


def test_the_roc_of_runs_is_drawn_from_their_folders(home: Path) -> None:
    page = open_runs(bundled(home, "one"), bundled(home, "other"))
    assert sorted({name.split()[0] for name in roc_lines(page)}) == ["one", "other"]


def test_a_run_judged_by_other_rows_is_left_out_of_the_roc_and_named(home: Path) -> None:
    page = open_runs(bundled(home, "one"), bundled(home, "other", flipped=3))
    assert {name.split()[0] for name in roc_lines(page)} == {"one"}
    assert "Left out" in words(page) and "“other”" in words(page)


def test_a_folder_that_was_damaged_by_hand_leaves_the_page_whole(home: Path) -> None:
    one, other = bundled(home, "one"), bundled(home, "other")
    (run_named(home, other).folder / "scores.parquet").write_bytes(b"no table")
    page = open_runs(one, other)
    assert {name.split()[0] for name in roc_lines(page)} == {"one"}
    shutil.rmtree(run_named(home, one).folder)
    assert roc_lines(open_runs(one, other)) == []


# --- what is best -----------------------------------------------------------------------------


def test_the_best_value_is_the_highest_auc_and_the_lowest_loss(two: list[RunRow]) -> None:
    rows = [with_result(two[0], auc=0.7, log_loss=0.4), with_result(two[1], auc=0.8, log_loss=0.5)]
    found = {column.name: column for column in differences(rows).results}
    assert found["Test AUC"].best == {1}
    assert found["Log loss"].best == {0}
    assert "<b>0.8000</b> <small>best</small>" in differences_html(differences(rows))


def test_values_that_read_the_same_are_both_the_best(two: list[RunRow]) -> None:
    rows = [
        with_result(two[0], auc=0.80001),
        with_result(two[1], auc=0.80002),
        with_result(two[1], auc=0.7),
    ]
    found = {column.name: column for column in differences(rows).results}
    assert found["Test AUC"].best == {0, 1}


def test_a_run_without_results_has_no_best_value(two: list[RunRow]) -> None:
    rows = [two[0], dataclasses.replace(two[1], result=None, state="training")]
    found = {column.name: column for column in differences(rows).results}
    assert found["Test AUC"].cells == ("0.6800", "–")
    assert not found["Test AUC"].best


# --- whether they may be compared -------------------------------------------------------------


def test_runs_on_the_same_part_of_one_dataset_are_comparable(two: list[RunRow]) -> None:
    assert not_comparable(two, {}) == ""


def test_runs_judged_by_different_parts_are_not_comparable(two: list[RunRow]) -> None:
    rows = [two[0], with_result(two[1], part="validation")]
    said = not_comparable(rows, {})
    assert "test rows" in said and "validation rows" in said and "not comparable" in said
    assert not any(column.best for column in differences(rows, comparable=False).results)


def test_runs_on_different_datasets_are_not_comparable(two: list[RunRow]) -> None:
    other = dataclasses.replace(two[1], fingerprint="f" * 16, dataset_name="other")
    assert "2 datasets" in not_comparable([two[0], other], {})
    again = dataclasses.replace(two[1], fingerprint="f" * 16)
    assert "prepared in different ways" in not_comparable([two[0], again], {})


def test_one_file_prepared_twice_is_comparable_where_the_rows_are_the_same(
    two: list[RunRow],
) -> None:
    again = dataclasses.replace(two[1], fingerprint="f" * 16)
    same = {two[0].id: judged("a"), again.id: judged("a")}
    assert not_comparable([two[0], again], same) == ""
    other = {two[0].id: judged("a"), again.id: judged("b")}
    assert not_comparable([two[0], again], other)


def test_two_preparations_of_one_name_are_told_apart(two: list[RunRow]) -> None:
    again = dataclasses.replace(two[1], fingerprint="f" * 16)
    found = {column.name: column for column in differences([two[0], again]).settings}
    assert found["Dataset"].cells[1] == "demo (ffffff)"
    assert found["Dataset"].cells[0].startswith("demo (")


# --- words ------------------------------------------------------------------------------------


def test_settings_are_told_by_what_differs_from_their_defaults() -> None:
    model = ModelConfig(mlp_dims=(64, 32), shared_embedding=False).to_dict()
    train = TrainConfig(optimizer="lazy-adam").to_dict()
    told = settings_in_words({**model, **train})
    assert told == "MLP dims 64,32, Shared embedding off, Optimizer lazy-adam"


def test_a_run_queued_by_an_older_version_has_the_defaults_of_newer_settings(
    demo: Dataset, home: Path
) -> None:
    with Store.open(home) as store:
        run_id = store.queue_run("old", demo.folder, "demo", {"num_factors": 3}, {"epochs": 2})
        row = store.run(run_id)
    assert settings_in_words({**row.model, **row.train}) == "Factor size 3, Epochs 2"
    assert not differences([row, row]).settings


def test_a_name_is_text_in_the_table_of_differences(two: list[RunRow]) -> None:
    rows = [dataclasses.replace(row, name="<script>alert(1)</script>") for row in two]
    html = differences_html(differences(rows))
    assert "<script>" not in html and "&lt;script&gt;" in html
