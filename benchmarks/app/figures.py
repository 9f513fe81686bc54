"""One measured figure to a row of the table: what it is, how much, and how much it may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import report


@dataclass(frozen=True)
class Figure:
    """A figure in words; `wanted` and `met` where the design says what it may be."""

    what: str
    value: str
    wanted: str = ""
    met: bool | None = None


HEADER: Final = ("what", "measured", "wanted")


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table of them."""
    return report.markdown(HEADER, [[each.what, each.value, _wanted(each)] for each in figures])


def _wanted(figure: Figure) -> str:
    if figure.met is None:
        return figure.wanted or report.NONE
    return f"{figure.wanted}: {'met' if figure.met else 'missed'}"


def milliseconds(seconds: float) -> str:
    """A time that a person feels: 83 ms, 1,240 ms."""
    return f"{seconds * 1000:,.0f} ms"
