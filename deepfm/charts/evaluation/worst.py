"""Slices where a model is worst to a figure, a table and its finding."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    format_auc,
    format_count,
    format_loss,
    format_probability,
    label,
    new_figure,
    shortened,
)
from deepfm.evaluation import FoundSlice, Measure, SliceSearch, p_in_words
from deepfm.intervals import NORMAL_95

_AXES: Final[Mapping[Measure, str]] = {
    "log_loss": "Log loss above that of all other rows, nats",
    "calibration": "Distance of predicted from seen click rate",
    "auc": "AUC below that of all other rows",
}
_HOW: Final[Mapping[Measure, str]] = {
    "log_loss": "A loss is also high where chance decides more, so look at the calibration gap "
    "too.",
    "calibration": "Predicted clicks against seen ones.",
    "auc": "How well clicked rows are told from others within the slice.",
}


def worst_figure(search: SliceSearch) -> go.Figure:
    """How much worse each slice is; filled where that is more than chance. A click opens it."""
    found = [one for one in search.found if one.excess > 0]
    figure = new_figure("Where this model is worst", x=_AXES[search.measure])
    places = np.arange(len(found))
    figure.add_bar(
        x=[one.excess for one in found],
        y=places,
        orientation="h",
        marker={
            "color": [
                colour("lowers", 0.75) if one.significant else "rgba(0,0,0,0)" for one in found
            ],
            "line": {"width": 1.5, "color": colour("lowers")},
        },
        error_x={
            "type": "data",
            "array": [NORMAL_95 * one.error for one in found],
            "color": colour("muted"),
            "thickness": 1.3,
            "width": 4,
        },
        customdata=[
            [label(str(one.selection)), label(_numbers(search.measure, one))] for one in found
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra>click to open</extra>",
        showlegend=False,
    )
    figure.update_xaxes(rangemode="tozero")
    if search.measure == "calibration":
        figure.update_xaxes(tickformat="~%")
    figure.update_yaxes(
        tickvals=places,
        ticktext=[
            f"{label(shortened(str(one.selection), 36))} ({format_count(one.rows)})"
            for one in found
        ],
        range=[len(found) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    return figure


def _numbers(measure: Measure, one: FoundSlice) -> str:
    rows = f"{format_count(one.clicks)} of {format_count(one.rows)} rows clicked"
    p_value = f"p {p_in_words(one.adjusted)} after Benjamini-Hochberg"
    if measure == "calibration":
        seen = one.clicks / one.rows
        return (
            f"predicted {format_probability(seen + one.value)}, seen {format_probability(seen)}; "
            f"{rows}; {p_value}"
        )
    form, name = (format_auc, "AUC") if measure == "auc" else (format_loss, "log loss")
    return f"{name} {form(one.value)}, elsewhere {form(one.rest)}; {rows}; {p_value}"


def worst_caption(search: SliceSearch) -> str:
    """How to read it: which slices, which test, which correction."""
    return (
        f"{format_count(search.looked_at)} values of all fields with at least "
        f"{format_count(search.fewest_rows)} rows were looked at, so some are bad by chance alone: "
        "filled bars are those that are not, at a false discovery rate of 5 % "
        f"(Benjamini-Hochberg). {_HOW[search.measure]} Click a bar to see this whole page for "
        "its rows alone."
    )


def worst_finding(search: SliceSearch) -> str:
    """How many slices are worse by more than chance, and which is the worst."""
    worse = [one for one in search.significant if one.excess > 0]
    if not search.looked_at:
        return f"No value has {format_count(search.fewest_rows)} rows of its own."
    if not worse:
        return (
            f"None of {format_count(search.looked_at)} values is worse than the rest by more than "
            "chance."
        )
    are = "value is" if len(worse) == 1 else "values are"
    return (
        f"{len(worse)} {are} worse by more than chance; the worst is {worse[0].selection}: "
        f"{_numbers(search.measure, worse[0])}."
    )


def worst_table(search: SliceSearch) -> pd.DataFrame:
    """One row a slice, unrounded."""
    found = search.found
    return pd.DataFrame(
        {
            "slice": [str(one.selection) for one in found],
            "rows": [one.rows for one in found],
            "clicks": [one.clicks for one in found],
            search.measure.replace("_", " "): [one.value for one in found],
            "elsewhere": [one.rest for one in found],
            "worse by": [one.excess for one in found],
            "standard error": [one.error for one in found],
            "p": [one.p_value for one in found],
            "p after Benjamini-Hochberg": [one.adjusted for one in found],
        }
    )
