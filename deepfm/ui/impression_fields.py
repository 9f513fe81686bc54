"""Tab Fields: what each field did to each term, the network's part with its standard error."""

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import bar_height, field_rows, fields_figure
from deepfm.charts.palette import format_count, format_logit
from deepfm.explanation import Explanation
from deepfm.ui.impression_shown import (
    MORE,
    MOST_DRAWS,
    Shown,
    ask_for_more_draws,
    divided,
)
from deepfm.ui.plot import plot
from deepfm.ui.text import plain

AT_FIRST = 14
"""Fields that have a row of their own before all are asked for."""


def fields_view(shown: Shown) -> None:
    """A stacked bar a field, and before a change what its sum was."""
    explanation = divided(shown, shown.explanation)
    before = None if shown.before is None else divided(shown, shown.before)
    most = AT_FIRST
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(shown.model.fields) > AT_FIRST + 1 and st.toggle(
            f"All {len(shown.model.fields)} fields", key="impression_all_fields"
        ):
            most = len(shown.model.fields)
        if explanation.deep_by_field is not None:
            _samples(shown, explanation)
    rows = field_rows(explanation)
    plot(
        fields_figure(explanation, before, most=most, other=shown.other_values),
        key="impression_fields",
        height=bar_height(min(len(rows), most + 1)),
        caption=caption_of(explanation, before),
        alt=_finding(explanation),
        table=lambda: fields_table(explanation, before),
    )


def _samples(shown: Shown, explanation: Explanation) -> None:
    """From how much the network's parts are averaged, and a button for more."""
    draws = explanation.permutations
    errors = explanation.deep_standard_error or {}
    words = f"The network's parts are averaged over {format_count(draws)} random orders"
    if errors:
        words += f": give or take {max(errors.values()):.3f} at most"
    st.caption(plain(f"{words}."), width="content")
    if draws < MOST_DRAWS and any(errors.values()):
        st.button(
            "More samples",
            icon=":material/casino:",
            type="tertiary",
            help=f"{MORE} times as many make the whiskers less than half as long.",
            on_click=ask_for_more_draws,
            args=(shown,),
        )


def caption_of(explanation: Explanation, before: Explanation | None) -> str:
    """How to read the bars; of pairs and of samples only where the model has them."""
    words = (
        f"one row a field, the strongest first; to the right it raises the score, against "
        f"{explanation.against}."
    )
    if explanation.pairs:
        words += " A pair's effect is shared between its two fields."
    if "deep" in explanation.terms and explanation.deep_standard_error:
        words += " The whisker at the network's part is one standard error to each side."
    if before is not None:
        words += " The hollow diamond is where the field's sum was before your change."
    return words


def _finding(explanation: Explanation) -> str:
    rows = field_rows(explanation)
    return (
        f"{rows[0].field} = {rows[0].value} moves this impression most: "
        f"{format_logit(rows[0].total)}."
    )


def fields_table(explanation: Explanation, before: Explanation | None = None) -> pd.DataFrame:
    """The fields' parts with all digits."""
    were = {} if before is None else {row.field: row for row in field_rows(before)}
    rows = []
    for row in field_rows(explanation):
        known = {
            "field": row.field,
            "value": row.value,
            "linear": row.linear,
            "pairwise": row.pairwise,
            "deep": row.deep,
            "deep standard error": row.error,
            "sum": row.total,
        }
        if row.field in were:
            known |= {
                "value before": were[row.field].value,
                "sum before": were[row.field].total,
            }
        rows.append(known)
    return pd.DataFrame(rows)
