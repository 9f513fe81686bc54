"""A job of the worker to what a page shows while it works: stage, bar, Cancel."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.charts.palette import format_count
from deepfm.events import Progress
from deepfm.ui import state
from deepfm.ui.text import plain, show_error

if TYPE_CHECKING:
    from deepfm.runs.store import JobRow

POLL_SECONDS = 0.25


def wait_for_job(job_id: str, what: str, *, key: str, on_end: Callable[["JobRow"], None]) -> None:
    """Show a job until it ends; `on_end` is then called once, and the page runs again.

    what   the work in words, while nothing has been reported: "Preparing the file"
    """
    ended = state.store().job(job_id).ended
    interval = None if ended else POLL_SECONDS
    st.fragment(_show, run_every=interval)(job_id, what, key, on_end)


def _show(job_id: str, what: str, key: str, on_end: Callable[["JobRow"], None]) -> None:
    job = state.store().job(job_id)
    if job.ended:
        on_end(job)
        st.rerun()
    stage, share = words_of(job.progress, what, waiting=job.state == "queued")
    st.progress(share, text=plain(stage))
    stopping = job.wanted == "stop"
    st.button(
        "Cancelling…" if stopping else "Cancel",
        key=f"{key}_cancel",
        disabled=stopping,
        icon=":material/close:",
        on_click=state.store().request_cancel,
        args=(job_id,),
    )


def words_of(progress: Progress | None, what: str, *, waiting: bool) -> tuple[str, float]:
    """("Reading · 120,000 of 450,000 rows", 0.27); without a total the bar stays at its start."""
    if progress is None:
        return f"{what}: waiting for the worker…" if waiting else f"{what}…", 0.0
    words = f"{progress.stage} · {format_count(progress.done)}"
    share = 0.0
    if progress.total:
        share = min(1.0, max(0.0, progress.done / progress.total))
        words += f" of {format_count(progress.total)}"
    return f"{words} {progress.unit}" + (f" · {progress.detail}" if progress.detail else ""), share


def show_job_end(job: "JobRow", what: str) -> None:
    """Why a job ended without a result."""
    if job.state == "failed":
        show_error(f"{what} failed. {job.error}")
    elif job.state == "stopped":
        st.caption(f"{plain(what)} was cancelled; nothing was changed.")
