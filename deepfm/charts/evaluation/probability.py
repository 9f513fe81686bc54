"""Predicted probabilities beside what happened to calibration, histogram and slice figures."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.evaluation.ranking import WHOLE, add_plain_line
from deepfm.charts.evaluation.threshold import set_states
from deepfm.charts.palette import (
    colour,
    format_count,
    format_probability,
    label,
    new_figure,
    shortened,
)
from deepfm.evaluation import CalibrationTable, Histogram, Slice, ThresholdTable

OTHERS: Final = "all others together"
"""How the values with too few rows of their own read."""


def calibration_figure(
    table: CalibrationTable, before: CalibrationTable | None = None
) -> go.Figure:
    """Seen click rate against predicted probability with 95 % intervals, and rows per bin.

    before   the same before recalibration: hollow dots without a line
    """
    figure = new_figure(
        "Does a predicted 20 % mean 20 in 100? (calibration)",
        y="Seen click rate",
        yaxis_domain=[0.3, 1.0],
        yaxis2={"domain": [0.0, 0.2], "title": {"text": "Rows"}, "rangemode": "tozero"},
        xaxis={"title": {"text": "Predicted probability"}, "anchor": "y2", "tickformat": "~%"},
        bargap=0.1,
    )
    figure.update_layout(yaxis_tickformat="~%", yaxis_rangemode="tozero")
    end = float(max(table.predicted.max(), table.high.max()))
    add_plain_line(figure, WHOLE * end, WHOLE * end, "predicted = seen")
    words = _clicked_words(table)
    if before is not None:
        figure.add_scatter(
            x=before.predicted,
            y=before.seen,
            mode="markers",
            name="before, as trained",
            marker={"size": 9, **_hollow()},
            customdata=_clicked_words(before),
            hovertemplate="before: predicted %{x:.1%}<br>seen %{y:.1%}<br>%{customdata}"
            "<extra></extra>",
        )
    figure.add_scatter(
        x=table.predicted,
        y=table.seen,
        mode="lines+markers",
        name="the model" if before is None else "after recalibration",
        line={"color": colour("text"), "width": 2},
        marker={"size": 8, "color": colour("text")},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": table.high - table.seen,
            "arrayminus": table.seen - table.low,
            "color": colour("muted"),
            "thickness": 1.2,
            "width": 3,
        },
        customdata=words,
        hovertemplate="predicted %{x:.1%}<br>seen %{y:.1%}<br>%{customdata}<extra></extra>",
    )
    figure.add_bar(
        x=table.predicted,
        y=table.rows,
        yaxis="y2",
        name="rows",
        showlegend=False,
        width=np.maximum(np.gradient(table.predicted) * 0.5, end / 200)
        if len(table.predicted) > 1
        else None,
        marker={"color": colour("muted", 0.5), "line": {"width": 0}},
        customdata=words,
        hovertemplate="predicted %{x:.1%}<br>%{customdata}<extra></extra>",
    )
    return figure


def _clicked_words(table: CalibrationTable) -> list[str]:
    return [
        f"{format_count(clicks)} of {format_count(rows)} rows clicked"
        for clicks, rows in zip(table.clicks, table.rows, strict=True)
    ]


def histogram_figure(
    histogram: Histogram, table: ThresholdTable | None = None, start: int = 0
) -> go.Figure:
    """Predicted probabilities by label, each label's bars adding up to 100 % of its rows.

    Clicked rows are filled, the others hollow; a line stands at the threshold.
    """
    figure = new_figure(
        "Scores of clicked and unclicked rows",
        x="Predicted probability",
        y="Share of the rows with this label",
        barmode="overlay",
        bargap=0.06,
    )
    figure.update_xaxes(tickformat="~%").update_yaxes(tickformat="~%", rangemode="tozero")
    tallest = 0.0
    for words, counts, marker in (
        ("not clicked (hollow)", histogram.not_clicked, _hollow()),
        ("clicked (filled)", histogram.clicked, {"color": colour("accent", 0.6)}),
    ):
        shares = counts / max(int(counts.sum()), 1)
        tallest = max(tallest, float(shares.max()))
        figure.add_bar(
            x=(histogram.edges[:-1] + histogram.edges[1:]) / 2,
            y=shares,
            width=np.diff(histogram.edges) * 0.94,
            name=words,
            marker=marker,
            customdata=[format_count(count) for count in counts],
            hovertemplate=f"{words}<br>probability about %{{x:.1%}}"
            "<br>%{y:.1%}, %{customdata} rows<extra></extra>",
        )
    if table is not None:
        _add_threshold_line(figure, table, start, tallest)
    return figure


def _hollow() -> dict[str, Any]:
    return {"color": "rgba(0,0,0,0)", "line": {"width": 1.5, "color": colour("muted")}}


def _add_threshold_line(
    figure: go.Figure, table: ThresholdTable, start: int, height: float
) -> None:
    at = np.minimum(table.threshold, 1.0)
    figure.add_scatter(
        x=[at[start]] * 2,
        y=[0, height * 1.05],
        mode="lines",
        name="threshold",
        hoverinfo="skip",
        line={"color": colour("text"), "width": 2},
    )
    set_states(figure, [{"x": [float(place)] * 2} for place in at])


def slice_name(one: Slice) -> str:
    """How a slice reads; an empty cell and the rest have names too."""
    return OTHERS if one.value is None else one.value or "(empty)"


def histogram_finding(shape: Histogram) -> str:
    """The mean score of each label, from the middles of the bins: "… score 32.1 % on average …"."""
    middles = (shape.edges[:-1] + shape.edges[1:]) / 2
    clicked, others = (
        format_probability(float(np.average(middles, weights=rows)) if rows.sum() else None)
        for rows in (shape.clicked, shape.not_clicked)
    )
    return f"Clicked rows score {clicked} on average, unclicked rows {others}."


def slices_finding(slices: Sequence[Slice]) -> str:
    """Of the values whose prediction lies outside the interval of what was seen, the furthest."""
    wrong = [one for one in slices if not one.base_rate_low <= one.predicted <= one.base_rate_high]
    if not wrong:
        return "No value lies outside its interval."
    worst = max(wrong, key=lambda one: abs(one.predicted - one.base_rate))
    return (
        f"Furthest outside: {slice_name(worst)}, predicted {format_probability(worst.predicted)}, "
        f"seen {format_probability(worst.base_rate)}."
    )


def slices_figure(field: str, slices: Sequence[Slice]) -> go.Figure:
    """Seen click rate with its 95 % interval beside the mean prediction, value by value."""
    figure = new_figure(
        f"Predicted against seen click rate by {shortened(field, 40)}", x="Click rate"
    )
    places = np.arange(len(slices))
    seen = np.array([one.base_rate for one in slices])
    hover = [
        [
            label(slice_name(one)),
            f"{format_count(one.clicks)} of {format_count(one.rows)} rows clicked",
            format_probability(one.predicted),
        ]
        for one in slices
    ]
    figure.add_scatter(
        x=seen,
        y=places,
        mode="markers",
        name="seen",
        marker={"size": 9, "color": colour("text")},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.array([one.base_rate_high for one in slices]) - seen,
            "arrayminus": seen - np.array([one.base_rate_low for one in slices]),
            "color": colour("muted"),
            "thickness": 1.5,
            "width": 4,
        },
        customdata=hover,
        hovertemplate="%{customdata[0]}<br>seen %{x:.1%}, predicted %{customdata[2]}"
        "<br>%{customdata[1]}<extra></extra>",
    )
    figure.add_scatter(
        x=[one.predicted for one in slices],
        y=places,
        mode="markers",
        name="predicted",
        marker={
            "size": 11,
            "symbol": "diamond-open",
            "color": colour("accent"),
            "line": {"width": 2, "color": colour("accent")},
        },
        customdata=hover,
        hovertemplate="%{customdata[0]}<br>predicted %{x:.1%}<br>%{customdata[1]}<extra></extra>",
    )
    figure.update_xaxes(tickformat="~%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=places,
        ticktext=[
            f"{label(shortened(slice_name(one)))} ({format_count(one.rows)})" for one in slices
        ],
        range=[len(slices) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    return figure
