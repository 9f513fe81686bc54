"""A block of quoted text to its rows: borders by numpy, cells one by one where it is damaged."""

import csv
import re
from dataclasses import dataclass

import numpy as np

from deepfm.data.reader.pieces import MAX_EXAMPLES, BadRows, Ints
from deepfm.data.reader.plain import NUL, REPEATED, broken_reason, columns_reason
from deepfm.data.schema.declared import SkippedRow

UNCLOSED = "opens a quote that is not closed"
TANGLED = "cannot be split into cells"

_JOIN_LINES = 1_000
_JOIN_BYTES = 1 << 20
"""How far a quoted cell may run on before its quote counts as damage of the first line."""


@dataclass(frozen=True)
class Borders:
    """Where the rows of a block end.

    ends    int64[R]: positions of the line feeds that end a row
    lines   int64[R + 1]: the line within the block on which each row begins, and the next would
    whole   no quote is open at the end of the block
    """

    ends: Ints
    lines: Ints
    whole: bool


def row_borders(data: bytes, separator: str) -> Borders | None:
    """The row borders of a block that begins with a row; None where its quotes are not regular.

    Regular: each opening quote stands at the begin of a cell and each closing one at its end (a
    doubled quote counts as closing and opening). Then a line feed ends a row exactly where the
    number of quotes before it is even.
    """
    codes = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(codes == ord('"'))
    opening, closing = quotes[0::2], quotes[1::2]
    before = codes[np.maximum(opening - 1, 0)]
    begins = (opening == 0) | np.isin(before, (ord(separator), 10, 13, ord('"')))
    after = codes[np.minimum(closing + 1, len(codes) - 1)]
    finishes = (closing == len(codes) - 1) | np.isin(after, (ord(separator), 10, 13, ord('"')))
    if not (begins.all() and finishes.all()):
        return None
    feeds = np.flatnonzero(codes == 10)
    ending = np.flatnonzero(np.searchsorted(quotes, feeds) % 2 == 0)
    lines = np.concatenate([[0], ending + 1])
    return Borders(feeds[ending], lines, len(quotes) % 2 == 0)


@dataclass
class SlowRows:
    """Rows read one by one.

    cells      the good rows
    lines      line within the block of every row, good and bad
    consumed   bytes read; the rest may be a row that goes on in the next block
    """

    cells: list[list[str]]
    bad: BadRows
    lines: list[int]
    consumed: int
    lines_consumed: int


class SlowReader:
    """Reads rows of a damaged or irregular block, giving up one line at a time.

    A line whose quote is not closed within reach is bad by itself and takes no other line along.

    header     cells of the file's first row; rows equal to it, as files that were joined have
               them, are bad
    encoding   the file's, to be named where a character is broken; what is read is UTF-8
    """

    def __init__(
        self,
        separator: str,
        width: int | None,
        *,
        quote: bool = True,
        header: list[str] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self._separator = separator
        self._header = header
        self._broken = broken_reason(encoding)
        self._width = width
        self._quote = quote
        mark = re.escape(separator.encode())
        self._quoted = re.compile(
            rb"(?:^|(?<=" + mark + rb'))"(?:[^"]|"")*"(?=' + mark + rb"|\r?\n?\Z)"
        )
        self._open = re.compile(rb"(?:^|" + mark + rb')"')
        self._closing = re.compile(rb'(?:[^"]|"")*"(?!")')
        self._after_closing = re.compile(mark + rb"|\r?\Z")

    def read(self, data: bytes, *, final: bool, most: int | None = None) -> SlowRows:
        """Rows of a block that begins with a row.

        final   nothing follows this block, so a quote left open is damage
        most    stop after this many rows
        """
        lines = data.split(b"\n")
        if not lines[-1] or not final:
            lines.pop()
        rows = SlowRows([], BadRows(), [], 0, 0)
        bad: list[int] = []
        at = 0
        while at < len(lines) and (most is None or len(rows.lines) < most):
            taken, text = self._row_text(lines, at)
            if not taken:
                if not final:
                    break
                taken = 1
            if text is not None and not text.rstrip(b"\r"):
                at += taken
                continue
            reason = self._keep(text, rows.cells)
            if reason and taken > 1:
                # Lines that make no row together were joined by a quote left open on the first.
                reason, taken = UNCLOSED, 1
            if reason:
                bad.append(len(rows.lines))
                rows.bad.reasons[reason] += 1
                if len(bad) <= MAX_EXAMPLES:
                    rows.bad.examples.append(SkippedRow(at, reason))
            rows.lines.append(at)
            at += taken
        rows.bad.rows = np.array(bad, np.int64)
        rows.lines_consumed = at
        rows.consumed = min(len(data), sum(map(len, lines[:at])) + at)
        return rows

    def _row_text(self, lines: list[bytes], at: int) -> tuple[int, bytes | None]:
        """How many lines the row takes, and its text.

        (1, None) where its quote is not closed within reach, (0, None) where the lines at hand
        end before that can be said.
        """
        text = lines[at]
        if not self._quote or b'"' not in text or not self._is_open(text):
            return 1, text
        parts, size = [text], len(text)
        for taken, line in enumerate(lines[at + 1 : at + _JOIN_LINES], start=2):
            parts.append(line)
            size += len(line) + 1
            if size > _JOIN_BYTES:
                return 1, None
            closing = self._closing.match(line)
            if not closing:
                continue
            if not self._after_closing.match(line, closing.end()):
                return 1, None
            if not self._is_open(line[closing.end() :]):
                return taken, b"\n".join(parts)
        return int(at + _JOIN_LINES <= len(lines)), None

    def _is_open(self, text: bytes) -> bool:
        if not self._open.search(text):
            return False
        return self._open.search(self._quoted.sub(b"", text)) is not None

    def _keep(self, text: bytes | None, cells: list[list[str]]) -> str:
        """Add the row's cells; the reason if it is bad, "" if it is good."""
        if text is None:
            return UNCLOSED
        if b"\0" in text:
            return NUL
        try:
            row = self._cells(text.removesuffix(b"\r").decode())
        except UnicodeDecodeError:
            return self._broken
        except csv.Error:
            return TANGLED
        if row == self._header:
            return REPEATED
        if self._width is not None and len(row) != self._width:
            return columns_reason(len(row), self._width)
        cells.append(row)
        return ""

    def _cells(self, text: str) -> list[str]:
        if not self._quote or '"' not in text:
            if "\r" in text:
                raise csv.Error("a carriage return in mid-line")
            return text.split(self._separator)
        return next(csv.reader([text], delimiter=self._separator))
