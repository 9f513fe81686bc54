"""What stands round every page: which dataset or run is shown, and what is running now."""

from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.ui import links, state
from deepfm.ui.text import plain, show_error

_ASSETS: Final = Path(__file__).resolve().parents[2] / "assets"
ICON: Final = str(_ASSETS / "icon.svg")

_STYLE: Final = Path(__file__).parent / "frame.css"


def show(page: links.PageInfo) -> None:
    """The context row says what is looked at; the chip, out of the flow, what is running."""
    st.logo(ICON)
    try:
        with st.container(key="aside"):
            st.html(_STYLE)
            running_chip()
        if page.context == "run":
            _choose_run()
        elif page.context == "dataset":
            _choose_dataset()
    except DeepFMError as error:
        show_error(error)


def _choose_run() -> None:
    choices = {choice.id: choice for choice in state.run_choices()}
    current = state.run_in_address()
    st.query_params["run"] = current
    st.session_state["context_run"] = current
    st.selectbox(
        "Run",
        [*choices, *({current} - choices.keys())],
        format_func=lambda run_id: _run_label(choices.get(run_id), run_id),
        key="context_run",
        on_change=lambda: state.show_run(st.session_state["context_run"]),
        label_visibility="collapsed",
        icon=":material/model_training:",
        width=420,
    )


def _run_label(choice: state.RunChoice | None, run_id: str) -> str:
    if choice is None:
        return f"{run_id} (not found)"
    auc = f" · AUC {choice.auc:.4f}" if choice.auc is not None else ""
    return f"{choice.name} · {choice.dataset_name}{auc}"


def _choose_dataset() -> None:
    names = {choice.id: choice.name for choice in state.dataset_choices()}
    current = state.dataset_in_address()
    st.query_params["dataset"] = current
    st.session_state["context_dataset"] = current
    st.selectbox(
        "Dataset",
        [*names, *({current} - names.keys())],
        format_func=lambda dataset_id: names.get(dataset_id, f"{dataset_id} (not found)"),
        key="context_dataset",
        on_change=lambda: state.show_dataset(st.session_state["context_dataset"]),
        label_visibility="collapsed",
        icon=":material/database:",
        width=420,
    )


@st.fragment(run_every=1.0)
def running_chip() -> None:
    """One small chip with the progress of what is running, on every page."""
    with st.container(key="chip", horizontal=True, width="content", vertical_alignment="center"):
        active = state.store().runs(states=("queued", "training"), limit=50)
        if not active:
            return
        first = next((row for row in active if row.state == "training"), active[-1])
        epochs = int(first.train.get("epochs", 0)) or 1
        done = min(1.0, first.epoch / epochs)
        waiting = f" · {len(active) - 1} waiting" if len(active) > 1 else ""
        words = f"{plain(first.name)} · {first.state} {done:.0%}{waiting}"
        st.progress(done, text=words)
        links.link("train", "Watch", icon=":material/visibility:", run=first.id)
