"""What stands round every page: which dataset or run is shown, and what is running now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.ui import feed, links, state
from deepfm.ui.copy_link import copy_link
from deepfm.ui.menu import menu_makes_way
from deepfm.ui.plot import warm
from deepfm.ui.shared import recent
from deepfm.ui.text import mistakes_in_words, numbered_names, plain, show_error
from deepfm.ui.timers import look_again_every
from deepfm.ui.unchanged import drawn_until

if TYPE_CHECKING:
    from deepfm.runs.store import JobRow, RunRow

_ASSETS: Final = Path(__file__).resolve().parents[2] / "assets"
ICON: Final = str(_ASSETS / "icon.svg")

_STYLE: Final = Path(__file__).parent / "frame.css"


WAITING_SECONDS: Final = 0.2
"""How often the chip looks while the first of what it shows waits: its turn comes at any moment."""
BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
"""How often the chip looks: seldom while nothing runs, for it is on every page of everyone."""


def show(page: links.PageInfo) -> None:
    """The context row says what is looked at; the chip, out of the flow, what is running."""
    st.logo(ICON)
    try:
        with st.container(key="aside"):
            st.html(_STYLE)
            st.fragment(running_chip, run_every=IDLE_SECONDS)()
            warm()
            menu_makes_way()
        for sentence in state.forget_unknown():
            show_error(sentence)
        state.remember_run()
        if page.context:
            _context_row(page)
    except DeepFMError as error:
        show_error(error)


def _context_row(page: links.PageInfo) -> None:
    """What is looked at, to be changed, and a link to it for another browser."""
    with st.container(horizontal=True, vertical_alignment="center", key="context"):
        needed = {}
        if page.context == "run":
            _choose_run()
            needed["run"] = state.run_in_address()
        else:
            _choose_dataset()
            if not {"run", "group"} & set(st.query_params):
                needed["dataset"] = state.dataset_in_address()
        copy_link(key="context_link", needed=needed)


def _choose_run() -> None:
    choices = state.run_choices()
    current = state.run_in_address()
    labels = _distinct({choice.id: f"{choice.name} · {choice.words}" for choice in choices})
    labels.setdefault(current, f"{current} (has no model)")
    _context_box("Run", labels, current, state.show_run, "model_training")


def _choose_dataset() -> None:
    labels = _distinct({choice.id: choice.name for choice in state.dataset_choices()})
    current = state.dataset_in_address()
    labels.setdefault(current, f"{current} (not found)")
    _context_box("Dataset", labels, current, state.show_dataset, "database")


def _context_box(
    name: str, labels: dict[str, str], current: str, show: Callable[[str], None], icon: str
) -> None:
    """A box of ids with their words; `show` puts the one that is chosen into the address."""
    key = f"context_{name.lower()}"
    st.session_state[key] = current
    st.selectbox(
        name,
        list(labels),
        format_func=lambda chosen: labels.get(chosen, chosen),
        key=key,
        on_change=lambda: show(st.session_state[key]),
        label_visibility="collapsed",
        icon=f":material/{icon}:",
        width=420,
    )


def _distinct(labels: dict[str, str]) -> dict[str, str]:
    """Labels by id, the newest first; equal ones are numbered, the oldest bare.

    A browser answers with the label, so equal ones would lead to one and the same id.
    """
    numbered = numbered_names(list(labels.values())[::-1])[::-1]
    return dict(zip(labels, numbered, strict=True))


@dataclass(frozen=True)
class Running:
    """What the chip shows: words, how far (0 to 1, None where unknown), and where to watch it.

    waits  its turn has not come yet
    """

    words: str
    done: float | None
    page: str
    parameters: dict[str, str]
    waits: bool = False


JOB_WORDS: Final = {
    "prepare": "Preparing data",
    "fetch_d2l": "Fetching the D2L ctr set",
    "demo": "Making the demo",
    "score": "Scoring a file",
    "baselines": "Fitting other models",
}
"""Jobs that are worth a chip; inspecting a sample takes two seconds at most."""


def running() -> list[Running]:
    """What trains, then what waits, then the short jobs."""
    rows = state.store().runs(states=("training", "queued"), limit=50)
    rows.sort(key=lambda row: (row.state != "training", row.created))
    found = [_running_run(row) for row in rows]
    jobs = state.store().jobs(active=True, limit=20)
    return found + [_running_job(job) for job in jobs if job.kind in JOB_WORDS]


def _running_run(row: "RunRow") -> Running:
    done = min(1.0, row.epoch / max(1, int(row.train.get("epochs", 1))))
    waits = row.state != "training"
    how_far = "waiting" if waits else f"{done:.0%}"
    return Running(f"{row.name} · {how_far}", done, "train", {"run": row.id}, waits)


def _running_job(job: "JobRow") -> Running:
    progress, words = job.progress, JOB_WORDS[job.kind]
    # What works on a run names it, and is watched on the page that asked for it.
    run_id = job.payload.get("run_id", "")
    page, where = ("evaluate", {"run": run_id}) if job.kind == "baselines" else ("data", {})
    if progress is None or not (progress.total or progress.number):
        return Running(words, None, page, where)
    return Running(f"{words} · {progress.share:.0%}", progress.share, page, where)


@mistakes_in_words()
def running_chip() -> None:
    """One small chip with the progress of what is running, on every page."""
    shown = _first(running())
    with st.container(key="chip", horizontal=True, width="content", vertical_alignment="center"):
        if shown is None:
            # In the places of the bar and the link, which would else stand until all is drawn.
            st.empty()
            st.empty()
        else:
            st.progress(shown.done or 0.0, text=plain(shown.words))
            links.link(shown.page, "Watch", icon=":material/visibility:", **shown.parameters)
    look_again_every(seconds_between_looks(shown))
    home = state.home()
    drawn_until(lambda: recent(("running", home), feed.SHARED, lambda: _first(running())) != shown)


def seconds_between_looks(shown: Running | None) -> float:
    """How soon the chip looks again: soon while it waits, for the page round it tells at once."""
    if shown is None:
        return IDLE_SECONDS
    return WAITING_SECONDS if shown.waits else BUSY_SECONDS


def _first(active: Sequence[Running]) -> Running | None:
    """What the chip shows of all that is running, as finely as it shows it."""
    if not active:
        return None
    first = active[0]
    more = f" · {len(active) - 1} more" if len(active) > 1 else ""
    done = None if first.done is None else round(first.done, 2)
    return replace(first, words=first.words + more, done=done)
