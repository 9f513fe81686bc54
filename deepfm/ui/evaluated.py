"""A run and one of its parts to all that the Evaluate page shows, computed once and kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from deepfm.charts.evaluation import CurveStyle, NamedRoc
from deepfm.errors import DeepFMError
from deepfm.evaluation import (
    CalibrationTable,
    Counts,
    Evaluation,
    GainCurve,
    Histogram,
    JudgedRows,
    PrecisionRecallCurve,
    Selection,
    ThresholdTable,
    Verdict,
    count,
    evaluate_rows,
    judged_rows,
    roc_of,
    threshold_table_of,
    verdict_of,
)
from deepfm.evaluation.figures import auc_of
from deepfm.trained import TrainedModel
from deepfm.ui import state

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

RARE: Final = 0.05
"""Below this share of clicks, accuracy and 0.5 say nothing: the page shows other figures."""

HALF: Final = 0.5
"""Above it a click is likelier than none: the threshold that accuracy is of."""

_ALONE: Final[Mapping[str, tuple[CurveStyle, ...]]] = {
    "FM": ("linear",),
    "Wide & Deep": ("linear", "deep"),
    "DeepFM": ("fm", "deep"),
}
"""Which branches of a model are worth a line of their own beside the whole."""

_WORDS: Final[Mapping[str, str]] = {
    "linear": "linear alone",
    "fm": "FM branch alone",
    "deep": "deep branch alone",
}

_BRANCH_ROWS: Final[Mapping[str, str]] = {
    "linear": "linear alone",
    "pairwise": "pairwise alone",
    "fm": "FM branch alone",
    "deep": "deep branch alone",
}


@dataclass(frozen=True)
class Evaluated:
    """Figures and curves of the judged rows; a curve is None where they have one class only.

    verdict  what the model is worth on these rows
    known    rows of the part whose values are known: what slices are made of
    of       rows of the part in all
    """

    figures: Evaluation
    curves: tuple[NamedRoc, ...]
    thresholds: ThresholdTable
    precision_recall: PrecisionRecallCurve | None
    calibration: CalibrationTable
    gain: GainCurve | None
    histogram: Histogram
    verdict: Verdict | None
    selection: Selection | None
    known: int
    of: int

    @property
    def rare(self) -> bool:
        """Whether clicks are so rare that accuracy means nothing."""
        return (self.figures.base_rate or 0.0) < RARE

    @property
    def start(self) -> int:
        """The threshold that is shown first: the base rate, above which a row is likelier to be
        clicked than usual; 0.5 where it is none or all."""
        rate = self.figures.base_rate or 0.0
        return self.thresholds.position(rate if 0 < rate < 1 else HALF)


def evaluated(
    run_id: str, model: TrainedModel, part: str, selection: Selection | None = None
) -> Evaluated:
    """Everything about a part of a run, or a slice of it; kept until the run is trained again."""
    return _evaluated(run_id, part, selection, _changed(model), model)


@st.cache_resource(show_spinner="Measuring…", max_entries=24)
def _evaluated(
    run_id: str, part: str, selection: Selection | None, changed: float, _model: TrainedModel
) -> Evaluated:
    rows = rows_of(run_id, _model, part, selection)
    found = evaluate_rows(rows)
    return Evaluated(
        # Without the rows, which take far more memory than what is shown of them.
        figures=replace(found, judged=None),
        curves=_curves(rows),
        thresholds=found.thresholds,
        precision_recall=found.precision_recall,
        calibration=found.calibration,
        gain=found.gain,
        histogram=found.histogram,
        verdict=verdict_of(rows.labels, rows.logit, rows.counts),
        selection=selection,
        known=len(_part(run_id, part, _changed(_model), _model).ids),
        of=rows.of,
    )


def with_threshold(found: Evaluated, run_id: str, model: TrainedModel, exact: float) -> Evaluated:
    """The same with one more position of the threshold, exactly where it was asked for."""
    if exact in found.thresholds.threshold:
        return found
    which = (run_id, found.figures.part, found.selection, _changed(model))
    return replace(found, thresholds=_thresholds_with(*which, exact, model))


@st.cache_resource(show_spinner=False, max_entries=24)
def _thresholds_with(
    run_id: str,
    part: str,
    selection: Selection | None,
    changed: float,
    exact: float,
    _model: TrainedModel,
) -> ThresholdTable:
    rows = rows_of(run_id, _model, part, selection)
    return threshold_table_of(rows.counts_by_probability, also=(exact,))


def rows_of(
    run_id: str, model: TrainedModel, part: str, selection: Selection | None = None
) -> JudgedRows:
    """The judged rows themselves; those of the last few that were looked at are kept."""
    if selection is None:
        return _part(run_id, part, _changed(model), model)
    return _slice(run_id, part, selection, _changed(model), model)


@st.cache_resource(show_spinner=False, max_entries=3)
def _part(run_id: str, part: str, changed: float, _model: TrainedModel) -> JudgedRows:
    return judged_rows(_model, part, dataset_of(_model))


@st.cache_resource(show_spinner=False, max_entries=3)
def _slice(
    run_id: str, part: str, selection: Selection, changed: float, _model: TrainedModel
) -> JudgedRows:
    return _part(run_id, part, changed, _model).where(selection)


def dataset_of(model: TrainedModel) -> "Dataset | None":
    """The dataset that a run was trained on; None where it is not on this server."""
    try:
        return state.dataset(model.dataset_fingerprint)
    except DeepFMError:
        return None


def _changed(model: TrainedModel) -> float:
    return (model.folder / "scores.parquet").stat().st_mtime


def _curves(rows: JudgedRows) -> tuple[NamedRoc, ...]:
    """The branches beside the whole model, which comes last; none with one class only.

    A branch alone is scored as base + (branch − its mean), which ranks as the branch does.
    """
    name = rows.model.model.name
    alone = _ALONE.get(name, ())
    ranked = [
        _named_roc(_WORDS[style], style, count(rows.labels, getattr(rows.terms, style)))
        for style in alone
    ]
    whole = _named_roc(name, "all", rows.counts_by_probability)
    return tuple(named for named in (*ranked, whole) if named is not None)


def _named_roc(name: str, style: CurveStyle, counts: Counts) -> NamedRoc | None:
    curve = roc_of(counts)
    return None if curve is None else NamedRoc(name, style, curve, auc_of(counts))


def numbers_table(figures: Evaluation) -> pd.DataFrame:
    """Every figure that exists with its name in words, unrounded."""
    rows = {
        "Rows": figures.rows,
        "Base rate": figures.base_rate,
        "AUC": figures.auc,
        "AUC, low end of 95 %": figures.auc_low,
        "AUC, high end of 95 %": figures.auc_high,
        "Average precision": figures.average_precision,
        "Log loss": figures.log_loss,
        "Log loss after Platt scaling": figures.log_loss_calibrated,
        "Log loss of always guessing the base rate": figures.log_loss_base,
        "Accuracy at 0.5": figures.accuracy,
        "Accuracy of the commoner label": figures.majority_accuracy,
        "Calibration error": figures.calibration_error,
    }
    for branch, words in _BRANCH_ROWS.items():
        if branch in figures.branches:
            rows[f"AUC, {words}"] = figures.branches[branch].auc
            rows[f"Log loss, {words}"] = figures.branches[branch].log_loss
    known = {name: float(value) for name, value in rows.items() if value is not None}
    return pd.DataFrame({"Figure": list(known), "Value": list(known.values())})
