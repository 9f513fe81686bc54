"""Columns to the one that says whether it was clicked, and which of its texts mean 1 and 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deepfm.data.schema.facts import Facts
from deepfm.data.schema.words import (
    NEGATIVE,
    POSITIVE,
    is_label_like,
    is_label_name,
    squeezed,
)

_NOT: Final = ("not", "non", "no", "un")
_OTHER: Final[Mapping[str, str]] = {
    "0": "1",
    "1": "0",
    "-1": "1",
    "0.0": "1.0",
    "1.0": "0.0",
    "false": "true",
    "true": "false",
    "False": "True",
    "True": "False",
    "FALSE": "TRUE",
    "TRUE": "FALSE",
    "no": "yes",
    "yes": "no",
    "No": "Yes",
    "Yes": "No",
    "n": "y",
    "y": "n",
    "N": "Y",
    "Y": "N",
}
"""What the other label is called where the sample shows only one."""


@dataclass(frozen=True)
class LabelGuess:
    """The label column's place, why it, and its texts that mean 1 and 0; the rest is unknown."""

    position: int
    reason: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def guess_label(columns: Sequence[Facts], *, named: bool) -> LabelGuess | None:
    """The likeliest label; None where no column has the look of one.

    named   the columns have names of their own in the file
    """
    judged = [
        (*judgement, facts)
        for facts in columns
        if (judgement := _judge(facts, len(columns), named))
    ]
    if not judged:
        return None
    _, reason, facts = max(judged, key=lambda entry: (entry[0], -entry[2].position))
    positive, negative, how = label_meanings(facts)
    return LabelGuess(facts.position, f"{reason}{how}", positive, negative)


def _judge(facts: Facts, columns: int, named: bool) -> tuple[int, str] | None:
    """How much a column looks like the label, and why; None if it does not."""
    if not facts.filled:
        return None
    called = named and is_label_name(facts.name)
    known = [_known_side(text) is not None for text in facts.values.slice(0, 2).to_pylist()]
    binary = facts.distinct <= 2 and all(known)
    place = 5 if facts.position == columns - 1 else 3 if facts.position == 0 else 0
    if facts.distinct > 2:
        if not called or (facts.is_number and not facts.is_whole):
            return None
        return 50, "its name is that of a label, but it holds more than two values"
    if called:
        return 100 + 30 * binary + 10 * (facts.distinct == 2), "its name is that of a label"
    if named and is_label_like(facts.name):
        return 60 + 30 * binary + place, "its name speaks of a label, and it holds two values"
    if not named and facts.position == 0 and binary:
        return 80, "the first column, and it holds nothing but two values"
    if facts.distinct == 2 and binary:
        return 30 + place, "it holds two values, and no column has the name of a label"
    if facts.distinct == 2:
        return 10 + place, "a column with two values; choose another if this is not the label"
    return None


def label_meanings(facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Texts that mean 1, texts that mean 0, and what is to be said of how that was told.

    Texts beyond two that are not known as yes or no are left out of both.
    """
    texts = facts.values.to_pylist()
    sides = {text: _known_side(text) for text in texts}
    positive = tuple(text for text in texts if sides[text] is True)
    negative = tuple(text for text in texts if sides[text] is False)
    unknown = [text for text in texts if sides[text] is None]
    if len(texts) == 2 and not (positive and negative):
        return _two_by_count_or_exclusion(texts, positive, negative)
    if len(texts) == 1 and positive != negative:
        other = (_OTHER[texts[0]],) if texts[0] in _OTHER else ()
        return positive or other, negative or other, "; the sample shows only one of its two values"
    if len(texts) == 1:
        return (), tuple(unknown), "; the sample shows only one value"
    return positive, negative, ""


def _two_by_count_or_exclusion(
    texts: Sequence[str], positive: tuple[str, ...], negative: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Two texts of which not one is known as each side: the larger number, or the rarer text."""
    commoner, rarer = texts
    numbers = [_number(text) for text in texts]
    if None not in numbers and len(negative) != 1:
        low, high = sorted(texts, key=lambda text: _number(text) or 0.0)
        return (high,), (low,), f"; {high} is taken as clicked, {low} as not"
    if len(positive) == 1:
        return positive, tuple(text for text in texts if text not in positive), ""
    if len(negative) == 1:
        return tuple(text for text in texts if text not in negative), negative, ""
    return (rarer,), (commoner,), f"; {rarer!r}, the rarer value, is taken as clicked"


def _known_side(text: str) -> bool | None:
    """True for 1, yes, clicked …; False for 0, -1, no, no click …; None for any other text."""
    number = _number(text)
    if number is not None:
        return True if number == 1 else False if number in (0, -1) else None
    word = squeezed(text)
    if word in POSITIVE:
        return True
    if word in NEGATIVE:
        return False
    for prefix in _NOT:
        if word.startswith(prefix) and word.removeprefix(prefix) in POSITIVE:
            return False
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
