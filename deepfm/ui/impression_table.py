"""A run's rows to a table in which a person finds one: raw values, what happened, the score."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from deepfm.charts.palette import format_count
from deepfm.trained import TrainedModel
from deepfm.ui.choosing import Choice, rows_of, show_list, show_row

TABLE_ROWS: Final = 2_000
"""Rows of the table that are sent to the page at once; the filter narrows them down."""


@st.dialog("Choose an impression", width="large")
def choose_from_table(model: TrainedModel, choice: Choice) -> None:
    """A table of raw values that sorts and filters; a click on a row opens it."""
    raw = model.impressions(choice.part)
    left, right = st.columns(2)
    field = left.selectbox("Only rows where", ["", *raw.column_names], format_func=_any)
    rows = rows_of(model, choice.part, "all") if choice.composed else choice.rows
    if field:
        column = raw[field].take(rows)
        counts = column.value_counts().to_pylist()
        counts.sort(key=lambda item: -item["counts"])
        values = [item["values"] for item in counts]
        value = right.selectbox("is", values, format_func=_empty)
        chosen = np.array([item == value for item in column.to_pylist()], dtype=bool)
        rows = rows[chosen]
    table = table_of(model, choice.part, rows[:TABLE_ROWS])
    shown = "" if len(rows) <= TABLE_ROWS else f", the first {format_count(TABLE_ROWS)} are shown"
    st.caption(
        f"{format_count(len(rows))} rows{shown}. Click a heading to sort, tick a row to open it."
    )
    event = st.dataframe(
        table,
        hide_index=True,
        height=440,
        on_select="rerun",
        selection_mode="single-row",
        key="impression_table",
    )
    if event.selection.rows:
        if choice.composed:
            show_list("all")
        show_row(int(table["row"].iloc[event.selection.rows[0]]), choice.part)
        st.rerun()


def table_of(model: TrainedModel, part: str, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Rows as a table: what happened, the score and the truth in percent, then the raw values."""
    scores = model.scores(part)
    table = pd.DataFrame({"row": rows})
    table["clicked"] = scores.labels[rows] == 1
    probability = scores.terms[rows].probability
    table["probability"] = [round(100 * value, 2) for value in probability]
    if scores.truth is not None:
        table["truth"] = np.round(100 * scores.truth[rows].astype(np.float64), 2)
    raw = model.impressions(part).take(rows)
    for name in raw.column_names:
        if name == model.schema.label.name:
            continue
        own = name if name not in table.columns else f"{name} (column)"
        table[own] = raw[name].to_pylist()
    return table.rename(columns={"probability": "model %", "truth": "truth %"})


def _any(name: str) -> str:
    return name or "(any value)"


def _empty(value: str | None) -> str:
    return "(empty)" if value in (None, "") else str(value)
