"""One run in the store to what is watched: figures, curves, pinned impressions, the way on."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go
import streamlit as st

from deepfm.charts.history import History, Metric, metrics_of
from deepfm.charts.palette import (
    NO_VALUE,
    format_auc,
    format_duration,
    format_loss,
    format_rate,
    shortened,
)
from deepfm.charts.training.curves import (
    METRIC_NAMES,
    Detail,
    curves_caption,
    curves_figure,
    curves_finding,
    curves_table,
)
from deepfm.charts.training.replay import Replay, replay_of, with_curtain
from deepfm.charts.training.shares import (
    SHARES_CAPTION,
    shares_figure,
    shares_finding,
    shares_table,
)
from deepfm.terms import TERM_NAMES
from deepfm.ui import feed, links, state
from deepfm.ui.pinned import Pinned, show_pinned
from deepfm.ui.plot import Slider, plot, revision_of
from deepfm.ui.text import plain, show_error, show_notice

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

SOON: Final = 0.1
"""Seconds between looks until the first point is there."""
LIVE: Final = 0.5
REPLAY: Final = "replay"
METRIC: Final = "train_metric"
DETAIL: Final = "train_detail"
NOBODY_AFTER: Final = 15.0
"""Seconds that a run is first in the queue before we ask whether there is a worker."""

STATE_WORDS: Final[Mapping[str, str]] = {
    "queued": "waiting",
    "training": "training",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}


def watch_run(run_id: str) -> None:
    """Show a run, drawn again by itself as long as it has more to say."""
    row = state.store().run(run_id)
    _, history = feed.history(run_id)
    interval = _interval(row, history)
    st.fragment(_run, run_every=interval)(run_id, interval)


def _interval(row: "RunRow", history: History) -> float | None:
    if row.ended:
        return None
    return LIVE if history.latest else SOON


def _run(run_id: str, interval: float | None) -> None:
    # The row before its events: a run that has ended has all of them.
    row = state.store().run(run_id)
    cursor, history = feed.history(run_id)
    if _interval(row, history) != interval:
        st.rerun()
    _head(row, history)
    # Each part has its place in every state: what comes and goes must not move what stays, or the
    # browser would show the old one inside the new one until all is drawn.
    with st.container():
        _what_went_wrong(row)
    st.html(tiles_html(row, history))
    with st.container():
        if row.ended:
            _notices(history)
    replay = replay_of(history) if row.ended else None
    _curves(row, cursor, history, replay)
    _pinned(row, cursor, history, replay)
    with st.container():
        _shares(row, cursor, history, replay)
    if not row.ended:
        _notices(history)


# --- state, figures, the way on ---------------------------------------------------------------


def _head(row: "RunRow", history: History) -> None:
    """The run's name and state on the left, what can be done with it on the right."""
    with st.container(
        key="run_head",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        with st.container(width="content", gap=None):
            st.markdown(f"**{plain(row.name)}**")
            st.caption(plain(_state_in_words(row, history)))
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if row.ended:
                _ways_on(row)
            else:
                stop_button(row, key="train_stop")


def _state_in_words(row: "RunRow", history: History) -> str:
    if row.state == "queued":
        return _queue_in_words(row)
    if row.state == "training":
        if row.wanted == "stop":
            return "Stopping; what was learned is kept"
        if history.progress is not None:
            return f"{history.progress.stage}…"
        return "training" if history.latest else "starting to train…"
    words = STATE_WORDS[row.state]
    finished = history.finished
    if finished and finished.epochs != finished.best_epoch:
        words += f" after {finished.epochs} epochs; the weights of epoch {finished.best_epoch}"
        words += " are kept, the best one"
    elif finished:
        words += f" after {finished.epochs} epochs; the weights of the last one are kept"
        words += ", the best one" if history.best else ""
    return words


def _queue_in_words(row: "RunRow") -> str:
    import time

    position = state.store().queue_position(row.id)
    if position > 1:
        return f"waiting: number {position} in the queue"
    if time.time() - row.created < NOBODY_AFTER:
        return "waiting: next in the queue"
    if state.store().runs(states=("training",), limit=1):
        return "waiting: next, when the run before it is done"
    return "waiting, but no worker has taken it; start one with: python -m deepfm worker"


def stop_button(row: "RunRow", *, key: str) -> None:
    """Ask a run that waits or trains to stop."""
    stopping = row.wanted == "stop"
    st.button(
        "Stopping…" if stopping else "Stop",
        key=key,
        icon=":material/stop_circle:",
        disabled=stopping,
        on_click=state.store().request_stop,
        args=(row.id,),
    )


def _ways_on(row: "RunRow") -> None:
    """Where one goes from a run that has ended."""
    from deepfm.ui.train_form import compare_models_of, fill_from

    if state.is_trained(row) and row.result:
        links.button("evaluate", "Evaluate", key="to_evaluate", run=row.id, kind="primary")
        links.button("impression", "Explain an impression", key="to_impression", run=row.id)
    if row.group:
        links.button("train", "Compare with its group", key="to_group", group=row.group)
    elif st.button(
        "Compare all five",
        key="compare_run",
        icon=":material/stacked_line_chart:",
        help="Trains LR, FM, DNN, Wide & Deep and DeepFM with this run's settings.",
    ):
        compare_models_of(row)
    st.button(
        "Train again with changes",
        key="train_fill",
        help="Puts this run's settings into the form.",
        on_click=fill_from,
        args=(row,),
        icon=":material/edit:",
    )


def _what_went_wrong(row: "RunRow") -> None:
    """The cause in words, where a run ended otherwise than it was meant to."""
    if row.state in ("failed", "interrupted") or (row.state == "stopped" and not row.result):
        message = row.message or f"This run was {row.state}."
        (show_notice if row.state == "stopped" else show_error)(message)


def _notices(history: History) -> None:
    for notice in history.notices:
        show_notice(notice.text)


def tiles_html(row: "RunRow", history: History) -> str:
    """Epoch, loss, AUC, speed, time and device, as one row of tiles of the same height."""
    started, latest = history.started, history.latest
    last = history.epochs[-1] if history.epochs else None
    # Once it has ended, what counts is the model that was kept.
    epoch = history.best if history.finished and history.best else last
    part = history.judged_by
    shown = metrics_of(epoch, part) if epoch else (latest.train if latest else None)
    whose: str = part if shown else ""
    if history.finished and epoch is not None:
        whose += f", epoch {epoch.epoch}"
    planned = int(row.train.get("epochs", 0))
    speed = latest.examples_per_second if latest else None
    tiles = (
        ("Epoch", f"{int(history.position)}", f"of {planned}"),
        ("Loss", format_loss(shown.loss if shown else None), whose),
        ("AUC", format_auc(shown.auc if shown else None), whose),
        ("Speed", format_rate(speed), "examples"),
        _time_tile(row, history, planned),
        ("Device", *_device(started.device if started else "")),
    )
    cells = "".join(
        f'<div class="dfm-tile" role="listitem"><span>{name}</span>'
        f'<b title="{escape(value)}">{escape(value)}</b><small>{escape(small)}</small></div>'
        for name, value, small in tiles
    )
    return f'<div class="dfm-tiles" role="list">{cells}</div>'


def _device(device: str) -> tuple[str, str]:
    """ "CPU, 2 threads" is CPU with a small "2 threads" under it; a GPU is named by what it is."""
    kind, _, rest = device.partition(", ")
    return shortened(kind, 12) if kind else NO_VALUE, rest or (kind if len(kind) > 12 else "")


def _time_tile(row: "RunRow", history: History, planned: int) -> tuple[str, str, str]:
    """Time left while it trains, time taken afterwards."""
    latest = history.latest
    if row.ended or latest is None or not history.position:
        taken = history.finished.seconds if history.finished else latest and latest.seconds
        return "Time", format_duration(taken) if taken else NO_VALUE, "of training"
    left = latest.seconds / history.position * max(0.0, planned - history.position)
    patient = "at most" if row.train.get("patience") else "about"
    return "Time left", format_duration(left), patient


# --- curves -----------------------------------------------------------------------------------


def _curves(row: "RunRow", cursor: int, history: History, replay: Replay | None) -> None:
    metric, detail = _choose_curves()
    figure = _curves_figure(row.id, cursor, metric, detail, row.ended, history)
    plot(
        figure,
        key="train_curves",
        height=330,
        caption=curves_caption(history, metric),
        alt=curves_finding(history),
        table=lambda: curves_table(history),
        slider=_slider(row, replay, leads=True),
    )


def _choose_curves() -> tuple[Metric, Detail]:
    """Which metric stands beside loss, and how finely the train curve is drawn."""
    with st.container(horizontal=True, gap="medium"):
        metrics: list[Metric] = ["auc", "accuracy"]
        metric = st.segmented_control(
            "Beside the loss",
            metrics,
            format_func=lambda name: METRIC_NAMES[name],
            default="auc",
            required=True,
            key=METRIC,
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
            label_visibility="collapsed",
        )
    return metric or "auc", detail or "within epochs"


@st.cache_resource(show_spinner=False, max_entries=64)
def _curves_figure(
    run_id: str, cursor: int, metric: Metric, detail: Detail, ended: bool, _history: History
) -> go.Figure:
    """One figure for all who watch; not to be changed."""
    rate = _history.finished.base_rate if _history.finished else None
    majority = None if rate is None else max(rate, 1 - rate)
    figure = curves_figure(_history, ("loss", metric), detail, majority)
    return with_curtain(figure, replay_of(_history), panels=2) if ended else figure


def _slider(row: "RunRow", replay: Replay | None, *, leads: bool) -> Slider | None:
    """The replay's slider under the curves; the other charts follow it."""
    if replay is None or len(replay.moments) < 3:
        return None
    return Slider(
        label="Replay",
        readouts=replay.readouts if leads else (),
        start=len(replay.moments) - 1,
        play=leads,
        group=f"{REPLAY}-{row.id}",
        hidden=not leads,
        revision=revision_of(row.id, len(replay.moments)),
    )


# --- pinned impressions -----------------------------------------------------------------------


def _pinned(row: "RunRow", cursor: int, history: History, replay: Replay | None) -> None:
    terms = tuple(row.model.get("terms", TERM_NAMES))
    explained = state.is_trained(row) and bool(row.result)
    show_pinned(
        Pinned(row.pinned, row.dataset_name, terms, row.id, cursor, row.ended, explained),
        history,
        _slider(row, replay, leads=False),
    )


# --- how the variance divides -----------------------------------------------------------------


def _shares(row: "RunRow", cursor: int, history: History, replay: Replay | None) -> None:
    terms = tuple(row.model.get("terms", TERM_NAMES))
    if len(terms) < 2:
        st.caption(f"The score of this model has one term, {terms[0]}: all of it varies with that.")
        return
    plot(
        _shares_figure(row.id, cursor, terms, row.ended, history),
        key="train_shares",
        height=230,
        caption=SHARES_CAPTION,
        alt=shares_finding(history, terms),
        table=lambda: shares_table(history),
        slider=_slider(row, replay, leads=False),
    )


@st.cache_resource(show_spinner=False, max_entries=64)
def _shares_figure(
    run_id: str, cursor: int, terms: tuple[str, ...], ended: bool, _history: History
) -> go.Figure:
    """One figure for all who watch; not to be changed."""
    figure = shares_figure(_history, terms)
    return with_curtain(figure, replay_of(_history)) if ended else figure
