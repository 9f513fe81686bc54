"""A threshold table and what mistakes cost to the cost of every threshold."""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.evaluation.threshold import add_moving_point, threshold_text
from deepfm.charts.palette import colour, new_figure
from deepfm.evaluation import Costs, ThresholdTable

PER: int = 1_000
"""Rows that a cost is given for."""


def costs_per_rows(table: ThresholdTable, costs: Costs) -> NDArray[np.float64]:
    """What the mistakes cost per 1,000 rows at each position, float64[S]."""
    rows = table.tp[0] + table.fp[0] + table.fn[0] + table.tn[0]
    return np.asarray(costs.total(table.fp, table.fn) * (PER / rows), np.float64)


def cost_figure(table: ThresholdTable, costs: Costs, start: int = 0) -> go.Figure:
    """Cost against threshold, the cheapest marked; the point follows the threshold."""
    each = costs_per_rows(table, costs)
    thresholds = np.minimum(table.threshold, 1.0)
    cheapest = int(np.argmin(each))
    figure = new_figure(
        "What the mistakes of each threshold cost",
        x="Threshold: rows at or above it are taken for clicks",
        y=f"Cost per {PER:,} rows",
    )
    figure.update_xaxes(tickformat="~%").update_yaxes(rangemode="tozero")
    figure.add_scatter(
        x=thresholds,
        y=each,
        mode="lines",
        name="cost of the mistakes",
        line={"color": colour("text"), "width": 3},
        customdata=[threshold_text(value) for value in table.threshold],
        hovertemplate="threshold %{customdata}<br>%{y:,.4~g} per 1,000 rows<extra></extra>",
    )
    figure.add_scatter(
        x=[thresholds[cheapest]],
        y=[each[cheapest]],
        mode="markers",
        name="cheapest on these rows",
        marker={
            "symbol": "diamond-open",
            "size": 15,
            "color": colour("text"),
            "line": {"width": 2, "color": colour("text")},
        },
        hovertemplate=f"cheapest, {threshold_text(table.threshold[cheapest])}"
        "<br>%{y:,.4~g} per 1,000 rows<extra></extra>",
    )
    add_moving_point(figure, thresholds, each, table, start)
    return figure
