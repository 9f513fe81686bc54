"""What one would pick instead of this run: asked for, fitted by the worker, told in words."""

from pathlib import Path
from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.charts.palette import (
    NO_VALUE,
    format_auc,
    format_count,
    format_duration,
    format_loss,
    format_probability,
)
from deepfm.errors import DeepFMError
from deepfm.evaluation import p_in_words
from deepfm.evaluation.baselines import (
    BASELINES_FILE,
    Baseline,
    Baselines,
    read_baselines,
    verdict,
)
from deepfm.evaluation.baselines.running import SECONDS_EACH, labels_digest
from deepfm.runs.store import JobRow
from deepfm.trained import TrainedModel
from deepfm.ui import state
from deepfm.ui.evaluated import Evaluated, dataset_of
from deepfm.ui.person import person
from deepfm.ui.plot import plot
from deepfm.ui.text import plain, show_error, show_notice
from deepfm.ui.waiting import show_job_end, wait_for_job

KIND: Final = "baselines"
JOB: Final = "baselines_job"
"""Session key: the job that this person asked for, by run."""


def show_baselines(run_id: str, model: TrainedModel, found: Evaluated) -> None:
    """The table where it is there; the job while it goes on; else a button."""
    st.markdown("**What would one pick instead?** The same rows for everyone.")
    job = _job(run_id)
    if job is not None and not job.ended:
        wait_for_job(job.id, "Fitting other models", key=JOB, on_end=lambda ended: None)
        return
    known = _read(run_id, model)
    if known is not None:
        _show(known, found)
        if found.figures.part != known.part or found.selection is not None:
            st.caption(f"Of all {format_count(known.rows)} {known.part} rows.")
    if job is not None and job.state != "finished":
        show_job_end(job, "Fitting other models")
    _offer(run_id, model, again=known is not None)


def _job(run_id: str) -> JobRow | None:
    """The newest job for this run, whoever asked for it."""
    asked = st.session_state.get(JOB, {}).get(run_id)
    active = [
        job
        for job in state.store().jobs(active=True, limit=100)
        if job.kind == KIND and job.payload.get("run_id") == run_id
    ]
    if active:
        return active[0]
    try:
        return state.store().job(asked) if asked else None
    except DeepFMError:
        return None


def baselines_file(run_id: str, model: TrainedModel) -> Path:
    """Where the result is: in the run's folder; for the bundled run, which is not ours, at home."""
    if run_id == state.DEMO:
        return state.home() / "baselines" / f"{state.DEMO}.json"
    return model.folder / BASELINES_FILE


def _read(run_id: str, model: TrainedModel) -> Baselines | None:
    """What was measured for the run as it is now; None where nothing was."""
    bundled = model.folder / BASELINES_FILE
    for path in (baselines_file(run_id, model), bundled):
        try:
            found = read_baselines(path)
        except DeepFMError as error:
            show_error(error)
            continue
        if found is not None and found.labels == labels_digest(model.scores().labels):
            return found
    return None


def _offer(run_id: str, model: TrainedModel, *, again: bool) -> None:
    dataset = dataset_of(model)
    if dataset is None and run_id != state.DEMO:
        show_notice(
            "The dataset that this run was trained on is not on this server, so other models "
            "cannot be fitted on it."
        )
        return
    st.caption(
        "Always guesses the base rate, and fits scikit-learn's logistic regression and boosted "
        "trees, LightGBM and CatBoost (where installed) on the run's own training rows. Each ends "
        f"by the validation rows and is judged by the same {model.part} rows; it may take "
        f"{format_duration(SECONDS_EACH)}. The page stays free meanwhile."
    )
    if st.button(
        "Measure again" if again else "Fit the other models",
        key="fit_baselines",
        icon=":material/balance:",
    ):
        payload = {
            "run": str(model.folder),
            "dataset": "" if dataset is None else str(dataset.folder),
            "out": str(baselines_file(run_id, model)),
            "run_id": run_id,
        }
        try:
            job_id = state.store().queue_job(KIND, payload, person())
        except DeepFMError as error:
            show_error(error)
            return
        st.session_state.setdefault(JOB, {})[run_id] = job_id
        st.rerun()


def _show(known: Baselines, found: Evaluated) -> None:
    show_notice(verdict(known))
    st.dataframe(
        baselines_table(known),
        hide_index=True,
        width="stretch",
        placeholder=NO_VALUE,
        alt=verdict(known),
    )
    corrected = known.corrected
    differences = [
        charts.NamedDifference(one.name, one.difference, corrected[one.name])
        for one in known.models
        if one.difference is not None
    ]
    if differences:
        plot(
            charts.differences_figure(differences, known.own.name),
            key="baseline_differences",
            height=max(136, 70 + 34 * len(differences)),
            caption=charts.DIFFERENCES_CAPTION,
            alt=" ".join(charts.difference_sentence(one, known.own.name) for one in differences),
            table=lambda: charts.differences_table(differences),
        )
    st.caption(plain(_how(known)))


def _how(known: Baselines) -> str:
    late = [one.name for one in known.models if one.late]
    words = (
        f"Fitted on {format_count(known.train_rows)} training rows, ended by {known.stopping}; "
        f"judged by {format_count(known.rows)} {known.part} rows."
    )
    if late:
        words += f" {', '.join(late)} ran out of time, so more might help."
    for name, why in known.missing.items():
        words += f" {name} is not installed here: {why}."
    return words


def baselines_table(known: Baselines) -> pd.DataFrame:
    """The run and the others, the best ranking first."""
    corrected = known.corrected
    order = sorted((known.own, *known.models), key=lambda one: -(one.auc or 0.0))
    return pd.DataFrame([_row(one, corrected.get(one.name), known) for one in order])


def _row(one: Baseline, corrected: float | None, known: Baselines) -> dict[str, str]:
    difference = one.difference
    interval = f"{one.auc_low:.4f} to {one.auc_high:.4f}" if one.auc_low is not None else NO_VALUE
    return {
        "Model": f"{one.name} (this run)" if one is known.own else one.name,
        "AUC": format_auc(one.auc),
        "95 %": interval,
        "Against this run": charts.signed(difference.difference) if difference else NO_VALUE,
        "p (Holm)": NO_VALUE if corrected is None else p_in_words(corrected).removeprefix("= "),
        "Log loss": format_loss(one.log_loss),
        "Accuracy": format_probability(one.accuracy),
        "Calibration error": format_probability(one.calibration_error, 2),
        "Time": format_duration(one.seconds),
        "Fitted": one.detail or "DeepFM Lab",
    }
