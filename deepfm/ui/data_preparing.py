"""An agreed schema and settings to a job "prepare", followed until its dataset is there."""

import dataclasses
from pathlib import Path
from typing import cast

import streamlit as st

from deepfm.charts.palette import format_count
from deepfm.config import PrepareConfig, Settings
from deepfm.data.schema import Inspection, Schema
from deepfm.errors import DeepFMError
from deepfm.runs.store import JobRow
from deepfm.ui import state
from deepfm.ui.data_draft import Draft
from deepfm.ui.data_source import PREPARE, chosen_test, leave_for_dataset
from deepfm.ui.text import plain
from deepfm.ui.waiting import show_job_end, wait_for_job


def prepare_words(found: Inspection, has_test: bool) -> str:
    """What Prepare will do, before it is asked for."""
    about = "" if found.complete else "about "
    known = found.sample_rows if found.complete else found.rows_estimated
    rows = f"{about}{format_count(known)} rows" if known else "the whole file"
    test = " and the test file" if has_test else ""
    return f"Reads {rows}{test}, outside this app; the page stays free meanwhile."


def choose_settings(
    job_id: str, found: Inspection, schema: Schema, start: PrepareConfig, tested: bool
) -> PrepareConfig:
    """Validation and test rows, how they are held out, and what gets a feature of its own.

    start    what the fields start with
    tested   whether there is a test file, so that no rows need be held out for testing
    """
    first, second, third, fourth, fifth = st.columns([4, 4, 5, 4, 4], gap="medium")
    with first:
        validation = _share("validation", start.validation, 50, job_id)
    with second:
        if tested:
            test = 0.0
            st.caption("The test rows are those of the test file.")
        else:
            test = _share("test_share", start.test_share, 30, job_id)
    with third:
        setting, options = PrepareConfig.setting("split"), _splits(found, schema)
        split = st.selectbox(
            setting.label,
            options,
            options.index(start.split) if start.split in options else 0,
            format_func=_split_words,
            key=f"split_{job_id}",
            disabled=not (validation or test),
            help=setting.help,
        )
    with fourth:
        min_count = _number("min_count", start.min_count, f"min_count_{job_id}")
    with fifth:
        buckets = start.numeric_buckets
        if schema.with_roles("numeric"):
            buckets = _number("numeric_buckets", buckets, f"buckets_{job_id}")
        else:
            st.caption("No numeric columns, so no buckets.")
    if validation or test:
        st.caption(plain(f"Proposed: {_split_words(found.proposed_split)} ({found.split_reason})."))
    return dataclasses.replace(
        start,
        min_count=min_count,
        validation=validation,
        test_share=test,
        split=split if validation or test else PrepareConfig().split,
        numeric_buckets=buckets,
    )


def _share(name: str, start: float, most: int, job_id: str) -> float:
    """A slider of per cent of the rows; the fraction it is set to."""
    setting = PrepareConfig.setting(name)
    percent = st.slider(
        setting.label,
        0,
        most,
        round(100 * start),
        5,
        format="%d %%",
        key=f"{name}_{job_id}",
        help=setting.help,
    )
    return float(percent) / 100


def _number(name: str, value: int, key: str) -> int:
    setting = PrepareConfig.setting(name)
    return st.number_input(
        setting.label,
        int(setting.low or 0),
        int(setting.high or 1_000_000),
        value,
        key=key,
        help=setting.help,
    )


def _splits(found: Inspection, schema: Schema) -> list[str]:
    """The ways to hold out rows, the proposed one first."""
    times = [f"time:{column.name}" for column in schema.with_roles("time")]
    groups = [
        f"group:{column.name}" for column in schema.with_roles("group", "identifier", "categorical")
    ]
    return list(dict.fromkeys([found.proposed_split, "random", *times, *groups]))


def _split_words(split: str) -> str:
    kind, _, column = split.partition(":")
    return {
        "random": "random rows",
        "time": f"the latest rows, by {column}",
        "group": f"whole groups, by {column}",
    }[kind]


def queue_prepare(job: JobRow, draft: Draft, settings: Settings) -> None:
    """Queue the job; the address names it from then on."""
    test = chosen_test(settings)
    payload = {
        "train": job.payload["path"],
        "test": None if test is None else str(test.path),
        "schema": draft.schema.to_dict(),
        "config": draft.config.to_dict(),
        "name": draft.name.strip() or Path(job.payload["path"]).name,
    }
    st.query_params[PREPARE] = state.store().queue_job("prepare", payload)
    st.rerun()


def columns_mistake(schema: Schema) -> str:
    """Why the columns cannot be prepared; "" where they can."""
    if not schema.with_roles("label"):
        return "Choose the label: the column that says whether it was clicked."
    if not schema.fields:
        return "No column is left for the model. Give at least one the role categorical or numeric."
    return ""


def preparing() -> JobRow | None:
    """The job that the address names, if it is known."""
    job_id = st.query_params.get(PREPARE)
    try:
        return state.store().job(job_id) if job_id else None
    except DeepFMError:
        return None


def show_preparing(job: JobRow | None) -> None:
    """How far the job is; at its end the page turns to the dataset."""
    if job is None:
        return
    if job.state == "finished":
        _prepared(job)
        st.rerun()
    elif job.ended:
        show_job_end(job, "Preparing")
    else:
        wait_for_job(job.id, "Preparing", key=PREPARE, on_end=_prepared)


def _prepared(job: JobRow) -> None:
    if job.state == "finished" and job.result:
        st.query_params.pop(PREPARE, None)
        leave_for_dataset(cast("str", job.result["fingerprint"]))
