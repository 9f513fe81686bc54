"""A run or group that was there already: since when, and a way to train it all the same."""

import time
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.palette import format_duration
from deepfm.errors import DeepFMError
from deepfm.ui import state
from deepfm.ui.person import person
from deepfm.ui.text import plain, show_error

if TYPE_CHECKING:
    from deepfm.runs.store import NewRun, RunRow

JOINED: Final = "joined"
"""Session key: what this person asked for and joined, {"run": id} or {"group": id}."""


def remember(**joined: str) -> None:
    """Keep in mind that this person joined a run or a group instead of queueing it."""
    st.session_state[JOINED] = joined


def forget() -> None:
    """What is watched from here on is this person's own."""
    st.session_state.pop(JOINED, None)


def show_joined() -> None:
    """One line above what is watched, where it was joined."""
    joined: dict[str, str] = st.session_state.get(JOINED, {})
    if not joined or any(st.query_params.get(name) != value for name, value in joined.items()):
        return
    rows = _rows(joined)
    with st.container(horizontal=True, vertical_alignment="center", key="joined"):
        st.markdown(f":material/group: {plain(since_in_words(rows, time.time()))}", width="content")
        if st.button(
            "Train anyway",
            key="train_anyway",
            help="The same data, settings and seed: it will come to the same result.",
        ):
            try:
                _train_anyway(joined, rows)
            except DeepFMError as error:
                show_error(error)


def _rows(joined: dict[str, str]) -> list["RunRow"]:
    store = state.store()
    if "run" in joined:
        return [store.run(joined["run"])]
    return [store.run(run_id) for run_id in store.group(joined["group"]).runs]


def since_in_words(rows: list["RunRow"], now: float) -> str:
    """ "Started 3 s ago by Amber Fox: you are watching it.", of any state of what was joined."""
    mine = {row.owner for row in rows} == {person()}
    name = rows[0].owner_name
    by = "" if mine or not name else f" by {name}"
    started = [row.started for row in rows if row.started is not None]
    ended = [row.finished for row in rows if row.finished is not None]
    it = "it" if len(rows) == 1 else "them"
    if len(ended) == len(rows):
        trained = f"Trained {ago(now - max(ended))} ago{by}"
        if len(rows) > 1:
            return f"{trained}: here they are."
        return f"{trained}: here it is. Press ▶ under the curves to see it learn."
    if started:
        return f"Started {ago(now - min(started))} ago{by}: you are watching {it}."
    return f"Queued {ago(now - min(row.created for row in rows))} ago{by}: you are watching {it}."


def ago(seconds: float) -> str:
    """A time that has passed, in whole seconds, minutes, hours or days."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3_600:
        return format_duration(60 * (seconds // 60))
    if seconds < 2 * 86_400:
        return f"{seconds // 3_600:.0f} h"
    return f"{seconds // 86_400:.0f} days"


def _train_anyway(joined: dict[str, str], rows: list["RunRow"]) -> None:
    """Queue the same anew, and watch that."""
    store, runs = state.store(), [_again(row) for row in rows]
    if "run" in joined:
        address = {"run": store.submit_run(runs[0], anew=True).run}
    else:
        group = store.group(joined["group"])
        submitted = store.submit_group(
            group.name, runs, kind=group.kind, spec=group.spec, anew=True
        )
        address = {"group": submitted.group}
    forget()
    for name, value in address.items():
        st.query_params[name] = value
    st.rerun()


def _again(row: "RunRow") -> "NewRun":
    from deepfm.runs.store import NewRun

    return NewRun(
        row.name,
        row.dataset_folder,
        row.dataset_name,
        row.model,
        row.train,
        row.pinned,
        person(),
        row.fingerprint,
    )
