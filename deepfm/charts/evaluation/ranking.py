"""Curves that say how well a model ranks to ROC, precision-recall, gain and lift figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.evaluation.threshold import add_moving_point, threshold_text
from deepfm.charts.palette import (
    RUN_COLOURS,
    RUN_MARKERS,
    colour,
    format_auc,
    format_probability,
    label,
    line,
    new_figure,
    shortened,
)
from deepfm.evaluation import GainCurve, PrecisionRecallCurve, RocCurve, ThresholdTable

CurveStyle = Literal["linear", "fm", "deep", "all", "run1", "run2", "run3", "run4", "run5", "run6"]

STYLES: Final[dict[str, dict[str, Any]]] = {
    "linear": {"color": colour("linear"), "width": 2},
    "fm": {"color": colour("pairwise"), "width": 4},
    "deep": {"color": colour("deep"), "width": 2, "dash": "dot"},
    "all": {"color": colour("text"), "width": 3},
}
SHARE: Final = {"range": [-0.01, 1.02], "tickformat": ".0%", "dtick": 0.2}
ROOM: Final = {"r": 24}
"""Pixels at the right, so that the last tick's "100%" is not cut."""
WHOLE: Final = np.array([0.0, 1.0])


@dataclass(frozen=True)
class NamedRoc:
    """One line of a ROC figure: how it is called, drawn and what its AUC is."""

    name: str
    style: CurveStyle
    curve: RocCurve
    auc: float | None


def auc_sentence(auc: float | None) -> str:
    """What an AUC means, in one sentence; also where there is none."""
    if auc is None:
        return (
            "These rows have one class only, all clicked or none: nothing can be ranked, "
            "so there is no AUC and no curve."
        )
    times = min(99, max(1, round(100 * auc))) if 0 < auc < 1 else round(100 * auc)
    return (
        f"AUC {auc:.2f}: shown a clicked and an unclicked impression, it ranks the clicked one "
        f"higher {times} times in 100."
    )


def roc_figure(
    curves: Sequence[NamedRoc], table: ThresholdTable | None = None, start: int = 0
) -> go.Figure:
    """True against false positive rate of each curve; a point that moves with the threshold.

    curves  drawn in order, the last on top
    table   positions of the threshold of the last curve; None draws no point and no frames
    """
    figure = new_figure(
        "Clicked rows found, against others taken for clicks (ROC)",
        x="False positive rate: others taken for clicks",
        y="True positive rate: clicked rows found",
    )
    figure.update_layout(margin=ROOM)
    figure.update_xaxes(**SHARE).update_yaxes(**SHARE)
    add_plain_line(figure, WHOLE, WHOLE, "guessing, AUC 0.5")
    for named in curves:
        figure.add_trace(_roc_trace(named))
    if table is not None:
        add_moving_point(figure, table.fpr, table.tpr, table, start)
    return figure


def _roc_trace(named: NamedRoc) -> go.Scatter:
    curve = named.curve
    is_run = named.style in RUN_COLOURS
    marks = np.unique(np.linspace(0, len(curve.fpr) - 1, 9).astype(int)[1:-1])
    return go.Scatter(
        x=curve.fpr,
        y=curve.tpr,
        mode="lines+markers" if is_run else "lines",
        name=f"{label(shortened(named.name))} {format_auc(named.auc)}",
        line={"color": colour(named.style), "width": 2} if is_run else STYLES[named.style],
        marker={
            "symbol": RUN_MARKERS[RUN_COLOURS.index(named.style)],
            "size": [9 if place in marks else 0 for place in range(len(curve.fpr))],
        }
        if is_run
        else None,
        customdata=[threshold_text(value) for value in curve.thresholds]
        if named.style == "all"
        else None,
        hovertemplate=label(named.name)
        + "<br>clicked rows found %{y:.1%}<br>others taken for clicks %{x:.1%}"
        + ("<br>threshold %{customdata}" if named.style == "all" else "")
        + "<extra></extra>",
    )


def precision_recall_figure(
    curve: PrecisionRecallCurve, table: ThresholdTable | None = None, start: int = 0
) -> go.Figure:
    """Precision against recall, beside the level of guessing; the point follows the threshold."""
    figure = new_figure(
        "How many of those taken for clicks are clicks (precision-recall)",
        x="Recall: clicked rows found",
        y="Precision: clicks among those taken for clicks",
    )
    figure.update_layout(margin=ROOM)
    figure.update_xaxes(**SHARE).update_yaxes(tickformat="~%", rangemode="tozero")
    guess = f"guessing, {format_probability(curve.base_rate)}"
    add_plain_line(figure, WHOLE, np.full(2, curve.base_rate), guess)
    figure.add_scatter(
        x=curve.recall,
        y=curve.precision,
        mode="lines",
        name="the model",
        line=STYLES["all"],
        customdata=[threshold_text(value) for value in curve.thresholds],
        hovertemplate="recall %{x:.1%}<br>precision %{y:.1%}<br>threshold %{customdata}"
        "<extra></extra>",
    )
    if table is not None:
        add_moving_point(figure, table.tpr, table.precision, table, start)
    return figure


def share_caught(curve: GainCurve, share_of_rows: float) -> float:
    """The share of all clicks among the best `share_of_rows` of the rows."""
    return float(np.interp(share_of_rows, curve.share_of_rows, curve.share_of_clicks))


def gain_figure(curve: GainCurve, base_rate: float) -> go.Figure:
    """Share of all clicks among the share of rows with the highest scores."""
    figure = new_figure(
        "Showing only the best rows: how many clicks are caught (cumulative gain)",
        x="Share of rows, highest scores first",
        y="Share of all clicks",
    )
    figure.update_layout(margin=ROOM)
    figure.update_xaxes(**SHARE).update_yaxes(**SHARE)
    add_plain_line(figure, WHOLE, WHOLE, "guessing")
    add_plain_line(
        figure, np.array([0.0, base_rate, 1.0]), np.array([0.0, 1.0, 1.0]), "every click first"
    )
    figure.data[-1].line.dash = "dot"
    figure.add_scatter(
        x=curve.share_of_rows,
        y=curve.share_of_clicks,
        mode="lines",
        name="the model",
        line=STYLES["all"],
        hovertemplate="the best %{x:.1%} of the rows<br>hold %{y:.1%} of the clicks<extra></extra>",
    )
    return figure


def lift_figure(curve: GainCurve) -> go.Figure:
    """How many times more clicks than among as many rows by chance."""
    figure = new_figure(
        "Times more clicks than by chance (lift)",
        x="Share of rows, highest scores first",
        y="Lift: times the base rate",
    )
    figure.update_layout(margin=ROOM)
    figure.update_xaxes(**SHARE).update_yaxes(rangemode="tozero", ticksuffix="×")
    add_plain_line(figure, WHOLE, np.ones(2), "guessing, 1×")
    shown = curve.share_of_rows > 0
    figure.add_scatter(
        x=curve.share_of_rows[shown],
        y=curve.lift[shown],
        mode="lines",
        name="the model",
        line=STYLES["all"],
        hovertemplate="the best %{x:.1%} of the rows<br>%{y:.2f} times the base rate"
        "<extra></extra>",
    )
    return figure


def add_plain_line(
    figure: go.Figure, x: NDArray[np.float64], y: NDArray[np.float64], name: str
) -> None:
    """What guessing, or knowing everything, would do: thin and dashed."""
    figure.add_scatter(
        x=x, y=y, mode="lines", name=name, hoverinfo="skip", line=line("best possible", "muted")
    )
