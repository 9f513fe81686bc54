from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepfm.data.vocabulary import (
    MISSING,
    RARE,
    CategoricalValues,
    NumericBuckets,
    Vocabulary,
    as_text,
    bucket_names,
    parse_numbers,
    quantile_edges,
    to_buckets,
)
from deepfm.errors import DataError, SchemaError

SITES = ("", "Zoo", "news", "ärzte", "日本", "<b>x</b>", "=1+1")


@pytest.fixture
def vocabulary() -> Vocabulary:
    texts = pa.array(sorted(SITES))
    counts = np.array([5, 4, 9, 4, 7, 6, 8, 3])
    return Vocabulary.of(
        [
            CategoricalValues("site", texts, counts, counts // 2, distinct=10),
            NumericBuckets(
                "age", np.array([3.0, 12.5, 30.0]), np.arange(6), np.zeros(6, np.int64), 40
            ),
            CategoricalValues("ad", pa.array(["a"]), np.array([40, 6]), np.array([3, 1]), 3),
        ]
    )


def test_fields_lie_one_after_the_other_and_end_with_their_default(vocabulary: Vocabulary) -> None:
    assert vocabulary.field_dims == (8, 6, 2)
    assert [field.offset for field in vocabulary.fields] == [0, 8, 14]
    assert [field.default for field in vocabulary.fields] == [7, 13, 15]
    assert vocabulary.num_features == 16 == len(vocabulary.counts) == len(vocabulary.clicks)


def test_column_and_impression_are_encoded_as_a_plain_dictionary_would(
    vocabulary: Vocabulary,
) -> None:
    index = {text: i for i, text in enumerate(sorted(SITES))}
    values = [*SITES, "never seen", None, "new", "NEWS"]
    expected = [index.get(value or "", 7) for value in values]
    assert vocabulary.encode_column("site", values).tolist() == expected
    assert vocabulary.encode_column("site", pa.chunked_array([values])).tolist() == expected
    one_by_one = [vocabulary.encode({"site": v, "age": 4, "ad": "a"})[0] for v in values]
    assert one_by_one == expected
    assert vocabulary.encode({"site": "x", "age": 4, "ad": "a"}).dtype == np.int32


def test_unseen_value_gets_the_default_index(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode({"site": "never seen", "age": "4", "ad": "b"})
    assert ids.tolist() == [7, 9, 15]
    assert vocabulary.decode(ids) == {"site": RARE, "age": "3 to 12.5", "ad": RARE}


def test_every_index_decodes_to_a_text_that_encodes_to_it(vocabulary: Vocabulary) -> None:
    for field in vocabulary.fields:
        ids = np.arange(field.offset, field.offset + field.size)
        texts = vocabulary.decode_column(field.name, ids)
        assert vocabulary.encode_column(field.name, texts).tolist() == ids.tolist()


def test_numbers_fall_into_the_bucket_whose_edges_hold_them(vocabulary: Vocabulary) -> None:
    texts = ["3", "3.0001", "12.5", " 30 ", "31", "-1e9", None, "NA", "old", "missing", RARE]
    buckets = [0, 1, 1, 2, 3, 0, 4, 4, 4, 4, 5]
    assert vocabulary.encode_column("age", texts).tolist() == [8 + b for b in buckets]


def test_numbers_and_truth_values_given_from_python_read_as_in_a_file(
    vocabulary: Vocabulary,
) -> None:
    assert [as_text(v) for v in ("x", None, 7, 7.0, 2.5, True)] == [
        "x", "", "7", "7", "2.5", "true",
    ]  # fmt: skip
    assert vocabulary.encode({"site": "news", "age": 12.5, "ad": "a"})[1] == 9
    assert as_text(float("nan")) == "nan"


def test_unknown_and_missing_fields_are_named(vocabulary: Vocabulary) -> None:
    with pytest.raises(SchemaError, match=r"no field 'sight'.*'site', 'age', 'ad'"):
        vocabulary.encode({"sight": "news", "age": "1", "ad": "a"})
    with pytest.raises(SchemaError, match="no value for 'age', 'ad'"):
        vocabulary.encode({"site": "news"})


def test_index_outside_its_field_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(DataError, match=r"Index 8 does not belong to field 'site'.* 0 to 7"):
        vocabulary.decode([8, 8, 14])
    with pytest.raises(DataError, match="2 indices given for 3 fields"):
        vocabulary.decode([0, 8])


def test_values_come_commonest_first_and_the_default_last(vocabulary: Vocabulary) -> None:
    values = vocabulary.values("site")
    assert values.value[-1] == RARE and values.index[-1] == 7
    assert values.count.tolist() == [9, 8, 7, 6, 5, 4, 4, 3]
    assert values.clicks.tolist() == [count // 2 for count in values.count]
    assert vocabulary.encode_column("site", values.value).tolist() == values.index.tolist()
    assert vocabulary.values("age").value[-2:] == ("above 30", RARE) or MISSING in (
        vocabulary.values("age").value
    )


def test_saved_vocabulary_reads_back_the_same(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path)
    again = Vocabulary.load(tmp_path)
    assert again.fields == vocabulary.fields and again.distinct == vocabulary.distinct
    assert again.counts.tolist() == vocabulary.counts.tolist()
    assert again.clicks.tolist() == vocabulary.clicks.tolist()
    assert again.edges("age").tolist() == [3.0, 12.5, 30.0]
    for field in vocabulary.fields:
        assert again.values(field.name).value == vocabulary.values(field.name).value


def test_missing_and_damaged_files_are_named(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"vocabulary\.parquet is missing"):
        Vocabulary.load(tmp_path)
    vocabulary.save(tmp_path)
    path = tmp_path / "vocabulary.parquet"
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], b"PAR1 no", whole[:-50]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"vocabulary\.parquet.* is damaged"):
            Vocabulary.load(tmp_path)
    pa.parquet.write_table(pa.table({"field": ["a"]}), path)
    with pytest.raises(DataError, match="is damaged or is not a vocabulary"):
        Vocabulary.load(tmp_path)


def test_quantile_edges_divide_the_rows_evenly() -> None:
    numbers = np.random.default_rng(0).permutation(np.arange(1000.0))
    edges = quantile_edges(numbers, 10)
    assert np.bincount(np.searchsorted(edges, numbers)).tolist() == [100] * 10


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([1.0]),
        np.array([2.0] * 50),
        np.array([np.nan] * 4),
        np.repeat([0.0, 1.0, 5.0], [90, 8, 2]),
        np.array([0.0, 0.0, 0.0, 1e-300, 1e300, np.nan]),
        np.arange(7.0),
    ],
)
@pytest.mark.parametrize("buckets", [2, 10, 1000])
def test_no_bucket_is_empty_and_equal_numbers_stay_together(
    numbers: np.ndarray, buckets: int
) -> None:
    edges = quantile_edges(numbers, buckets)
    present = numbers[~np.isnan(numbers)]
    assert len(edges) < buckets and (np.diff(edges) > 0).all() and np.isin(edges, present).all()
    if len(present):
        counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
        assert (counts > 0).all()


def test_bucket_names_tell_buckets_apart_and_read_well() -> None:
    assert bucket_names(np.array([3.0, 12.5, 30.0])) == [
        "up to 3", "3 to 12.5", "12.5 to 30", "above 30",
    ]  # fmt: skip
    assert bucket_names(np.empty(0)) == ["any number"]
    close = bucket_names(np.array([1.0, 1.0 + 1e-9, 1.0 + 2e-9]))
    assert len(set(close)) == 4


def test_texts_that_are_no_numbers_are_told_from_missing_ones() -> None:
    numbers, unread = parse_numbers(
        pa.array(["1", "-2.5", "", None, "NA", "nan", "abc", "inf", "1e400", "0x10"])
    )
    assert np.array_equal(numbers[:2], [1.0, -2.5]) and np.isnan(numbers[2:]).all()
    assert unread.tolist() == [False] * 6 + [True, False, True, True]


@pytest.mark.parametrize("edges", [0, 1, 9, 16, 17, 40])
def test_a_bucket_is_found_as_a_search_would_find_it(edges: int) -> None:
    rng = np.random.default_rng(edges)
    numbers = rng.integers(-20, 20, 500) / 2
    numbers[::7] = np.nan
    numbers[:2] = np.inf, -np.inf
    upper = np.sort(rng.choice(np.arange(-20, 20) / 2, edges, replace=False))
    expected = [
        len(upper) + 1 if np.isnan(number) else sum(number > edge for edge in upper)
        for number in numbers
    ]
    assert to_buckets(numbers, upper).tolist() == expected
