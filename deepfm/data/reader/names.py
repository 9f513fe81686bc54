"""Header cells to column names: none empty, none twice."""

from collections.abc import Sequence
from typing import Final

ROW: Final = "__row__"
"""Column of the row's number in the file, int64 from 0, unreadable rows counted too."""


def unique_names(cells: Sequence[str | None]) -> tuple[str, ...]:
    """Names as they stand; an empty one becomes column_3, a second x becomes x_2."""
    taken = {ROW, *(cell.strip() for cell in cells if cell)}
    seen: set[str] = {ROW}
    names = []
    for position, cell in enumerate(cells, start=1):
        name = (cell or "").strip()
        if not name:
            name = _free(f"column_{position}", taken)
        elif name in seen:
            name = _free(name, taken)
        seen.add(name)
        taken.add(name)
        names.append(name)
    return tuple(names)


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def invented_names(width: int, label_first: bool) -> tuple[str, ...]:
    """Names for a file without header: label?, field_1, field_2 …"""
    label = ("label",) if label_first else ()
    return label + tuple(f"field_{number}" for number in range(1, width - len(label) + 1))
