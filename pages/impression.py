"""Why did this impression get this score?"""

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from deepfm.charts.contributions import term_values, waterfall_figure
from deepfm.charts.palette import TERM_WORDS, format_logit, format_probability
from deepfm.errors import DeepFMError
from deepfm.explanation import (
    best_change,
    branches_disagree,
    describe,
    describe_change,
    describe_network,
)
from deepfm.ui import choosing, state
from deepfm.ui.beyond import show_beyond_of_one
from deepfm.ui.impression_against import show_trouble
from deepfm.ui.impression_arithmetic import arithmetic_view, steps_table
from deepfm.ui.impression_card import values_card
from deepfm.ui.impression_choose import choose
from deepfm.ui.impression_fields import fields_view
from deepfm.ui.impression_pairs import pairs_view
from deepfm.ui.impression_shown import Shown, divided, shown_in_address
from deepfm.ui.impression_what_if import what_if_view
from deepfm.ui.plot import plot
from deepfm.ui.text import show_error, show_notice
from deepfm.ui.wakes import together
from deepfm.ui.words import say

CARD_HEIGHT = 372
TABS = (
    ("Fields", fields_view),
    ("Pairs", pairs_view),
    ("What if", what_if_view),
    ("Beyond pairs", lambda shown: show_beyond_of_one(shown.model, shown.explanation)),
    ("Arithmetic", arithmetic_view),
)


@st.fragment
def page() -> None:
    """Choose an impression, read why, change a value."""
    try:
        # First what a changed value changes: the browser draws it while the rest is made.
        with together():
            st.title("Why did this impression get this score?", anchor=False)
            run_id, model = state.chosen_run()
            shown = shown_in_address(run_id, model)
            chooser = st.container()
            room = answer(shown)
        try:
            values(shown, room)
        finally:
            with chooser, together():
                choose(shown)
                show_trouble(model, shown.against)
        details(shown)
        say_network(shown, room)
    except DeepFMError as error:
        show_error(error)
        if "change" in st.query_params:
            st.button("Put the changed values back", on_click=choosing.put_back)


class Room(NamedTuple):
    """Where what comes later stands: more words, and the card."""

    network: DeltaGenerator
    change: DeltaGenerator
    card: DeltaGenerator


def answer(shown: Shown) -> Room:
    """The sentence and the waterfall."""
    with st.container(gap=None, key="impression_said"):
        say(describe(shown.explanation), key="impression_words")
        network, change = st.container(gap=None), st.container(gap=None)
    with st.container(key="stack_impression"):
        left, right = st.columns([5, 8], gap="large")
    with right:
        waterfall(shown)
    return Room(network, change, left)


def values(shown: Shown, room: Room) -> None:
    """The card, and in words the one change that does most."""
    # It scores thousands of impressions: what stands above is on the screen meanwhile.
    change = best_change(shown.model, shown.ids)
    if change is not None:
        with room.change:
            say(describe_change(shown.explanation, change), key="impression_change")
    with room.card:
        values_card(shown, change, CARD_HEIGHT)
    if branches_disagree(shown.explanation):
        show_notice(
            "The two branches pull apart here. Neither is right by itself; only the sum was "
            "trained."
        )


def say_network(shown: Shown, room: Room) -> None:
    """Which fields the network's part is of: last, as it takes many drawings of the network."""
    spans = describe_network(divided(shown, shown.explanation))
    if spans:
        with room.network:
            say(spans, key="impression_network")


def waterfall(shown: Shown) -> None:
    """From the typical score to this one; after a change, from the old one too."""
    explanation = shown.explanation
    caption = (
        f"start at the score of {explanation.against}; each term moves it on, and where the last "
        "one ends is this score. Below in logit units, which add up; above, the same places as "
        "probabilities."
    )
    if shown.before is not None:
        caption += " The thin outlines are the terms before your change."
    plot(
        waterfall_figure(explanation, shown.before),
        key="impression_waterfall",
        height=CARD_HEIGHT - 20,
        caption=caption,
        alt=(
            f"From {format_probability(explanation.typical)} to "
            f"{format_probability(explanation.probability)}: "
            + ", ".join(
                f"{name} {format_logit(value)}" for name, value in term_values(explanation).items()
            )
        ),
        table=lambda: steps_table(explanation),
    )


def details(shown: Shown) -> None:
    """Fields, pairs, what if, arithmetic; each is computed when its tab is opened."""
    tabs = st.tabs([name for name, _ in TABS], on_change="rerun", key="impression_tabs")
    for tab, (_, view) in zip(tabs, TABS, strict=True):
        if tab.open:
            with tab:
                view(shown)


def explain_terms() -> None:
    """The three terms in words, for who comes here first."""
    with st.expander("What the three terms are"):
        for words in TERM_WORDS.values():
            name, rest = words.split(":", 1)
            st.markdown(f"**{name}:**{rest}")
        st.caption(
            "The three always add up to this model's score. Another training of the same model, "
            "with another seed, can come to much the same score with another share of pairs and "
            "network, for what pairs say a network can learn too."
        )


page()
explain_terms()
