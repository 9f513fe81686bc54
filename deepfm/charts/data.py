"""The profile of a dataset to the figures of the Data page: click rates, cardinality, coverage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    colour,
    format_count,
    format_probability,
    label,
    line,
    new_figure,
    shortened,
)

VALUE_HEIGHT: Final = 26
"""Pixels of one value's row in the click rate figure."""

_LABELLED: Final = 3


@dataclass(frozen=True)
class ValueRates:
    """Click rates of some values of one field; n values in the order to show.

    names      raw values
    rows       int64[n]     training rows that hold the value
    clicks     int64[n]
    low, high  float64[n]   95 % interval of the click rate
    """

    names: Sequence[str]
    rows: NDArray[np.int64]
    clicks: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class FieldCoverage:
    """One field: how many features it has, and the share of training rows whose value has one."""

    name: str
    features: int
    coverage: float


def click_rate_figure(field: str, rates: ValueRates, base_rate: float) -> go.Figure:
    """Click rate of each value with its 95 % interval, beside the base rate of all rows."""
    figure = new_figure(
        f"Click rate by {shortened(field, 40)}", x="Click rate, with its 95 % interval"
    )
    seen = rates.clicks / np.maximum(rates.rows, 1)
    places = np.arange(len(seen))
    figure.add_scatter(
        x=seen,
        y=places,
        mode="markers",
        name="click rate",
        showlegend=False,
        marker={"size": 9, "color": colour("accent")},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.maximum(rates.high - seen, 0),
            "arrayminus": np.maximum(seen - rates.low, 0),
            "color": colour("muted"),
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[
            [label(name), format_count(clicks), format_count(rows), _interval(low, high)]
            for name, clicks, rows, low, high in zip(
                rates.names, rates.clicks, rates.rows, rates.low, rates.high, strict=True
            )
        ],
        hovertemplate="%{customdata[0]}<br>%{x:.1%} (%{customdata[3]})"
        "<br>%{customdata[1]} of %{customdata[2]} rows clicked<extra></extra>",
    )
    figure.add_scatter(
        x=[base_rate, base_rate],
        y=[-0.6, len(seen) - 0.4],
        mode="lines",
        name=f"all training rows, {format_probability(base_rate)}",
        hoverinfo="skip",
        line=line("best possible", "text"),
    )
    figure.update_xaxes(tickformat=".0~%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=places,
        ticktext=[
            f"{label(shortened(name))}  <span style='color:{colour('muted')}'>"
            f"{format_count(rows)}</span>"
            for name, rows in zip(rates.names, rates.rows, strict=True)
        ],
        range=[len(seen) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    return figure


def click_rate_height(values: int) -> int:
    """Pixels that a click rate figure of so many values needs."""
    return 110 + VALUE_HEIGHT * max(values, 2)


def _interval(low: float, high: float) -> str:
    return f"{format_probability(float(low))} to {format_probability(float(high))}"


def coverage_figure(fields: Sequence[FieldCoverage]) -> go.Figure:
    """Each field by its number of features and by how many rows keep a feature of their own."""
    figure = new_figure(
        "Fields by size and coverage",
        x="Features of the field (log scale)",
        y="Training rows whose value keeps a feature",
    )
    worst = {field.name for field in sorted(fields, key=lambda one: one.coverage)[:_LABELLED]}
    largest = {field.name for field in sorted(fields, key=lambda one: -one.features)[:1]}
    figure.add_scatter(
        x=[field.features for field in fields],
        y=[field.coverage for field in fields],
        mode="markers+text",
        showlegend=False,
        marker={"size": 10, "color": colour("accent", 0.75)},
        text=[
            label(shortened(field.name, 18)) if field.name in worst | largest else ""
            for field in fields
        ],
        textposition="top center",
        textfont={"size": 12},
        cliponaxis=False,
        customdata=[[label(field.name), format_count(field.features)] for field in fields],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]} features<br>%{y:.1%} of the rows"
        "<extra></extra>",
    )
    lowest = min((field.coverage for field in fields), default=0.0)
    room = max((1 - lowest) * 0.15, 0.01)
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(tickformat=".0~%", range=[max(0.0, lowest - room), 1 + room])
    return figure
