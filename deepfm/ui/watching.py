"""One run in the store to what is watched: its state, figures, charts, the way on."""

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.history import History
from deepfm.charts.palette import format_epoch
from deepfm.errors import DeepFMError
from deepfm.ui import feed, links, state, stopping
from deepfm.ui.learning import show_learning
from deepfm.ui.person import person
from deepfm.ui.queue_words import queue_in_words
from deepfm.ui.text import mistakes_in_words, plain, show_error, show_notice
from deepfm.ui.tiles import tiles_html
from deepfm.ui.timers import look_again_every
from deepfm.ui.unchanged import drawn_until
from deepfm.ui.wakes import send_now, together

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

SOON: Final = 0.1
"""Seconds between looks from a run's turn until its first point is there."""
LIVE: Final = 0.15
"""Seconds between looks at what is learning, or waits for others; most bring nothing new."""
PACE: Final = 0.35
"""Seconds between drawings of what learns, so that two a second are kept where many watch."""
MOMENT: Final = 0.3
"""Seconds that a drawing waits for the first point, which then need not wait for the next look."""
BEGINNING: Final = 3.0
"""Seconds after it was asked for in which a run's first point is expected at any moment."""
RESUME_ERROR: Final = "train_resume_error"

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
    st.fragment(_run, run_every=interval)(run_id, interval, person())


def _interval(row: "RunRow", history: History) -> float | None:
    """Seconds until the next look; None once nothing more will happen."""
    if row.ended:
        return None
    if history.latest or (row.state == "queued" and _others_first(row)):
        return LIVE
    return SOON


def _others_first(row: "RunRow") -> bool:
    store = state.store()
    return store.queue_position(row.id) > 1 or bool(store.runs(states=("training",), limit=1))


@together()
@mistakes_in_words()
def _run(run_id: str, interval: float | None, me: str) -> None:
    # The row before its events: a run that has ended has all of them.
    row = state.store().run(run_id)
    cursor, history = feed.history(run_id, whole=row.ended)
    wanted = _interval(row, history)
    if wanted != interval and (wanted is None or interval is None):
        st.rerun()
    if wanted is not None and wanted != interval:
        # What has come is drawn now; the page round it would take longer than its first point.
        look_again_every(wanted)
    words = state_in_words(row, history, me)
    _head(row, words, me)
    # Each part has its place in every state: what comes and goes must not move what stays, or the
    # browser would show the old one inside the new one until all is drawn.
    with st.container():
        _what_went_wrong(row, history)
    st.html(tiles_html(row, history))
    with st.container():
        if row.ended:
            _notices(history)
    # What stands above is of this event.
    moves = _moves(row, cursor, words, me)
    soon = wanted == SOON and time.time() - row.created < BEGINNING
    drawn = show_learning(row, lambda: _with_first_point(run_id) if soon else (cursor, history))
    if not row.ended:
        _notices(drawn)
        drawn_until(moves, pace=PACE if wanted == LIVE else 0.0)


def _moves(row: "RunRow", cursor: int, words: str, me: str) -> Callable[[], bool]:
    """Tells, when it is asked later, whether the run would be drawn otherwise."""
    moves = feed.run_moves(row, cursor)
    if row.state != "queued":
        return moves
    # What it waits for stands in other runs' rows.
    return lambda: moves() or queue_in_words(row, me) != words


def _with_first_point(run_id: str) -> tuple[int, History]:
    """What is known in a moment; meanwhile the browser builds what stands above."""
    send_now()
    deadline = time.monotonic() + MOMENT
    cursor, history = feed.history(run_id)
    while not history.latest and time.monotonic() < deadline:
        time.sleep(0.01)
        cursor, history = feed.history(run_id)
    return cursor, history


# --- state, figures, the way on ---------------------------------------------------------------


def _head(row: "RunRow", words: str, me: str) -> None:
    """The run's name and state on the left, what can be done with it on the right."""
    with st.container(
        key="run_head",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        with st.container(width="content", gap=None):
            by = f" by {plain(row.owner_name)}" if stopping.is_theirs(row, me) else ""
            st.markdown(f"**{plain(row.name)}**{by}")
            st.caption(plain(words[0].upper() + words[1:]))
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if row.ended:
                _ways_on(row)
            else:
                # Whoever was quicker to resume it has done what was wanted.
                st.session_state.pop(RESUME_ERROR, None)
                stop_button(row, key="train_stop", me=me)


def state_in_words(row: "RunRow", history: History, me: str = "") -> str:
    """Where a run stands: its place in the queue, its stage, or how it ended."""
    if row.state == "queued":
        return queue_in_words(row, me)
    if row.state == "training":
        if row.wanted == "stop":
            asked = f", asked{by}" if (by := _stopped_by(row)) else ""
            return f"Stopping{asked}; what was learned is kept"
        if history.progress is not None:
            return f"{history.progress.stage}…"
        if not history.latest:
            return "starting to train…" if row.attempt < 2 else "going on from its checkpoint…"
        return "training" + (
            f", resumed at epoch {_resumed_at(history)}" if history.resumed else ""
        )
    words = STATE_WORDS[row.state]
    finished = history.finished
    stopped = row.state == "stopped"
    by = _stopped_by(row) if stopped else ""
    if finished is None:
        return words + by
    # Who stops a run seldom meets the end of an epoch.
    words += f" in epoch {finished.epochs}{by}" if stopped else f" after {finished.epochs} epochs"
    if finished.epochs != finished.best_epoch:
        return f"{words}; the weights of epoch {finished.best_epoch} are kept, the best one"
    words += f"; the weights of {'this' if stopped else 'the last'} one are kept"
    return words + (", the best one" if history.best else "")


def _stopped_by(row: "RunRow") -> str:
    """ " by Quick Seal" where another than its owner asked the run to stop."""
    return f" by {row.stopped_by_name}" if row.stopped_by not in ("", row.owner) else ""


def _resumed_at(history: History) -> str:
    """ "2.3", or "2.3 and 7.5" where it was resumed more than once."""
    return " and ".join(format_epoch(resumed.epoch) for resumed in history.resumed)


def stop_button(row: "RunRow", *, key: str, me: str = "") -> None:
    """Ask a run that waits or trains to stop; about another person's it is asked back first.

    me   as for `stopping.is_theirs`
    """
    stopping.stop_button(
        row,
        lambda: stopping.stop_run(row.id),
        key=key,
        stopping=row.wanted == "stop",
        me=me,
    )


def resume_button(row: "RunRow", *, key: str) -> None:
    """Let a run that was stopped or interrupted go on, where it left a checkpoint."""
    if error := st.session_state.pop(RESUME_ERROR, ""):
        show_error(error)
    if checkpoint_epoch(row) is None:
        return
    st.button(
        "Resume",
        key=key,
        icon=":material/resume:",
        type="primary" if row.state == "interrupted" else "secondary",
        help="Goes on from the last checkpoint, as if it had never been interrupted.",
        on_click=_resume,
        args=(row.id,),
    )


def _ways_on(row: "RunRow") -> None:
    """Where one goes from a run that has ended."""
    from deepfm.ui.train_form import compare_models_of, fill_from

    resume_button(row, key="train_resume")
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
    if st.button(
        "Train again with changes",
        key="train_fill",
        help="Puts this run's settings into the form.",
        icon=":material/edit:",
    ):
        fill_from(row)
        st.toast("The form has this run's settings. Change some, then press Train.")
        # The form is no part of what is drawn again here by itself.
        st.rerun(scope="app")


def _what_went_wrong(row: "RunRow", history: History) -> None:
    """Why a run ended otherwise than it was meant to, and what can be done about it."""
    if row.damaged:
        show_error(
            f"This run's row in the run store is damaged ({', '.join(row.damaged)}): what stands "
            "there cannot be shown. Other runs are not touched by that; delete this one on Runs."
        )
    if row.state in ("failed", "interrupted") or (row.state == "stopped" and not row.result):
        message = row.message or f"This run was {row.state}."
        (show_notice if row.state == "stopped" else show_error)(message)
    if words := _ways_out(row, history):
        st.caption(plain(words))


def _ways_out(row: "RunRow", history: History) -> str:
    """What can be done with a run that has ended before its last epoch; "" with any other."""
    at = checkpoint_epoch(row)
    if at is not None:
        return (
            f"What it had learned up to epoch {format_epoch(at)} of "
            f"{int(row.train.get('epochs', 0))} is kept: "
            "Resume goes on from there, on the same curves."
        )
    if row.state == "interrupted":
        return "It had kept nothing to go on from yet. Train again with the same settings."
    if row.state == "failed":
        reached = f"It came to epoch {format_epoch(history.position)}. " if history.latest else ""
        return reached + "Change what the sentence names, then train again."
    return ""


def checkpoint_epoch(row: "RunRow") -> float | None:
    """The position from which a run can be resumed; None where it cannot."""
    if row.state not in ("interrupted", "stopped"):
        return None
    try:
        return float(json.loads((row.folder / "checkpoint.json").read_text("utf-8"))["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _resume(run_id: str) -> None:
    try:
        state.store().resume_run(run_id)
    except DeepFMError as error:
        # Somebody else was quicker, or its folder is gone.
        st.session_state[RESUME_ERROR] = str(error)


def _notices(history: History) -> None:
    for notice in history.notices:
        show_notice(notice.text)
