"""libsvm and libffm lines to pieces: the k-th entry of each line is field k."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm.data.reader.blocks import Block, BlockRows, parse_in_order
from deepfm.data.reader.names import invented_names
from deepfm.data.reader.pieces import Ints, Piece, text_batch
from deepfm.data.reader.plain import NUL, Lines, broken_reason, split_off
from deepfm.data.reader.source import Source
from deepfm.data.reader.text import parse_cells
from deepfm.data.schema.declared import FileFormat
from deepfm.errors import DataError

_NUMBER: Final = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
ENTRY: Final = {"libsvm": rb"\d+:" + _NUMBER, "libffm": rb"\d+:\d+:" + _NUMBER}
"""How an entry is written."""
PARTS: Final = {"libsvm": 2, "libffm": 3}
"""Numbers in an entry."""
SHAPES: Final = {"libsvm": "the form index:value", "libffm": "the form field:index:value"}
_HEAD_BYTES: Final = 1 << 20
_LOOSE: Final = re.compile(rb"[ \t]*#[^\n]*|[ \t]+(?=\r?\n|\Z)|(?<=\n)[ \t]+|\A[ \t]+|\t")
_WIDE: Final = re.compile(rb"  +")


def line_pattern(kind: str) -> re.Pattern[bytes]:
    """One whole line: the label, then its entries, with one space between."""
    return re.compile(rb"(?:" + _NUMBER + rb")((?: " + ENTRY[kind] + rb")*)\r?")


def tidy(data: bytes) -> bytes:
    """One space between entries, none at the ends, no comments; line feeds stay where they are."""
    if b" \n" in data or b" \r" in data or b"\t" in data or b"#" in data or b"\n " in data:
        data = _LOOSE.sub(lambda found: b" " if found[0] == b"\t" else b"", data)
    return _WIDE.sub(b" ", data) if b"  " in data else data


class EntryRows(BlockRows):
    """A libsvm or libffm file. All lines must have as many entries as most of the first have.

    A cell is the entry's index, or its value where the format's `numbers` says so.
    """

    def __init__(
        self,
        source: Source,
        format: FileFormat,
        names: tuple[tuple[str, ...], ...],
        limit_bytes: int | None,
    ) -> None:
        self._kind = format.kind
        self._encoding = format.encoding
        self._numbers = frozenset(format.numbers)
        self._parts = PARTS[format.kind]
        as_text = FileFormat("text", separator=" ", quote=False, encoding=format.encoding)
        super().__init__(source, as_text, limit_bytes)
        first = self._first_entries()
        self._entries = len(first)
        self._fields = [entry.split(b":")[0] for entry in first]
        invented = invented_names(self._entries + 1, label_first=True)
        self.names = next((agreed for agreed in names if len(agreed) == len(invented)), invented)

    def _first_entries(self) -> list[bytes]:
        """The entries of the first line that is as long as most of the first lines are."""
        pattern = line_pattern(self._kind)
        lines = tidy(self._stream.head_bytes(_HEAD_BYTES)).split(b"\n")
        found = [entries[1].split() for line in lines if (entries := pattern.fullmatch(line))]
        lengths = Counter(len(entries) for entries in found)
        if not lengths or not (most := lengths.most_common(1)[0][0]):
            raise DataError(
                f"{self._source.path.name!r} has no line of a label and entries of "
                f"{SHAPES[self._kind]}."
            )
        return next(entries for entries in found if len(entries) == most)

    def pieces(self) -> Iterator[Piece]:
        """The file's blocks in order; DataError at a line with another number of entries."""
        return parse_in_order(self._stream.blocks(self._entries + 1), self._parse)

    def _parse(self, block: Block) -> Piece:
        data = tidy(block.data)
        rows = data.count(b"\n") + (not data.endswith(b"\n"))
        cells = self._cells(data)
        if cells is None or len(cells[0]) != rows:
            return self._mend(data, block.first_line)
        self._check_fields(cells, np.arange(rows) + block.first_line)
        return Piece(self._batch(cells), rows, first_line=block.first_line)

    def _batch(self, cells: list[pa.Array]) -> pa.RecordBatch:
        values = cells[self._parts :: self._parts]
        indices = cells[self._parts - 1 :: self._parts]
        chosen = [
            value if position in self._numbers else index
            for position, (index, value) in enumerate(zip(indices, values, strict=True))
        ]
        return text_batch([cells[0], *chosen], self.names)

    def _cells(self, data: bytes) -> list[pa.Array] | None:
        """Label, then the parts of each entry, string[N] each; None if some line is malformed."""
        if not self._alternates(data) or b"\0" in data:
            return None
        try:
            cells = parse_cells(data.replace(b":", b" "), " ", 1 + self._parts * self._entries)
            for position, column in enumerate(cells):
                _check_numbers(column, whole=position % self._parts != 0)
        except pa.ArrowInvalid:
            return None
        return None if any(column.null_count for column in cells) else cells

    def _check_fields(self, cells: list[pa.Array], lines: Ints) -> None:
        """libffm: DataError where the k-th entry is not of the same field all through."""
        if self._kind != "libffm":
            return
        for position, field in enumerate(self._fields):
            column = cells[1 + self._parts * position]
            other = pc.index(pc.equal(column, field.decode()), False).as_py()
            if other >= 0:
                raise DataError(
                    f"Line {lines[other]:,} of {self._source.path.name!r}: entry {position + 1} is "
                    f"of field {column[other]}, where the first line has field {field.decode()}. "
                    "The fields must stand in the same order on every line."
                )

    def _alternates(self, data: bytes) -> bool:
        """Whether spaces and colons follow each other as in well-formed lines."""
        codes = np.frombuffer(data, np.uint8)
        marks = codes[(codes == ord(" ")) | (codes == ord(":"))]
        if len(marks) % self._parts:
            return False
        entries = marks.reshape(-1, self._parts)
        return bool((entries[:, 0] == ord(" ")).all() and (entries[:, 1:] == ord(":")).all())

    def _mend(self, data: bytes, first_line: int) -> Piece:
        """Leave out lines that are not label and entries; refuse well-formed ones too long."""
        lines = Lines(data)
        pattern = line_pattern(self._kind)
        malformed = np.zeros(len(lines.ends), bool)
        for number, text in enumerate(data.split(b"\n")[: len(lines.ends)]):
            found = pattern.fullmatch(text)
            malformed[number] = found is None and bool(text.strip())
            if found and (count := found[1].count(b" ")) != self._entries:
                raise DataError(
                    f"Line {first_line + number:,} of {self._source.path.name!r} has {count} "
                    f"entries where the first lines have {self._entries}. Each line needs the "
                    "same number, so that the k-th entry is field k."
                )
        wrong = {
            NUL: lines.count(b"\0") > 0,
            broken_reason(self._encoding): lines.not_utf8(),
            f"is not a label and entries of {SHAPES[self._kind]}": malformed,
        }
        good, bad, line_of_row = split_off(lines, wrong)
        if not good:
            empty = text_batch([pa.array([], pa.string()) for _ in self.names], self.names)
            return Piece(empty, len(line_of_row), bad, first_line, line_of_row)
        cells = self._cells(good)
        if cells is None:
            raise DataError(
                f"{self._source.path.name!r} has an index past 64 bits near line {first_line:,}."
            )
        self._check_fields(cells, np.delete(line_of_row, bad.rows) + first_line)
        return Piece(self._batch(cells), len(line_of_row), bad, first_line, line_of_row)


def _check_numbers(column: pa.Array, *, whole: bool) -> None:
    """ArrowInvalid unless every cell is a number; whole ones are indices, from 0."""
    if whole:
        pc.cast(column, pa.uint64())
    else:
        pc.cast(pc.utf8_ltrim(column, "+"), pa.float64())
