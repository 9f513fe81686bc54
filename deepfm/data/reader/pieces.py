"""A stretch of a file, read: its good rows as a batch, its bad rows by number and reason."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepfm.data.schema.declared import SkippedRow

Ints = NDArray[np.int64]

MAX_EXAMPLES = 100
"""How many skipped rows are kept with their line; all of them are counted."""
MAX_LATE = 12
"""How many keys that are left out are named."""


@dataclass
class BadRows:
    """Unreadable rows of one piece.

    rows       their numbers within the piece, rising
    reasons    reason -> how many
    examples   the first MAX_EXAMPLES, their lines counted within the piece, from 0
    """

    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[SkippedRow] = field(default_factory=list)


@dataclass
class Late:
    """Keys of JSON objects that are no column, since the head of the file does not have them.

    rows    rows that have such a key
    names   the first of them, MAX_LATE and one more at most
    """

    rows: int = 0
    names: dict[str, None] = field(default_factory=dict)

    def add(self, keys: Iterable[str], rows: int = 1) -> None:
        """So many more rows, and their keys."""
        names = sorted(keys)
        self.rows += rows if names else 0
        for name in names[: max(0, MAX_LATE + 1 - len(self.names))]:
            self.names[name] = None


@dataclass(frozen=True)
class Piece:
    """What one block of a file became.

    batch        the good rows, every column pa.string()
    rows         rows in the block, good and bad
    bad          the bad ones
    first_line   line of the file on which the block begins, from 1
    lines        int64[rows]: line of each row within the block, from 0; None: row i is on line i
    late         keys that are left out
    """

    batch: pa.RecordBatch
    rows: int
    bad: BadRows = field(default_factory=BadRows)
    first_line: int = 1
    lines: Ints | None = None
    late: Late = field(default_factory=Late)

    def good_rows(self) -> Ints:
        """Numbers of the good rows within the piece: int64[batch.num_rows]."""
        if not len(self.bad.rows):
            return np.arange(self.rows, dtype=np.int64)
        good = np.ones(self.rows, bool)
        good[self.bad.rows] = False
        return np.flatnonzero(good)

    def line_of(self, row: int) -> int:
        """The line in the file, from 1, of a row of the piece."""
        return self.first_line + (row if self.lines is None else int(self.lines[row]))


class Rows(Protocol):
    """One kind of file, opened: its column names and its pieces in order."""

    names: tuple[str, ...]
    row_word: str
    """How a place in the file is called: "line" in text, "row" where there are no lines."""

    @property
    def bytes_done(self) -> int: ...
    @property
    def bytes_total(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    def rows_estimated(self, rows_read: int) -> int | None: ...
    def pieces(self) -> Iterator[Piece]: ...
    def close(self) -> None: ...


def text_batch(columns: list[pa.Array], names: tuple[str, ...]) -> pa.RecordBatch:
    """Columns of text under their names."""
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    return pa.RecordBatch.from_arrays(columns, schema=schema)
