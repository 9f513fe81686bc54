"""The label's values to what they mean: a click, no click, or a row that is left out."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import streamlit as st

from deepfm.charts.palette import format_count
from deepfm.data.schema import Inspection, Schema
from deepfm.errors import SchemaError
from deepfm.ui.forms import mistake
from deepfm.ui.text import plain, show_notice

CLICK: Final = "Means a click"
NO_CLICK: Final = "Means no click"
LEFT_OUT: Final = "Left out"
_MOST_VALUES: Final = 200
_NEEDS_BOTH: Final = "Choose another label column, or a file that holds both."


@dataclass(frozen=True)
class Meanings:
    """The texts of the label by the box that they stand in."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def boxes(self) -> dict[str, tuple[str, ...]]:
        """Title of each box and what stands in it."""
        return {CLICK: self.positive, NO_CLICK: self.negative, LEFT_OUT: self.left_out}

    def applied(self, schema: Schema) -> Schema:
        """The schema with these meanings; as it was while one value has two of them."""
        try:
            return replace(
                schema, positive=self.positive, negative=self.negative, left_out=self.left_out
            )
        except SchemaError:
            return schema


def choose_label(job_id: str, found: Inspection) -> str | None:
    """The label column; None while none is chosen."""
    names = list(found.schema.names)
    labels = found.schema.with_roles("label")
    label = st.selectbox(
        "Label: the column that says whether it was clicked",
        names,
        names.index(labels[0].name) if labels else None,
        key=f"label_{job_id}",
        placeholder="Choose the label column",
    )
    if labels and labels[0].reason:
        st.caption(plain(f"Why: {labels[0].reason}."))
    elif not labels:
        st.caption("No column looks like a label. Choose the one that says whether it was clicked.")
    return label


def choose_meanings(job_id: str, found: Inspection, start: Schema) -> Meanings:
    """Three boxes of label values, and under them at once what is wrong with them.

    start   holds the meanings that the boxes start with
    """
    if not found.schema.with_roles("label"):
        return Meanings((), ())
    counts = found.label_values
    values = [*counts, *start.positive, *start.negative, *start.left_out]
    values = list(dict.fromkeys(values))[:_MOST_VALUES]

    def choose(words: str, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            st.multiselect(
                words,
                values,
                [value for value in known if value in values],
                format_func=lambda value: f"{value} ({_rows_words(found, value)})",
                key=f"{key}_{job_id}",
                accept_new_options=True,
                placeholder="Choose or type a value",
            )
        )

    first, second, third = st.columns(3, gap="small")
    with first:
        positive = choose(CLICK, "positive", start.positive)
    with second:
        negative = choose(NO_CLICK, "negative", start.negative)
    with third:
        left_out = choose(LEFT_OUT, "left_out", start.left_out)
    meanings = Meanings(positive, negative, left_out)
    wrong = meanings_mistake(found, meanings)
    if wrong:
        mistake(wrong)
    elif one_class := one_class_words(found, meanings):
        show_notice(f"{one_class} Should the rest of the file be like that, it cannot be used.")
    return meanings


def _rows_words(found: Inspection, value: str) -> str:
    count = found.label_values.get(value, 0)
    if count:
        return f"{format_count(count)} rows"
    return "not in the file" if found.complete else "not in the sample"


def meanings_mistake(found: Inspection, meanings: Meanings) -> str:
    """Why these values cannot be prepared, and the way out; "" where they can."""
    for (one, first), (other, second) in combinations(meanings.boxes.items(), 2):
        both = sorted(set(first) & set(second))
        if both:
            return f"{both[0]!r} stands in “{one}” and in “{other}”. Take it out of one of the two."
    one_class = one_class_words(found, meanings)
    if one_class and found.complete:
        return f"{one_class} {_NEEDS_BOTH}"
    for words, texts in ((CLICK, meanings.positive), (NO_CLICK, meanings.negative)):
        if not texts:
            label = found.schema.label.name
            return (
                f"Choose which value of {label!r} {words[0].lower()}{words[1:]}; a value that the "
                "sample lacks can be typed."
            )
    return _unmapped_words(found, meanings)


def _unmapped(found: Inspection, meanings: Meanings) -> list[str]:
    known = {text for texts in meanings.boxes.values() for text in texts}
    return [text for text in found.label_values if text not in known]


def _unmapped_words(found: Inspection, meanings: Meanings) -> str:
    unmapped = _unmapped(found, meanings)
    if not unmapped:
        return ""
    rows = f"{unmapped[0]!r} ({_rows_words(found, unmapped[0])})"
    where = f"“{CLICK}” or “{NO_CLICK}”, or to “{LEFT_OUT}” to skip such rows"
    if len(unmapped) == 1:
        return f"{rows} is in none of the boxes. Add it to {where}."
    others = "1 other value" if len(unmapped) == 2 else f"{len(unmapped) - 1} other values"
    return f"{rows} and {others} are in none of the boxes. Add them to {where}."


def one_class_words(found: Inspection, meanings: Meanings) -> str:
    """That all rows looked at have the same meaning; "" where they have both, or it is open."""
    if _unmapped(found, meanings):
        return ""
    clicked, others = (
        sum(found.label_values.get(text, 0) for text in texts)
        for texts in (meanings.positive, meanings.negative)
    )
    if bool(clicked) == bool(others):
        return ""
    return (
        f"All {format_count(clicked + others)} rows of the {_extent(found)} are "
        f"{'clicked' if clicked else 'not clicked'}; to learn anything, a model needs both."
    )


def _extent(found: Inspection) -> str:
    return "file" if found.complete else "sample"
