"""Curves and tables of an evaluation to the figures of the Evaluate page.

Figures with frames follow one slider: frame s shows position s of the ThresholdTable. Each is
drawn whole without frames too, at the position it starts from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    RUN_COLOURS,
    RUN_MARKERS,
    colour,
    format_auc,
    format_count,
    format_probability,
    label,
    line,
    new_figure,
    shortened,
)
from deepfm.evaluation.curves import (
    CalibrationTable,
    GainCurve,
    Histogram,
    PrecisionRecallCurve,
    RocCurve,
    ThresholdTable,
)

CurveStyle = Literal["linear", "fm", "deep", "all", "run1", "run2", "run3", "run4", "run5", "run6"]

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "linear": {"color": colour("linear"), "width": 2},
    "fm": {"color": colour("pairwise"), "width": 4},
    "deep": {"color": colour("deep"), "width": 2, "dash": "dot"},
    "all": {"color": colour("text"), "width": 3},
}
_SHARE: Final = {"range": [-0.01, 1.01], "tickformat": ".0%", "dtick": 0.2}
_WHOLE: Final = np.array([0.0, 1.0])


@dataclass(frozen=True)
class NamedRoc:
    """One line of a ROC figure: how it is called, drawn and what its AUC is."""

    name: str
    style: CurveStyle
    curve: RocCurve
    auc: float | None


# --- words --------------------------------------------------------------------------------


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


# --- ROC and precision-recall ---------------------------------------------------------------


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
        xaxis_range=_SHARE["range"],
    )
    figure.update_xaxes(**_SHARE).update_yaxes(**_SHARE)
    _add_plain_line(figure, _WHOLE, _WHOLE, "guessing, AUC 0.5")
    for number, named in enumerate(curves):
        figure.add_trace(_roc_trace(named, number))
    if table is not None:
        _add_moving_point(figure, table.fpr, table.tpr, table, start)
    return figure


def _roc_trace(named: NamedRoc, number: int) -> go.Scatter:
    curve = named.curve
    is_run = named.style in RUN_COLOURS
    marks = np.unique(np.linspace(0, len(curve.fpr) - 1, 9).astype(int)[1:-1])
    return go.Scatter(
        x=curve.fpr,
        y=curve.tpr,
        mode="lines+markers" if is_run else "lines",
        name=f"{label(shortened(named.name))} {format_auc(named.auc)}",
        line={"color": colour(named.style), "width": 2} if is_run else _STYLES[named.style],
        marker={
            "symbol": RUN_MARKERS[number % len(RUN_MARKERS)],
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
    figure.update_xaxes(**_SHARE).update_yaxes(tickformat=".0%", rangemode="tozero")
    guess = f"guessing, {format_probability(curve.base_rate)}"
    _add_plain_line(figure, _WHOLE, np.full(2, curve.base_rate), guess)
    figure.add_scatter(
        x=curve.recall,
        y=curve.precision,
        mode="lines",
        name="the model",
        line=_STYLES["all"],
        customdata=[threshold_text(value) for value in curve.thresholds],
        hovertemplate="recall %{x:.1%}<br>precision %{y:.1%}<br>threshold %{customdata}"
        "<extra></extra>",
    )
    if table is not None:
        _add_moving_point(figure, table.tpr, table.precision, table, start)
    return figure


def _add_plain_line(
    figure: go.Figure, x: NDArray[np.float64], y: NDArray[np.float64], name: str
) -> None:
    """What guessing, or knowing everything, would do: thin and dashed."""
    figure.add_scatter(
        x=x, y=y, mode="lines", name=name, hoverinfo="skip", line=line("best possible", "muted")
    )


def _add_moving_point(
    figure: go.Figure,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    table: ThresholdTable,
    start: int,
) -> None:
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
    _set_frames(
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


def _set_frames(figure: go.Figure, states: Sequence[dict[str, Any]]) -> None:
    """One frame for each state of the figure's last trace."""
    kind, place = figure.data[-1].type, len(figure.data) - 1
    figure.frames = [
        {"name": str(number), "traces": [place], "data": [{"type": kind, **state}]}
        for number, state in enumerate(states)
    ]


def _numbers(values: Sequence[float]) -> list[float | None]:
    """JSON has no nan: what does not exist is not drawn."""
    return [None if np.isnan(value) else float(value) for value in values]


# --- confusion ------------------------------------------------------------------------------

_CELLS: Final = (("found", "missed"), ("false alarm", "rightly left"))


def confusion_figure(table: ThresholdTable, start: int = 0) -> go.Figure:
    """The four counts at each threshold, shaded by their share of the clicked or other rows."""
    figure = new_figure("What the threshold does to the rows (confusion matrix)")
    figure.add_heatmap(
        x=["taken for a click", "taken for none"],
        y=["clicked", "not clicked"],
        zmin=0,
        zmax=1,
        colorscale=[[0, colour("surface")], [1, colour("accent")]],
        showscale=False,
        xgap=4,
        ygap=4,
        texttemplate="%{text}",
        textfont={"size": 15},
        hovertemplate="%{y}, %{x}<br>%{text}<extra></extra>",
        **_confusion_cells(table, start),
    )
    figure.update_xaxes(showgrid=False, side="top", ticks="", tickfont={"size": 13})
    figure.update_yaxes(
        showgrid=False, autorange="reversed", ticks="", tickfont={"size": 13}, tickangle=-90
    )
    _set_frames(figure, [_confusion_cells(table, place) for place in range(len(table.threshold))])
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


# --- calibration ------------------------------------------------------------------------------


def calibration_figure(table: CalibrationTable) -> go.Figure:
    """Seen click rate against predicted probability with 95 % intervals, and rows per bin."""
    figure = new_figure(
        "Does a predicted 20 % mean 20 in 100? (calibration)",
        y="Seen click rate",
        yaxis_domain=[0.3, 1.0],
        yaxis2={"domain": [0.0, 0.2], "title": {"text": "Rows"}, "rangemode": "tozero"},
        xaxis={"title": {"text": "Predicted probability"}, "anchor": "y2", "tickformat": ".0~%"},
        bargap=0.1,
    )
    figure.update_layout(yaxis_tickformat=".0~%", yaxis_rangemode="tozero")
    end = float(max(table.predicted.max(), table.high.max()))
    _add_plain_line(figure, _WHOLE * end, _WHOLE * end, "predicted = seen")
    words = [
        f"{format_count(clicks)} of {format_count(rows)} rows clicked"
        for clicks, rows in zip(table.clicks, table.rows, strict=True)
    ]
    figure.add_scatter(
        x=table.predicted,
        y=table.seen,
        mode="lines+markers",
        name="the model",
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


# --- lift and gain ----------------------------------------------------------------------------


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
    figure.update_xaxes(**_SHARE).update_yaxes(**_SHARE)
    _add_plain_line(figure, _WHOLE, _WHOLE, "guessing")
    _add_plain_line(
        figure, np.array([0.0, base_rate, 1.0]), np.array([0.0, 1.0, 1.0]), "every click first"
    )
    figure.data[-1].line.dash = "dot"
    figure.add_scatter(
        x=curve.share_of_rows,
        y=curve.share_of_clicks,
        mode="lines",
        name="the model",
        line=_STYLES["all"],
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
    figure.update_xaxes(**_SHARE).update_yaxes(rangemode="tozero", ticksuffix="×")
    _add_plain_line(figure, _WHOLE, np.ones(2), "guessing, 1×")
    shown = curve.share_of_rows > 0
    figure.add_scatter(
        x=curve.share_of_rows[shown],
        y=curve.lift[shown],
        mode="lines",
        name="the model",
        line=_STYLES["all"],
        hovertemplate="the best %{x:.1%} of the rows<br>%{y:.2f} times the base rate"
        "<extra></extra>",
    )
    return figure


# --- histogram --------------------------------------------------------------------------------


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
    figure.update_xaxes(tickformat=".0~%").update_yaxes(tickformat=".0~%", rangemode="tozero")
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
    _set_frames(figure, [{"x": [float(place)] * 2} for place in at])
