"""What can be done with runs: name, note, tag, delete, export and import them, train them again."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.palette import format_auc
from deepfm.errors import DeepFMError
from deepfm.ui import links, state
from deepfm.ui.person import person
from deepfm.ui.plot import revision_of
from deepfm.ui.run_list import SELECTED
from deepfm.ui.run_words import model_of_terms, terms_of, when_in_words
from deepfm.ui.stopping import is_theirs
from deepfm.ui.text import plain, show_error, show_notice, told
from deepfm.ui.train_form import fill_from
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from deepfm.runs.store import RunRow

LONGEST_NAME: Final = 80
NAMED: Final = 8
"""Runs that a question about deleting names one by one."""
IMPORTED: Final = "runs_imported"
LOOKED_AT: Final = "runs_looked_at"
"""The file that was looked at last, so that a page drawn again does not ask of it again."""
CAME: Final = "runs_came"
"""What became of the file that was imported last."""
TAG_ERROR: Final = "runs_tag_error"


# --- what a person writes about a run ---------------------------------------------------------


def rename(row: "RunRow") -> None:
    """A name of one's own."""
    with (
        st.popover("Rename", icon=":material/edit:", key="runs_rename"),
        st.container(key="rename_box", width=460),
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
            if theirs := whose_in_words(ended):
                st.markdown(f"**{plain(theirs)}**")
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


def whose_in_words(rows: Sequence["RunRow"]) -> str:
    """ "This run is Ada's, not yours.", "2 of them are Ada's, 1 is Ben's."; "" of one's own."""
    theirs = [row for row in rows if is_theirs(row)]
    if not theirs:
        return ""
    if len(rows) == 1:
        return f"This run is {theirs[0].owner_name}'s, not yours."
    counts = Counter(row.owner for row in theirs)
    names = {row.owner: row.owner_name for row in theirs}
    parts = [
        f"{count} {'are' if count > 1 else 'is'} {names[owner]}'s"
        for owner, count in counts.most_common()
    ]
    return f"Of these runs {', '.join(parts)}, not yours."


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


@dataclass(frozen=True)
class Came:
    """What became of a file: the run that it holds, and whether that was here already."""

    run: str
    before: bool


def import_run() -> None:
    """A run that was exported here or elsewhere, back into the list; one that is here is shown."""
    with st.popover("Import a run", icon=":material/upload_file:", key="runs_import"):
        file = st.file_uploader(
            "A file that Export made",
            type="zip",
            key=_box(),
            help="Only files with an exported run's contents are taken; nothing in them is run.",
        )
        if file is None or st.session_state.get(LOOKED_AT) == file.file_id:
            return
        try:
            came = _take_in(file, anew=False)
        except DeepFMError as error:
            show_error(error)
            return
    _show_come(came, file)
    st.rerun()


def _box() -> str:
    """The key of the box for files; another number is an empty one."""
    return f"runs_import_{st.session_state.setdefault(IMPORTED, 0)}"


def _take_in(file: "UploadedFile", *, anew: bool) -> Came:
    """Import a file's run, unless it is here already; `anew` in any case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (file_name(file.name) or "run.zip")
        path.write_bytes(file.getbuffer())
        if not anew and (here := state.store().here_already(path)):
            return Came(here, before=True)
        return Came(state.store().import_run(path, owner=person()), before=False)


def _show_come(came: Came, file: "UploadedFile") -> None:
    """Tick the run, and empty the box; a file whose run was here stays, to be imported anyway."""
    st.session_state[CAME] = came
    st.query_params[SELECTED] = [came.run]
    if came.before:
        st.session_state[LOOKED_AT] = file.file_id
    else:
        # The same file must not come in again at the next drawing.
        st.session_state[IMPORTED] += 1


def say_what_came(chosen: Sequence["RunRow"]) -> None:
    """What the file was that was imported last, as long as its run alone is ticked."""
    came: Came | None = st.session_state.get(CAME)
    if came is None:
        return
    if [row.id for row in chosen] != [came.run]:
        del st.session_state[CAME]
        return
    (row,) = chosen
    if not came.before:
        show_notice(f"Imported: {_run_in_words(row)}.")
        return
    show_notice(f"This run is here already: {_run_in_words(row)}.")
    if st.session_state.get(_box()) is not None:
        st.button("Import anyway", key="runs_import_anyway", on_click=told(_import_anyway))


def _import_anyway() -> None:
    """A callback: take in the file in the box though its run is here."""
    file = st.session_state[_box()]
    _show_come(_take_in(file, anew=True), file)


def _run_in_words(row: "RunRow") -> str:
    """ "“first”, DeepFM on demo, finished, test AUC 0.6800, trained by Ada"."""
    parts = [f"“{row.name}”", f"{model_of_terms(terms_of(row))} on {row.dataset_name}"]
    parts.append(STATE_WORDS[row.state])
    if row.auc is not None:
        parts.append(f"{state.auc_name(row)} {format_auc(row.auc)}")
    if row.author:
        parts.append(f"trained by {row.author}")
    return ", ".join(parts)


def origin_in_words(row: "RunRow") -> str:
    """ "Imported by Ben, 14:05; trained by Ada"; "" of a run that was trained here."""
    if not row.imported:
        return ""
    by = f" by {row.owner_name}" if row.owner_name else ""
    author = f"; trained by {row.author}" if row.author else ""
    return f"Imported{by}, {when_in_words(row.created)}{author}"


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
