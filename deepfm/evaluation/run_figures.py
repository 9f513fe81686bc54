"""A trained model and rows with labels to the figures of the Evaluate page and the commands."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import ConfigError, RunError
from deepfm.evaluation.branches import BranchFigures, branch_figures
from deepfm.evaluation.counting import count
from deepfm.evaluation.curves import calibration
from deepfm.evaluation.figures import (
    auc_interval,
    auc_of,
    average_precision_of,
    base_rate_log_loss,
    calibrated_log_loss,
    metrics_of,
)
from deepfm.evaluation.file_rows import scores_of_file
from deepfm.terms import Terms
from deepfm.trained import Scores, TrainedModel

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on the rows of one part; every figure is finite, or None.

    part                  "test", "validation", "train" or "file"
    skipped_rows          rows of a file that could not be read; None where that is not known
    auc, auc_low/_high    with its 95 % interval by DeLong; None with one class only
    log_loss              mean binary cross entropy in nats
    log_loss_calibrated   the same after Platt scaling fitted on validation rows; None without
    log_loss_base         of always guessing the base rate of these rows
    accuracy              at probability 0.5; majority_accuracy is that of the commoner label
    calibration_error     mean distance of predicted and seen click rate over equal-count bins
    branches              "linear", "pairwise", "fm", "deep" as far as the model has them, "all"

    Where only training rows are left to look at, all figures are None and branches is empty.
    """

    part: str
    rows: int
    skipped_rows: int | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    log_loss_calibrated: float | None
    log_loss_base: float | None
    accuracy: float | None
    majority_accuracy: float | None
    base_rate: float | None
    average_precision: float | None
    calibration_error: float | None
    branches: dict[str, BranchFigures]

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return dataclasses.asdict(self)


def evaluate(
    model: TrainedModel,
    dataset: "Dataset | None" = None,
    *,
    part: str | None = None,
    data: Path | None = None,
) -> Evaluation:
    """Figures of a part, by default of the one that the run's figures are of.

    Without a dataset the stored scores are used; with one its rows are scored again; with
    `data`, a labelled file, that file is read by the run's schema and scored.
    RunError for a part that is not there or a dataset that the run was not trained on,
    ConfigError for both a file and a part or dataset.
    """
    if data is not None:
        if dataset is not None or part is not None:
            raise ConfigError("Give either a file to evaluate, or a dataset and its part.")
        scored = scores_of_file(model, data)
        return evaluate_scores(model, scored.scores, skipped_rows=scored.skipped.count)
    if part is None and model.part == "train":
        return _without_figures(len(model.scores()))
    if dataset is not None:
        return evaluate_scores(
            model, scores_of(model, dataset, part), skipped_rows=dataset.skipped.count
        )
    return evaluate_scores(model, model.scores(part))


def scores_of(model: TrainedModel, dataset: "Dataset", part: str | None = None) -> Scores:
    """Score every row of one part of the dataset that the run was trained on."""
    if dataset.fingerprint != model.dataset_fingerprint:
        raise RunError(
            f"The run was trained on the dataset {model.dataset_name!r}, prepared otherwise than "
            f"{dataset.name!r}: their feature indices differ. Give that dataset, or a raw file."
        )
    name = part or model.part
    rows = next((found for known, found in dataset.parts.items() if known == name), None)
    if rows is None:
        raise RunError(
            f"The dataset {dataset.name!r} has no part {name!r}, only {', '.join(dataset.parts)}."
        )
    return Scores(
        part=name,
        rows=np.arange(len(rows.labels)),
        terms=model.score(rows.ids),
        labels=np.asarray(rows.labels),
        truth=None if rows.truth is None else np.asarray(rows.truth),
    )


def evaluate_scores(
    model: TrainedModel, scores: Scores, *, skipped_rows: int | None = None
) -> Evaluation:
    """Figures of rows that are scored already."""
    labels, logit = scores.labels, scores.terms.logit
    counts, metrics = count(labels, logit), metrics_of(labels, logit)
    base_rate = counts.positives / counts.rows
    low, high = auc_interval(counts) or (None, None)
    return Evaluation(
        part=scores.part,
        rows=len(scores),
        skipped_rows=skipped_rows,
        auc=auc_of(counts),
        auc_low=low,
        auc_high=high,
        log_loss=metrics.loss,
        log_loss_calibrated=_calibrated(model, labels, logit),
        log_loss_base=base_rate_log_loss(base_rate),
        accuracy=metrics.accuracy,
        majority_accuracy=max(base_rate, 1 - base_rate),
        base_rate=base_rate,
        average_precision=average_precision_of(counts),
        calibration_error=calibration(labels, scores.terms.probability).error,
        branches=_branches(model, labels, scores.terms),
    )


def _calibrated(model: TrainedModel, labels: NDArray[Any], logit: NDArray[Any]) -> float | None:
    if "validation" not in model.parts:
        return None
    validation = model.scores("validation")
    return calibrated_log_loss(validation.labels, validation.terms.logit, labels, logit)


def _branches(model: TrainedModel, labels: NDArray[Any], terms: Terms) -> dict[str, BranchFigures]:
    return branch_figures(labels, terms, model.reference.mean, model.model.terms)


def _without_figures(rows: int) -> Evaluation:
    figures = dict.fromkeys(
        field.name for field in dataclasses.fields(Evaluation) if field.name != "part"
    )
    return Evaluation(**{**figures, "part": "train", "rows": rows, "branches": {}})  # type: ignore[arg-type]
