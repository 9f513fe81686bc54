"""The profile of a dataset to the figures of the Data page: click rates, cardinality, coverage."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    format_count,
    format_probability,
    label,
    line,
    new_figure,
    shortened,
)
from deepfm.data.dataset import FieldProfile, ValueProfile
from deepfm.data.value_order import NO_VALUES, is_ordered, place_of

VALUE_HEIGHT: Final = 26
"""Pixels of one value's row in the click rate figure."""
EMPTY: Final = "(empty)"
"""How an empty cell reads."""

Order = Literal["rows", "rate", "name"]

_LABELLED: Final = 3


# --- click rates ------------------------------------------------------------------------------


def seen_values(field: FieldProfile, order: Order = "rows") -> list[ValueProfile]:
    """The values that training rows hold: by rows, by click rate, or by name.

    By name, numbers count as numbers and weekdays and months stand as in the calendar; an empty
    cell and what has no feature of its own stand last. The buckets of a numeric field stay in
    their own order.
    """
    seen = [value for value in field.values if value.count]
    if field.role == "numeric":
        return sorted(seen, key=lambda value: value.index)
    if order == "name":
        return sorted(seen, key=lambda value: place_of(value.value))
    if order == "rate":
        return sorted(seen, key=lambda value: -(value.rate or 0.0))
    return sorted(seen, key=lambda value: -value.count)


def usual_order(field: FieldProfile) -> Order:
    """By name where all values are shown and have an order: numbers, times, weekdays, months."""
    if field.role == "numeric":
        return "name"
    names = [value.value for value in field.values if value.value not in NO_VALUES]
    shown = len(names) >= field.kept - bool(field.missing)
    return "name" if shown and all(is_ordered(name) for name in names) else "rows"


def value_name(value: ValueProfile) -> str:
    """How a value reads; an empty cell has a name too."""
    return value.value or EMPTY


def click_rate_figure(name: str, values: Sequence[ValueProfile], base_rate: float) -> go.Figure:
    """Click rate of each value with its 95 % interval, beside the base rate of all rows."""
    figure = new_figure(
        f"Click rate by {shortened(name, 40)}", x="Click rate, with its 95 % interval"
    )
    rate = np.array([value.rate for value in values], dtype=np.float64)
    places = np.arange(len(values))
    figure.add_scatter(
        x=rate,
        y=places,
        mode="markers",
        showlegend=False,
        marker={"size": 9, "color": colour("accent")},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.array([value.high for value in values], dtype=np.float64) - rate,
            "arrayminus": rate - np.array([value.low for value in values], dtype=np.float64),
            "color": colour("muted"),
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[_hover(value) for value in values],
        hovertemplate="%{customdata[0]}<br>%{x:.1%} (95 %: %{customdata[1]})"
        "<br>%{customdata[2]}<extra></extra>",
    )
    figure.add_scatter(
        x=[base_rate, base_rate],
        y=[-0.6, len(values) - 0.4],
        mode="lines",
        name=f"all training rows, {format_probability(base_rate)}",
        hoverinfo="skip",
        line=line("best possible", "text"),
    )
    figure.update_xaxes(tickformat="~%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=places,
        ticktext=[
            f"{label(shortened(value_name(value)))} ({format_count(value.count)})"
            for value in values
        ],
        range=[len(values) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    return figure


def _hover(value: ValueProfile) -> list[str]:
    return [
        label(value_name(value)),
        f"{format_probability(value.low)} to {format_probability(value.high)}",
        f"{format_count(value.clicks)} of {format_count(value.count)} rows clicked",
    ]


def click_rate_height(values: int) -> int:
    """Pixels that a click rate figure of so many values needs."""
    return 110 + VALUE_HEIGHT * max(values, 2)


def click_rate_words(name: str, values: Sequence[ValueProfile], base_rate: float) -> str:
    """The finding of a click rate figure: its highest and lowest value beside all rows."""
    highest = max(values, key=lambda value: value.rate or 0.0)
    lowest = min(values, key=lambda value: value.rate or 0.0)
    return (
        f"Click rate by {name}: highest {value_name(highest)} with "
        f"{format_probability(highest.rate)}, lowest {value_name(lowest)} with "
        f"{format_probability(lowest.rate)}; all rows have {format_probability(base_rate)}."
    )


def click_rate_table(values: Sequence[ValueProfile]) -> pd.DataFrame:
    """What the click rate figure shows, unrounded."""
    return pd.DataFrame(
        {
            "value": [value_name(value) for value in values],
            "rows": [value.count for value in values],
            "clicks": [value.clicks for value in values],
            "click rate": [value.rate for value in values],
            "low": [value.low for value in values],
            "high": [value.high for value in values],
        }
    )


# --- fields -----------------------------------------------------------------------------------


def coverage_figure(fields: Sequence[FieldProfile]) -> go.Figure:
    """Each field by its number of values and by how many rows keep a feature of their own."""
    figure = new_figure(
        "Fields by number of values and coverage",
        x="Different values in the training rows (log scale)",
        y="Rows whose value has its own feature",
    )
    named = {field.name for field in sorted(fields, key=lambda one: one.coverage)[:_LABELLED]}
    named |= {field.name for field in sorted(fields, key=lambda one: -one.cardinality)[:1]}
    figure.add_scatter(
        x=[max(field.cardinality, 1) for field in fields],
        y=[field.coverage for field in fields],
        mode="markers+text",
        showlegend=False,
        marker={"size": 10, "color": colour("accent", 0.75)},
        text=[label(shortened(field.name, 18)) if field.name in named else "" for field in fields],
        textposition="top center",
        textfont={"size": 12},
        cliponaxis=False,
        customdata=[[label(field.name), format_count(field.cardinality)] for field in fields],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]} values<br>%{y:.1%} of the rows"
        "<extra></extra>",
    )
    lowest = min((field.coverage for field in fields), default=0.0)
    room = max((1 - lowest) * 0.15, 0.01)
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(tickformat="~%", range=[max(0.0, lowest - room), 1 + room])
    return figure


def fields_table(fields: Sequence[FieldProfile]) -> pd.DataFrame:
    """One line for each field; coverage in percent."""
    return pd.DataFrame(
        {
            "Field": [field.name for field in fields],
            "Role": [field.role for field in fields],
            "Values": [field.cardinality for field in fields],
            "Rare": [field.rare for field in fields],
            "Empty": [field.missing for field in fields],
            "Coverage": [100 * field.coverage for field in fields],
        }
    )
