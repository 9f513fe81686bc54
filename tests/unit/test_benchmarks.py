"""The benchmarks' data and tables; nothing here is timed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import criteo
from deepfm import evaluation
from deepfm.data.dataset import Dataset, prepare
from deepfm.data.reader import open_rows

ROWS, TEST_ROWS, LOG_ROWS = 3_000, 500, 200_000


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("criteo") / "dataset"
    return criteo.write_encoded(folder, ROWS, test_rows=TEST_ROWS, log_rows=LOG_ROWS)


def test_generator_has_criteos_columns(encoded: Dataset) -> None:
    roles = [field.role for field in encoded.fields]
    assert roles == ["numeric"] * 13 + ["categorical"] * 26
    assert 0.2 < float(encoded.parts["train"].labels.mean()) < 0.35


def test_full_size_keeps_about_a_million_features() -> None:
    kept = [field.kept(criteo.FULL_ROWS) for field in criteo.FIELDS if not field.numeric]
    assert 0.9e6 < sum(kept) < 1.2e6
    assert all(1 <= k <= f.values for k, f in zip(kept, criteo.FIELDS[13:], strict=True))


def test_kept_values_are_those_expected_often_enough() -> None:
    """The formula of `kept` against the exact shares of the law, for every column of hashes."""
    for field in criteo.FIELDS[13:]:
        if field.values > 200_000:
            continue
        v = np.arange(1, field.values + 2, dtype=np.float64) ** (-1 / 6)
        shares = (v[:-1] - v[1:]) / (1 - v[-1]) * (1 - field.missing)
        often = int((shares * LOG_ROWS >= criteo.MIN_COUNT).sum())
        assert field.kept(LOG_ROWS) == pytest.approx(max(often, 1), abs=2)


def test_same_rows_for_any_number_of_rows() -> None:
    few = next(criteo.blocks(100))
    many = next(criteo.blocks(criteo.BLOCK_ROWS + 1))
    assert (few.ranks == many.ranks[:, :100]).all()
    assert (few.labels == many.labels[:100]).all()
    other = next(criteo.blocks(100, seed=1))
    assert (few.ranks != other.ranks).any()


def test_blocks_add_up_to_the_rows_asked_for() -> None:
    sizes = [len(block) for block in criteo.blocks(criteo.BLOCK_ROWS + 7)]
    assert sizes == [criteo.BLOCK_ROWS, 7]


@pytest.mark.parametrize("threads", [1, 3])
def test_encoded_form_is_the_same_on_any_number_of_threads(
    encoded: Dataset, tmp_path: Path, threads: int
) -> None:
    again = criteo.write_encoded(tmp_path / "again", ROWS, log_rows=LOG_ROWS, threads=threads)
    assert (again.parts["train"].ids == encoded.parts["train"].ids).all()
    assert (again.vocabulary.counts == encoded.vocabulary.counts).all()


def test_hashes_are_different_within_a_field() -> None:
    field = criteo.FIELDS[-1]
    ranks = np.arange(1, field.values + 1, dtype=np.int32)
    assert len(np.unique(field.codes(ranks))) == field.values
    assert field.texts(ranks[:3]).to_pylist() == [f"{c:08x}" for c in field.codes(ranks[:3])]


def test_raw_rows_encode_to_the_ids_written(encoded: Dataset) -> None:
    part = encoded.parts["test"]
    raw = part.rows()
    for i, field in enumerate(encoded.fields):
        ids = encoded.vocabulary.encode_column(field.name, raw[field.name])
        assert (ids == part.ids[:, i]).all(), field.name


def test_counts_are_those_of_the_train_rows(encoded: Dataset) -> None:
    train = encoded.parts["train"]
    counts = np.zeros(encoded.vocabulary.num_features, np.int64)
    np.add.at(counts, train.ids, 1)
    assert (counts == encoded.vocabulary.counts).all()
    assert encoded.vocabulary.clicks[encoded.fields[0].indices].sum() == train.labels.sum()


def test_text_and_encoded_form_hold_the_same_impressions(encoded: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    criteo.write_text(path, ROWS)
    with open_rows(path, criteo.SCHEMA) as reader:
        batches = list(reader.batches())
    assert sum(batch.num_rows for batch in batches) == ROWS
    assert reader.skipped.count == 0
    for i, field in enumerate(encoded.fields):
        texts = [text for batch in batches for text in batch.column(1 + i).to_pylist()]
        ids = encoded.vocabulary.encode_column(field.name, texts)
        assert (ids == encoded.parts["train"].ids[:, i]).all(), field.name


def test_text_is_prepared_without_help(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    criteo.write_text(path, ROWS)
    dataset = prepare(path, out=tmp_path / "dataset", validation=0.0)
    assert len(dataset.fields) == 39
    assert len(dataset.parts["train"]) == ROWS


def test_clicks_can_be_learned(encoded: Dataset) -> None:
    test = encoded.parts["test"]
    assert test.truth is not None
    auc = evaluation.auc(test.labels, test.truth)
    assert auc is not None and auc > 0.7
