"""An evaluation to HTML that a notebook shows: figures with what they are compared with."""

from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from deepfm.formats import format_auc, format_count, format_loss, format_probability

if TYPE_CHECKING:
    from deepfm.evaluation.curves import RocCurve
    from deepfm.evaluation.run_figures import Evaluation

_SIDE: Final = 220
_STYLE: Final = "border-collapse:collapse;color:inherit;font:13px/1.5 system-ui,sans-serif"
_NAMES: Final = {
    "linear": "linear alone",
    "pairwise": "pairwise alone",
    "fm": "FM branch alone",
    "deep": "deep branch alone",
}


def evaluation_html(found: "Evaluation") -> str:
    """A heading, a table of figures and, where there is one, the ROC curve."""
    rows = "".join(
        f"<tr><th style='text-align:left;padding:2px 16px 2px 0'>{escape(name)}</th>"
        f"<td style='text-align:right;padding:2px 16px 2px 0'><b>{escape(value)}</b></td>"
        f"<td style='text-align:left;opacity:.75'>{escape(beside)}</td></tr>"
        for name, value, beside in _figures(found)
    )
    which = f", {found.selection}" if found.selection else ""
    heading = (
        f"{found.part.capitalize()} rows{escape(which)}: {format_count(found.rows)}, "
        f"{format_probability(found.base_rate)} clicked"
    )
    curve = found.roc if found.judged is not None else None
    return (
        "<div style='display:flex;gap:32px;align-items:center;flex-wrap:wrap'>"
        f"<table style='{_STYLE}'><caption style='text-align:left;padding-bottom:6px'>"
        f"{heading}</caption>{rows}</table>{'' if curve is None else _roc_svg(curve, found.auc)}"
        "</div>"
    )


def _figures(found: "Evaluation") -> list[tuple[str, str, str]]:
    interval = (
        f"95 % by DeLong: {found.auc_low:.4f} to {found.auc_high:.4f}"
        if found.auc_low is not None
        else "too few rows of one class"
    )
    calibrated = (
        f"; after Platt scaling on validation rows {format_loss(found.log_loss_calibrated)}"
        if found.log_loss_calibrated is not None
        else ""
    )
    rows = [
        ("AUC", format_auc(found.auc), interval),
        (
            "Log loss",
            format_loss(found.log_loss),
            f"always guessing the base rate: {format_loss(found.log_loss_base)}{calibrated}",
        ),
        (
            "Accuracy at 50 %",
            format_probability(found.accuracy),
            f"always saying the commoner label: {format_probability(found.majority_accuracy)}",
        ),
        (
            "Average precision",
            format_auc(found.average_precision),
            f"guessing: {format_auc(found.base_rate)}",
        ),
        (
            "Calibration error",
            format_probability(found.calibration_error, 2),
            "mean distance of predicted and seen click rate",
        ),
    ]
    for branch, name in _NAMES.items():
        if branch in found.branches:
            alone = found.branches[branch]
            loss = f"log loss {format_loss(alone.log_loss)}"
            rows.append((f"AUC, {name}", format_auc(alone.auc), loss))
    return rows


def _roc_svg(curve: "RocCurve", auc: float | None) -> str:
    points = " ".join(
        f"{_SIDE * x:.1f},{_SIDE * (1 - y):.1f}"
        for x, y in np.column_stack([curve.fpr, curve.tpr]).tolist()
    )
    return (
        f"<svg width='{_SIDE + 2}' height='{_SIDE + 22}' viewBox='-1 -1 {_SIDE + 2} {_SIDE + 22}' "
        f"role='img' aria-label='ROC curve, AUC {format_auc(auc)}'>"
        f"<rect width='{_SIDE}' height='{_SIDE}' fill='none' stroke='currentColor' "
        "stroke-opacity='.3'/>"
        f"<line x1='0' y1='{_SIDE}' x2='{_SIDE}' y2='0' stroke='currentColor' stroke-opacity='.4' "
        "stroke-dasharray='6 4'/>"
        f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='2'/>"
        f"<text x='0' y='{_SIDE + 16}' font-size='11' fill='currentColor'>ROC: clicked rows found, "
        "against others</text></svg>"
    )
