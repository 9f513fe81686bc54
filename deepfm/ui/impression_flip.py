"""The smallest change of one field or two that turns a decision, and a button that makes it."""

import streamlit as st

from deepfm.charts.palette import format_count, format_probability, shortened
from deepfm.explanation import Flip, FlipSearch, smallest_flip
from deepfm.ui import choosing
from deepfm.ui.impression_shown import Shown
from deepfm.ui.text import plain

RARE_CLICKS = 0.05
"""Below this share of clicks a decision at one half would never say “click”."""
_THRESHOLD = "impression_threshold"


def flip_view(shown: Shown) -> None:
    """At a threshold, which the person sets, the changes that turn the decision."""
    if _THRESHOLD not in st.session_state:
        st.session_state[_THRESHOLD] = first_threshold(shown)
    percent = st.number_input(
        "From which probability on is it a click? (%)",
        min_value=0.01,
        max_value=99.99,
        step=1.0,
        format="%.2f",
        key=_THRESHOLD,
        width=320,
    )
    with st.spinner("Searching…"):
        found = smallest_flip(shown.model, shown.ids, percent / 100)
    above = shown.explanation.probability >= percent / 100
    now = "a click" if above else "no click"
    other = "no click" if above else "a click"
    st.markdown(
        f"At {percent:g} % the decision for this impression "
        f"({plain(format_probability(shown.explanation.probability))}) is **{now}**. "
        + (
            f"{_what_turns_it(found)} makes it **{other}**:"
            if found.flips
            else f"No change of one value or two that was tried makes it {other}."
        )
    )
    for number, flip in enumerate(found.flips):
        _offer(shown, flip, number)
    st.caption(plain(found.in_words()) + " The commonest values stand first.")


def _what_turns_it(found: FlipSearch) -> str:
    """ "Changing one value", and whether only to one that is seldom seen."""
    what = f"Changing {'one value' if found.fields == 1 else 'two values'}"
    return f"No common value turns it. {what}, rare ones too," if found.rare else what


def first_threshold(shown: Shown) -> float:
    """In percent: one half, or with rare clicks their share, rounded as the page shows it."""
    rate = shown.model.result.base_rate
    return 50.0 if rate is None or rate >= RARE_CLICKS else max(0.01, round(100 * rate, 2))


def _offer(shown: Shown, flip: Flip, number: int) -> None:
    words = " and ".join(
        f"{plain(shortened(change.field, 30))}: {plain(shortened(change.before, 30))} → "
        f"**{plain(shortened(change.after, 30))}**"
        for change in flip.changes
    )
    with st.container(
        horizontal=True, vertical_alignment="center", key=f"impression_flip_{number}"
    ):
        st.button(
            "Try it",
            key=f"impression_try_{number}",
            icon=":material/bolt:",
            on_click=choosing.change_values,
            args=(
                shown.choice,
                shown.original.values,
                {change.field: change.after for change in flip.changes},
            ),
        )
        st.markdown(
            f"{words} gives **{plain(format_probability(flip.probability))}** "
            f"(seen {format_count(flip.seen)} times)",
            width="stretch",
        )
