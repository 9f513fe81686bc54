"""The first rows of a text file to where its table begins, and whether a row names the columns."""

import re
from collections.abc import Sequence
from typing import Final

from deepfm.data.schema.words import is_label_name

_MOST_ABOVE: Final = 20
_SEPARATOR_SAID: Final = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_PLAIN_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NO_VALUE: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "?"})

Row = Sequence[str]


def rows_above(rows: Sequence[Row], width: int) -> int:
    """How many of the first rows stand above the table: a title, comments, Excel's sep=;.

    width   cells that most rows have
    Rows count as such only where what follows them has a header, or where they say themselves
    what they are; else a damaged first row would be lost without a word.
    """
    above = 0
    while above < min(len(rows), _MOST_ABOVE) and _is_above(rows[above], width):
        above += 1
    if above in (0, len(rows)):
        return 0
    if len(rows[0]) == width - 1 and len(fitted_names(rows[0], rows[1:])) == width:
        return 0
    said = all(row[0].startswith("#") or _says_separator(row) for row in rows[:above])
    names = fitted_names(rows[above], rows[above + 1 :])
    return above if said or has_header([names, *rows[above + 1 :]]) else 0


def _is_above(row: Row, width: int) -> bool:
    return len(row) != width or (width > 2 and sum(bool(cell.strip()) for cell in row) <= 1)


def _says_separator(row: Row) -> bool:
    return len(row) <= 2 and _SEPARATOR_SAID.fullmatch("".join(row)) is not None


def fitted_names(header: Row, below: Sequence[Row]) -> list[str]:
    """A header one cell shorter than its rows, with the empty name that it lacks.

    A separator at the end of each row makes an empty last column; row names, as R writes them,
    stand in a first column without name. Any other header is returned as it is.
    """
    names = list(header)
    longer = [row for row in below if len(row) == len(names) + 1]
    if len(longer) * 2 <= len(below) or any(_is_number(name.strip()) for name in names):
        return names
    if not any(row[-1].strip() for row in longer):
        return [*names, ""]
    return ["", *names] if len({row[0] for row in longer}) == len(longer) > 2 else names


def has_header(rows: Sequence[Row]) -> bool:
    """Whether the first row names the columns, judged against the rows below it."""
    if not rows:
        return False
    first = [cell.strip() for cell in rows[0]]
    below = [row for row in rows[1:] if row != rows[0]]
    if len(rows) - len(below) > 1 + len(rows) // 20:
        # Files that were joined repeat their header, but seldom.
        below = list(rows[1:])
    if _counts_columns(first):
        return True
    if any(_is_number(cell) for cell in first) or not any(first):
        return False
    columns = list(zip(*(row for row in below if len(row) == len(first)), strict=True))
    if not columns:
        return any(is_label_name(cell) for cell in first) or not below
    votes = [
        _names_column(name, [cell.strip() for cell in column])
        for name, column in zip(first, columns, strict=True)
    ]
    return sum(votes) > 0


def _counts_columns(first: Sequence[str]) -> bool:
    """0,1,2,… as pandas writes for columns without names, perhaps with an index before."""
    numbers = [cell for cell in first if cell]
    counted = [[str(n + start) for n in range(len(numbers))] for start in (0, 1)]
    return len(numbers) >= 3 and numbers in counted and first[-1] != ""


def _names_column(name: str, values: Sequence[str]) -> float:
    """How much the first cell looks like the name of what stands below: above 0 if it does."""
    held = [value for value in values if value.lower() not in _NO_VALUE]
    if not name or not held:
        return 0.0
    if name in held:
        return -1.0
    if is_label_name(name):
        return 3.0
    if sum(map(_is_number, held)) >= 0.8 * len(held):
        return 2.0
    same_length = len({len(value) for value in held}) == 1
    if same_length and len(held) >= 5:
        return 1.0 if len(name) != len(held[0]) else -1.0
    return 0.5 if len(set(held)) <= len(held) / 2 else 0.0


def _is_number(text: str) -> bool:
    return _PLAIN_NUMBER.fullmatch(text) is not None
