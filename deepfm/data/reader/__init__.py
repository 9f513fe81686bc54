"""Raw file to Arrow record batches of text, with every skipped row counted and named."""

from deepfm.data.reader.numbers import to_numbers
from deepfm.data.reader.rows import (
    ROW,
    RowReader,
    Skipped,
    check_same_columns,
    open_agreed,
    open_rows,
)

__all__ = [
    "ROW",
    "RowReader",
    "Skipped",
    "check_same_columns",
    "open_agreed",
    "open_rows",
    "to_numbers",
]
