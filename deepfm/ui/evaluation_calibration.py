"""Predicted against seen click rate, what the log loss is made of, and a recalibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.charts.palette import format_count, format_loss, format_probability
from deepfm.evaluation import (
    METHODS,
    CalibrationTable,
    LogLossParts,
    Method,
    Selection,
    calibration,
    fit_recalibration,
    log_loss,
    log_loss_parts,
)
from deepfm.evaluation.decomposition import SOURCE
from deepfm.terms import sigmoid
from deepfm.trained import TrainedModel
from deepfm.ui.evaluated import Evaluated, rows_of
from deepfm.ui.plot import plot
from deepfm.ui.text import plain

AS_TRAINED: Final = "As trained"
_CHOICES: Final[Mapping[str, Method | None]] = {
    AS_TRAINED: None,
    "Platt": "platt",
    "Isotonic": "isotonic",
}


def show_calibration(run_id: str, model: TrainedModel, found: Evaluated) -> None:
    """The curve, before and after where a recalibration is chosen; then the log loss's parts."""
    method = _choose(model, found)
    after = None if method is None else _recalibrated(run_id, model, found, method)
    table = found.calibration if after is None else after.table
    error = format_probability(table.error, 2)
    plot(
        charts.calibration_figure(table, None if after is None else found.calibration),
        key="calibration",
        height=420,
        caption="each dot is a group of rows of about equal size; on the dashed line prediction "
        "and truth agree, below it the model promises too much. Bars: 95 % intervals (Wilson).",
        alt=f"Calibration curve. Predicted and seen click rates differ by {error} on average.",
        table=lambda: calibration_data(table),
    )
    parts = _parts(run_id, model, found)
    if after is not None:
        st.dataframe(
            _before_and_after(found, parts, after),
            hide_index=True,
            width="content",
            alt="Log loss and calibration error before and after recalibration",
        )
    st.markdown(plain(parts_in_words(parts)))
    st.caption(
        f"Log loss = calibration + refinement; refinement = uncertainty − resolution. {SOURCE}: "
        "calibration is what the best curve that never falls (isotonic regression on these very "
        "rows) would take off, a little too much on few rows; no bins are chosen. Calibration "
        "error above: the mean distance of predicted and seen click rate over 15 groups."
    )


def _choose(model: TrainedModel, found: Evaluated) -> Method | None:
    """Which recalibration, where it can be fitted on other rows than the judged ones."""
    possible = found.figures.part != "validation" and "validation" in model.parts
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        name = st.segmented_control(
            "Recalibration",
            list(_CHOICES),
            default=AS_TRAINED,
            required=True,
            disabled=not possible,
            key="recalibration",
            bind="query-params",
            label_visibility="collapsed",
        )
        if not possible:
            st.caption(
                "A recalibration is fitted on validation rows and judged by others; this part has "
                "no validation rows beside it."
            )
            return None
        method = _CHOICES[name or AS_TRAINED]
        if method is not None:
            st.caption(plain(f"{METHODS[method]}, fitted on the validation rows alone."))
    return method


@dataclass(frozen=True)
class _After:
    """Figures of the judged rows after a recalibration that was fitted on `rows` other rows."""

    table: CalibrationTable
    log_loss: float
    rows: int


def _recalibrated(run_id: str, model: TrainedModel, found: Evaluated, method: Method) -> _After:
    changed = (model.folder / "scores.parquet").stat().st_mtime
    return _after(run_id, found.figures.part, found.selection, method, changed, model)


@st.cache_resource(show_spinner="Recalibrating…", max_entries=24)
def _after(
    run_id: str,
    part: str,
    selection: Selection | None,
    method: Method,
    changed: float,
    _model: TrainedModel,
) -> _After:
    validation = _model.scores("validation")
    curve = fit_recalibration(method, validation.labels, validation.terms.logit)
    rows = rows_of(run_id, _model, part, selection)
    logits = curve(rows.logit)
    table = calibration(rows.labels, sigmoid(logits))
    return _After(table, log_loss(rows.labels, logits), curve.rows)


def _parts(run_id: str, model: TrainedModel, found: Evaluated) -> LogLossParts:
    changed = (model.folder / "scores.parquet").stat().st_mtime
    return _loss_parts(run_id, found.figures.part, found.selection, changed, model)


@st.cache_resource(show_spinner="Taking the log loss apart…", max_entries=24)
def _loss_parts(
    run_id: str, part: str, selection: Selection | None, changed: float, _model: TrainedModel
) -> LogLossParts:
    rows = rows_of(run_id, _model, part, selection)
    return log_loss_parts(rows.counts, log_loss(rows.labels, rows.logit))


def parts_in_words(parts: LogLossParts) -> str:
    """What the log loss is made of, in one sentence."""
    if not parts.uncertainty:
        return "These rows have one class only: there is no uncertainty that could be resolved."
    share = format_probability(parts.resolution / parts.uncertainty)
    # Differences of what is shown, so that what is shown adds up.
    refinement = round(parts.log_loss, 4) - round(parts.calibration, 4)
    resolution = round(parts.uncertainty, 4) - refinement
    return (
        f"Log loss {format_loss(parts.log_loss)} = calibration {format_loss(parts.calibration)} + "
        f"refinement {format_loss(refinement)}. Of the uncertainty of "
        f"{format_loss(parts.uncertainty)} (always guessing the base rate) the ranking resolves "
        f"{format_loss(resolution)}, {share}; wrong probabilities cost "
        f"{format_loss(parts.calibration)} of it again."
    )


def _before_and_after(found: Evaluated, parts: LogLossParts, after: _After) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "": ["Log loss", "Calibration error"],
            "before": [
                format_loss(parts.log_loss),
                format_probability(found.calibration.error, 2),
            ],
            "after": [format_loss(after.log_loss), format_probability(after.table.error, 2)],
            "fitted on": [f"{format_count(after.rows)} validation rows"] * 2,
        }
    )


def calibration_data(table: CalibrationTable) -> pd.DataFrame:
    """One row a group."""
    return pd.DataFrame(
        {
            "predicted": table.predicted,
            "seen": table.seen,
            "low": table.low,
            "high": table.high,
            "rows": table.rows,
            "clicks": table.clicks,
        }
    )
