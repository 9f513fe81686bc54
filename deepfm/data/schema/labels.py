"""Columns to the one that says whether it was clicked, and which of its texts mean 1 and 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deepfm.data.reader.numbers import is_missing
from deepfm.data.schema.declared import Column, Schema
from deepfm.data.schema.facts import Facts
from deepfm.data.schema.words import (
    NEGATIVE,
    POSITIVE,
    is_label_like,
    is_label_name,
    squeezed,
)

_NOT: Final = ("not", "non", "no", "un")
_FEW: Final = 20
_UNSURE: Final = ("it holds two values", "a column with two values")
"""How the reason for a label begins that has not the name of one."""
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
class Meanings:
    """Texts that mean 1, that mean 0, whose rows are left out, and how that was told."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    how: str = ""


@dataclass(frozen=True)
class LabelGuess:
    """The label column's place, why it, and what its texts mean; the rest is unknown."""

    position: int
    reason: str
    meanings: Meanings


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
    meanings = label_meanings(facts)
    return LabelGuess(facts.position, f"{reason}{meanings.how}", meanings)


def _judge(facts: Facts, columns: int, named: bool) -> tuple[int, str] | None:
    """How much a column looks like the label, and why; None if it does not."""
    if not facts.filled:
        return None
    called = named and is_label_name(facts.name)
    texts = _said(facts)[0] if facts.distinct <= _FEW else facts.values.slice(0, _FEW).to_pylist()
    binary = len(texts) <= 2 and all(known_side(text) is not None for text in texts)
    place = 5 if facts.position == columns - 1 else 3 if facts.position == 0 else 0
    if len(texts) > 2:
        if not called or (facts.is_number and not facts.is_whole):
            return None
        return 50, "its name is that of a label, but it holds more than two values"
    if called:
        return 100 + 30 * binary + 10 * (len(texts) == 2), "its name is that of a label"
    if named and is_label_like(facts.name):
        return 60 + 30 * binary + place, "its name speaks of a label, and it holds two values"
    if not named and facts.position == 0 and binary:
        return 80, "the first column, and it holds nothing but two values"
    if len(texts) == 2 and binary:
        return 30 + place, f"{_UNSURE[0]}, and no column has the name of a label"
    if len(texts) == 2:
        return 10 + place, f"{_UNSURE[1]}; choose another if this is not the label"
    return None


def doubt_of(label: Column) -> str:
    """What is to be said of a label that was guessed by its values alone; "" of any other."""
    if not label.reason.startswith(_UNSURE):
        return ""
    return (
        f"No column has the name of a label, so {label.name!r} was taken, which holds two values. "
        "Choose another label column if this does not say whether it was clicked."
    )


def label_meanings(facts: Facts) -> Meanings:
    """What the texts of a label mean; one beyond two that is not known as yes or no has none."""
    texts, missing = _said(facts)
    positive, negative, how = _sides(texts)
    return Meanings(positive, negative, missing, how)


def _said(facts: Facts) -> tuple[list[str], tuple[str, ...]]:
    """The label's texts, and apart those like NA that say nothing, where two others are left.

    A label of 1 and NULL alone says by NULL that there was no click.
    """
    missing = facts.values.filter(is_missing(facts.values)).to_pylist()
    texts = [text for text in facts.values.to_pylist() if text not in missing]
    return (texts, tuple(missing)) if len(texts) > 1 else (facts.values.to_pylist(), ())


def _sides(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    sides = {text: known_side(text) for text in texts}
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


def meaning_in(schema: Schema, text: str) -> bool | None:
    """Whether a text means a click as another writing of an agreed value; None if it is none.

    1.0 and 01 are 1, "Yes " is yes; true is 1 where all agreed values are a yes or a no.
    """
    for meaning, agreed in ((True, schema.positive), (False, schema.negative)):
        if any(_is_same(text, other) for other in agreed):
            return meaning
    plain = all(known_side(one) is True for one in schema.positive) and all(
        known_side(zero) is False for zero in schema.negative
    )
    return known_side(text) if plain else None


def _is_same(one: str, other: str) -> bool:
    numbers = _number(one), _number(other)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return one.strip().lower() == other.strip().lower()


def known_side(text: str) -> bool | None:
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
