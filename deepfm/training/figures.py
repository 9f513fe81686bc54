"""Scored rows to the figures that a run begins and ends with."""

from collections.abc import Mapping

import numpy as np

from deepfm import evaluation
from deepfm.data.dataset import Dataset
from deepfm.training.folder import ScoredPart


def final_figures(scored: Mapping[str, ScoredPart]) -> dict[str, float | None]:
    """Of the first part that was scored; calibrated on the validation rows, if they were too."""
    part = next(iter(scored.values()))
    labels, logit = np.asarray(part.part.labels), part.terms.logit
    metrics = evaluation.metrics_of(labels, logit)
    calibrated = None
    if "validation" in scored:
        validation = scored["validation"]
        calibrated = evaluation.calibrated_log_loss(
            np.asarray(validation.part.labels), validation.terms.logit, labels, logit
        )
    return {
        "auc": metrics.auc,
        "log_loss": metrics.loss,
        "log_loss_calibrated": calibrated,
        "accuracy": metrics.accuracy,
        "base_rate": float(labels.mean()),
    }


def best_possible_auc(dataset: Dataset) -> float | None:
    """AUC of the true probabilities on validation (else test) rows, where they are known."""
    for name in ("validation", "test"):
        part = dataset.parts.get(name)
        if part is not None and part.truth is not None:
            return evaluation.auc(part.labels, part.truth)
    return None
