"""One impression to its card of raw values, each of which can be changed."""

import functools

import streamlit as st

from deepfm.charts.palette import format_probability, shortened, shortened_apart
from deepfm.explanation import Change
from deepfm.trained import TrainedModel
from deepfm.ui import choosing
from deepfm.ui.card import CardField, card
from deepfm.ui.choosing import Choice
from deepfm.ui.impression_shown import Shown
from deepfm.ui.text import plain

LONGEST_ON_BUTTON = 22
LONGEST_NAME = 22


def values_card(shown: Shown, change: Change | None, height: int) -> None:
    """The raw values; changing one scores the impression again at once.

    change  the one that does most; a button makes it
    """
    _heading(shown, change)
    card(
        card_fields(shown),
        run=shown.run_id,
        key="impression_card",
        height=height,
        on_change=functools.partial(choosing.change_value, shown.choice, shown.original.values),
    )
    others = other_columns(shown.model, shown.choice)
    if others:
        what = "1 column" if len(others) == 1 else f"{len(others)} columns"
        with st.expander(f"{what} that the model does not read"):
            for name, value in others.items():
                st.text(f"{name}: {value if value is not None else '(empty)'}")


def _heading(shown: Shown, change: Change | None) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", key="impression_heading", gap="small"
    ):
        # With a second button there is no room for more words beside it.
        more = "" if shown.choice.changes else " Change any of them."
        st.markdown(f"**Its values.**{more}", width="content")
        if change is not None:
            st.button(
                f"Try {plain(shortened(change.after, LONGEST_ON_BUTTON))}",
                icon=":material/bolt:",
                type="tertiary",
                help=f"{plain(change.field)}: {plain(change.before)} → {plain(change.after)}. "
                f"The one change that does most: {format_probability(change.probability)}.",
                on_click=choosing.change_value,
                args=(shown.choice, shown.original.values, change.field, change.after),
            )
        if shown.choice.changes:
            st.button(
                "Put back", icon=":material/undo:", type="tertiary", on_click=choosing.put_back
            )


def card_fields(shown: Shown) -> list[CardField]:
    """Every field with its value, what it was, what the model takes it for, what the other has."""
    fields, explanation = [], shown.explanation
    other = shown.other_values
    names = shortened_apart([field.name for field in shown.model.fields], LONGEST_NAME)
    for field in shown.model.fields:
        value, seen = explanation.values[field.name], explanation.seen_as[field.name]
        fields.append(
            CardField(
                field.name,
                names[field.name],
                value,
                shown.original.values[field.name] if field.name in shown.choice.changes else None,
                f"seen as {seen}" if seen != value and value else "",
                other.get(field.name),
                number=field.role == "numeric",
            )
        )
    return fields


def other_columns(model: TrainedModel, choice: Choice) -> dict[str, str | None]:
    """Columns of the file that are not fields: identifiers, ignored ones, the label."""
    if choice.composed:
        return {}
    names = {field.name for field in model.fields}
    values = model.impression(choice.part, choice.row).values
    return {name: value for name, value in values.items() if name not in names}
