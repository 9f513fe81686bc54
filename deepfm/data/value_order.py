"""The values of one field to the order that they mean: numbers, times, weekdays, months."""

import math
import re
from collections.abc import Sequence
from typing import Final

from deepfm.data.vocabulary import RARE

NO_VALUES: Final = ("", RARE)
"""An empty cell, and what has no feature of its own: they stand last."""
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_NUMBER_LIKE: Final = re.compile(
    r"[<>≤≥+-]?\s?\d+([.:/+-]\s?\d+)*\+?\s?(am|pm|[hkms%])?", re.IGNORECASE
)
"""A number, time, date or range: "7", "08:00", "2024-01-05", "18-24", "65+", "3 pm"."""


def meant_order(values: Sequence[str]) -> list[int] | None:
    """Places of the values in the order that they mean; None where they mean none.

    They do where each is a number, time, date, range, weekday or month. An empty cell and “rare or
    unseen” count for neither, and stand last.
    """
    named = [value for value in values if value not in NO_VALUES]
    if not named or not all(is_ordered(value) for value in named):
        return None
    return sorted(range(len(values)), key=lambda place: place_of(values[place]))


def is_ordered(name: str) -> bool:
    """Whether it is a number, time, date, range, weekday or month."""
    return bool(_NUMBER_LIKE.fullmatch(name)) or _calendar(name) is not None


def place_of(name: str) -> tuple[bool, int, float, list[tuple[int, float, str]]]:
    """A key: no value last, place in the calendar, the number it is as a whole, then its parts."""
    number = float(name) if _NUMBER.fullmatch(name) else math.inf
    return (name in NO_VALUES, _calendar(name) or 0, number, _natural(name))


def _calendar(name: str) -> int | None:
    """The place of a weekday or month, whole or as its first three letters; None for others."""
    word = name.strip().lower()
    for names in (_WEEKDAYS, _MONTHS):
        for place, whole in enumerate(names, start=1):
            if word in (whole, whole[:3]):
                return place
    return None


def _natural(name: str) -> list[tuple[int, float, str]]:
    """A key by which "9" stands before "10": runs of digits count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in parts]
