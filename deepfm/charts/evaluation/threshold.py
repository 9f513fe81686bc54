"""A threshold table to what moves with the threshold: words, a point, the confusion matrix.

Frame s of a figure shows position s of the table; without frames a figure stands at its start.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.draft import set_frames
from deepfm.charts.palette import colour, format_count, format_probability, new_figure
from deepfm.evaluation import ThresholdTable


def threshold_readouts(table: ThresholdTable) -> list[str]:
    """What each position of the threshold does, one sentence each."""
    clicked, unclicked = int(table.tp[0] + table.fn[0]), int(table.fp[0] + table.tn[0])
    return [
        f"Threshold {threshold_text(threshold)}: "
        f"{format_count(tp)} of {format_count(clicked)} clicked rows found"
        f"{_in_brackets(tpr)}, {format_count(fp)} of {format_count(unclicked)} others taken for "
        f"clicks{_in_brackets(fpr)}. Precision {_share(precision)}, accuracy {_share(accuracy)}."
        for threshold, tp, fp, tpr, fpr, precision, accuracy in zip(
            table.threshold,
            table.tp,
            table.fp,
            table.tpr,
            table.fpr,
            table.precision,
            table.accuracy,
            strict=True,
        )
    ]


def threshold_text(threshold: float) -> str:
    """A threshold as a probability; small ones keep two figures that differ."""
    if threshold > 1:
        return "above 100 %"
    return format_probability(float(threshold), 1 if threshold >= 0.02 or threshold == 0 else 3)


def _in_brackets(share: float) -> str:
    return "" if np.isnan(share) else f" ({_share(share)})"


def _share(share: float) -> str:
    return format_probability(float(share))


def add_moving_point(
    figure: go.Figure,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    table: ThresholdTable,
    start: int,
) -> None:
    """Add the point of a curve where the threshold stands, and a frame for each position.

    x, y   float64[S], coordinates of each position of the table; nan where it has none
    """
    figure.add_scatter(
        x=[x[start]],
        y=[y[start]],
        mode="markers",
        name="threshold",
        showlegend=False,
        cliponaxis=False,
        marker={
            "size": 15,
            "color": colour("accent"),
            "line": {"width": 3, "color": colour("ground")},
        },
        hovertemplate="%{text}<extra></extra>",
        text=[f"threshold {threshold_text(table.threshold[start])}"],
    )
    set_states(
        figure,
        [
            {
                "x": _numbers([x[place]]),
                "y": _numbers([y[place]]),
                "text": [f"threshold {threshold_text(table.threshold[place])}"],
            }
            for place in range(len(x))
        ],
    )


def set_states(figure: go.Figure, states: Sequence[dict[str, Any]]) -> None:
    """One frame for each state of the figure's last trace."""
    kind, place = figure.data[-1].type, len(figure.data) - 1
    set_frames(figure, [{"traces": [place], "data": [{"type": kind, **state}]} for state in states])


def _numbers(values: Sequence[float]) -> list[float | None]:
    """JSON has no nan: what does not exist is not drawn."""
    return [None if np.isnan(value) else float(value) for value in values]


_CELLS: Final = (("found", "missed"), ("false alarm", "rightly left"))


def confusion_figure(table: ThresholdTable, start: int = 0) -> go.Figure:
    """The four counts at each threshold, shaded by their share of the clicked or other rows."""
    figure = new_figure("What the threshold does to the rows (confusion matrix)")
    figure.add_heatmap(
        x=["taken for a click", "taken for none"],
        y=["clicked", "not clicked"],
        zmin=0,
        zmax=1,
        colorscale=[[0, colour("accent", 0.04)], [1, colour("accent", 0.5)]],
        showscale=False,
        xgap=4,
        ygap=4,
        texttemplate="%{text}",
        textfont={"size": 15, "color": colour("text")},
        hovertemplate="%{y}, %{x}<br>%{text}<extra></extra>",
        **_confusion_cells(table, start),
    )
    figure.update_xaxes(showgrid=False, side="top", ticks="", tickfont={"size": 13})
    figure.update_yaxes(
        showgrid=False, autorange="reversed", ticks="", tickfont={"size": 13}, tickangle=-90
    )
    set_states(figure, [_confusion_cells(table, place) for place in range(len(table.threshold))])
    return figure


def _confusion_cells(table: ThresholdTable, place: int) -> dict[str, Any]:
    counts = (
        (table.tp[place], table.fn[place]),
        (table.fp[place], table.tn[place]),
    )
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    return {
        "z": [[float(share) for share in row] for row in shares],
        "text": [
            [
                f"<b>{format_count(count)}</b><br>{words}<br>{format_probability(float(share))}"
                for count, share, words in zip(*cells, strict=True)
            ]
            for cells in zip(counts, shares, _CELLS, strict=True)
        ],
    }
