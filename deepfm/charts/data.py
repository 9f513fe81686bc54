"""The profile of a dataset to the figures of the Data page: click rates, cardinality, coverage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

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
from deepfm.data.vocabulary import Field, Vocabulary
from deepfm.evaluation import wilson_interval

VALUE_HEIGHT: Final = 26
"""Pixels of one value's row in the click rate figure."""

EMPTY: Final = "(empty)"
"""How an empty cell reads."""

Order = Literal["rows", "rate", "name"]

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

    @property
    def seen(self) -> NDArray[np.float64]:
        """Seen click rate of each value."""
        return self.clicks / self.rows

    def in_order(self, order: Order) -> "ValueRates":
        """The same values by their rows, by click rate, or by name; numbers in names by size."""
        if order == "name":
            places = sorted(range(len(self)), key=lambda place: _natural(self.names[place]))
        else:
            by = self.rows if order == "rows" else self.seen
            places = np.argsort(-by, kind="stable").tolist()
        return ValueRates(
            [self.names[place] for place in places],
            self.rows[places],
            self.clicks[places],
            self.low[places],
            self.high[places],
        )

    def __len__(self) -> int:
        return len(self.names)


def _natural(name: str) -> list[tuple[int, float, str]]:
    """A key by which "9" stands before "10": runs of digits count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in parts]


@dataclass(frozen=True)
class FieldCoverage:
    """One field of the training rows.

    distinct  different values, the rare ones too
    features  values that have a feature of their own, and the default
    coverage  share of the rows whose value has a feature of its own
    """

    name: str
    role: str
    distinct: int
    features: int
    coverage: float


def field_coverages(vocabulary: Vocabulary) -> list[FieldCoverage]:
    """Every field in the order of the model's input."""
    return [
        FieldCoverage(field.name, field.role, distinct, field.size, _coverage(vocabulary, field))
        for field, distinct in zip(vocabulary.fields, vocabulary.distinct, strict=True)
    ]


def _coverage(vocabulary: Vocabulary, field: Field) -> float:
    rows = int(vocabulary.counts[field.indices].sum())
    return 1 - int(vocabulary.counts[field.default]) / rows if rows else 0.0


def value_rates(vocabulary: Vocabulary, name: str, most: int = 24) -> ValueRates:
    """The `most` commonest features of a field that training rows have; numbers in their order.

    A categorical field's stand commonest first, its default (rare or unseen) last.
    """
    field = vocabulary.field(name)
    counts = vocabulary.counts[field.indices]
    own = np.argsort(-counts[:-1], kind="stable")[:most]
    own = np.sort(own) if field.role == "numeric" else own
    places = np.append(own, len(counts) - 1)
    ids = field.offset + places[counts[places] > 0]
    rows, clicks = vocabulary.counts[ids], vocabulary.clicks[ids]
    low, high = wilson_interval(clicks, rows)
    names = vocabulary.decode_column(name, ids).to_pylist()
    return ValueRates([text or EMPTY for text in names], rows, clicks, low, high)


def click_rate_figure(field: str, rates: ValueRates, base_rate: float) -> go.Figure:
    """Click rate of each value with its 95 % interval, beside the base rate of all rows."""
    figure = new_figure(
        f"Click rate by {shortened(field, 40)}", x="Click rate, with its 95 % interval"
    )
    seen = rates.seen
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


def click_rate_words(field: str, rates: ValueRates, base_rate: float) -> str:
    """The finding of a click rate figure: its highest and lowest value beside all rows."""
    highest, lowest = int(np.argmax(rates.seen)), int(np.argmin(rates.seen))
    return (
        f"Click rate by {field}: highest {rates.names[highest]} with "
        f"{format_probability(float(rates.seen[highest]))}, lowest {rates.names[lowest]} with "
        f"{format_probability(float(rates.seen[lowest]))}; all rows have "
        f"{format_probability(base_rate)}."
    )
