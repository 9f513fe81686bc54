"""A job of the worker to what a page shows while it works: stage, pace, time left, Cancel."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.charts.palette import format_bytes, format_count, format_duration, format_rate
from deepfm.events import Progress
from deepfm.ui import state
from deepfm.ui.text import mistakes_in_words, plain, show_error, told

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


@mistakes_in_words()
def _show(job_id: str, what: str, key: str, on_end: Callable[["JobRow"], None]) -> None:
    job = state.store().job(job_id)
    if job.ended:
        st.session_state.pop(f"{key}_pace", None)
        on_end(job)
        st.rerun()
    stage, share = words_of(job.progress, what, waiting=job.state == "queued")
    pace = pace_of(_seen(f"{key}_pace", job_id, job.progress))
    st.progress(share, text=plain(" · ".join(filter(None, (stage, pace)))))
    stopping = job.wanted == "stop"
    st.button(
        "Cancelling…" if stopping else "Cancel",
        key=f"{key}_cancel",
        disabled=stopping,
        icon=":material/close:",
        on_click=told(state.store().request_cancel),
        args=(job_id,),
    )


def words_of(progress: Progress | None, what: str, *, waiting: bool) -> tuple[str, float]:
    """("Step 2 of 4 · Reading · 12 MB of 40 MB", 0.325): the bar is of all steps together."""
    if progress is None:
        return f"{what}: waiting for the worker…" if waiting else f"{what}…", 0.0
    step = f"Step {progress.number} of {progress.stages}" if progress.stages > 1 else ""
    amount = _amount(progress.done, progress.unit)
    if progress.total:
        amount += f" of {_amount(progress.total, progress.unit)}"
    elif not progress.done:
        amount = ""
    words = filter(None, (step, progress.stage, amount, progress.detail))
    return " · ".join(words), progress.share


def _amount(number: float, unit: str) -> str:
    return format_bytes(number) if unit == "bytes" else f"{format_count(number)} {unit}"


@dataclass(frozen=True)
class Seen:
    """Two looks at one stage of a job: the first one that this page took, and the latest."""

    stage: str
    first: Progress
    latest: Progress
    seconds: float


def _seen(key: str, job_id: str, progress: Progress | None) -> Seen | None:
    if progress is None:
        return None
    now = time.monotonic()
    stage = f"{job_id} {progress.stage}"
    known, first, since = st.session_state.get(key, ("", progress, now))
    if known != stage:
        first, since = progress, now
        st.session_state[key] = (stage, first, since)
    return Seen(stage, first, progress, now - since)


def pace_of(seen: Seen | None) -> str:
    """ "260 k rows/s · about 4 s left", over what this page has seen of the stage; "" at first.

    What takes longer than a second apiece has no rate, and time left is said to be of the step
    where others follow.
    """
    if seen is None or seen.seconds <= 0:
        return ""
    done = seen.latest.done - seen.first.done
    if done <= 0 or seen.latest.done == seen.latest.total:
        return ""
    rows, unit = _rows(seen.latest) - _rows(seen.first), seen.latest.unit
    words = [_rate(rows, "rows", seen.seconds) if rows > 0 else _rate(done, unit, seen.seconds)]
    if seen.latest.total:
        left = (seen.latest.total - seen.latest.done) * seen.seconds / done
        step = " in this step" if seen.latest.number < seen.latest.stages else ""
        words.append(f"about {format_duration(left)} left{step}")
    return " · ".join(filter(None, words))


def _rate(done: float, unit: str, seconds: float) -> str:
    if done < seconds:
        return ""
    if unit == "bytes":
        return f"{format_bytes(done / seconds)}/s"
    return f"{format_rate(done / seconds).removesuffix('/s').rstrip()} {unit}/s"


def _rows(progress: Progress) -> int:
    """Rows done: progress in bytes tells them in its detail, "231,000 rows"."""
    if progress.unit == "rows":
        return int(progress.done)
    told = re.fullmatch(r"([\d,]+) rows", progress.detail)
    return int(told[1].replace(",", "")) if told else 0


def show_job_end(job: "JobRow", what: str) -> None:
    """Why a job ended without a result."""
    if job.state == "failed":
        show_error(f"{what} failed. {job.error}")
    elif job.state == "stopped":
        st.caption(f"{plain(what)} was cancelled; nothing was changed.")
