"""A block of lines without quotes to its good lines, and the bad ones by reason."""

import codecs

import numpy as np

from deepfm.data.reader.pieces import MAX_EXAMPLES, BadRows, Ints
from deepfm.data.schema.declared import ENCODINGS, SkippedRow

NUL = "holds a NUL byte"
LONE_RETURN = "holds a carriage return in mid-line"
REPEATED = "repeats the header"


def broken_reason(encoding: str) -> str:
    """Why a row with a broken character is skipped: "is not UTF-8 text"."""
    return f"is not {ENCODINGS[encoding].split(' (')[0]} text"


def columns_reason(found: int, expected: int) -> str:
    """Why a row of the wrong width is skipped: "3 columns instead of 40"."""
    return f"{found} column{'s' if found != 1 else ''} instead of {expected}"


class Lines:
    """The lines of a block, as numpy sees them.

    starts, ends   int64[L]: where each line begins and where its line feed (or the end) stands
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._codes = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(self._codes == 10)
        if data and not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        self.ends: Ints = ends
        self.starts: Ints = np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1])

    def blank(self) -> np.ndarray:
        """bool[L]: lines with nothing on them."""
        length = self.ends - self.starts
        returns = np.zeros(len(length), bool)
        one = length == 1
        returns[one] = self._codes[self.starts[one]] == 13
        return (length == 0) | returns

    def count(self, character: bytes) -> Ints:
        """int64[L]: how often a character stands in each line."""
        places = np.flatnonzero(self._codes == ord(character))
        return np.searchsorted(places, self.ends) - np.searchsorted(places, self.starts)

    def with_lone_return(self) -> np.ndarray:
        """bool[L]: lines with a carriage return that does not end the line."""
        places = np.flatnonzero(self._codes == 13)
        following = np.minimum(places + 1, len(self.data) - 1)
        inside = (self._codes[following] != 10) & (places + 1 < len(self.data))
        return self._at(places[inside])

    def not_utf8(self) -> np.ndarray:
        """bool[L]: lines that are not UTF-8."""
        wrong: list[int] = []
        view = memoryview(self.data)
        start = 0
        while start < len(view):
            try:
                codecs.utf_8_decode(view[start:], "strict", True)
                break
            except UnicodeDecodeError as error:
                line = int(np.searchsorted(self.ends, start + error.start))
                wrong.append(int(self.starts[line]))
                start = int(self.ends[line]) + 1
        return self._at(np.array(wrong, np.int64))

    def equal_to(self, text: bytes) -> np.ndarray:
        """bool[L]: lines that hold this text and nothing else."""
        length = self.ends - self.starts
        close = np.flatnonzero((length == len(text)) | (length == len(text) + 1))
        same = np.zeros(len(length), bool)
        for line in close:
            found = self.data[self.starts[line] : self.ends[line]]
            same[line] = found.removesuffix(b"\r") == text
        return same

    def _at(self, places: Ints) -> np.ndarray:
        marked = np.zeros(len(self.ends), bool)
        marked[np.searchsorted(self.ends, places)] = True
        return marked

    def joined(self, chosen: np.ndarray) -> bytes:
        """The chosen lines alone (bool[L]), each with its line end."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
        runs = edges.reshape(-1, 2)
        return b"".join(
            self.data[self.starts[first] : self.ends[last - 1] + 1] for first, last in runs
        )


def mend_lines(
    data: bytes, separator: str, width: int, header: bytes = b"", encoding: str = "utf-8"
) -> tuple[bytes, BadRows, Ints]:
    """The good lines of a block without quoting, its bad rows, and the line of each row.

    width     cells that a row must have
    header    the file's first line, which files that were joined repeat; b"" without one
    encoding  of the file; the block is UTF-8, with other bytes where a character was broken
    returns   good lines; bad rows; int64[rows], blank lines are not rows
    """
    lines = Lines(data)
    widths = lines.count(separator.encode()) + 1
    wrong = {
        NUL: lines.count(b"\0") > 0,
        broken_reason(encoding): lines.not_utf8(),
        LONE_RETURN: lines.with_lone_return(),
    }
    if header and header in data:
        wrong[REPEATED] = lines.equal_to(header)
    for found in np.unique(widths[widths != width]):
        wrong[columns_reason(int(found), width)] = widths == found
    return split_off(lines, wrong)


def split_off(lines: Lines, wrong: dict[str, np.ndarray]) -> tuple[bytes, BadRows, Ints]:
    """Good lines, bad rows and the line of each row, for reasons that mark lines (bool[L])."""
    filled = ~lines.blank()
    line_of_row = np.flatnonzero(filled)
    bad_lines = np.zeros(len(filled), bool)
    bad = BadRows()
    examples: list[SkippedRow] = []
    for reason, marked in wrong.items():
        fresh = np.flatnonzero(marked & filled & ~bad_lines)
        if len(fresh):
            bad.reasons[reason] += len(fresh)
            examples += [SkippedRow(int(line), reason) for line in fresh[:MAX_EXAMPLES]]
            bad_lines[fresh] = True
    bad.rows = np.flatnonzero(bad_lines[line_of_row])
    bad.examples = sorted(examples, key=lambda row: row.line)[:MAX_EXAMPLES]
    return lines.joined(filled & ~bad_lines), bad, line_of_row
