"""A person to the population that an impression is measured against: the way to choose it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import streamlit as st

from deepfm.charts.palette import format_count, shortened
from deepfm.data.dataset import Dataset
from deepfm.explanation import (
    AllTrainingRows,
    Explanation,
    OtherImpression,
    Population,
    TrainingSlice,
)
from deepfm.runs.store import JobRow
from deepfm.trained import TrainedModel
from deepfm.ui import state
from deepfm.ui.choosing import Choice
from deepfm.ui.impression_population import (
    Against,
    conditions_in_address,
    measure_against,
    measure_against_sample,
    measure_against_slice,
    own_dataset,
)
from deepfm.ui.person import person
from deepfm.ui.text import mistakes_in_words, plain, show_error, told
from deepfm.ui.waiting import show_job_end, wait_for_job

Kind = Literal["sample", "all", "slice", "other"]

KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "sample": "A sample of the training rows",
        "all": "All training rows",
        "slice": "Training rows with some values",
        "other": "One other impression: why this and not that?",
    }
)
OFFERED: Final = 200
"""Values of a field that are offered for a slice; any other may be typed."""
MOST_CONDITIONS: Final = 3
_JOB: Final = "impression_measuring"
_JOB_KIND: Final = "training_means"
_RECENT_JOBS: Final = 200
_KIND: Final = "impression_against"


def choose_population(
    model: TrainedModel, choice: Choice, against: Against, explanation: Explanation
) -> None:
    """A quiet button that names the population, and what to do where it cannot be had."""
    with st.popover(
        f"Measured against {plain(shortened(against.reference.name, 90))}",
        icon=":material/balance:",
        type="tertiary",
        key="impression_against_open",
        on_change="rerun",
    ) as popover:
        if popover.open:
            _chooser(model, choice, against, explanation)


def show_trouble(model: TrainedModel, against: Against) -> None:
    """Why the chosen population is not the one that is measured against, and the way out."""
    if against.unmeasured:
        _measuring(model)
    if against.trouble:
        show_error(against.trouble)
        st.button("Measure against the sample instead", on_click=measure_against_sample)
    elif against.reference.advice:
        st.caption(plain(against.reference.advice))


def _chooser(
    model: TrainedModel, choice: Choice, against: Against, explanation: Explanation
) -> None:
    kinds: list[Kind] = list(KINDS)
    kind = st.radio(
        "What is this impression measured against?",
        kinds,
        index=kinds.index(_kind_of(against.population)),
        format_func=KINDS.__getitem__,
        key=_KIND,
    )
    st.caption(_MEANINGS[kind])
    if kind == "sample" and _kind_of(against.population) != "sample":
        st.button("Measure against it", type="primary", on_click=measure_against_sample)
    elif kind == "all" and _kind_of(against.population) != "all":
        st.button("Measure against it", type="primary", on_click=measure_against, args=("all",))
    elif kind == "slice":
        _slice_form(model)
    elif kind == "other":
        _other_form(model, choice, against, explanation)


_MEANINGS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "sample": "Up to 1,000 training rows, drawn at random with a fixed seed. “Typical” means "
        "their average.",
        "all": "The averages over every training row. The sample is usually within a few "
        "hundredths of it.",
        "slice": "What is special about this impression among rows like it: “typical” is then "
        "the average over the rows with these values.",
        "other": "Each part says how far the two impressions are apart in it. Values that they "
        "share add nothing of their own.",
    }
)


def _kind_of(population: Population) -> Kind:
    match population:
        case TrainingSlice():
            return "slice"
        case OtherImpression():
            return "other"
        case AllTrainingRows():
            return "all"
    return "sample"


def _slice_form(model: TrainedModel) -> None:
    """Field and values, one line a condition, and one more to fill in."""
    chosen = list(conditions_in_address(model).items())
    names = [field.name for field in model.fields if field.role != "numeric"]
    wanted: dict[str, list[str]] = {}
    for place in range(min(len(chosen) + 1, MOST_CONDITIONS)):
        given_name, given_values = chosen[place] if place < len(chosen) else (None, [])
        left, right = st.columns([2, 3])
        field = left.selectbox(
            "Field" if place == 0 else "and field",
            names,
            index=names.index(given_name) if given_name in names else None,
            placeholder="Choose a field",
            key=f"impression_where_field_{place}_{len(chosen)}",
        )
        if field is None:
            continue
        options = state.field_values(model, field)[:OFFERED]
        given = given_values if field == given_name else []
        values = right.multiselect(
            "is",
            [*options, *(value for value in given if value not in options)],
            default=given,
            accept_new_options=True,
            placeholder="Choose or type values",
            key=f"impression_where_value_{place}_{field}_{len(chosen)}",
        )
        if values:
            wanted[field] = list(values)
    st.button(
        "Measure against these rows",
        type="primary",
        disabled=not wanted,
        on_click=measure_against_slice,
        args=(wanted,),
    )


def _other_form(
    model: TrainedModel, choice: Choice, against: Against, explanation: Explanation
) -> None:
    rows = len(model.impression_ids(choice.part))
    now = against.row
    row = st.number_input(
        f"Row of the {choice.part} part, 0 to {format_count(rows - 1)}",
        min_value=0,
        max_value=rows - 1,
        value=now[1] if now is not None and now[0] == choice.part else None,
        placeholder="Its number",
        key=f"impression_other_row_{choice.part}",
    )
    st.button(
        "Measure against this row",
        type="primary",
        disabled=row is None,
        on_click=measure_against,
        args=(f"{choice.part}:{row}",),
    )
    own = choice.row if not choice.composed else -1
    for label, words in ((1, "clicked"), (0, "not clicked")):
        alike = most_alike(model, choice.part, explanation, label, own)
        if alike is not None:
            st.button(
                f"The most alike that was {words}: row {format_count(alike[0])}, "
                f"{alike[1]} of {len(model.fields)} values the same",
                key=f"impression_alike_{label}",
                on_click=measure_against,
                args=(f"{choice.part}:{alike[0]}",),
            )


def most_alike(
    model: TrainedModel, part: str, explanation: Explanation, label: int, leave_out: int
) -> tuple[int, int] | None:
    """The row with this label that shares most values, and how many; None without any such row.

    Of several the first. leave_out is the row itself, -1 for none.
    """
    ids = model.impression_ids(part)
    shared = (ids == explanation.ids).sum(axis=1)
    candidates = model.scores(part).labels[: len(ids)] == label
    if 0 <= leave_out < len(ids):
        candidates[leave_out] = False
    if not candidates.any():
        return None
    row = int(np.argmax(np.where(candidates, shared, -1)))
    return row, int(shared[row])


@mistakes_in_words()
def _measuring(model: TrainedModel) -> None:
    """The job that measures all training rows: a button, then how far it is."""
    what, dataset = "Measuring all training rows", own_dataset(model)
    job = _newest_job(model)
    if job is not None and not job.ended:
        wait_for_job(job.id, what, key=_JOB, on_end=lambda _: None)
        return
    if job is not None:
        show_job_end(job, what)
    rows = format_count(len(dataset.parts["train"]))
    st.caption(
        f"The averages over all {rows} training rows are not known for this run yet; until then "
        f"it is measured against {model.reference.name}."
    )
    st.button(
        f"Measure all {rows} training rows",
        icon=":material/play_arrow:",
        on_click=told(_start_measuring),
        args=(model, dataset),
    )


def _newest_job(model: TrainedModel) -> JobRow | None:
    """The last one that was asked for this run, by anybody."""
    for job in state.store().jobs(limit=_RECENT_JOBS):
        if job.kind == _JOB_KIND and job.payload.get("run") == str(model.folder):
            return job
    return None


def _start_measuring(model: TrainedModel, dataset: Dataset) -> None:
    """Queue the job, unless somebody else has just done so."""
    job = _newest_job(model)
    if job is None or job.ended:
        payload = {"run": str(model.folder), "dataset": str(dataset.folder)}
        state.store().queue_job(_JOB_KIND, payload, owner=person())
