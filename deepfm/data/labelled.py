"""Rows of text to those whose label counts, and to the reasons why the others do not."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from deepfm.data.schema import Schema


def with_label(schema: Schema, rows: pa.RecordBatch) -> pa.BooleanArray:
    """Which rows have a label that is not said to be left out: bool[n]."""
    column = rows.column(schema.label.name)
    left_out = pc.is_in(column, value_set=pa.array(schema.left_out, pa.string()))
    return pc.and_not(pc.is_valid(column), left_out)


def without_label(schema: Schema, rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """All other rows with the reason why they are skipped; nothing for a reason without rows."""
    name = schema.label.name
    column = rows.column(name)
    if column.null_count:
        yield f"no label in column {name!r}", rows.filter(pc.is_null(column))
    for text in schema.left_out:
        found = rows.filter(pc.equal(column, text))
        if found.num_rows:
            yield f"label {text!r} in column {name!r} is left out", found
