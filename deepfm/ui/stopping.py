"""A click on Stop to a stop: of one's own runs at once, of another's after a question in place."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.ui import state
from deepfm.ui.person import person
from deepfm.ui.text import plain, told

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow


def stop_run(run_id: str) -> None:
    """Ask a run to stop, in this person's name."""
    state.store().request_stop(run_id, by=person())


def is_theirs(row: "RunRow", me: str = "") -> bool:
    """Whether a run is known to be somebody else's.

    me   who looks at it, where that is known already: what is drawn all the time asks it once
    """
    return row.owner not in ("", me or person())


def stop_button(
    row: "RunRow",
    stop: Callable[[], None],
    *,
    key: str,
    stopping: bool,
    label: str = "Stop",
    what: str = "run",
    me: str = "",
) -> None:
    """The button, and in its place a question where the run, or its group, is another person's.

    row    the run, or one of the group
    stop   what is done then, such as `stop_run`
    what   what is stopped, "run" or "group"
    me     as for `is_theirs`
    In a horizontal container. What was asked is kept by the session, so that a page which is
    drawn anew, as a live one is all the time, goes on asking.
    """
    asked = f"{key}_asked"
    theirs = is_theirs(row, me)
    if theirs and not stopping and st.session_state.get(asked) == row.id:
        st.markdown(f"Stop {plain(row.owner_name)}'s {what}?", width="content")
        st.button(label, key=f"{key}_yes", icon=":material/stop_circle:", on_click=told(stop))
        # It stands where Stop stood, so that a double click stops nothing.
        st.button("Keep", key=f"{key}_no", on_click=_answered, args=(asked,))
        return
    if stopping:
        _answered(asked)
    st.button(
        "Stopping…" if stopping else label,
        key=key,
        icon=":material/stop_circle:",
        disabled=stopping,
        on_click=_ask if theirs else told(stop),
        args=(asked, row.id) if theirs else (),
    )


def _ask(asked: str, run_id: str) -> None:
    st.session_state[asked] = run_id


def _answered(asked: str) -> None:
    st.session_state.pop(asked, None)
