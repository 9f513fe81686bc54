"""A job "inspect" to what was understood of a file, changed by the person, and prepared.

What is typed here lives in widgets named after the job, so that a failed Prepare loses nothing.
A change of the format or of the label reads the sample anew, with all that was chosen so far.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from deepfm.charts.palette import format_bytes, format_count
from deepfm.config import Settings
from deepfm.data.schema import ENCODINGS, ROLES, SEPARATORS, FileFormat, Inspection, Role, Schema
from deepfm.data.schema.declared import Kind
from deepfm.errors import DeepFMError
from deepfm.runs.store import JobRow
from deepfm.ui import state
from deepfm.ui.data_preparing import (
    choose_settings,
    prepare_words,
    preparing,
    queue_prepare,
    show_preparing,
)
from deepfm.ui.data_source import INSPECT, chosen_test, inspect_file, put_aside
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
}
_MOST_VALUES: Final = 200


def show_understood(job_id: str, settings: Settings) -> None:
    """Wait for the sample, then show it, or say in one sentence why it cannot be read."""
    try:
        job = state.store().job(job_id)
    except DeepFMError as error:
        show_error(error)
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
        st.button(
            "Put this file aside", type="tertiary", icon=":material/close:", on_click=put_aside
        )


def _guess_again(path: str) -> None:
    st.query_params[INSPECT] = state.store().queue_job("inspect", {"path": path})


# --- what was understood ----------------------------------------------------------------------


def _show_inspection(job: JobRow, found: Inspection, settings: Settings) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"What was understood of {plain(found.file)}", anchor=False)
        st.button(
            "Put this file aside", type="tertiary", icon=":material/close:", on_click=put_aside
        )
    st.markdown(plain(sample_words(found)))
    for warning in found.warnings:
        show_notice(warning)
    chosen_format = _choose_format(job.id, found.schema.format)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        label = _choose_label(job.id, found)
    with right:
        positive, negative = _choose_values(job.id, found)
    roles = _show_columns(job.id, found)
    schema = _with_roles(found.schema, roles)
    if chosen_format != found.schema.format:
        changed = dataclasses.replace(schema, format=chosen_format)
        inspect_file(Path(job.payload["path"]), changed.to_dict())
    if label is not None and label not in {column.name for column in _labels(found.schema)}:
        inspect_file(Path(job.payload["path"]), schema.with_label(label).to_dict())
    config = choose_settings(job.id, found, schema)
    name = st.text_input("Name of the dataset", found.file, key=f"name_{job.id}", max_chars=120)
    with st.container(horizontal=True, vertical_alignment="center"):
        current = preparing()
        clicked = st.button(
            "Prepare",
            type="primary",
            icon=":material/construction:",
            disabled=current is not None and not current.ended,
        )
        st.caption(prepare_words(found, chosen_test(settings) is not None))
    if clicked:
        queue_prepare(job, schema, positive, negative, config, name, settings)
    show_preparing(current)


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


def _labels(schema: Schema) -> tuple[Any, ...]:
    return schema.with_roles("label")


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
        encoding = st.selectbox(
            "Encoding",
            ENCODINGS,
            ENCODINGS.index(known.encoding),
            key=f"encoding_{job_id}",
            width=170,
        )
        header = st.checkbox("First row holds the names", known.header, key=f"header_{job_id}")
        quote = st.checkbox('Cells may stand in "quotes"', known.quote, key=f"quote_{job_id}")
    return dataclasses.replace(
        known, kind="text", separator=separator, encoding=encoding, header=header, quote=quote
    )


def _choose_label(job_id: str, found: Inspection) -> str | None:
    names = list(found.schema.names)
    labels = _labels(found.schema)
    label = st.selectbox(
        "Label: the column that says whether it was clicked",
        names,
        names.index(labels[0].name) if labels else None,
        key=f"label_{job_id}",
        placeholder="Choose the label column",
    )
    if labels and labels[0].reason:
        st.caption(plain(f"Why: {labels[0].reason}."))
    elif not labels:
        st.caption("No column looks like a label. Choose the one that says whether it was clicked.")
    return label


def _choose_values(job_id: str, found: Inspection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not _labels(found.schema):
        return (), ()
    counts = found.label_values
    values = [*counts, *found.schema.positive, *found.schema.negative]
    values = list(dict.fromkeys(values))[:_MOST_VALUES]

    def choose(words: str, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            st.multiselect(
                words,
                values,
                [value for value in known if value in values],
                format_func=lambda value: f"{value} ({format_count(counts.get(value, 0))} rows)",
                key=f"{key}_{job_id}",
                accept_new_options=True,
                placeholder="Choose or type a value",
            )
        )

    first, second = st.columns(2, gap="small")
    with first:
        positive = choose("Means a click", "positive", found.schema.positive)
    with second:
        negative = choose("Means no click", "negative", found.schema.negative)
    return positive, negative


# --- columns and rows -------------------------------------------------------------------------


def _show_columns(job_id: str, found: Inspection) -> dict[str, Role]:
    """The table of columns, whose roles can be changed; the roles as they now stand."""
    unreadable = f"Rows that cannot be read ({format_count(found.skipped_rows)})"
    titles = [
        f"Columns ({len(found.columns)})",
        "First rows",
        *([unreadable] if found.skipped_rows else []),
    ]
    tabs = st.tabs(titles)
    with tabs[0]:
        roles = _edit_roles(job_id, found)
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


def _edit_roles(job_id: str, found: Inspection) -> dict[str, Role]:
    columns = [column for column in found.columns if column.role != "label"]
    table = pd.DataFrame(
        {
            "Column": [column.name for column in columns],
            "Role": [column.role for column in columns],
            "Why": [column.reason for column in columns],
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
