"""The datasets of this home: opened again, or deleted after a question."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.palette import format_bytes, format_count, format_probability
from deepfm.errors import DataError, DeepFMError, LimitError
from deepfm.ui import state
from deepfm.ui.clock import local
from deepfm.ui.data_source import leave_for_dataset
from deepfm.ui.text import plain, show_error
from deepfm.ui.upload import uploads_size

if TYPE_CHECKING:
    from deepfm.runs.store import KeptUpload

MOST_SHOWN: Final = 30


def show_datasets() -> None:
    """One line for each dataset: what it is, Open, Delete."""
    choices = [choice for choice in state.dataset_choices() if choice.id != state.DEMO]
    if not choices:
        return
    st.subheader("Datasets here", anchor=False)
    for choice in choices[:MOST_SHOWN]:
        _line(choice)
    if len(choices) > MOST_SHOWN:
        hidden = len(choices) - MOST_SHOWN
        st.caption(f"{hidden} older ones can be chosen at the top of the page.")
    kept = uploads_size(state.settings())
    if kept:
        st.caption(
            f"Everybody here sees these. The files that were uploaded are kept too: "
            f"{format_bytes(kept)}. Deleting a dataset offers to delete its file with it."
        )


def _line(choice: state.DatasetChoice) -> None:
    words, opens, deletes = st.columns([6, 1, 1], vertical_alignment="center")
    summary = state.dataset(choice.id).summary()
    made = local(choice.modified).strftime("%d %b %Y, %H:%M")
    base_rate = summary.parts["train"].base_rate
    words.markdown(
        f"**{plain(choice.name)}** · {format_count(summary.rows)} rows · "
        f"{summary.fields} fields · {format_probability(base_rate)} clicked · {made}"
    )
    opens.button(
        "Open",
        key=f"open_{choice.id}",
        on_click=leave_for_dataset,
        args=(choice.id,),
        width="stretch",
    )
    if deletes.button("Delete", key=f"delete_{choice.id}", width="stretch"):
        _ask(choice)


@st.dialog("Delete this dataset?")
def _ask(choice: state.DatasetChoice) -> None:
    st.markdown(
        f"The dataset **{plain(choice.name)}**, as it was prepared for training, is removed from "
        "this server. Runs that were trained on it stay, with all they need to be looked at. This "
        "cannot be undone."
    )
    going = [upload for upload in state.store().uploads_of(choice.id) if _ask_about(upload, choice)]
    with st.container(horizontal=True):
        confirmed = st.button("Delete", type="primary", key="delete_confirmed")
        if st.button("Keep it", key="delete_refused"):
            st.rerun()
    if confirmed:
        try:
            delete_dataset(choice.id)
            for upload in going:
                state.store().delete_upload(upload)
        except DeepFMError as error:
            show_error(error)
            return
        if state.dataset_in_address() == choice.id:
            leave_for_dataset(state.DEMO)
        st.rerun()


def _ask_about(upload: "KeptUpload", choice: state.DatasetChoice) -> bool:
    """Whether the uploaded file goes too: yes, unless another dataset here was made of it."""
    others = [
        each.name
        for each in state.dataset_choices()
        if each.id in upload.datasets and each.id != choice.id
    ]
    size = format_bytes(upload.bytes)
    goes = st.checkbox(
        plain(f"Delete the uploaded file too: {', '.join(upload.names)}, {size}"),
        value=not others and not upload.busy,
        disabled=upload.busy,
        key=f"delete_upload_{upload.id}",
    )
    if upload.busy:
        st.caption("A job or a sweep still needs it, so it stays.")
    elif others:
        shown = ", ".join(f"“{name}”" for name in others)
        st.caption(plain(f"Made of the same file, and kept: {shown}."))
    return goes and not upload.busy


def delete_dataset(fingerprint: str) -> None:
    """Remove a dataset's folder; LimitError while a run still needs it.

    The folder is moved out of sight first, so that nobody opens a half-deleted one.
    """
    waiting = state.store().runs(fingerprint=fingerprint, states=("queued", "training"))
    if waiting:
        raise LimitError(
            f"The run “{waiting[0].name}” still needs this dataset. Stop it first, or wait."
        )
    datasets = state.home() / "datasets"
    known = {child.name: child for child in datasets.iterdir()} if datasets.is_dir() else {}
    if fingerprint not in known:
        raise DataError("This dataset is not here any more.")
    with tempfile.TemporaryDirectory(dir=state.home(), prefix=".deleted-") as aside:
        shutil.move(known[fingerprint], Path(aside) / "dataset")
