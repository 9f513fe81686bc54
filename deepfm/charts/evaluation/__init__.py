"""Curves and tables of an evaluation to the figures of the Evaluate page."""

from deepfm.charts.evaluation.costs import cost_figure, costs_per_rows
from deepfm.charts.evaluation.differences import (
    DIFFERENCES_CAPTION,
    NamedDifference,
    difference_sentence,
    differences_figure,
    differences_table,
    signed,
)
from deepfm.charts.evaluation.probability import (
    calibration_figure,
    histogram_figure,
    histogram_finding,
    slice_name,
    slices_figure,
    slices_finding,
)
from deepfm.charts.evaluation.ranking import (
    CurveStyle,
    NamedRoc,
    auc_sentence,
    gain_figure,
    lift_figure,
    precision_recall_figure,
    roc_figure,
    share_caught,
)
from deepfm.charts.evaluation.runs import (
    RUNS_ROC_CAPTION,
    runs_roc_figure,
    runs_roc_finding,
    runs_roc_table,
)
from deepfm.charts.evaluation.threshold import (
    confusion_figure,
    threshold_readouts,
    threshold_text,
)
from deepfm.charts.evaluation.verdict import verdict_lines
from deepfm.charts.evaluation.worst import (
    worst_caption,
    worst_figure,
    worst_finding,
    worst_table,
)

__all__ = [
    "DIFFERENCES_CAPTION",
    "RUNS_ROC_CAPTION",
    "CurveStyle",
    "NamedDifference",
    "NamedRoc",
    "auc_sentence",
    "calibration_figure",
    "confusion_figure",
    "cost_figure",
    "costs_per_rows",
    "difference_sentence",
    "differences_figure",
    "differences_table",
    "gain_figure",
    "histogram_figure",
    "histogram_finding",
    "lift_figure",
    "precision_recall_figure",
    "roc_figure",
    "runs_roc_figure",
    "runs_roc_finding",
    "runs_roc_table",
    "share_caught",
    "signed",
    "slice_name",
    "slices_figure",
    "slices_finding",
    "threshold_readouts",
    "threshold_text",
    "verdict_lines",
    "worst_caption",
    "worst_figure",
    "worst_finding",
    "worst_table",
]
