"""One file, opened: record batches of text, what was skipped, how far it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from deepfm.config import Settings
from deepfm.data.schema.declared import FileFormat, Schema, SkippedRow

ROW: Final = "__row__"
"""Column of the row's number in the file, int64 from 0, unreadable rows counted too."""


@dataclass
class Skipped:
    """Rows that could not be read, counted while reading.

    reasons    "3 columns instead of 40" -> how many rows
    examples   the first 100, in file order
    """

    count: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[SkippedRow] = field(default_factory=list)


class RowReader:
    """A file's rows as record batches: every column pa.string() (null = empty cell), plus ROW."""

    column_names: tuple[str, ...]
    skipped: Skipped
    bytes_done: int
    bytes_total: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in file order; can be run through once."""
        raise NotImplementedError

    def line_of(self, row: int) -> int:
        """The line in the file, from 1, of a row (its ROW value) of the batch last yielded."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError


def open_rows(
    path: Path,
    format_or_schema: FileFormat | Schema | None = None,
    *,
    settings: Settings | None = None,
    limit_bytes: int | None = None,
) -> RowReader:
    """Open a file for reading row by row; a context manager. Without a format it is guessed."""
    raise NotImplementedError


def check_same_columns(schema: Schema, reader: RowReader) -> None:
    """SchemaError that names missing and extra columns where the file is not as agreed."""
    raise NotImplementedError
