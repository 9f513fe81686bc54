"""One file, opened: record batches of text, what was skipped, how far it is."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from deepfm.config import Settings
from deepfm.data.reader.border import foreign_errors_named
from deepfm.data.reader.columnar import open_columnar
from deepfm.data.reader.entries import EntryRows
from deepfm.data.reader.names import ROW
from deepfm.data.reader.numbers import with_decimal_point
from deepfm.data.reader.pieces import MAX_EXAMPLES, MAX_LATE, Late, Piece, Rows
from deepfm.data.reader.records import JsonArray, JsonLines, begins_object, first_sign
from deepfm.data.reader.sniffing import BINARY_KINDS, binary_kind, sniff, sniff_encoding
from deepfm.data.reader.source import Source, check_regular, open_source
from deepfm.data.reader.text import TextRows
from deepfm.data.schema.declared import (
    FIELD_ROLES,
    SEPARATORS,
    FileFormat,
    Schema,
    SkippedRow,
    listed,
)
from deepfm.errors import DataError, SchemaError

_ENOUGH_TO_JUDGE: Final = 1_000
_COPY_BYTES: Final = 4 << 20
_PEEKED_BYTES: Final = 4096


@dataclass
class Skipped:
    """Rows that could not be read, counted while reading.

    reasons    "3 columns instead of 40" -> how many rows
    examples   the first 100, in file order
    """

    count: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[SkippedRow] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Count the bad rows of the next piece."""
        self.count += len(piece.bad.rows)
        for reason, count in piece.bad.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        room = MAX_EXAMPLES - len(self.examples)
        self.examples += [
            SkippedRow(piece.first_line + row.line, row.reason) for row in piece.bad.examples[:room]
        ]


class RowReader:
    """A file's rows as record batches: every column pa.string() (null = empty cell), plus ROW.

    Numbers that a schema says to be written with a decimal comma come with a point.

    column_names   in file order, none twice; without ROW
    format         how the file is read
    skipped        grows while reading
    rows_read      rows so far, good and bad
    """

    def __init__(
        self,
        path: Path,
        format: FileFormat,
        rows: Rows,
        held: ExitStack,
        decimal_commas: frozenset[str] = frozenset(),
    ) -> None:
        self.path = path
        self.format = format
        self.column_names = rows.names
        self.skipped = Skipped()
        self.rows_read = 0
        self._rows = rows
        self._held = held
        self._decimal_commas = decimal_commas
        self._last: tuple[int, Piece] | None = None
        self._late = Late()

    @property
    def bytes_done(self) -> int:
        """Bytes read so far of the file as it lies on the disk."""
        return self._rows.bytes_done

    @property
    def bytes_total(self) -> int:
        """Size of the file as it lies on the disk."""
        return self._rows.bytes_total

    @property
    def complete(self) -> bool:
        """Whether the batches so far were the whole file."""
        return self._rows.complete

    @property
    def rows_estimated(self) -> int | None:
        """Rows of the whole file, exact where `complete`; None where it cannot be told."""
        return self._rows.rows_estimated(self.rows_read)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The good rows in file order; can be run through once.

        Raises DataError where the file is damaged, has no rows, or most rows have another number
        of columns than the header; LimitError past max_unpacked_mb.
        """
        with foreign_errors_named(self.path):
            for piece in self._rows.pieces():
                self._last = (self.rows_read, piece)
                self.skipped.add(piece)
                self._late.add(piece.late.names, piece.late.rows)
                numbers = pa.array(piece.good_rows() + self.rows_read, pa.int64())
                self.rows_read += piece.rows
                if self.rows_read >= _ENOUGH_TO_JUDGE:
                    self._check_mostly_good()
                if piece.batch.num_rows:
                    batch = _pointed(piece.batch, self._decimal_commas)
                    yield batch.append_column(ROW, numbers)
            self._check_mostly_good()
            self._check_any()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out of rows that were read, one sentence each; grows while reading."""
        if not self._late.rows:
            return ()
        rows = f"{self._late.rows:,} row{'s have' if self._late.rows > 1 else ' has'}"
        names = listed(tuple(self._late.names)[:MAX_LATE])
        more = " and others" if len(self._late.names) > MAX_LATE else ""
        return (
            f"{rows} keys that no row at the head of {self.path.name!r} has; they are no columns "
            f"and are left out: {names}{more}.",
        )

    def line_of(self, row: int) -> int:
        """Where a row (its ROW value) of the batch last yielded stands in the file, from 1.

        In text this is the line on which it begins, in Parquet, Arrow and a JSON array the number
        of the row.
        """
        return self.lines()(row)

    def lines(self) -> Callable[[int], int]:
        """`line_of` as it is now: for the rows of this batch also when others were yielded."""
        if self._last is None:
            raise ValueError("no batch was read yet")
        first_row, piece = self._last
        return lambda row: piece.line_of(row - first_row)

    @property
    def row_word(self) -> str:
        """What `line_of` counts: "line" in text, else "row"."""
        return self._rows.row_word

    def _check_mostly_good(self) -> None:
        if self.skipped.count * 2 <= self.rows_read:
            return
        reason = max(self.skipped.reasons, key=lambda reason: self.skipped.reasons[reason])
        line = next(row.line for row in self.skipped.examples if row.reason == reason)
        raise DataError(
            f"{self.skipped.count:,} of the first {self.rows_read:,} rows of {self.path.name!r} "
            f"cannot be read, most of them for this: {reason} (line {line:,}). "
            + self._advice(reason)
        )

    def _advice(self, reason: str) -> str:
        if reason.endswith(f"instead of {len(self.column_names)}"):
            separator = SEPARATORS[self.format.separator]
            return f"The separator is probably not {separator}; choose another."
        if self.format.kind == "json":
            return "Save it with one JSON object a line, or as CSV."
        return "Choose another encoding, or save the file again as UTF-8 text."

    def _check_any(self) -> None:
        if self.rows_read > self.skipped.count:
            return
        if not self.complete:
            raise DataError(
                f"The first row of {self.path.name!r} is longer than a sample; "
                "this is not a table of rows."
            )
        what = "a header but no rows" if self.format.header else "no rows"
        raise DataError(f"{self.path.name!r} has {what}. Choose a file with data.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove what was unpacked beside it."""
        self._held.close()


def open_rows(
    path: Path,
    format_or_schema: FileFormat | Schema | None = None,
    *,
    settings: Settings | None = None,
    limit_bytes: int | None = None,
) -> RowReader:
    """Open a file for reading row by row; a context manager.

    format_or_schema   how to read it; without it the format is guessed from the first bytes. A
                       schema also gives the columns of a file without header their names
    limit_bytes        read only about so many unpacked bytes of a text file, for a sample
    Raises DataError for a file that is missing, empty, damaged or no table.
    """
    path = Path(path)
    settings = settings or Settings.from_environment()
    schema = format_or_schema if isinstance(format_or_schema, Schema) else None
    with foreign_errors_named(path):
        check_regular(path)
        agreed = schema.format if schema else format_or_schema
        format = _format_here(path, agreed if isinstance(agreed, FileFormat) else None, settings)
        names = _names_agreed(schema) if schema else ()
        with ExitStack() as held:
            rows = _open(path, format, names, settings, limit_bytes, held)
            held.callback(rows.close)
            commas = _decimal_commas(schema) if schema else frozenset()
            return RowReader(path, format, rows, held.pop_all(), commas)


def _decimal_commas(schema: Schema) -> frozenset[str]:
    """The columns whose numbers are written with a decimal comma."""
    return frozenset(c.name for c in schema.with_roles("numeric") if c.decimal_comma)


def _pointed(batch: pa.RecordBatch, names: frozenset[str]) -> pa.RecordBatch:
    """The batch, with a decimal point in the numbers of some columns."""
    for name in names.intersection(batch.schema.names):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, with_decimal_point(batch.column(place)))
    return batch


def _format_here(path: Path, agreed: FileFormat | None, settings: Settings) -> FileFormat:
    """The format agreed on, unless a file of text is Parquet or Arrow or the other way round.

    Nor is JSON agreed on what begins with neither an object nor an array.
    """
    if agreed is not None:
        with closing(open_source(path, settings)) as source:
            head = source.read(_PEEKED_BYTES)
        kind = binary_kind(head)
        if agreed.kind == "json" and first_sign(head) not in (b"{", b"["):
            return sniff(path, settings).format
        if (kind or agreed.kind) == agreed.kind and bool(kind) == (agreed.kind in BINARY_KINDS):
            return agreed
    return sniff(path, settings).format


def _names_agreed(schema: Schema) -> tuple[tuple[str, ...], ...]:
    """What the columns of a file without header may be called: with label and without."""
    return schema.names, tuple(c.name for c in schema.columns if c.role != "label")


def _open(
    path: Path,
    format: FileFormat,
    names: tuple[tuple[str, ...], ...],
    settings: Settings,
    limit_bytes: int | None,
    held: ExitStack,
) -> Rows:
    source = held.enter_context(closing(open_source(path, settings)))
    if format.kind in ("parquet", "arrow"):
        return open_columnar(_unpacked(source, held), format.kind)
    if format.kind == "json":
        with closing(open_source(path, settings)) as begin:
            is_array = first_sign(begin.read(_PEEKED_BYTES)) == b"["
        return (JsonArray if is_array else JsonLines)(source, format, names, limit_bytes)
    kind = TextRows if format.kind == "text" else EntryRows
    return kind(source, format, names, limit_bytes)


def _unpacked(source: Source, held: ExitStack) -> Path:
    """The file itself, or where it is packed a copy that is not: these formats are read at will."""
    if not source.compression:
        return source.path
    folder = held.enter_context(tempfile.TemporaryDirectory(prefix="deepfm-"))
    path = Path(folder) / source.path.name
    with path.open("wb") as file:
        while data := source.read(_COPY_BYTES):
            file.write(data)
    return path


def open_agreed(path: Path, schema: Schema, *, settings: Settings | None = None) -> RowReader:
    """Open a file that comes beside the one a schema was agreed on; a context manager.

    It is read as that file is, but in its own encoding; where it has not its columns, as it says
    itself: a test file may have another separator, or lines above its table.
    """
    path = Path(path)
    settings = settings or Settings.from_environment()
    with foreign_errors_named(path):
        check_regular(path)
        schema = replace(schema, format=_as_it_is(path, schema.format, settings))
    reader = open_rows(path, schema, settings=settings)
    if reader.format.kind != "text" or _has_fields(schema, reader):
        return reader
    reader.close()
    with foreign_errors_named(path):
        own = sniff(path, settings).format
    return open_rows(path, replace(schema, format=own), settings=settings)


def _as_it_is(path: Path, agreed: FileFormat, settings: Settings) -> FileFormat:
    """The format agreed on, but as JSON where the file is, and in UTF-8 or not as it is."""
    with closing(open_source(path, settings)) as source:
        head = source.read(_PEEKED_BYTES)
    if agreed.kind != "json" and begins_object(head):
        return sniff(path, settings).format
    if agreed.kind in BINARY_KINDS:
        return agreed
    encoding = sniff_encoding(path, settings)
    if encoding is None or (encoding != "utf-8" and agreed.encoding != "utf-8"):
        return agreed
    return replace(agreed, encoding=encoding)


def _has_fields(schema: Schema, reader: RowReader) -> bool:
    if schema.format.has_names:
        return {column.name for column in schema.fields} <= set(reader.column_names)
    return reader.column_names in _names_agreed(schema)


def check_same_columns(schema: Schema, reader: RowReader, *, label_needed: bool = True) -> None:
    """SchemaError that names what is missing of label and fields where a file is not as agreed.

    Columns are known by name, so their order may differ, and others may stand beside them.
    Without header on either side the number of columns must be the same.
    label_needed   False for a file to be scored, which may come without its label
    """
    found = reader.column_names
    spared = {column.name for column in schema.columns if column.role == "label"} - set(found)
    agreed = tuple(name for name in schema.names if label_needed or name not in spared)
    if not (schema.format.has_names and reader.format.has_names):
        if agreed != found:
            raise SchemaError(
                f"{reader.path.name!r} has {len(found)} columns, but {len(agreed)} were agreed "
                "on. Files without header must have the same columns in the same order."
            )
        return
    needed = [column.name for column in schema.columns if column.role in ("label", *FIELD_ROLES)]
    missing = [name for name in needed if name in agreed and name not in set(found)]
    if not missing:
        return
    extra = [name for name in found if name not in set(agreed)]
    besides = f" and has {listed(extra)} besides" if extra else ""
    if missing == [column.name for column in schema.with_roles("label")]:
        raise SchemaError(
            f"{reader.path.name!r} lacks the label {missing[0]!r}{besides}, so nothing can be "
            "measured on it. Leave it out here, and score it with predict once a model is trained."
        )
    raise SchemaError(
        f"{reader.path.name!r} has other columns than agreed on: it lacks {listed(missing)}"
        f"{besides}. Give a file with the same columns."
    )
