"""A run's history to its live charts: curves, pinned impressions, shares, branches, replay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go
import streamlit as st

from deepfm.charts.history import PARTS, History, Metric, Part
from deepfm.charts.training.curves import (
    METRIC_NAMES,
    Detail,
    curves_caption,
    curves_figure,
    curves_finding,
)
from deepfm.charts.training.curves_table import curves_table
from deepfm.charts.training.ranking import (
    has_two_branches,
    rank_labels,
    ranking_caption,
    ranking_figure,
    ranking_finding,
    ranking_table,
)
from deepfm.charts.training.replay import Labels, Replay, replay_of, with_curtain
from deepfm.charts.training.shares import (
    share_labels,
    shares_at,
    shares_caption,
    shares_figure,
    shares_finding,
    shares_table,
)
from deepfm.data.dataset import Dataset
from deepfm.events import Epoch, Point, Started
from deepfm.terms import TERM_NAMES
from deepfm.ui import state
from deepfm.ui.look import Look, look_controls
from deepfm.ui.pinned import Pinned, show_pinned
from deepfm.ui.plot import Slider, draw_ahead, plot, revision_of, shown
from deepfm.ui.shared import once

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

VIEW: Final = "train"
"""The group of charts that one set of controls changes: all over epochs of one run."""
METRIC: Final = "metric"
DETAIL: Final = "detail"
REPLAY: Final = "replay"
CURVES: Final = "train_curves"
HEIGHT: Final = 330
"""Pixels of the curves."""


@dataclass(frozen=True)
class Watched:
    """One run as far as it has learned; cursor is that of its newest event."""

    row: "RunRow"
    cursor: int
    history: History
    replay: Replay | None

    @property
    def terms(self) -> tuple[str, ...]:
        """The model's terms."""
        return tuple(self.row.model.get("terms", TERM_NAMES))

    @property
    def key(self) -> tuple[str, int, bool]:
        """What a figure of this run depends on, apart from how it is looked at."""
        return self.row.id, self.cursor, self.row.ended


def show_learning(row: "RunRow", read: Callable[[], tuple[int, History]]) -> History:
    """All charts of a run; once it has ended a slider takes them back through its training.

    Returns the history that is drawn.

    read   the cursor of the newest event and the history up to it; asked once the browser has
           what stands above the curves
    """
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        metric, detail = _choose_curves()
        look = look_controls(VIEW, key="train_look")
    cursor, history = read()
    watched = Watched(row, cursor, history, replay_of(history) if row.ended else None)
    _show_curves(watched, metric, detail, look)
    # A browser takes longer to build all charts than a run to come to its first point, which then
    # stands on the curve at once; the others show how things change, and that takes two.
    several = row.ended or len(history.points) + len(history.epochs) > 1
    with st.container():
        if several:
            _show_pinned(watched)
    with st.container():
        if several:
            _show_branches(watched)
    return history


# --- curves -----------------------------------------------------------------------------------


def prepare_curves(dataset: Dataset) -> None:
    """Begin the curves' drawing, out of sight, while nobody waits for it yet."""
    parts = dataset.summary().parts
    rows = {part: parts[part].rows if part in parts else 0 for part in PARTS}
    expected = once(
        ("curves ahead", *rows.values()),
        lambda: shown(curves_figure(_before_first_point(rows), ("loss", "auc"))),
    )
    draw_ahead(expected, key=CURVES, height=HEIGHT)


def _before_first_point(rows: Mapping[Part, int]) -> History:
    """What a run on so many rows of each part says when it begins."""
    return History(
        started=Started(
            model="",
            train_rows=rows["train"],
            validation_rows=rows["validation"],
            test_rows=rows["test"],
            steps_per_epoch=1,
            epochs=1,
            parameters=0,
            device="",
            step="",
        )
    )


def _show_curves(watched: Watched, metric: Metric, detail: Detail, look: Look) -> None:
    history = watched.history
    plot(
        once(
            ("curves", watched.key, metric, detail),
            lambda: shown(_curves_figure(watched, metric, detail)),
        ),
        key=CURVES,
        height=HEIGHT,
        caption=curves_caption(history, metric),
        alt=curves_finding(history),
        table=lambda: curves_table(history, detail, look.smoothing),
        slider=_slider(watched, leads=True),
        view=VIEW,
    )


def _choose_curves() -> tuple[Metric, Detail]:
    """Which metric stands beside loss, and how finely the train curve is drawn."""
    metrics: list[Metric] = ["auc", "accuracy"]
    metric = st.segmented_control(
        "Beside the loss",
        metrics,
        format_func=lambda name: METRIC_NAMES[name],
        default="auc",
        required=True,
        key=METRIC,
        bind="query-params",
        label_visibility="collapsed",
    )
    details: list[Detail] = ["within epochs", "by epoch"]
    detail = st.segmented_control(
        "Detail",
        details,
        format_func=str.capitalize,
        default="within epochs",
        required=True,
        key=DETAIL,
        bind="query-params",
        label_visibility="collapsed",
    )
    return metric or "auc", detail or "within epochs"


def _curves_figure(watched: Watched, metric: Metric, detail: Detail) -> go.Figure:
    history = watched.history
    rate = history.finished.base_rate if history.finished else None
    majority = None if rate is None else max(rate, 1 - rate)
    figure = curves_figure(history, ("loss", metric), detail, majority)
    return with_curtain(figure, watched.replay, panels=2) if watched.replay else figure


def _slider(watched: Watched, *, leads: bool) -> Slider | None:
    """The replay's slider under the curves; the other charts follow it."""
    replay = watched.replay
    if replay is None or len(replay.moments) < 3:
        return None
    return Slider(
        label="Replay",
        readouts=replay.readouts if leads else (),
        start=len(replay.moments) - 1,
        play=leads,
        group=f"{REPLAY}-{watched.row.id}",
        hidden=not leads,
        revision=revision_of(watched.row.id, len(replay.moments)),
    )


# --- pinned impressions -----------------------------------------------------------------------


def _show_pinned(watched: Watched) -> None:
    row = watched.row
    explained = state.is_trained(row) and bool(row.result)
    show_pinned(
        Pinned(
            row.pinned,
            row.dataset_name,
            watched.terms,
            row.id,
            watched.cursor,
            row.ended,
            explained,
        ),
        watched.history,
        _slider(watched, leads=False),
    )


# --- what the terms and branches do -----------------------------------------------------------


def _show_branches(watched: Watched) -> None:
    """How the variance divides, and what each branch ranks alone, beside each other."""
    terms = watched.terms
    if len(terms) < 2:
        st.caption(f"The score of this model has one term, {terms[0]}: all of it varies with that.")
        return
    if not has_two_branches(terms):
        _show_shares(watched)
        return
    with st.container(key="two_branches"):
        left, right = st.columns(2, gap="medium")
        with left:
            _show_shares(watched)
        with right:
            _show_ranking(watched)


def _show_shares(watched: Watched) -> None:
    history, terms = watched.history, watched.terms
    plot(
        once(("shares", watched.key), lambda: shown(_shares_figure(watched))),
        key="train_shares",
        height=240,
        caption=shares_caption(history),
        alt=once(("shares said", watched.key), lambda: shares_finding(history, terms)),
        table=lambda: shares_table(history),
        slider=_slider(watched, leads=False),
        view=VIEW,
    )


def _shares_figure(watched: Watched) -> go.Figure:
    figure = shares_figure(watched.history, watched.terms)

    def labels(moment: Point | Epoch | None) -> Labels:
        return share_labels(shares_at(moment), watched.terms, figure.layout.yaxis.range)

    return with_curtain(figure, watched.replay, labels=labels) if watched.replay else figure


def _show_ranking(watched: Watched) -> None:
    history = watched.history
    plot(
        once(("ranking", watched.key), lambda: shown(_ranking_figure(watched))),
        key="train_ranking",
        height=240,
        caption=ranking_caption(history),
        alt=ranking_finding(history),
        table=lambda: ranking_table(history),
        slider=_slider(watched, leads=False),
        view=VIEW,
    )


def _ranking_figure(watched: Watched) -> go.Figure:
    figure = ranking_figure(watched.history)

    def labels(moment: Point | Epoch | None) -> Labels:
        at = moment.epoch if moment else 0.0
        return rank_labels(watched.history, at, figure.layout.yaxis.range)

    return with_curtain(figure, watched.replay, labels=labels) if watched.replay else figure
