"""One run's history to its learning curves: two metrics side by side, within and by epoch."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import plotly.graph_objects as go

from deepfm.charts.draft import Canvas, Draft, axis_name, axis_number
from deepfm.charts.history import PARTS, History, Metric, Part, Track, metrics_of, value_of
from deepfm.charts.palette import colour, format_auc, line
from deepfm.charts.smoothing import Series
from deepfm.charts.training.axes import epoch_axis, value_range
from deepfm.charts.training.marks import add_resumed_marks
from deepfm.charts.training.views import can_be_smoothed, numbers, views

Detail = Literal["within epochs", "by epoch"]
Trace = dict[str, Any]

METRIC_NAMES: Final[dict[Metric, str]] = {"loss": "Loss", "accuracy": "Accuracy", "auc": "AUC"}
_AXIS_TITLES: Final[dict[Metric, str]] = {
    "loss": "loss (mean log loss)",
    "accuracy": "accuracy (share of rows)",
    "auc": "AUC",
}
_LEGEND: Final[dict[Part, str]] = {
    "train": "train: running mean in training mode",
    "validation": "validation: in evaluation mode",
    "test": "test",
}
ROOM: Final = {"l": 58, "b": 46}
"""Pixels for the axes' numbers and titles: to have them measured doubles the time of drawing."""
NOTHING: Final = [None]
"""A curve without points that still has its place in the legend."""
MARKED_UP_TO: Final = 12
"""Epochs up to which each end of an epoch has a mark of its own."""
SAMPLES_AN_EPOCH: Final = 3
"""Looks at the validation sample in one epoch from which they are worth a line of their own."""
SAMPLE: Final = "validation sample"
_HOW_TO_READ: Final = (
    "down is better for loss, up for AUC and accuracy. Watch the dashed validation line: where it "
    "turns while the train line goes on, the model begins to learn the training rows by heart."
)
_ABOUT_SAMPLES: Final = " Thin dashes within an epoch are a sample of the validation rows."
_ABOUT_THE_BOUND: Final = (
    " Best possible is for rows that the model has not seen: a train line above it is memorising."
)
_ABOUT_RESUMING: Final = (
    " At the upright line the run was interrupted and went on from its last checkpoint."
)


def curves_figure(
    history: History,
    metrics: Sequence[Metric] = ("loss", "auc"),
    detail: Detail = "within epochs",
    majority: float | None = None,
) -> go.Figure:
    """Train, validation and test by epoch, one panel a metric.

    detail     "within epochs" has the points between the ends of epochs too
    majority   accuracy of always guessing the commoner label, where it is known
    """
    draft = Draft(
        "How well it predicts, as it learns",
        x="epoch",
        panels=len(metrics),
        hovermode="x unified",
        uirevision="curves",
        margin=ROOM,
    )
    for panel, metric in enumerate(metrics, start=1):
        _add_panel(draft, panel, history, metric, detail, majority)
    add_resumed_marks(draft, history, panels=len(metrics))
    loss_axes = [
        axis_name("y", panel) for panel, metric in enumerate(metrics, start=1) if metric == "loss"
    ]
    draft.update_layout(meta=views(panels=len(metrics), log_y=loss_axes))
    return draft.figure()


def _add_panel(
    draft: Draft,
    panel: int,
    history: History,
    metric: Metric,
    detail: Detail,
    majority: float | None,
) -> None:
    traces = _traces(history, metric, detail)
    for trace in traces:
        named = panel == 1 and trace["name"] != SAMPLE
        draft.add_trace("scatter", panel=panel, **trace, showlegend=named)
    levels = _levels(history, metric, majority)
    shown = [float(value) for trace in traces for value in trace["y"] if value is not None]
    shown += [level for level, _ in levels]
    draft.update_axis("x", panel, **epoch_axis([history]), automargin=False)
    draft.update_axis(
        "y",
        panel,
        uirevision=metric,
        range=value_range(shown, metric),
        title={"text": _AXIS_TITLES[metric]},
        zeroline=False,
        automargin=False,
    )
    for level, words in levels:
        add_level(draft, level, words, panel)


def _levels(history: History, metric: Metric, majority: float | None) -> list[tuple[float, str]]:
    """Levels to compare a metric's curves with, and what they are."""
    best = history.started.best_possible_auc if history.started else None
    if metric == "auc" and best is not None:
        return [(best, f"best possible {best:.2f}")]
    if metric == "accuracy" and majority is not None:
        return [(majority, f"always the commoner label {majority:.2f}")]
    return []


def add_level(figure: Canvas, level: float, words: str, panel: int = 1) -> None:
    """A thin line of long dashes across one panel, named at its left end."""
    axis = axis_number(panel)
    style = line("best possible")
    figure.add_shape(
        type="line",
        xref=f"x{axis} domain",
        yref=f"y{axis}",
        x0=0,
        x1=1,
        y0=level,
        y1=level,
        line=style,
    )
    figure.add_annotation(
        xref=f"x{axis} domain",
        yref=f"y{axis}",
        x=0.01,
        y=level,
        text=words,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"size": 12, "color": colour("muted")},
        # A train line that memorises goes above the level, through its name.
        bgcolor=colour("ground", 0.8),
    )


def curves_caption(history: History, metric: Metric) -> str:
    """How the curves are read; with a word on the best possible AUC where that is drawn."""
    bound = metric == "auc" and _levels(history, metric, None)
    return (
        _HOW_TO_READ
        + (_ABOUT_SAMPLES if "sample" in tracks_of(history, "within epochs") else "")
        + (_ABOUT_THE_BOUND if bound else "")
        + (_ABOUT_RESUMING if history.resumed else "")
    )


def tracks_of(history: History, detail: Detail) -> list[Track]:
    """The curves that are drawn, from back to front; a part that is to come is there at once."""
    started = history.started
    rows = {
        "validation": started.validation_rows if started else 0,
        "test": started.test_rows if started else 0,
    }
    within = detail == "within epochs"
    tracks: list[Track] = ["within" if within else "train"]
    tracks += [
        part
        for part in PARTS[1:]
        if rows[part] or any(metrics_of(epoch, part) for epoch in history.epochs)
    ]
    samples = len(history.seen_samples)
    if within and samples >= SAMPLES_AN_EPOCH * max(1, len(history.epochs)):
        tracks.append("sample")
    return tracks


def _traces(history: History, metric: Metric, detail: Detail) -> list[Trace]:
    tracks = tracks_of(history, detail)
    traces = [_trace(history.series(metric, track), track, metric) for track in tracks]
    return [*traces, *_kept_trace(history, metric)] if "validation" in tracks else traces


def _trace(series: Series, track: Track, metric: Metric) -> Trace:
    if track == "sample":
        return _sample_trace(series)
    part: Part = "train" if track == "within" else track
    marks = track != "within" and len(series.positions) <= MARKED_UP_TO
    return {
        "x": numbers(series.positions) if series.positions else NOTHING,
        "y": numbers(series.values) if series.positions else NOTHING,
        "name": _LEGEND[part],
        "legendgroup": part,
        "mode": "lines+markers" if marks else "lines",
        "line": line(part, "accent"),
        "marker": {"size": 6 if part != "train" else 4, "color": colour("accent")},
        "hovertemplate": f"{part} %{{y:.4f}}<extra></extra>",
        "meta": can_be_smoothed(series),
    }


def _sample_trace(series: Series) -> Trace:
    """The validation sample within epochs, where an epoch is long enough to want it."""
    return {
        "x": numbers(series.positions),
        "y": numbers(series.values),
        "name": SAMPLE,
        "legendgroup": "validation",
        "mode": "lines",
        "line": {"color": colour("accent", 0.55), "width": 1.5, "dash": "dash"},
        "hovertemplate": "validation sample %{y:.4f}<extra></extra>",
        "meta": can_be_smoothed(series),
    }


def _kept_trace(history: History, metric: Metric) -> list[Trace]:
    """A ring round the epoch whose weights are kept, which is the best one on validation."""
    best = history.best
    value = value_of(best.validation, metric) if best else None
    known = best is not None and value is not None
    return [
        {
            "x": [best.epoch] if best and known else NOTHING,
            "y": [value] if known else NOTHING,
            "name": "epoch kept",
            "legendgroup": "kept",
            "mode": "markers",
            "cliponaxis": False,
            "marker": {
                "size": 15,
                "symbol": "circle-open",
                "color": colour("text"),
                "line": {"width": 2},
            },
            "hovertemplate": "best so far, kept: epoch %{x}<extra></extra>",
        }
    ]


def curves_finding(history: History) -> str:
    """What the curves show, in one sentence, for those who cannot see them."""
    if not history.epochs:
        return "No epoch has ended yet."
    last, part = history.epochs[-1], history.judged_by
    metrics = metrics_of(last, part)
    words = f"After epoch {last.epoch}, train loss is {last.train.loss:.4f}"
    if part != "train" and metrics is not None:
        words += f" and {part} loss {metrics.loss:.4f}, {part} AUC {format_auc(metrics.auc)}"
    if history.best is not None:
        words += f"; the best epoch so far is {history.best.epoch}"
    return words + "."
