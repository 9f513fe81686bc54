"""An agreed schema and settings to a job "prepare", followed until its dataset is there."""

from pathlib import Path
from typing import cast

import streamlit as st

from deepfm.charts.palette import format_count
from deepfm.config import PrepareConfig, Settings
from deepfm.data.schema import Inspection, Schema
from deepfm.errors import DeepFMError, SchemaError
from deepfm.runs.store import JobRow
from deepfm.ui import state
from deepfm.ui.data_source import PREPARE, chosen_test, leave_for_dataset
from deepfm.ui.text import plain, show_error
from deepfm.ui.waiting import show_job_end, wait_for_job


def prepare_words(found: Inspection, has_test: bool) -> str:
    """What Prepare will do, before it is asked for."""
    about = "" if found.complete else "about "
    known = found.sample_rows if found.complete else found.rows_estimated
    rows = f"{about}{format_count(known)} rows" if known else "the whole file"
    test = " and the test file" if has_test else ""
    return f"Reads {rows}{test}, outside this app; the page stays free meanwhile."


def choose_settings(job_id: str, found: Inspection, schema: Schema) -> PrepareConfig:
    """Validation rows, how they are held out, and what gets a feature of its own."""
    defaults = PrepareConfig()
    options = _splits(found, schema)
    first, second, third, fourth = st.columns(4, gap="medium")
    with first:
        setting = PrepareConfig.setting("validation")
        validation = st.slider(
            "Validation rows, %", 0, 50, 10, 5, key=f"validation_{job_id}", help=setting.help
        )
    with second:
        split = st.selectbox(
            "Held out",
            options,
            format_func=_split_words,
            key=f"split_{job_id}",
            disabled=validation == 0,
            help=PrepareConfig.setting("split").help,
        )
    with third:
        min_count = _number("min_count", "Own feature from … rows", f"min_count_{job_id}")
    with fourth:
        buckets = defaults.numeric_buckets
        if schema.with_roles("numeric"):
            buckets = _number("numeric_buckets", "Buckets of numbers", f"buckets_{job_id}")
        else:
            st.caption("No numeric columns, so no buckets.")
    if validation:
        st.caption(plain(f"Proposed: {_split_words(found.proposed_split)} ({found.split_reason})."))
    return PrepareConfig(
        min_count=min_count,
        validation=validation / 100,
        split=split if validation else defaults.split,
        numeric_buckets=buckets,
    )


def _number(name: str, words: str, key: str) -> int:
    setting = PrepareConfig.setting(name)
    return st.number_input(
        words,
        int(setting.low or 0),
        int(setting.high or 1_000_000),
        setting.default,
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


def queue_prepare(
    job: JobRow,
    schema: Schema,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    config: PrepareConfig,
    name: str,
    settings: Settings,
) -> None:
    """Queue the job, or say in one sentence what is still missing."""
    try:
        ready = check_schema(schema, positive, negative)
    except DeepFMError as error:
        show_error(error)
        return
    test = chosen_test(settings)
    payload = {
        "train": job.payload["path"],
        "test": None if test is None else str(test.path),
        "schema": ready.to_dict(),
        "config": config.to_dict(),
        "name": name.strip() or Path(job.payload["path"]).name,
    }
    st.query_params[PREPARE] = state.store().queue_job("prepare", payload)
    st.rerun()


def check_schema(schema: Schema, positive: tuple[str, ...], negative: tuple[str, ...]) -> Schema:
    """The schema with its label's values; SchemaError says what the person still has to choose."""
    label = schema.label.name
    both = sorted(set(positive) & set(negative))
    if both:
        raise SchemaError(
            f"{both[0]!r} is said to mean both a click and no click. Take it out of one of the two."
        )
    if not positive or not negative:
        missing = "a click" if not positive else "no click"
        raise SchemaError(
            f"Choose which value of {label!r} means {missing}; a value that the sample lacks "
            "can be typed."
        )
    if not schema.fields:
        raise SchemaError(
            "No column is left for the model. Give at least one the role categorical or numeric."
        )
    return schema.with_label(label, positive=positive, negative=negative)


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
