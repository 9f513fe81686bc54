"""What a file is and what each column means: JSON both ways, and the person's changes."""

import json

import pytest

from deepfm.data.schema import (
    Column,
    ColumnSample,
    FileFormat,
    Inspection,
    Schema,
    SkippedRow,
)
from deepfm.errors import SchemaError

SCHEMA = Schema(
    FileFormat("text", ",", header=True, compression="gzip"),
    (
        Column("clicked", "label", "its name is that of a label"),
        Column("site", "categorical"),
        Column("price", "numeric"),
        Column("hour", "time"),
    ),
    positive=("yes",),
    negative=("no",),
)


def test_a_schema_survives_json() -> None:
    assert Schema.from_dict(json.loads(json.dumps(SCHEMA.to_dict()))) == SCHEMA
    numbers = FileFormat("libsvm", numbers=(0, 3))
    assert FileFormat.from_dict(json.loads(json.dumps(numbers.to_dict()))) == numbers


def test_an_inspection_survives_json() -> None:
    found = Inspection(
        file="x.csv",
        size_bytes=10,
        schema=SCHEMA,
        columns=(ColumnSample("site", "categorical", "text", ("a", "b"), 2, 1),),
        sample_rows=3,
        rows_estimated=None,
        complete=False,
        skipped=(SkippedRow(7, "2 columns instead of 4"),),
        label_values={"yes": 1, "no": 2},
        proposed_split="time:hour",
        split_reason="says when",
        rows=(("yes", None, "3", "1"),),
        skipped_rows=1,
        warnings=("look",),
    )
    assert Inspection.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 1}, "Schema has no key 'colour'"),
        ({"format": {"kind": "text", "sep": ","}}, "FileFormat has no key 'sep'"),
        ({"format": {"kind": "excel"}}, "File format is 'excel'; choose one of 'text', 'libsvm'"),
        ({"format": {"kind": "text", "separator": "x"}}, "Separator is 'x'"),
        ({"format": {"kind": "text", "encoding": "ebcdic"}}, "Encoding is 'ebcdic'"),
        ({"format": {"kind": "text", "compression": "rar"}}, "Compression is 'rar'"),
        ({"format": 3}, "FileFormat is written as 3"),
        ({"columns": [{"name": "a", "role": "king"}]}, "Role of column 'a' is 'king'"),
        ({"columns": [{"role": "label"}]}, "Column lacks the key 'name'"),
        ({"columns": [{"name": "a", "role": "label"}] * 2}, "Column 'a' stands .* twice"),
        ({"positive": ["1"], "negative": ["1"]}, "'1' is said to mean both 1 and 0"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        Schema.from_dict({**SCHEMA.to_dict(), **change})


def test_exactly_one_column_is_the_label() -> None:
    assert SCHEMA.label.name == "clicked"
    with pytest.raises(SchemaError, match="No column is the label"):
        _ = SCHEMA.with_role("clicked", "ignored").label
    with pytest.raises(SchemaError, match="'clicked', 'site' are all marked as label"):
        _ = SCHEMA.with_role("site", "label").label


def test_the_person_changes_roles_and_the_label() -> None:
    changed = SCHEMA.with_role("price", "categorical")
    assert changed.column("price") == Column("price", "categorical", "chosen by you")
    assert [column.name for column in changed.fields] == ["site", "price"]
    assert SCHEMA.column("price").role == "numeric"
    with pytest.raises(SchemaError, match="There is no column 'prize'; known are 'clicked'"):
        SCHEMA.with_role("prize", "numeric")


def test_another_label_column_takes_the_place_of_the_former() -> None:
    changed = SCHEMA.with_label("site", positive=("a",), negative=("b", "c"))
    assert changed.label.name == "site" and changed.column("clicked").role == "categorical"
    assert (changed.positive, changed.negative) == (("a",), ("b", "c"))
    assert SCHEMA.with_label("site").positive == ()
    assert SCHEMA.with_label("clicked") == SCHEMA


def test_a_format_is_said_in_words() -> None:
    assert SCHEMA.format.describe() == "comma-separated text, with header, UTF-8, gzip"
    assert FileFormat("parquet").describe() == "Parquet"
    assert (
        FileFormat("text", "|", encoding="windows-1252").describe()
        == "pipe-separated text, no header, Windows-1252"
    )
