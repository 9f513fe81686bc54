"""A text file to blocks of whole rows, and blocks to pieces on several cores."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from deepfm.data.reader.pieces import Ints, Piece
from deepfm.data.reader.quoted import SlowReader, SlowRows, row_borders
from deepfm.data.reader.source import Source
from deepfm.data.reader.utf8 import Utf8Stream, mark_of
from deepfm.data.schema.declared import FileFormat
from deepfm.errors import DataError

BLOCK: Final = 8 << 20
"""Bytes parsed at a time: about 30,000 rows of 40 columns."""
MAX_LINE: Final = 64 << 20


@dataclass(frozen=True)
class Block:
    """Whole rows of the file, as UTF-8.

    first_line   the line of the file, from 1, on which it begins
    lines        int64[R]: line within the block of each row; None: not known, or row i is on
                 line i
    slow         rows that were read one by one already, since their quotes are irregular
    """

    data: bytes
    first_line: int
    lines: Ints | None = None
    slow: SlowRows | None = None


class BlockStream:
    """The text of one file, cut on row borders.

    Quoted cells may hold line feeds; where quotes are irregular the rows are read one by one, so
    that a quote left open costs one line and not the rest of the file.

    header_line   the header as it stands in the file, b"" until it is taken
    """

    def __init__(self, source: Source, format: FileFormat, limit_bytes: int | None) -> None:
        self._source = source
        self._format = format
        self._stream = Utf8Stream(
            source,
            format.encoding,
            limit_bytes,
            separator=format.separator,
            escape=format.escape,
        )
        self._mark = mark_of(format.separator)
        self._pending = self._stream.read(BLOCK)
        self._line = 1
        self._cut_short = False
        self._width: int | None = None
        self._header: list[str] | None = None
        self.header_line = b""
        for _ in range(format.skip):
            self._take(self._pending.find(b"\n") + 1, None)

    @property
    def complete(self) -> bool:
        """Whether the blocks handed out so far are the whole file."""
        return self._stream.ended and not self._pending and not self._cut_short

    def rows_estimated(self, rows_read: int) -> int | None:
        """Rows of the whole file, from the bytes that the rows read so far take."""
        read = self._stream.consumed - len(self._pending)
        if self.complete:
            return rows_read
        if not rows_read or read <= 0:
            return None
        source = self._source
        packed = source.bytes_done / self._stream.consumed if source.compression else 1.0
        return max(rows_read, round(rows_read * source.bytes_total / (read * packed)))

    def head(self, most: int) -> SlowRows:
        """The first rows of what follows, of any width; nothing is used up."""
        return self.slow_reader(None).read(self._pending, final=self._stream.ended, most=most)

    def head_bytes(self, size: int) -> bytes:
        """The first bytes of what follows, fewer only at the end; nothing is used up."""
        while len(self._pending) < size and not self._stream.exhausted:
            self._pending += self._stream.read(size)
        return self._pending[:size]

    def take_header(self) -> list[str]:
        """Use up the first row that is not blank, and return its cells."""
        rows = self.head(1)
        if not rows.cells:
            raise DataError(
                f"{self._source.path.name!r} has no header that can be read; its first line "
                f"{self.fault(rows)}."
            )
        self.header_line = self._pending[: rows.consumed].strip(b"\r\n")
        self._header = rows.cells[0]
        self._advance(rows)
        return rows.cells[0]

    def fault(self, rows: SlowRows) -> str:
        """Why the first rows could not be read, to follow "line"."""
        return next(iter(rows.bad.reasons), "is too long, or there is none")

    def slow_reader(self, width: int | None) -> SlowReader:
        """The reader row by row that suits this file."""
        return SlowReader(
            self._mark,
            width,
            quote=self._format.quote,
            header=self._header,
            encoding=self._format.encoding,
        )

    def quotes_in(self, data: bytes) -> bool:
        """Whether these rows have to be read as quoted text."""
        return self._format.quote and b'"' in data

    def blocks(self, width: int) -> Iterator[Block]:
        """Whole rows at a time to the end of the file, or of the sample.

        width   cells of a row, needed where rows must be read one by one
        """
        self._width = width
        while True:
            while len(self._pending) < BLOCK and not self._stream.exhausted:
                self._pending += self._stream.read(BLOCK)
            if not self._pending:
                return
            block = self._cut()
            if block is not None:
                yield block
            elif self._stream.exhausted:
                # A sample ends in mid-row; a whole file is always cut to its end.
                self._cut_short = True
                return
            elif len(self._pending) > MAX_LINE:
                raise DataError(
                    f"Line {self._line:,} of {self._source.path.name!r} is longer than "
                    f"{MAX_LINE >> 20} MB; this is not a table of rows."
                )
            else:
                self._pending += self._stream.read(BLOCK)

    def _cut(self) -> Block | None:
        """The longest run of whole rows at hand; None if not one row is whole."""
        final = self._stream.ended
        if self.quotes_in(self._pending):
            return self._cut_quoted(final)
        cut = len(self._pending) if final else self._pending.rfind(b"\n") + 1
        return self._take(cut, None) if cut else None

    def _cut_quoted(self, final: bool) -> Block | None:
        borders = row_borders(self._pending, self._mark)
        if borders is None:
            return self._read_slowly(final)
        if final and borders.whole:
            unfinished = not self._pending.endswith(b"\n")
            lines = borders.lines if unfinished else borders.lines[:-1]
            return self._take(len(self._pending), lines)
        if not final and len(borders.ends):
            return self._take(int(borders.ends[-1]) + 1, borders.lines[:-1])
        if not final and (len(self._pending) < 2 * BLOCK or self._stream.exhausted):
            return None
        return self._read_slowly(final)

    def _take(self, size: int, lines: Ints | None) -> Block:
        data, self._pending = self._pending[:size], self._pending[size:]
        block = Block(data, self._line, lines)
        self._line += data.count(b"\n")
        return block

    def _read_slowly(self, final: bool) -> Block | None:
        slow = self.slow_reader(self._width).read(self._pending, final=final)
        if not slow.lines_consumed:
            return None
        block = Block(self._pending[: slow.consumed], self._line, slow=slow)
        self._advance(slow)
        return block

    def _advance(self, rows: SlowRows) -> None:
        self._pending = self._pending[rows.consumed :]
        self._line += rows.lines_consumed


class BlockRows:
    """A file whose rows are lines of text, read block by block: how far it is, and its end."""

    row_word = "line"

    def __init__(self, source: Source, format: FileFormat, limit_bytes: int | None) -> None:
        self._source = source
        self._stream = BlockStream(source, format, limit_bytes)

    @property
    def bytes_done(self) -> int:
        return self._source.bytes_done

    @property
    def bytes_total(self) -> int:
        return self._source.bytes_total

    @property
    def complete(self) -> bool:
        return self._stream.complete

    def rows_estimated(self, rows_read: int) -> int | None:
        return self._stream.rows_estimated(rows_read)

    def close(self) -> None:
        self._source.close()


def parse_in_order(blocks: Iterator[Block], parse: Callable[[Block], Piece]) -> Iterator[Piece]:
    """Blocks read, unpacked and parsed in threads, a few ahead; pieces in the file's order."""
    with ThreadPoolExecutor(3) as pool:
        parsing: deque[Future[Piece]] = deque()
        upcoming = pool.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = pool.submit(next, blocks, None)
            parsing.append(pool.submit(parse, block))
            if len(parsing) > 2:
                yield parsing.popleft().result()
        while parsing:
            yield parsing.popleft().result()
