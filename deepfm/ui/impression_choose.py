"""The rows of a run to the one on the page: previous, next, random, by list, from a table."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from deepfm.charts.palette import format_count, format_probability, shortened
from deepfm.data.catalog import DEMO_NAME
from deepfm.data.synthetic import true_probability
from deepfm.errors import SchemaError
from deepfm.trained import TrainedModel
from deepfm.ui import choosing
from deepfm.ui.impression_against import choose_population
from deepfm.ui.impression_shown import Shown
from deepfm.ui.impression_table import choose_from_table
from deepfm.ui.pinned import pinned_words
from deepfm.ui.report_button import impression_report_button
from deepfm.ui.text import plain

LIST_WIDTH = 270
_STYLE = Path(__file__).parent / "impression.css"


def choose(shown: Shown) -> None:
    """The row to choose; then what it is and what it is measured against."""
    model, choice = shown.model, shown.choice
    st.html(_STYLE)
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="impression_steps"
    ):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            key="impression_previous",
            on_click=choosing.step,
            args=(choice, -1),
        )
        st.button(
            "Next impression",
            icon=":material/chevron_right:",
            icon_position="right",
            type="primary",
            on_click=choosing.step,
            args=(choice, 1),
        )
        st.button(
            "Random",
            icon=":material/shuffle:",
            key="impression_random",
            on_click=choosing.random_step,
            args=(choice,),
        )
        # Seen on a phone alone: there the rest stands folded until it is asked for.
        st.checkbox("Change…", key="impression_more")
        _choose_list(shown)
        _choose_alike(shown)
        if st.button("Table…", icon=":material/table_rows:", key="impression_table_open"):
            choose_from_table(model, choice)
    if choice.composed:
        name, _ = pinned_words(model.dataset_name, model.pinned[choice.row], choice.row)
        kind = "a composed impression" if model.dataset_name == DEMO_NAME else "watched in training"
        st.markdown(f"#### {plain(name)}, {kind}")
    with st.container(horizontal=True, vertical_alignment="center", key="impression_place"):
        place = plain(choosing.place_in_words(choice))
        st.caption("  ·  ".join([place, *_marks(shown)]), width="content")
        choose_population(model, choice, shown.against, shown.explanation)
        impression_report_button(shown)


def _choose_list(shown: Shown) -> None:
    st.session_state["impression_list"] = shown.choice.list_name
    st.selectbox(
        "Go through",
        choosing.lists_of(shown.model, shown.choice),
        format_func=choosing.LISTS.__getitem__,
        key="impression_list",
        label_visibility="collapsed",
        width=LIST_WIDTH,
        on_change=lambda: choosing.show_list(st.session_state["impression_list"]),
    )


def _choose_alike(shown: Shown) -> None:
    """The rows that share some of this impression's values."""
    with st.popover(
        "Same values…", icon=":material/filter_alt:", key="impression_alike", on_change="rerun"
    ) as popover:
        if not popover.open:
            return
        values, part = shown.explanation.seen_as, shown.choice.part
        names = st.multiselect(
            "Go through the rows that share these values",
            list(values),
            format_func=lambda name: f"{name} = {shortened(values[name], 30)}",
            placeholder="Choose some of its values",
            key="impression_alike_fields",
        )
        wanted = {name: shown.explanation.values[name] for name in names}
        rows = choosing.rows_with(shown.model, part, wanted)
        st.button(
            f"Show these {format_count(len(rows))} rows of the {part} part",
            type="primary",
            disabled=not names or not len(rows),
            on_click=choosing.show_alike,
            args=(wanted, shown.choice.row),
        )


def _marks(shown: Shown) -> list[str]:
    """What happened, the truth where it is known, whether the model was trained on this row."""
    explanation = shown.explanation
    if shown.choice.changes or shown.choice.composed:
        truth = known_truth(shown.model, explanation.values)
        figures = choosing.outcome_in_words(None, truth)
        if shown.choice.changes:
            figures.insert(0, _change_in_words(shown))
    else:
        figures = choosing.outcome_in_words(explanation.label, explanation.truth)
    if explanation.seen_in_training:
        figures.append("seen in training")
    return [f"**{plain(figure)}**" for figure in figures]


def _change_in_words(shown: Shown) -> str:
    """ "2 of 10 values changed: 9.5 % → 45.7 %"."""
    before, after = shown.original.probability, shown.explanation.probability
    return (
        f"{len(shown.choice.changes)} of {len(shown.model.fields)} values changed: "
        f"{format_probability(before)} → {format_probability(after)}"
    )


def known_truth(model: TrainedModel, values: Mapping[str, str]) -> float | None:
    """The demo's true probability of changed values; None for other data or an unknown value."""
    if model.dataset_name != DEMO_NAME:
        return None
    try:
        return true_probability(values)
    except SchemaError:
        return None
