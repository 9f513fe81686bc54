"""A file's scores with what moved them: each row as `explain` has it, in CSV and in Parquet."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepfm.cli import main
from deepfm.config import ModelConfig
from deepfm.errors import Cancelled, ConfigError
from deepfm.events import Event, Progress
from deepfm.explanation import explain
from deepfm.prediction import columns as columns_module
from deepfm.prediction import predict_file
from deepfm.trained import TrainedModel, open_run
from tests.unit.run_folders import ALL_MODELS, RunSpec, random_ids, write_run

FIELDS = ["word_0", "word_1", "word_2", "word_3", "price"]


def open_model(folder: Path, **changes: object) -> TrainedModel:
    settings = {"num_factors": 4, "mlp_dims": (6, 5), **changes}
    return open_run(write_run(folder, RunSpec(model=ModelConfig(**settings))))


def write_rows(path: Path, model: TrainedModel, rows: int, names: list[str] = FIELDS) -> Path:
    """Rows of which every second is like the one before it."""
    ids = random_ids(model.vocabulary, rows, seed=4)
    ids[1::2] = ids[: len(ids[1::2]) * 2 : 2]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in ids:
            values = model.decode(row)
            writer.writerow([*(values[name] for name in FIELDS), *[""] * (len(names) - 5)])
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(row: dict[str, str], name: str) -> float:
    return float(row[name])


@pytest.mark.parametrize("name", ALL_MODELS)
def test_contributions_are_those_of_explain(name, tmp_path):
    model = open_model(tmp_path / "run", **ALL_MODELS[name])
    data = write_rows(tmp_path / "in.csv", model, 6)
    answer = predict_file(model, data, tmp_path / "out.csv", contributions="fields", permutations=7)
    assert (answer["base"], answer["permutations"]) == (model.reference.base, 7)
    for given, row in zip(rows_of(data), rows_of(tmp_path / "out.csv"), strict=True):
        why = explain(model, {name: given[name] for name in FIELDS}, permutations=7)
        assert number(row, "logit") == pytest.approx(why.logit, abs=1e-5)
        total = number(row, "base")
        for term in ("linear", "pairwise", "deep"):
            part = number(row, f"{term}_contribution")
            assert part == pytest.approx(getattr(why, term), abs=1e-5)
            total += part
            by_field = {key: value for key, value in row.items() if key.startswith(f"{term}:")}
            assert len(by_field) == (5 if term in model.model.terms else 0)
            if by_field:
                assert sum(map(float, by_field.values())) == pytest.approx(part, abs=1e-5)
        assert total == pytest.approx(number(row, "logit"), abs=1e-5)
        assert why.deep_by_field is not None and why.deep_standard_error is not None
        for field in FIELDS:
            for kind, values in (
                ("linear", why.linear_by_field),
                ("pairwise", why.pairwise_by_field),
                ("deep", why.deep_by_field),
                ("deep_standard_error", why.deep_standard_error),
            ):
                if f"{kind}:{field}" in row:
                    assert number(row, f"{kind}:{field}") == pytest.approx(values[field], abs=1e-5)


def test_terms_come_without_fields_and_fields_without_draws(tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 3)
    predict_file(model, data, tmp_path / "terms.csv", contributions="terms")
    predict_file(model, data, tmp_path / "fields.csv", contributions="fields")
    plain = [*FIELDS, "probability", "logit", "linear", "pairwise", "deep"]
    terms = ["base", "linear_contribution", "pairwise_contribution", "deep_contribution"]
    assert list(rows_of(tmp_path / "terms.csv")[0]) == [*plain, *terms]
    by_field = [f"{term}:{field}" for term in ("linear", "pairwise") for field in FIELDS]
    assert list(rows_of(tmp_path / "fields.csv")[0]) == [*plain, *terms, *by_field]


def test_two_draws_have_no_standard_error(tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 2)
    predict_file(model, data, tmp_path / "out.csv", contributions="fields", permutations=2)
    for row in rows_of(tmp_path / "out.csv"):
        assert row["deep:price"] and not row["deep_standard_error:price"]


def test_parquet_holds_the_same_numbers_and_the_texts_as_they_are(tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 5, [*FIELDS, "=1+1"])
    settings = {"contributions": "fields", "permutations": 3}
    predict_file(model, data, tmp_path / "out.csv", **settings)
    predict_file(model, data, tmp_path / "out.parquet", **settings)
    table = pq.read_table(tmp_path / "out.parquet")
    text = rows_of(tmp_path / "out.csv")
    assert table.column_names[5] == "=1+1" and list(text[0])[5] == "'=1+1"
    for name in table.column_names[6:]:
        np.testing.assert_allclose(
            table[name].to_numpy(), [number(row, name) for row in text], rtol=1e-12
        )


def test_parquet_keeps_unreadable_rows_in_their_place(tmp_path):
    model = open_model(tmp_path / "run")
    path = write_rows(tmp_path / "in.csv", model, 9)
    lines = path.read_text().splitlines()
    lines[4] = "only"
    path.write_text("\n".join(lines) + "\n")
    answer = predict_file(model, path, tmp_path / "out.parquet", contributions="terms")
    table = pq.read_table(tmp_path / "out.parquet")
    assert (answer["rows"], answer["skipped_rows"], len(table)) == (9, 1, 9)
    assert [value is None for value in table["base"].to_pylist()] == [i == 3 for i in range(9)]


def test_names_that_are_taken_are_prefixed_all_together(tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 2, [*FIELDS, "linear:price"])
    predict_file(model, data, tmp_path / "out.csv", contributions="fields")
    names = list(rows_of(tmp_path / "out.csv")[0])
    assert names[5] == "linear:price" and "deepfm_linear:price" in names
    assert all(name.startswith("deepfm_") for name in names[6:])


def test_small_pieces_give_the_same_file(tmp_path, monkeypatch):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 50)
    predict_file(model, data, tmp_path / "one.csv", contributions="fields", permutations=3)
    monkeypatch.setattr(columns_module, "BLOCK_NUMBERS", 300)
    predict_file(model, data, tmp_path / "many.csv", contributions="fields", permutations=3)
    one, many = rows_of(tmp_path / "one.csv"), rows_of(tmp_path / "many.csv")
    assert [list(row) for row in one] == [list(row) for row in many]
    for first, second in zip(one, many, strict=True):
        for name in list(first)[5:]:
            assert number(first, name) == pytest.approx(number(second, name), abs=1e-5)


def test_progress_goes_on_within_a_file_that_is_one_batch_and_can_be_stopped(tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 40)
    events: list[Event] = []
    asked = []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) > 8

    with pytest.raises(Cancelled):
        predict_file(
            model,
            data,
            tmp_path / "out.csv",
            contributions="fields",
            permutations=3,
            cancelled=stop,
        )
    assert len(asked) == 9, "asked after every row that was sampled"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.csv"]
    predict_file(model, data, tmp_path / "out.csv", on_event=events.append)
    last = events[-1]
    assert isinstance(last, Progress) and last.done == last.total == data.stat().st_size


def test_rows_are_computed_and_written_a_bounded_number_at_a_time(tmp_path, monkeypatch):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 1_000)
    monkeypatch.setattr(columns_module, "BLOCK_NUMBERS", 2_500)
    predict_file(model, data, tmp_path / "out.parquet", contributions="fields")
    written = pq.ParquetFile(tmp_path / "out.parquet").metadata
    sizes = {written.row_group(i).num_rows for i in range(written.num_row_groups)}
    assert max(sizes) == 2_500 // 25, "five fields of an embedding of four, and itself"
    assert written.num_rows == 1_000


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"contributions": "pairs"}, "none, terms, fields"),
        ({"contributions": "terms", "permutations": 5}, "--contributions fields"),
        ({"contributions": "fields", "permutations": -1}, "at least 0"),
        ({"contributions": "fields", "permutations": 10**6}, "at most 100,000"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words, tmp_path):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 2)
    with pytest.raises(ConfigError, match=words):
        predict_file(model, data, tmp_path / "out.csv", **settings)


def test_the_command_takes_both_and_says_what_they_are_measured_against(tmp_path, capsys):
    model = open_model(tmp_path / "run")
    data = write_rows(tmp_path / "in.csv", model, 4)
    out = tmp_path / "out.parquet"
    arguments = ["predict", str(tmp_path / "run"), str(data), "--out", str(out)]
    assert main([*arguments, "--contributions", "fields", "--permutations", "4"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["reference"] == "40 training rows drawn at random"
    assert answer["scored_rows"] == 4
    assert "deep:price" in pq.read_schema(out).names
