"""Several runs on the same rows: ROC curves over each other, and differences of AUC, tested."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from deepfm.charts import evaluation as charts
from deepfm.charts.evaluation import CurveStyle
from deepfm.charts.palette import RUN_COLOURS, run_places
from deepfm.errors import DeepFMError
from deepfm.evaluation import AucDifference, compare_aucs, holm
from deepfm.trained import TrainedModel
from deepfm.ui import state
from deepfm.ui.evaluated import evaluated
from deepfm.ui.model_trained import differs_in_terms_alone
from deepfm.ui.plot import plot
from deepfm.ui.text import numbered_names, plain, show_notice

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

MOST: Final = len(RUN_COLOURS) - 1
"""Other runs beside this one: hues there are for six."""
LOOKED_AT: Final = 60
"""The newest runs of the same dataset that can be chosen."""


@dataclass(frozen=True)
class ScoredRun:
    """A run under the name that it has on the page, by its folder."""

    name: str
    folder: Path


def show_other_runs(run_id: str, model: TrainedModel, part: str) -> None:
    """Choose other runs of the same rows; the other models of this comparison at first."""
    others = other_runs(run_id, model, part)
    if not others:
        show_notice(
            "No other run here was judged by the same rows. Train another one on this dataset, "
            "and it can be compared."
        )
        return
    words = numbered_names([row.name for row in others])
    names = {row.id: name for row, name in zip(others, words, strict=True)}
    chosen = st.multiselect(
        "Beside this run",
        list(names),
        default=usual_rivals(run_id, model, others),
        format_func=names.__getitem__,
        max_selections=MOST,
        key=f"beside_{run_id}",
    )
    own = state.run_name(run_id)
    if not chosen:
        st.caption("Choose a run above. One with the same settings only shows the same again.")
        return
    curves = []
    shown = [(run_id, own), *((one, names[one]) for one in chosen)]
    places = run_places([state.trained(each).model.name for each, _ in shown])
    for place, (each, name) in zip(places, shown, strict=True):
        for named in evaluated(each, state.trained(each), part).curves[-1:]:
            style = cast("CurveStyle", RUN_COLOURS[place])
            curves.append(charts.NamedRoc(name, style, named.curve, named.auc))
    if curves:
        plot(
            charts.runs_roc_figure(curves),
            key="other_runs_roc",
            height=440,
            caption=charts.RUNS_ROC_CAPTION,
            alt=charts.runs_roc_finding(curves),
            table=lambda: charts.runs_roc_table(curves),
        )
    scored = [ScoredRun(names[one], state.run_folder(one)) for one in chosen]
    show_differences_of_auc(ScoredRun(own, model.folder), scored, part, key="other_runs")


def usual_rivals(run_id: str, model: TrainedModel, others: Sequence["RunRow"]) -> list[str]:
    """Which of the others stand beside this run at first: no two with the same settings.

    Those of its group; without any those that differ in their terms alone (LR, FM, DNN, Wide &
    Deep); without any the newest.
    """
    own = _settings(model.model.to_dict(), model.train.to_dict())
    group = None
    if run_id != state.DEMO:
        row = state.store().run(run_id)
        own, group = _settings(row.model, row.train), row.group
    rivals: dict[str, RunRow] = {}
    for row in others:
        if (settings := _settings(row.model, row.train)) != own:
            rivals.setdefault(settings, row)
    of_group = [row for row in rivals.values() if group is not None and row.group == group]
    of_terms = [row for row in rivals.values() if differs_in_terms_alone(row, model)]
    usual = of_group or of_terms or list(rivals.values())[:1]
    return [row.id for row in usual[:MOST]]


def _settings(model: Mapping[str, Any], train: Mapping[str, Any]) -> str:
    """All that shapes a result, to be compared; the device is no part of that."""
    shaping = {name: value for name, value in train.items() if name != "device"}
    return json.dumps([model, shaping], sort_keys=True, default=list)


def other_runs(run_id: str, model: TrainedModel, part: str) -> list["RunRow"]:
    """Trained runs of the same dataset whose rows of the part are the same ones, newest first."""
    own = _digest(model.folder, part, state.run_time(model.folder))
    found: list[RunRow] = []
    for row in state.store().runs(limit=1_000):
        if len(found) == LOOKED_AT:
            break
        if row.id == run_id or not state.is_trained(row):
            continue
        if row.fingerprint and row.fingerprint != model.dataset_fingerprint:
            continue
        try:
            digest = _digest(row.folder, part, state.run_time(row.folder))
        except DeepFMError:
            continue  # a damaged folder, or none of these rows: its own page says so
        if digest == own:
            found.append(row)
    return found


def show_differences_of_auc(
    reference: ScoredRun, others: Sequence[ScoredRun], part: str, *, key: str
) -> None:
    """Each other run's AUC less the reference's, tested on the rows that both were judged by."""
    differences = differences_of_auc(reference, others, part)
    if not differences:
        return
    plot(
        charts.differences_figure(differences, reference.name),
        key=f"{key}_differences_of_auc",
        height=max(136, 70 + 34 * len(differences)),
        caption=charts.DIFFERENCES_CAPTION,
        alt=" ".join(charts.difference_sentence(one, reference.name) for one in differences),
        table=lambda: charts.differences_table(differences),
    )
    for one in differences:
        st.markdown(f"- {plain(charts.difference_sentence(one, reference.name))}")


def differences_of_auc(
    reference: ScoredRun, others: Sequence[ScoredRun], part: str
) -> list[charts.NamedDifference]:
    """DeLong's paired test of each, corrected by Holm; runs of other rows are left out."""
    tested = [
        (other.name, found)
        for other in others
        if (found := compared_aucs(other, reference, part)) is not None
    ]
    corrected = holm(np.array([found.p_value for _, found in tested]))
    return [
        charts.NamedDifference(name, found, float(p))
        for (name, found), p in zip(tested, corrected, strict=True)
    ]


def compared_aucs(first: ScoredRun, second: ScoredRun, part: str) -> AucDifference | None:
    """The AUC of one run less another's, tested; None where they were judged by other rows."""
    times = tuple(state.run_time(run.folder) for run in (first, second))
    return _compared(first.folder, second.folder, part, times)


@st.cache_data(show_spinner="Comparing the rankings…", max_entries=200)
def _compared(
    folder: Path, reference: Path, part: str, times: tuple[float, ...]
) -> AucDifference | None:
    (labels, first), (others, second) = (_scores(each, part) for each in (folder, reference))
    if not np.array_equal(labels, others):
        return None
    return compare_aucs(labels, first, second)


def _scores(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from deepfm.terms import TERM_NAMES
    from deepfm.trained.run_folder import RunFolder

    table = RunFolder(folder).scores().of(part)
    logit = sum(table[name].to_numpy() for name in TERM_NAMES)
    return table["label"].to_numpy(), logit


@st.cache_data(show_spinner=False, max_entries=500)
def _digest(folder: Path, part: str, time: float) -> str:
    """A run's rows of a part by what happened in them; RunError where it has none."""
    labels, _ = _scores(folder, part)
    return hashlib.blake2s((labels > 0.5).tobytes(), digest_size=8).hexdigest() + str(len(labels))
