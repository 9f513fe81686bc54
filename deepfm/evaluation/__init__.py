"""Labels and scores to metrics, curves and the figures of a run."""

from deepfm.evaluation.branches import (
    BranchFigures,
    TermShares,
    branch_aucs,
    branch_figures,
    disagreement,
    moments_of,
    term_shares,
)
from deepfm.evaluation.counting import Counts, count
from deepfm.evaluation.curves import (
    BestThreshold,
    CalibrationTable,
    GainCurve,
    Histogram,
    PrecisionRecallCurve,
    RocCurve,
    ThresholdTable,
    best_f1,
    best_youden,
    calibration,
    confusion,
    gain,
    histogram,
    precision_recall,
    roc,
    threshold_table,
)
from deepfm.evaluation.figures import (
    Calibration,
    auc,
    auc_interval,
    calibrated_log_loss,
    log_loss,
    metrics_of,
    platt,
)
from deepfm.evaluation.file_rows import (
    FileScores,
    read_impression,
    scores_of_file,
)
from deepfm.evaluation.prediction import predict_file
from deepfm.evaluation.run_figures import Evaluation, evaluate, evaluate_scores, scores_of
from deepfm.evaluation.slices import Slice, slices
from deepfm.evaluation.tally import Tally

__all__ = [
    "BestThreshold",
    "BranchFigures",
    "Calibration",
    "CalibrationTable",
    "Counts",
    "Evaluation",
    "FileScores",
    "GainCurve",
    "Histogram",
    "PrecisionRecallCurve",
    "RocCurve",
    "Slice",
    "Tally",
    "TermShares",
    "ThresholdTable",
    "auc",
    "auc_interval",
    "best_f1",
    "best_youden",
    "branch_aucs",
    "branch_figures",
    "calibrated_log_loss",
    "calibration",
    "confusion",
    "count",
    "disagreement",
    "evaluate",
    "evaluate_scores",
    "gain",
    "histogram",
    "log_loss",
    "metrics_of",
    "moments_of",
    "platt",
    "precision_recall",
    "predict_file",
    "read_impression",
    "roc",
    "scores_of",
    "scores_of_file",
    "slices",
    "term_shares",
    "threshold_table",
]
