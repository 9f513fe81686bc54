"""A job "inspect" to what was understood of a file, changed by the person, and prepared.

What is typed here lives in widgets named after the job and in its draft, so that neither a failed
Prepare nor a reload loses anything.
A change of the format or of the label reads the sample anew, with all that was chosen so far.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.palette import format_bytes, format_count
from deepfm.config import Settings
from deepfm.data.schema import ENCODINGS, ROLES, SEPARATORS, FileFormat, Inspection, Role, Schema
from deepfm.data.schema.declared import Kind
from deepfm.errors import DeepFMError
from deepfm.runs.store import JobRow
from deepfm.ui import state
from deepfm.ui.data_draft import Draft, first_draft, keep_draft, name_key
from deepfm.ui.data_label import choose_label, choose_meanings, meanings_mistake
from deepfm.ui.data_preparing import (
    choose_settings,
    columns_mistake,
    prepare_words,
    preparing,
    queue_prepare,
    show_preparing,
)
from deepfm.ui.data_source import INSPECT, chosen_test, inspect_file, put_aside
from deepfm.ui.forms import mistake
from deepfm.ui.text import plain, show_error, show_notice
from deepfm.ui.waiting import show_job_end, wait_for_job

ROLE_WORDS: Final[Mapping[Role, str]] = {
    "categorical": "each value gets a feature of its own",
    "numeric": "cut into buckets of about equal count",
    "identifier": "left out: names single rows or persons",
    "ignored": "left out",
    "time": "left out; can divide training from validation rows",
    "group": "left out; can keep its rows together in one part",
}
_TEXT_KINDS: Final[Mapping[Kind, str]] = {
    "text": "text with separators",
    "libsvm": "libsvm",
    "libffm": "libffm",
    "json": "JSON",
}


def show_understood(job_id: str, settings: Settings) -> None:
    """Wait for the sample, then show it, or say in one sentence why it cannot be read."""
    try:
        job = state.store().job(job_id)
    except DeepFMError as error:
        show_error(error)
        _put_aside_button()
        return
    if not job.ended:
        wait_for_job(job_id, "Reading a sample of the file", key=INSPECT, on_end=lambda _: None)
    elif job.state == "finished" and job.result:
        _show_inspection(job, Inspection.from_dict(job.result), settings)
    else:
        _show_unreadable(job)


def _show_unreadable(job: JobRow) -> None:
    _heading(Path(job.payload["path"]).name)
    show_job_end(job, "Reading the file")
    given = job.payload.get("schema")
    if given is not None:
        st.button(
            "Guess the format again",
            icon=":material/undo:",
            on_click=_guess_again,
            args=(job.payload["path"],),
        )


def _heading(words: str) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.subheader(plain(words), anchor=False, width="content")
        _put_aside_button()


def _put_aside_button() -> None:
    st.button("Put this file aside", type="tertiary", icon=":material/close:", on_click=put_aside)


def _guess_again(path: str) -> None:
    st.query_params[INSPECT] = state.store().queue_job("inspect", {"path": path})


# --- what was understood ----------------------------------------------------------------------


def _show_inspection(job: JobRow, found: Inspection, settings: Settings) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"What was understood of {plain(found.file)}", anchor=False)
        _put_aside_button()
    st.markdown(plain(sample_words(found)))
    for warning in found.warnings:
        show_notice(warning)
    start = first_draft(job, found)
    chosen_format = _choose_format(job.id, found.schema.format)
    with st.container(key="stack_label"):
        left, right = st.columns([2, 3], gap="medium")
    with left:
        label = choose_label(job.id, found)
    with right:
        meanings = choose_meanings(job.id, found, start.schema)
    schema = _with_roles(start.schema, _show_columns(job.id, found, start.schema))
    tested = chosen_test(settings) is not None
    config = choose_settings(job.id, found, schema, start.config, tested)
    name = st.text_input("Name of the dataset", start.name, key=name_key(job.id), max_chars=120)
    draft = Draft(name, config, meanings.applied(schema))
    _read_anew(job, draft, chosen_format, label)
    keep_draft(job, found, draft)
    wrong = columns_mistake(schema) or meanings_mistake(found, meanings)
    _offer_prepare(job, found, draft, wrong, settings)


def _read_anew(job: JobRow, draft: Draft, chosen: FileFormat, label: str | None) -> None:
    """Where another format or label was chosen, read the sample anew, with all that was chosen."""
    path, schema = Path(job.payload["path"]), draft.schema
    if chosen != schema.format:
        inspect_file(path, dataclasses.replace(schema, format=chosen), draft.without_schema())
    if label is not None and label not in {column.name for column in schema.with_roles("label")}:
        inspect_file(path, schema.with_label(label), draft.without_schema())


def _offer_prepare(
    job: JobRow, found: Inspection, draft: Draft, wrong: str, settings: Settings
) -> None:
    """How far Prepare is, or why it failed; then its button, and why it cannot be pressed."""
    current = preparing()
    show_preparing(current)
    with st.container(horizontal=True, vertical_alignment="center"):
        clicked = st.button(
            "Prepare",
            type="primary",
            icon=":material/construction:",
            disabled=bool(wrong) or (current is not None and not current.ended),
        )
        if wrong:
            mistake(wrong)
        else:
            st.caption(prepare_words(found, chosen_test(settings) is not None))
    if clicked:
        queue_prepare(job, draft, settings)


def sample_words(found: Inspection) -> str:
    """What was looked at: the whole file, or a sample and what it says of the rest."""
    described = f"{found.schema.format.describe()}, {format_bytes(found.size_bytes)}."
    described = described[0].upper() + described[1:]
    if found.complete:
        return f"{described} The whole file was read: {format_count(found.sample_rows)} rows."
    rest = (
        f"about {format_count(found.rows_estimated)} rows in all"
        if found.rows_estimated
        else "the rest is read when you prepare it"
    )
    return f"{described} A sample: the first {format_count(found.sample_rows)} rows; {rest}."


def _choose_format(job_id: str, known: FileFormat) -> FileFormat:
    if known.kind not in _TEXT_KINDS:
        return known
    with (
        st.expander(f"Format: {plain(known.describe())}", icon=":material/description:"),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        kinds = list(_TEXT_KINDS)
        kind = st.selectbox(
            "Format",
            kinds,
            kinds.index(known.kind),
            format_func=lambda name: _TEXT_KINDS[name],
            key=f"kind_{job_id}",
            width=210,
        )
        if kind != "text":
            return dataclasses.replace(known, kind=kind)
        separators = list(SEPARATORS)
        separator = st.selectbox(
            "Separator",
            separators,
            separators.index(known.separator),
            format_func=lambda sign: SEPARATORS[sign],
            key=f"separator_{job_id}",
            width=150,
        )
        encodings = list(ENCODINGS)
        encoding = st.selectbox(
            "Encoding",
            encodings,
            encodings.index(known.encoding),
            format_func=lambda name: ENCODINGS[name],
            key=f"encoding_{job_id}",
            width=280,
        )
        skip = st.number_input(
            "Lines above the table",
            0,
            value=known.skip,
            key=f"skip_{job_id}",
            help="A title or comments before the names and rows; they are passed over.",
            width=170,
        )
        header = st.checkbox("First row holds the names", known.header, key=f"header_{job_id}")
        quote = st.checkbox('Cells may stand in "quotes"', known.quote, key=f"quote_{job_id}")
    return dataclasses.replace(
        known,
        kind="text",
        separator=separator,
        encoding=encoding,
        header=header,
        quote=quote,
        skip=int(skip),
    )


# --- columns and rows -------------------------------------------------------------------------


def _show_columns(job_id: str, found: Inspection, start: Schema) -> dict[str, Role]:
    """The table of columns, whose roles can be changed; the roles as they now stand."""
    unreadable = f"Rows that cannot be read ({format_count(found.skipped_rows)})"
    others = [column for column in found.columns if column.role != "label"]
    beside = " beside the label" if len(others) < len(found.columns) else ""
    titles = [
        f"Columns{beside} ({len(others)})",
        "First rows",
        *([unreadable] if found.skipped_rows else []),
    ]
    tabs = st.tabs(titles)
    with tabs[0]:
        roles = _edit_roles(job_id, found, start)
    with tabs[1]:
        st.dataframe(_first_rows(found), hide_index=True, height=320)
    if found.skipped_rows:
        with tabs[2]:
            show_skipped([(row.line, row.reason) for row in found.skipped])
    return roles


def show_skipped(rows: list[tuple[int, str]]) -> None:
    """Lines that cannot be read, and why."""
    st.dataframe(
        pd.DataFrame(rows, columns=["Line", "Why it is left out"]),
        hide_index=True,
        height=min(320, 38 + 35 * len(rows)),
        column_config={"Line": st.column_config.NumberColumn(width="small", format="%d")},
    )


def _edit_roles(job_id: str, found: Inspection, start: Schema) -> dict[str, Role]:
    columns = [column for column in found.columns if column.role != "label"]
    roles = [start.column(column.name) for column in columns]
    table = pd.DataFrame(
        {
            "Column": [column.name for column in columns],
            "Role": [column.role for column in roles],
            "Why": [column.reason for column in roles],
            "Examples": ["  ·  ".join(column.examples) for column in columns],
            "Different": [column.distinct for column in columns],
            "Empty": [column.missing for column in columns],
        }
    )
    edited = st.data_editor(
        table,
        key=f"columns_{job_id}",
        hide_index=True,
        height=min(430, 38 + 35 * max(1, len(table))),
        disabled=["Column", "Why", "Examples", "Different", "Empty"],
        column_config={
            "Role": st.column_config.SelectboxColumn(
                options=[role for role in ROLES if role != "label"],
                required=True,
                width="small",
                help="Click a cell to change it. "
                + " ".join(f"{role}: {words}." for role, words in ROLE_WORDS.items()),
            ),
            "Why": st.column_config.TextColumn(width="large", help="Why this role was guessed."),
            "Examples": st.column_config.TextColumn(width="medium"),
            "Different": st.column_config.NumberColumn(
                width="small", help="Different values in the sample."
            ),
            "Empty": st.column_config.NumberColumn(
                width="small", help="Empty cells in the sample."
            ),
        },
    )
    st.caption("Roles can be changed in the table: click a cell of the column “Role”.")
    return dict(zip(edited["Column"], edited["Role"], strict=True))


def _first_rows(found: Inspection) -> pd.DataFrame:
    """The rows as text; an empty cell is None. Columns are shown by their names in the file."""
    return pd.DataFrame([list(row) for row in found.rows], columns=list(found.schema.names))


def _with_roles(schema: Schema, roles: Mapping[str, Role]) -> Schema:
    for column in schema.columns:
        role = roles.get(column.name, column.role)
        if role != column.role:
            schema = schema.with_role(column.name, role)
    return schema
