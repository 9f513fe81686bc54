"""What can be done with runs: name, note, tag, delete, export and import them, train them again."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.ui import links, state
from deepfm.ui.person import person
from deepfm.ui.plot import revision_of
from deepfm.ui.run_list import SELECTED
from deepfm.ui.text import plain, show_error
from deepfm.ui.train_form import fill_from

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

LONGEST_NAME: Final = 80
NAMED: Final = 8
"""Runs that a question about deleting names one by one."""
IMPORTED: Final = "runs_imported"
TAG_ERROR: Final = "runs_tag_error"


# --- what a person writes about a run ---------------------------------------------------------


def rename(row: "RunRow") -> None:
    """A name of one's own."""
    with (
        st.popover("Rename", icon=":material/edit:", key="runs_rename"),
        st.form("rename", border=False),
    ):
        name = st.text_input("Name", value=row.name, max_chars=LONGEST_NAME, key=f"rename_{row.id}")
        if st.form_submit_button("Rename"):
            _write(lambda: state.store().rename_run(row.id, name))


def note(row: "RunRow") -> None:
    """Words to remember a run by."""
    with (
        st.popover("Note", icon=":material/sticky_note_2:", key="runs_note"),
        st.form("note", border=False),
    ):
        text = st.text_area("Note", value=row.notes, key=f"note_{row.id}", height=140)
        if st.form_submit_button("Keep this note"):
            _write(lambda: state.store().note_run(row.id, text))


def tag(rows: Sequence["RunRow"]) -> None:
    """Words that several runs share, to find them by; kept as soon as one is chosen or typed."""
    common = [each for each in rows[0].tags if all(each in row.tags for row in rows)]
    known = list(dict.fromkeys([*common, *(each for each, _ in state.store().run_tags())]))
    key = f"tags_{revision_of(*(row.id for row in rows))}"
    st.session_state[key] = common
    with st.popover("Tags", icon=":material/sell:", key="runs_tags"):
        if error := st.session_state.pop(TAG_ERROR, ""):
            show_error(error)
        st.multiselect(
            "Tags" if len(rows) == 1 else f"Tags that all {len(rows):,} runs have",
            known,
            accept_new_options=True,
            placeholder="Choose one, or type a new one",
            key=key,
            on_change=lambda: _retag(rows, common, st.session_state[key]),
            width=300,
        )


def _retag(rows: Sequence["RunRow"], common: Sequence[str], chosen: Sequence[str]) -> None:
    """A callback: what all had in common gives way to what was chosen; one's own tags stay."""
    try:
        for row in rows:
            own = [each for each in row.tags if each not in common]
            state.store().tag_run(row.id, [*chosen, *own])
    except DeepFMError as error:
        st.session_state[TAG_ERROR] = str(error)


def _write(change: Callable[[], None]) -> None:
    """Write a change and draw the page with it, or say in its place why it could not be."""
    try:
        change()
    except DeepFMError as error:
        show_error(error)
        return
    st.rerun()


# --- deleting ---------------------------------------------------------------------------------


def delete(rows: Sequence["RunRow"]) -> None:
    """Delete runs, after they were named; those that wait or train stay."""
    ended = [row for row in rows if row.ended]
    with st.popover("Delete", icon=":material/delete:", key="runs_delete"):
        if not ended:
            st.markdown("Runs that wait or train are never deleted. Stop them first.")
            return
        with st.container(key="delete_box"):
            st.markdown(_question(ended))
            if going := [row.name for row in rows if not row.ended]:
                st.caption(plain(f"Not deleted, since it waits or trains: {_listed(going)}."))
            if st.button("Delete for good", type="primary", key="delete_runs"):
                _write(lambda: _delete(ended))


def _question(rows: Sequence["RunRow"]) -> str:
    what = "this run" if len(rows) == 1 else f"these {len(rows)} runs"
    return (
        f"Delete {what} with model, curves and results? **This cannot be undone.** Export first "
        f"what you may want back.\n\n{plain(_listed([row.name for row in rows]))}"
    )


def _listed(names: Sequence[str]) -> str:
    """ "“a”, “b” and 12 more"."""
    shown = ", ".join(f"“{name}”" for name in names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def _delete(rows: Sequence["RunRow"]) -> None:
    state.store().delete_runs([row.id for row in rows])
    st.query_params.pop(SELECTED, None)


# --- one file ---------------------------------------------------------------------------------


def export(row: "RunRow") -> None:
    """The run as one file; made when it is asked for."""
    st.download_button(
        "Export",
        data=lambda: _exported(row),
        file_name=f"{file_name(row.name)}.zip",
        mime="application/zip",
        key=f"export_{row.id}",
        icon=":material/download:",
        on_click="ignore",
        help="One file with model, curves, scores and settings, for another machine or a backup.",
    )


def _exported(row: "RunRow") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return state.store().export_run(row.id, Path(folder) / "run.zip").read_bytes()


def file_name(name: str) -> str:
    """A run's name as the name of a file on any system."""
    kept = "".join(sign if sign.isalnum() or sign in " -_.," else "_" for sign in name)
    return kept.strip(" .")[:60] or "run"


def import_run() -> None:
    """A run that was exported here or elsewhere, back into the list."""
    with st.popover("Import a run", icon=":material/upload_file:", key="runs_import"):
        number = st.session_state.setdefault(IMPORTED, 0)
        file = st.file_uploader(
            "A file that Export made",
            type="zip",
            key=f"runs_import_{number}",
            help="Only files with an exported run's contents are taken; nothing in them is run.",
        )
        if file is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / (file_name(file.name) or "run.zip")
            path.write_bytes(file.getbuffer())
            try:
                run_id = state.store().import_run(path, owner=person())
            except DeepFMError as error:
                show_error(error)
                return
    # Another key is an empty box: the same file must not come in again at the next drawing.
    st.session_state[IMPORTED] = number + 1
    st.query_params[SELECTED] = [run_id]
    st.rerun()


# --- training it again ------------------------------------------------------------------------


def train_again(row: "RunRow") -> None:
    """To the form, filled with this run's settings on its dataset."""

    def fill() -> dict[str, str]:
        fill_from(row)
        return {"dataset": state.DEMO if row.dataset_name == state.DEMO else row.fingerprint}

    links.button(
        "train",
        "Train again with changes",
        key="runs_again",
        icon=":material/edit_note:",
        before=fill,
    )
