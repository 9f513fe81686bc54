"""Separated text to pieces: parsed by pyarrow, mended line by line only where it is damaged."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from deepfm.data.reader.blocks import Block, BlockRows, parse_in_order
from deepfm.data.reader.header import fitted_names
from deepfm.data.reader.names import invented_names, unique_names
from deepfm.data.reader.pieces import Piece, text_batch
from deepfm.data.reader.plain import mend_lines
from deepfm.data.reader.quoted import SlowRows
from deepfm.data.reader.source import Source
from deepfm.data.reader.utf8 import mark_of
from deepfm.data.schema.declared import FileFormat
from deepfm.errors import DataError

MAX_COLUMNS: Final = 20_000
_HEAD_ROWS: Final = 1_000
_FIT_ROWS: Final = 50
_GLANCE: Final = 64


class TextRows(BlockRows):
    """A separated text file: `names` are known once it is opened, `pieces` reads it.

    names   for a file without header; the first of these that is as many is used
    """

    def __init__(
        self,
        source: Source,
        format: FileFormat,
        names: tuple[tuple[str, ...], ...],
        limit_bytes: int | None,
    ) -> None:
        super().__init__(source, format, limit_bytes)
        self._separator = format.separator
        self._mark = mark_of(format.separator)
        self._encoding = format.encoding
        if format.header:
            header = [self._restored(name) for name in _uncommented(self._stream.take_header())]
            below = self._stream.head(_FIT_ROWS).cells
            self.names = unique_names(fitted_names(header, below))
        else:
            self.names = self._names_by_shape(names)
        if len(self.names) > MAX_COLUMNS:
            raise DataError(
                f"{source.path.name!r} has {len(self.names):,} columns; at most {MAX_COLUMNS:,} "
                "can be read. Probably the separator is wrong."
            )

    def _names_by_shape(self, names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
        rows = self._stream.head(_HEAD_ROWS)
        if not rows.cells:
            raise DataError(
                f"{self._source.path.name!r} has no line that can be read; its first line "
                f"{self._stream.fault(rows)}."
            )
        width = common_width(rows.cells)
        for fitting in names:
            if len(fitting) == width:
                return fitting
        first = [row[0] for row in rows.cells if len(row) == width]
        return invented_names(width, label_first=looks_like_label(first))

    def pieces(self) -> Iterator[Piece]:
        """The file's blocks, parsed side by side and handed out in order."""
        return parse_in_order(self._stream.blocks(len(self.names)), self._parse)

    def _parse(self, block: Block) -> Piece:
        """One block of whole rows, read; bad rows are left out and counted."""
        if block.slow is not None:
            return self._slow_piece(block.slow, block.first_line)
        columns = self._parse_faultless(block)
        if columns is not None:
            batch = text_batch(self._in_full(columns, block.data), self.names)
            return Piece(batch, batch.num_rows, first_line=block.first_line, lines=block.lines)
        if self._stream.quotes_in(block.data):
            slow = self._stream.slow_reader(len(self.names)).read(block.data, final=True)
            return self._slow_piece(slow, block.first_line)
        header = self._stream.header_line
        good, bad, lines = mend_lines(
            block.data, self._mark, len(self.names), header, self._encoding
        )
        batch = text_batch(parse_cells(good, self._mark, len(self.names)), self.names)
        return Piece(batch, len(lines), bad, block.first_line, lines)

    def _parse_faultless(self, block: Block) -> list[pa.Array] | None:
        """The columns of a block without any fault; None where there is one."""
        data, quoted = block.data, self._stream.quotes_in(block.data)
        if b"\0" in data or (not quoted and _has_lone_return(data)):
            return None
        if self._stream.header_line and self._stream.header_line in data:
            return None
        rows = data.count(b"\n") + (not data.endswith(b"\n"))
        if block.lines is not None:
            rows = len(block.lines)
        try:
            columns = parse_cells(data, self._mark, len(self.names), quoted=quoted)
        except pa.ArrowInvalid:
            return None
        return columns if len(columns[0]) == rows else None

    def _in_full(self, columns: list[pa.Array], data: bytes) -> list[pa.Array]:
        """Columns whose quoted cells hold a separator of two signs as it stands in the file."""
        if self._mark == self._separator or not self._stream.quotes_in(data):
            return columns
        return [pc.replace_substring(column, self._mark, self._separator) for column in columns]

    def _restored(self, cell: str) -> str:
        return cell if self._mark == self._separator else cell.replace(self._mark, self._separator)

    def _slow_piece(self, slow: SlowRows, first_line: int) -> Piece:
        by_column = zip(*slow.cells, strict=True) if slow.cells else ([] for _ in self.names)
        columns = [
            pa.array([self._restored(cell) or None for cell in cells], pa.string())
            for cells in by_column
        ]
        lines = np.array(slow.lines, np.int64)
        return Piece(text_batch(columns, self.names), len(lines), slow.bad, first_line, lines)


def _uncommented(header: list[str]) -> list[str]:
    """A header without the # that some tools write before it."""
    first = header[0].strip()
    return [first.lstrip("# "), *header[1:]] if first.startswith("#") else header


def common_width(rows: list[list[str]]) -> int:
    """How many cells most rows have; the earlier seen of two equally common widths."""
    return Counter(len(row) for row in rows).most_common(1)[0][0]


def _has_lone_return(data: bytes) -> bool:
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def _skip(row: pa.csv.InvalidRow) -> str:
    return "skip"


def parse_cells(data: bytes, separator: str, width: int, *, quoted: bool = False) -> list[pa.Array]:
    """The cells of whole rows as `width` columns, string[N] each, an empty cell null.

    Rows of another width and blank lines are left out; the caller sees it by the count.
    """
    names = [str(position) for position in range(width)]
    if not data[:_GLANCE].strip(b"\r\n") and not data.strip(b"\r\n"):
        return [pa.array([], pa.string()) for _ in names]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(data) + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator,
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
            invalid_row_handler=_skip,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    return [_one_chunk(column) for column in table.columns]


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


_LABEL_PAIRS: Final = tuple(
    frozenset(pair.split("/"))
    for pair in ("0/1", "-1/1", "-1/+1", "0.0/1.0", "true/false", "yes/no", "click/no click")
)


def looks_like_label(values: list[str]) -> bool:
    """Whether a first column without a name holds nothing but 0 and 1, or a pair like it."""
    found = {value.strip().lower() for value in values}
    return any(found <= pair for pair in _LABEL_PAIRS)
