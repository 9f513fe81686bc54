"""Rows of text to those whose label counts, to what it says, and why the others do not count."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from deepfm.data.reader.numbers import is_missing
from deepfm.data.schema import Schema
from deepfm.data.schema.labels import meaning_in


def with_label(schema: Schema, rows: pa.RecordBatch) -> pa.BooleanArray:
    """Which rows have a label that is not said to be left out: bool[n]."""
    column = rows.column(schema.label.name)
    left_out = pc.is_in(column, value_set=pa.array(_left_out(schema, column), pa.string()))
    return pc.and_not(pc.is_valid(column), left_out)


def without_label(schema: Schema, rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """All other rows with the reason why they are skipped; nothing for a reason without rows."""
    name = schema.label.name
    column = rows.column(name)
    if column.null_count:
        yield f"no label in column {name!r}", rows.filter(pc.is_null(column))
    for text in _left_out(schema, column):
        found = rows.filter(pc.equal(column, text))
        if found.num_rows:
            yield f"label {text!r} in column {name!r} is left out", found


def clicked(schema: Schema, labels: pa.StringArray) -> pa.BooleanArray:
    """Whether each label means a click, bool[n]; null where that is not known.

    Another writing of an agreed value is known too: "1.0" where 1 was agreed on.
    """
    negative, positive = list(schema.negative), list(schema.positive)
    for text in _unknown(schema, labels):
        meaning = meaning_in(schema, text)
        if meaning is not None:
            (positive if meaning else negative).append(text)
    places = pc.index_in(labels, value_set=pa.array([*negative, *positive], pa.string()))
    return pc.greater_equal(places, len(negative))


def _left_out(schema: Schema, labels: pa.StringArray) -> list[str]:
    """Texts of labels whose rows are skipped: those agreed on, and NA, null and the like."""
    unknown = pa.array(_unknown(schema, labels), pa.string())
    return list(dict.fromkeys([*schema.left_out, *unknown.filter(is_missing(unknown)).to_pylist()]))


def _unknown(schema: Schema, labels: pa.StringArray) -> list[str]:
    """The different texts that were agreed to mean neither 1 nor 0."""
    known = pa.array([*schema.negative, *schema.positive], pa.string())
    strange = pc.and_not(pc.is_valid(labels), pc.is_in(labels, value_set=known))
    texts: list[str] = pc.unique(labels.filter(strange)).to_pylist()
    return texts
