"""The Train page's form to a sweep: a study or values of one's own, what it costs, one click."""

import secrets
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from deepfm.charts.palette import format_count, format_duration
from deepfm.config import ModelConfig, TrainConfig
from deepfm.errors import DeepFMError
from deepfm.sweeps import (
    OBJECTIVES,
    SAMPLERS,
    STUDIES,
    Axis,
    Sweep,
    begin,
    check_data,
    format_axis,
    needs_preparing,
    parse_axis,
    payload_for,
    source_of,
    sweep_of,
    swept_settings,
)
from deepfm.ui import state
from deepfm.ui.expected import Size, cost_html, expected, measured_rates, size_of
from deepfm.ui.forms import mistake
from deepfm.ui.person import person
from deepfm.ui.queueing import pinned_of
from deepfm.ui.sweep_view import show_begun
from deepfm.ui.text import plain, show_error
from deepfm.ui.waiting import show_job_end, wait_for_job

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import JobRow, RunRow

OPEN: Final = "train_sweep_open"
JOB: Final = "train_sweep_job"
ENDED: Final = "train_sweep_ended"
OWN: Final = "own"
MOST_OWN: Final = 4
"""Settings that the page lets one vary at once; the command line takes more."""

BETWEEN_RUNS_SECONDS: Final = 3.0
"""What a run takes beside its training, where nothing was seen yet: a process that loads torch,
scoring, saving.
"""
SEEN_RUNS: Final = 30

SAMPLER_TITLES: Final = {
    "grid": "All combinations",
    "random": "Some, at random",
    "tpe": "Some, going where it went well (TPE)",
}
OBJECTIVE_TITLES: Final = {"auc": "Validation AUC", "log_loss": "Validation log loss"}


def sweep_form(dataset: "Dataset", model: ModelConfig | None, train: TrainConfig | None) -> None:
    """An expander under the settings, which are what every run of the sweep starts from."""
    with st.expander("Sweep: try several values", key=OPEN, on_change="rerun") as expander:
        if not expander.open:
            return
        if job_id := st.session_state.get(JOB):
            wait_for_job(job_id, "Preparing the data", key="train_sweep", on_end=_begun)
            return
        if ended := st.session_state.pop(ENDED, None):
            show_job_end(ended, "Starting the sweep")
        if model is None or train is None:
            st.caption("The settings above hold a mistake; a sweep starts from them.")
            return
        _form(dataset, model, train)


def _form(dataset: "Dataset", model: ModelConfig, train: TrainConfig) -> None:
    study = st.selectbox(
        "What to try",
        [*STUDIES, OWN],
        format_func=lambda name: STUDIES[name].title if name in STUDIES else "Values of my own",
        key="sweep_study",
        persist_state="session",
    )
    axes: list[Axis] | None
    if study in STUDIES:
        st.markdown(plain(STUDIES[study].question))
        st.caption(plain(STUDIES[study].found))
        axes = _values_of_study(study, dataset, model)
    else:
        axes = _own_values()
    chosen = _how(own=study == OWN)
    if axes is None:
        return
    try:
        store, home = state.store(), state.home()
        sweep = sweep_of(
            axes,
            source_of(dataset, store.jobs(), home),
            dataset.prepare,
            model,
            train,
            study=study if study in STUDIES else "",
            **chosen,
        )
        check_data(sweep, dataset, state.settings())
    except DeepFMError as error:
        mistake(str(error))
        return
    _cost(sweep, size_of(dataset))
    if st.button(
        f"Queue {sweep.runs} runs", key="sweep_start", icon=":material/tune:", width="stretch"
    ):
        _start(sweep, dataset)


# --- values ---------------------------------------------------------------------------------


def _values_of_study(name: str, dataset: "Dataset", model: ModelConfig) -> list[Axis] | None:
    """The study's values for this dataset, which may be changed."""
    usual = STUDIES[name].axis(dataset.summary().parts["train"].rows, model)
    if usual.declared.kind in ("bool", "choice"):
        return [usual]
    text = st.text_input(
        "Values to try",
        value=format_axis(usual),
        key=f"sweep_values_{name}_{dataset.fingerprint}",
        help=_help(usual.setting),
        persist_state="session",
    )
    axis = _parsed(usual.setting, text)
    if axis is None:
        return None
    return [usual if axis.values == usual.values else axis]


def _own_values() -> list[Axis] | None:
    """One line for each setting; the next one comes once the line before is filled in."""
    settings = swept_settings()
    axes: list[Axis] = []
    good = True
    for place in range(MOST_OWN):
        left, right = st.columns([1, 1.2])
        name = left.selectbox(
            "Setting" if place == 0 else "And",
            list(settings),
            format_func=lambda each: "Model" if each == "terms" else settings[each].label,
            index=None if place else 0,
            placeholder="add one",
            key=f"sweep_setting_{place}",
            persist_state="session",
        )
        if name is None:
            break
        text = right.text_input(
            "Values",
            key=f"sweep_own_{place}_{name}",
            placeholder=_example(name),
            help=_help(name),
            persist_state="session",
        )
        if not text.strip():
            if place == 0:
                st.caption(plain(f"Type the values to try, such as {_example(name)}."))
            good = False
            break
        axis = _parsed(name, text)
        good = good and axis is not None
        if axis is not None:
            axes.append(axis)
    return axes if good else None


def _parsed(setting: str, text: str) -> Axis | None:
    try:
        return parse_axis(setting, text)
    except DeepFMError as error:
        mistake(str(error))
        return None


def _help(name: str) -> str:
    setting = swept_settings()[name]
    form = "Commas between values"
    if setting.kind == "ints":
        form = "Commas between widths, semicolons between networks: 30,20,10; 64,32"
    elif setting.kind in ("int", "float") and name not in ("min_count", "numeric_buckets"):
        form += "; or a range to draw from: LOW..HIGH"
    return f"{setting.help} {form}."


def _example(name: str) -> str:
    """Values that could be typed for a setting."""
    setting = swept_settings()[name]
    examples = {
        "num_factors": "4, 8, 16",
        "mlp_dims": "30,20,10; 64,32",
        "terms": "LR, FM, DeepFM",
        "learning_rate": "0.003, 0.01, 0.03",
        "batch_size": "512, 2048",
        "min_count": "1, 4, 16",
    }
    if name in examples:
        return examples[name]
    if setting.choices:
        return ", ".join(setting.choices)
    return {"bool": "yes, no", "float": "0, 0.1, 0.3"}.get(setting.kind, "1, 2, 4")


# --- how they are tried ---------------------------------------------------------------------


def _how(*, own: bool) -> dict[str, Any]:
    """Seeds, sampler, trials and objective, as `sweep_of` takes them."""
    left, right = st.columns(2)
    seeds = left.number_input(
        "Seeds",
        min_value=1,
        max_value=20,
        value=3,
        key="sweep_seeds",
        help="Each configuration is trained once with each seed. How far its results spread "
        "tells what chance does.",
        persist_state="session",
    )
    objective = right.selectbox(
        "Judged by",
        OBJECTIVES,
        format_func=lambda name: OBJECTIVE_TITLES[name],
        key="sweep_objective",
        help="A figure of the validation rows. The test rows choose nothing; they are shown for "
        "the best one alone.",
        persist_state="session",
    )
    chosen: dict[str, Any] = {"seeds": int(seeds), "objective": objective}
    if not own:
        return chosen
    sampler = st.selectbox(
        "Which combinations",
        SAMPLERS,
        format_func=lambda name: SAMPLER_TITLES[name],
        key="sweep_sampler",
        persist_state="session",
    )
    chosen["sampler"] = sampler
    if sampler != "grid":
        chosen["trials"] = int(
            st.number_input(
                "Trials",
                min_value=2,
                max_value=100,
                value=10,
                key="sweep_trials",
                help="How many configurations are tried.",
                persist_state="session",
            )
        )
    return chosen


def _cost(sweep: Sweep, size: Size) -> None:
    """How many runs, and about how long they take: only numbers and words of our own."""
    seconds = expected_seconds(sweep, size)
    count, seeds = sweep.configurations, len(sweep.seeds)
    most = "at most about" if sweep.train.patience else "about"
    figures = (
        (
            "Runs",
            format_count(sweep.runs),
            # A bare number beside the runs' would be read as one with it.
            f"= {count} configurations × {seeds} seed{'s' * (seeds > 1)}",
        ),
        ("Time", f"{most} {format_duration(seconds)}", "less what is here already"),
    )
    st.html(cost_html(figures))


def expected_seconds(sweep: Sweep, size: Size) -> float:
    """Of all runs one after the other; what is drawn from ranges is taken as the base."""
    rates = measured_rates(size, sweep.model, sweep.train)
    if sweep.sampler == "grid":
        points = list(sweep.grid())
        each = [
            expected(size, sweep.model_of(point), sweep.train_of(point, 0), rates).seconds
            for point in points
        ]
        total = sum(each)
    else:
        total = sweep.trials * expected(size, sweep.model, sweep.train, rates).seconds
    return len(sweep.seeds) * total + sweep.runs * between_runs(
        state.store().runs(states=("finished",), limit=SEEN_RUNS)
    )


def between_runs(rows: Sequence["RunRow"]) -> float:
    """Seconds from the start of one run to that of the next, less its training: the median over
    runs of which the next one waited already.
    """
    ordered = sorted(rows, key=lambda row: row.started or 0.0)
    seen = [
        (after.started or 0.0) - (before.started or 0.0) - float((before.result or {})["seconds"])
        for before, after in pairwise(ordered)
        if before.result and after.created < (before.finished or 0.0)
    ]
    return max(0.0, median(seen)) if seen else BETWEEN_RUNS_SECONDS


# --- going ahead ----------------------------------------------------------------------------


def _start(sweep: Sweep, dataset: "Dataset") -> None:
    """Queue it, or first let the worker prepare its data; then watch it."""
    pinned, owner = pinned_of(dataset), person()
    try:
        if needs_preparing(sweep):
            payload = {**payload_for(sweep, pinned, owner), "token": secrets.token_hex(8)}
            st.session_state[JOB] = state.store().queue_job("sweep", payload)
            st.rerun()
        group = begin(state.store(), sweep, pinned=pinned, owner=owner, settings=state.settings())
    except DeepFMError as error:
        show_error(error)
        return
    show_begun(group)


def _begun(job: "JobRow") -> None:
    """Watch the sweep whose data were prepared; or say why there is none."""
    st.session_state.pop(JOB, None)
    if job.state == "finished" and job.result:
        show_begun(str(job.result["group"]))
    else:
        st.session_state[ENDED] = job
