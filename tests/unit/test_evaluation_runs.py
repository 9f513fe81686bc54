"""A run's figures from its stored rows, its dataset or a raw file; predictions row by row."""

import csv
import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepfm import evaluation
from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import prepare
from deepfm.data.vocabulary import RARE
from deepfm.errors import Cancelled, ConfigError, DataError, RunError, SchemaError
from deepfm.evaluation import (
    evaluate,
    evaluate_scores,
    read_impression,
    scores_of_file,
    slices,
)
from deepfm.events import Event, Progress
from deepfm.explanation import explain
from deepfm.prediction import predict_file
from deepfm.trained import Scores, TrainedModel, open_run
from deepfm.training.loop import train
from tests.unit.run_folders import ALL_MODELS, RunSpec, random_ids, write_run

NAMES = ["clicked", "word_0", "word_1", "word_2", "word_3", "price", "row"]
Row = Sequence[str]


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return open_run(write_run(tmp_path / "run"))


def rows_of(model: TrainedModel, rows: int = 300, seed: int = 0) -> list[list[str]]:
    """Raw rows in the order of NAMES, labels as the model would have it more often than not."""
    rng = np.random.default_rng(seed)
    ids = random_ids(model.vocabulary, rows, seed)
    probability = model.score(ids).probability
    return [
        [str(int(rng.random() < p)), *model.decode(row).values(), f"note {i}"]
        for i, (row, p) in enumerate(zip(ids, probability, strict=True))
    ]


def write_csv(path: Path, rows: Sequence[Row], names: Row = NAMES) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- Figures of a run ---------------------------------------------------------------------------


@pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)
def test_every_model_has_finite_figures(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = RunSpec(model=ModelConfig(**changes), weight_scale=0.4)
    model = open_run(write_run(tmp_path / "run", spec))
    figures = evaluate(model)
    there = json.loads(json.dumps(figures.to_dict(), allow_nan=False))
    scores = model.scores("test")
    metrics = evaluation.metrics_of(scores.labels, scores.terms.logit)
    assert (there["part"], there["rows"], there["skipped_rows"]) == ("test", 60, None)
    assert there["auc"] == metrics.auc and there["auc_low"] < metrics.auc < there["auc_high"]
    assert (there["log_loss"], there["accuracy"]) == (metrics.loss, metrics.accuracy)
    assert there["base_rate"] == pytest.approx(scores.labels.mean())
    rate = there["base_rate"]
    assert there["majority_accuracy"] == max(rate, 1 - rate)
    guess = np.full(60, math.log(rate / (1 - rate)))
    assert there["log_loss_base"] == pytest.approx(evaluation.log_loss(scores.labels, guess))
    validation = model.scores("validation")
    assert there["log_loss_calibrated"] == pytest.approx(
        evaluation.calibrated_log_loss(
            validation.labels, validation.terms.logit, scores.labels, scores.terms.logit
        )
    )
    terms = set(model.model.terms)
    expected = {*terms, "all"} | ({"fm"} if {"linear", "pairwise"} <= terms else set())
    assert there["branches"].keys() == expected
    assert there["branches"]["all"]["log_loss"] == pytest.approx(metrics.loss, abs=1e-4)


def test_without_validation_rows_nothing_is_calibrated(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(rows={"test": 40})))
    assert evaluate(model).log_loss_calibrated is None


def test_a_part_can_be_chosen_and_an_unknown_one_is_refused(model: TrainedModel) -> None:
    assert evaluate(model, part="validation").rows == 50
    with pytest.raises(RunError, match="no rows of the part 'train'"):
        evaluate(model, part="train")


def test_training_rows_have_no_figures_unless_asked_for(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(rows={"train": 30})))
    figures = evaluate(model)
    assert (figures.part, figures.rows, figures.branches) == ("train", 30, {})
    assert figures.auc is figures.log_loss is figures.accuracy is None
    json.dumps(figures.to_dict(), allow_nan=False)
    assert evaluate(model, part="train").auc is not None


def test_a_part_of_one_class_has_no_auc_but_a_loss(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run"))
    scores = model.scores()
    clicked = Scores("test", scores.rows, scores.terms, np.ones_like(scores.labels), None)
    figures = evaluate_scores(model, clicked)
    assert figures.auc is figures.auc_low is figures.branches["fm"].auc is None
    assert figures.log_loss_base == 0 and figures.majority_accuracy == 1
    json.dumps(figures.to_dict(), allow_nan=False)


def test_a_trained_run_has_the_same_figures_from_its_dataset(tmp_path: Path) -> None:
    rows = rows_of(open_run(write_run(tmp_path / "labels")), 600)
    parts = [
        write_csv(tmp_path / f"{name}.csv", chosen)
        for name, chosen in (("train", rows[:400]), ("test", rows[400:]))
    ]
    dataset = prepare(*parts, min_count=1, out=tmp_path / "dataset")
    config = TrainConfig(epochs=2, batch_size=64, device="cpu")
    run = train(dataset, ModelConfig(), config, out=tmp_path / "run")
    model = open_run(run.folder)
    stored = evaluate(model)
    again = evaluate(model, dataset)
    assert (stored.part, stored.rows, again.skipped_rows) == ("test", 200, 0)
    assert again.log_loss == pytest.approx(stored.log_loss, abs=1e-5)
    assert stored.auc == pytest.approx(run.result.auc, abs=1e-5)
    assert stored.log_loss == pytest.approx(run.result.log_loss, abs=1e-5)
    assert stored.log_loss_calibrated == pytest.approx(run.result.log_loss_calibrated, abs=1e-5)
    assert evaluate(model, dataset, part="train").rows == len(dataset.parts["train"].labels)
    assert evaluate(model, data=parts[1]).log_loss == pytest.approx(stored.log_loss, abs=1e-5)
    for row in range(0, 200, 20):
        why = explain(model, row=row, permutations=3)
        assert why.values == {name: rows[400 + row][NAMES.index(name)] for name in why.values}
    with pytest.raises(RunError, match="no part 'other', only train"):
        evaluate(model, dataset, part="other")
    other = prepare(*parts, min_count=9, out=tmp_path / "other")
    with pytest.raises(RunError, match="prepared otherwise"):
        evaluate(model, other)


# --- Files --------------------------------------------------------------------------------------


def test_a_labelled_file_has_the_figures_of_its_rows(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model)
    figures = evaluate(model, data=write_csv(tmp_path / "more.csv", rows))
    ids = np.stack([model.encode(dict(zip(NAMES[1:6], row[1:6], strict=True))) for row in rows])
    labels = np.array([float(row[0]) for row in rows])
    assert (figures.part, figures.rows, figures.skipped_rows) == ("file", 300, 0)
    assert figures.auc == evaluation.auc(labels, model.score(ids).logit)
    assert figures.log_loss == pytest.approx(evaluation.log_loss(labels, model.score(ids).logit))


def test_columns_are_known_by_name_and_others_do_not_matter(
    model: TrainedModel, tmp_path: Path
) -> None:
    rows = rows_of(model)
    names = [*NAMES[::-1], "campaign"]
    turned = [[*row[::-1], "=1+1"] for row in rows]
    first = scores_of_file(model, write_csv(tmp_path / "a.csv", rows)).scores
    again = scores_of_file(model, write_csv(tmp_path / "b.csv", turned, names)).scores
    np.testing.assert_array_equal(first.terms.logit, again.terms.logit)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_rows_that_cannot_be_used_are_counted(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 10)
    rows[3] = rows[3][:4]
    rows[5][0] = ""
    scored = scores_of_file(model, write_csv(tmp_path / "more.csv", rows))
    assert scored.scores.rows.tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    assert scored.skipped.count == 2
    assert scored.skipped.reasons["no label in column 'clicked'"] == 1
    assert {example.line for example in scored.skipped.examples} == {5, 7}
    assert evaluate(model, data=tmp_path / "more.csv").skipped_rows == 2


def test_bad_files_are_named(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 10)
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        evaluate(model, data=tmp_path / "nowhere.csv")
    lacking = write_csv(tmp_path / "lacking.csv", [row[:4] for row in rows], NAMES[:4])
    with pytest.raises(SchemaError, match=r"'lacking\.csv' lacks the columns 'word_3', 'price'"):
        evaluate(model, data=lacking)
    unlabelled = write_csv(tmp_path / "unlabelled.csv", [row[1:] for row in rows], NAMES[1:])
    with pytest.raises(SchemaError, match="'clicked'"):
        evaluate(model, data=unlabelled)
    rows[7][0] = "maybe"
    with pytest.raises(SchemaError, match=r"holds 'maybe' on line 9; in this run a label is '1'"):
        evaluate(model, data=write_csv(tmp_path / "maybe.csv", rows))
    empty = [["", *row[1:]] for row in rows]
    with pytest.raises(DataError, match=r"No row of 'empty\.csv' has a label"):
        evaluate(model, data=write_csv(tmp_path / "empty.csv", empty))
    with pytest.raises(ConfigError, match="either a file"):
        evaluate(model, part="test", data=tmp_path / "maybe.csv")


def test_one_row_of_a_file_is_read_to_be_explained(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 20)
    rows[3] = rows[3][:2]
    path = write_csv(tmp_path / "more.csv", rows)
    for row in (0, 4, 19):
        assert list(read_impression(model, path, row).values()) == rows[row][1:6]
    with pytest.raises(DataError, match=r"Row 3 of 'more\.csv' cannot be read"):
        read_impression(model, path, 3)
    with pytest.raises(DataError, match=r"no row 20 in 'more\.csv'; choose one from 0 to 19"):
        read_impression(model, path, 20)
    with pytest.raises(DataError, match="Row is -1"):
        read_impression(model, path, -1)


# --- Predictions --------------------------------------------------------------------------------


def test_predictions_stand_beside_their_rows(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model)
    counts = predict_file(model, write_csv(tmp_path / "in.csv", rows), tmp_path / "out.csv")
    assert (counts["rows"], counts["scored_rows"], counts["skipped_rows"]) == (300, 300, 0)
    written = read_csv(tmp_path / "out.csv")
    assert list(written[0]) == [*NAMES, "probability", "logit", "linear", "pairwise", "deep"]
    assert [list(row.values())[:7] for row in written] == rows
    for row in written:
        ids = model.encode({name: row[name] for name in NAMES[1:6]})
        terms = model.score(ids[None])
        assert float(row["logit"]) == pytest.approx(terms.logit[0], abs=1e-5)
        assert float(row["probability"]) == pytest.approx(terms.probability[0], abs=1e-6)
        parts = sum(float(row[name]) for name in ("linear", "pairwise", "deep"))
        assert parts == pytest.approx(float(row["logit"]), abs=1e-9)


def test_unreadable_rows_stay_in_their_place(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 40)
    bad = [0, 1, 17, 18, 30, 39]
    broken = [["only"] if i in bad else row for i, row in enumerate(rows)]
    counts = predict_file(model, write_csv(tmp_path / "in.csv", broken), tmp_path / "out.csv")
    assert (counts["rows"], counts["scored_rows"], counts["skipped_rows"]) == (40, 34, 6)
    written = read_csv(tmp_path / "out.csv")
    assert len(written) == 40
    for i, row in enumerate(written):
        assert set(row.values()) == {""} if i in bad else row["row"] == f"note {i}"


def test_no_label_is_needed(model: TrainedModel, tmp_path: Path) -> None:
    rows = [row[1:] for row in rows_of(model, 10)]
    predict_file(model, write_csv(tmp_path / "in.csv", rows, NAMES[1:]), tmp_path / "out.csv")
    assert all(row["probability"] for row in read_csv(tmp_path / "out.csv"))


def test_score_columns_are_prefixed_on_a_clash(model: TrainedModel, tmp_path: Path) -> None:
    rows = [[*row, "x", "y"] for row in rows_of(model, 5)]
    names = [*NAMES, "deep", "deepfm_logit"]
    predict_file(model, write_csv(tmp_path / "in.csv", rows, names), tmp_path / "out.csv")
    written = read_csv(tmp_path / "out.csv")
    assert list(written[0])[9] == "deepfm_deepfm_probability"
    assert (written[0]["deep"], written[0]["deepfm_logit"]) == ("x", "y")


def test_formulas_are_written_as_text(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 4)
    rows[0][6], rows[1][6], rows[2][6] = "=HYPERLINK(1)", "-5", "@SUM(1)"
    predict_file(model, write_csv(tmp_path / "in.csv", rows), tmp_path / "out.csv")
    written = [row["row"] for row in read_csv(tmp_path / "out.csv")]
    assert written[0] != "=HYPERLINK(1)" and written[0].endswith("=HYPERLINK(1)")
    assert written[2] != "@SUM(1)" and written[2].endswith("@SUM(1)")
    assert written[1] == "-5" and written[3] == "note 3"


def test_unseen_values_are_scored_as_such(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 2)
    rows[0][2], rows[1] = "never seen before", [*rows[0]]
    rows[1][2] = RARE
    predict_file(model, write_csv(tmp_path / "in.csv", rows), tmp_path / "out.csv")
    first, second = read_csv(tmp_path / "out.csv")
    assert first["logit"] == second["logit"]


def test_a_compressed_file_is_scored_as_a_plain_one(model: TrainedModel, tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "in.csv", rows_of(model, 10))
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    predict_file(model, plain, tmp_path / "plain.csv")
    predict_file(model, tmp_path / "in.csv.gz", tmp_path / "packed.csv")
    assert (tmp_path / "plain.csv").read_text() == (tmp_path / "packed.csv").read_text()


def test_a_failed_prediction_leaves_nothing_behind(model: TrainedModel, tmp_path: Path) -> None:
    rows = rows_of(model, 10)
    out = tmp_path / "out.csv"
    out.write_text("what was there before")
    with pytest.raises(SchemaError):
        predict_file(model, write_csv(tmp_path / "in.csv", rows, ["x", *"abcdef"]), out)
    with pytest.raises(Cancelled):
        predict_file(model, write_csv(tmp_path / "in.csv", rows), out, cancelled=lambda: True)
    assert out.read_text() == "what was there before"
    with pytest.raises(DataError, match="cannot be written"):
        predict_file(model, tmp_path / "in.csv", tmp_path / "nowhere" / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "run"]


def test_progress_is_told(model: TrainedModel, tmp_path: Path) -> None:
    events: list[Event] = []
    path = write_csv(tmp_path / "in.csv", rows_of(model, 10))
    predict_file(model, path, tmp_path / "out.csv", on_event=events.append)
    assert isinstance(events[-1], Progress)
    assert events[-1].done == events[-1].total == path.stat().st_size


# --- Slices -------------------------------------------------------------------------------------


def test_slices_hold_every_row_once(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(rows={"test": 400})))
    scores = model.scores()
    ids = model.impression_ids()
    for place, field in enumerate(model.fields):
        found = slices(model, field.name)
        assert sum(part.rows for part in found) == 400
        assert sum(part.clicks for part in found) == scores.labels.sum()
        for part in found:
            if part.value is None:
                continue
            rows = (
                ids[:, place]
                == model.encode({**model.impression().fields, field.name: part.value})[place]
            )
            assert part.rows == rows.sum()
            assert part.predicted == pytest.approx(scores.terms.probability[rows].mean())
            assert part.log_loss == pytest.approx(
                evaluation.log_loss(scores.labels[rows], scores.terms.logit[rows])
            )
            assert part.base_rate_low <= part.base_rate <= part.base_rate_high
    with pytest.raises(SchemaError, match="'colour'"):
        slices(model, "colour")


def test_rare_values_stand_together(tmp_path: Path) -> None:
    spec = RunSpec(categorical=(200, 2), numeric=False, rows={"test": 600})
    model = open_run(write_run(tmp_path / "run", spec))
    found = slices(model, "word_0")
    assert [part.value for part in found] == [None] and found[0].rows == 600
    assert len(slices(model, "word_1")) == 3
