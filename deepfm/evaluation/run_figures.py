"""A trained model and rows with labels to the figures of the Evaluate page and the commands."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepfm.errors import ConfigError, DataError, RunError
from deepfm.evaluation.branches import BranchFigures, branch_figures
from deepfm.evaluation.comparing import AucDifference, compare_aucs
from deepfm.evaluation.curves import (
    CalibrationTable,
    GainCurve,
    Histogram,
    PrecisionRecallCurve,
    RocCurve,
    ThresholdTable,
    calibration,
    gain_of,
    histogram,
    precision_recall_of,
    roc_of,
    threshold_table_of,
)
from deepfm.evaluation.deciding import (
    BestThreshold,
    Costs,
    best_f1_of,
    best_youden_of,
    cheapest_of,
)
from deepfm.evaluation.decomposition import LogLossParts, log_loss_parts
from deepfm.evaluation.figures import (
    auc_interval,
    auc_of,
    average_precision_of,
    base_rate_log_loss,
    log_loss,
    platt,
)
from deepfm.evaluation.file_rows import scores_of_file
from deepfm.evaluation.grouping import GroupedAuc, grouped_auc
from deepfm.evaluation.judged import JudgedRows, Selection, rows_of_scores
from deepfm.evaluation.notebook import evaluation_html
from deepfm.evaluation.recalibration import Method, Recalibration, fit_recalibration
from deepfm.evaluation.searching import FEWEST_ROWS, Measure, SliceSearch, worst_slices
from deepfm.evaluation.slices import Slice, slices_of
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

    selection             which rows of the part, in words; "" for all

    Where only training rows are left to look at, all figures are None and branches is empty.
    Curves, slices, thresholds and comparisons are made from the rows when they are asked for.
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
    selection: str = ""
    judged: JudgedRows | None = field(default=None, repr=False, compare=False)
    """The rows themselves; None where only training rows are left."""

    def to_dict(self) -> dict[str, Any]:
        """The figures alone, to JSON's types."""
        values = dataclasses.asdict(dataclasses.replace(self, judged=None))
        del values["judged"]
        return values

    def _repr_html_(self) -> str:
        return evaluation_html(self)

    @property
    def judged_rows(self) -> JudgedRows:
        """The rows themselves; DataError where only training rows are left."""
        if self.judged is None:
            raise DataError(
                "This run kept no rows that it was not trained on, so there is nothing to judge "
                "it by. Evaluate a labelled file, or name the part: train."
            )
        return self.judged

    @cached_property
    def decomposition(self) -> LogLossParts:
        """The log loss as calibration + uncertainty − resolution (CORP)."""
        rows = self.judged_rows
        return log_loss_parts(rows.counts, log_loss(rows.labels, rows.logit))

    @cached_property
    def roc(self) -> RocCurve | None:
        """The ROC curve, thinned for display; None with one class only."""
        return roc_of(self.judged_rows.counts_by_probability)

    @cached_property
    def precision_recall(self) -> PrecisionRecallCurve | None:
        """The precision-recall curve, thinned for display; None without clicks."""
        return precision_recall_of(self.judged_rows.counts_by_probability)

    @cached_property
    def gain(self) -> GainCurve | None:
        """Cumulative gain and lift, thinned for display; None without clicks."""
        return gain_of(self.judged_rows.counts)

    @cached_property
    def calibration(self) -> CalibrationTable:
        """Predicted against seen click rate over 15 groups of about equal size."""
        return calibration(self.judged_rows.labels, self.judged_rows.probability)

    @cached_property
    def histogram(self) -> Histogram:
        """How many rows of each label have which probability."""
        return histogram(self.judged_rows.labels, self.judged_rows.probability)

    @cached_property
    def thresholds(self) -> ThresholdTable:
        """The confusion matrix at about 200 thresholds."""
        return threshold_table_of(self.judged_rows.counts_by_probability)

    @property
    def best_f1(self) -> BestThreshold:
        """The threshold with the highest F1 on these rows."""
        return best_f1_of(self.judged_rows.counts_by_probability)

    @property
    def best_youden(self) -> BestThreshold | None:
        """The threshold with the highest tpr − fpr on these rows; None with one class only."""
        return best_youden_of(self.judged_rows.counts_by_probability)

    def cheapest(self, costs: Costs) -> BestThreshold:
        """The threshold at which the mistakes on these rows cost least, and what they cost."""
        return cheapest_of(self.judged_rows.counts_by_probability, costs)

    def recalibration(self, method: Method) -> Recalibration:
        """A curve fitted on the validation rows; ConfigError where those are the judged ones."""
        rows = self.judged_rows
        if rows.part == "validation" or "validation" not in rows.model.parts:
            raise ConfigError(
                "Recalibration is fitted on validation rows, and judged by others. This needs a "
                "run with validation rows, and a test file or a labelled file to judge it by."
            )
        validation = rows.model.scores("validation")
        return fit_recalibration(method, validation.labels, validation.terms.logit)

    def where(self, selection: Selection) -> "Evaluation":
        """The same of some of the rows; DataError where there are none."""
        return evaluate_rows(self.judged_rows.where(selection))

    def slices(self, field: str) -> tuple[Slice, ...]:
        """Figures by value of one field, the commonest first."""
        return slices_of(self.judged_rows, field)

    def worst_slices(
        self, measure: Measure = "log_loss", fewest_rows: int = FEWEST_ROWS
    ) -> SliceSearch:
        """Where the model is worst among all values of all fields (Benjamini & Hochberg)."""
        return worst_slices(self.judged_rows, measure, fewest_rows)

    def grouped_auc(self, field: str) -> GroupedAuc:
        """AUC within each value of a field, weighted by impressions (GAUC)."""
        known = self.judged_rows.known
        return grouped_auc(known.labels, known.logit, known.codes(field))

    def compare(self, other: "Evaluation") -> AucDifference | None:
        """This AUC less another's on the same rows, tested by DeLong; None with too few rows.

        DataError where the rows are not the same.
        """
        mine, theirs = self.judged_rows, other.judged_rows
        if mine.part != theirs.part or not np.array_equal(mine.labels, theirs.labels):
            raise DataError(
                "The two were not judged by the same rows, so their AUCs cannot be compared row "
                "by row. Evaluate both on one part of one dataset."
            )
        return compare_aucs(mine.labels, mine.logit, theirs.logit)


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
        scores = scores_of(model, dataset, part)
        rows = rows_of_scores(model, scores, dataset.parts[scores.part].ids)
        return evaluate_rows(rows, skipped_rows=dataset.skipped.count)
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
    kept = scores.part in model.parts and len(model.scores(scores.part)) == len(scores)
    ids = model.impression_ids(scores.part) if kept else model.reference_ids[:0]
    return evaluate_rows(rows_of_scores(model, scores, ids), skipped_rows=skipped_rows)


def evaluate_rows(rows: JudgedRows, *, skipped_rows: int | None = None) -> Evaluation:
    """Figures of judged rows: of a whole part, or of a slice of it."""
    counts, labels, logit = rows.counts, rows.labels, rows.logit
    base_rate = counts.positives / counts.rows
    low, high = auc_interval(counts) or (None, None)
    return Evaluation(
        part=rows.part,
        rows=len(rows),
        skipped_rows=skipped_rows,
        auc=auc_of(counts),
        auc_low=low,
        auc_high=high,
        log_loss=float(rows.losses.mean()),
        log_loss_calibrated=_calibrated(rows),
        log_loss_base=base_rate_log_loss(base_rate),
        accuracy=float(((logit >= 0) == (labels > 0.5)).mean()),
        majority_accuracy=max(base_rate, 1 - base_rate),
        base_rate=base_rate,
        average_precision=average_precision_of(counts),
        calibration_error=calibration(labels, rows.probability).error,
        branches=branch_figures(
            labels, rows.terms, rows.model.reference.mean, rows.model.model.terms
        ),
        selection=str(rows.selection or ""),
        judged=rows,
    )


def _calibrated(rows: JudgedRows) -> float | None:
    """Log loss after Platt scaling fitted on validation rows."""
    if "validation" not in rows.model.parts:
        return None
    validation = rows.model.scores("validation")
    return log_loss(rows.labels, platt(validation.labels, validation.terms.logit)(rows.logit))


def _without_figures(rows: int) -> Evaluation:
    fields = (each.name for each in dataclasses.fields(Evaluation))
    needed = {name: None for name in fields if name not in ("selection", "judged")}
    figures: dict[str, Any] = {**needed, "part": "train", "rows": rows, "branches": {}}
    return Evaluation(**figures)
