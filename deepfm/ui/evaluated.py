"""A run and one of its parts to all that the Evaluate page shows, computed once and kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

import pandas as pd
import streamlit as st

from deepfm.charts.evaluation import CurveStyle, NamedRoc
from deepfm.charts.palette import RUN_COLOURS
from deepfm.errors import DeepFMError
from deepfm.evaluation import (
    CalibrationTable,
    Evaluation,
    GainCurve,
    Histogram,
    PrecisionRecallCurve,
    ThresholdTable,
    auc,
    calibration,
    evaluate_scores,
    gain,
    histogram,
    precision_recall,
    roc,
    threshold_table,
)
from deepfm.terms import Floats
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import state

RARE: Final = 0.05
"""Below this share of clicks, accuracy and 0.5 say nothing: the page shows other figures."""

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
    """Figures and curves of one part; a curve is None where the rows have one class only."""

    figures: Evaluation
    curves: tuple[NamedRoc, ...]
    thresholds: ThresholdTable
    precision_recall: PrecisionRecallCurve | None
    calibration: CalibrationTable
    gain: GainCurve | None
    histogram: Histogram

    @property
    def rare(self) -> bool:
        """Whether clicks are so rare that accuracy means nothing."""
        return (self.figures.base_rate or 0.0) < RARE

    @property
    def start(self) -> int:
        """The threshold that is shown first: 0.5, or the base rate where clicks are rare."""
        threshold = self.figures.base_rate or 0.0 if self.rare else 0.5
        return self.thresholds.position(threshold)


def evaluated(run_id: str, model: TrainedModel, part: str) -> Evaluated:
    """Everything about a part of a run; kept until the run is trained again."""
    changed = (model.folder / "scores.parquet").stat().st_mtime
    return _evaluated(run_id, part, changed, model)


@st.cache_resource(show_spinner="Measuring…", max_entries=24)
def _evaluated(run_id: str, part: str, changed: float, _model: TrainedModel) -> Evaluated:
    scores = _model.scores(part)
    labels, probability = scores.labels, scores.terms.probability
    return Evaluated(
        figures=evaluate_scores(_model, scores),
        curves=_curves(_model, scores),
        thresholds=threshold_table(labels, probability),
        precision_recall=precision_recall(labels, probability),
        calibration=calibration(labels, probability),
        gain=gain(labels, probability),
        histogram=histogram(labels, probability),
    )


def _curves(model: TrainedModel, scores: Scores) -> tuple[NamedRoc, ...]:
    """The branches beside the whole model, which comes last; none with one class only.

    A branch alone is scored as base + (branch − its mean), which ranks as the branch does.
    """
    labels, terms = scores.labels, scores.terms
    alone = _ALONE.get(model.model.name, ())
    ranked = [_named_roc(_WORDS[style], style, labels, getattr(terms, style)) for style in alone]
    whole = _named_roc(model.model.name, "all", labels, terms.probability)
    return tuple(named for named in (*ranked, whole) if named is not None)


def _named_roc(name: str, style: CurveStyle, labels: Floats, values: Floats) -> NamedRoc | None:
    curve = roc(labels, values)
    return None if curve is None else NamedRoc(name, style, curve, auc(labels, values))


def group_curves(run_id: str) -> tuple[NamedRoc, ...]:
    """The ROC curves of the trained runs that were queued together with this one, six at most.

    Only those on the same rows: of the same dataset and part. Empty where there is no other.
    """
    if run_id == state.DEMO:
        return ()
    group = state.store().run(run_id).group
    if group is None:
        return ()
    own = state.trained(run_id)
    members = [row for row in reversed(state.store().runs(group=group)) if state.is_trained(row)]
    curves: list[NamedRoc] = []
    for row in members[: len(RUN_COLOURS)]:
        model = _opened(row.id)
        if model is None or (model.dataset_fingerprint, model.part) != (
            own.dataset_fingerprint,
            own.part,
        ):
            continue
        whole = evaluated(row.id, model, model.part).curves[-1:]
        style = cast("CurveStyle", RUN_COLOURS[len(curves)])
        curves += [replace(named, name=row.name, style=style) for named in whole]
    return tuple(curves) if len(curves) > 1 else ()


def _opened(run_id: str) -> TrainedModel | None:
    """The run's model; None where its folder was damaged: its own page says so."""
    try:
        return state.trained(run_id)
    except DeepFMError:
        return None


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
