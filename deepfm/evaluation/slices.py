"""Scores to the same figures for the rows of each value of one field: where a model is wrong."""

from dataclasses import dataclass

import numpy as np

from deepfm.errors import DataError
from deepfm.evaluation.figures import auc, log_loss
from deepfm.intervals import wilson_interval
from deepfm.trained import TrainedModel

MOST_SLICES = 20
FEWEST_ROWS = 20
"""Values with fewer rows say little by themselves, and stand together."""


@dataclass(frozen=True)
class Slice:
    """The rows of one value of a field, or of several together.

    value      how it reads; None for the values that stand together
    predicted  mean probability; base_rate: seen click rate, with its 95 % interval
    auc        None with one class only
    """

    value: str | None
    rows: int
    clicks: int
    predicted: float
    base_rate: float
    base_rate_low: float
    base_rate_high: float
    auc: float | None
    log_loss: float


def slices(model: TrainedModel, field: str, part: str | None = None) -> tuple[Slice, ...]:
    """Up to 20 values of a field with most rows, then all others together.

    Over the rows of the part that the run keeps with their values (100,000 at most). SchemaError
    for an unknown field, DataError for a part without such rows.
    """
    place = model.fields.index(model.vocabulary.field(field))
    ids = model.impression_ids(part)[:, place]
    if not len(ids):
        raise DataError(f"The run keeps no rows of the part {part or model.part!r}.")
    scores = model.scores(part)
    labels, logit = scores.labels[: len(ids)], scores.terms.logit[: len(ids)]
    probability = scores.terms.probability[: len(ids)]
    found, counts = np.unique(ids, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [found[i] for i in order[:MOST_SLICES] if counts[i] >= FEWEST_ROWS]
    groups = [
        (model.vocabulary.decode_column(field, np.array([v]))[0].as_py(), ids == v) for v in shown
    ]
    rest = ~np.isin(ids, shown)
    if rest.any():
        groups.append((None, rest))
    return tuple(
        _slice(value, labels[rows], logit[rows], probability[rows]) for value, rows in groups
    )


def _slice(
    value: str | None, labels: np.ndarray, logit: np.ndarray, probability: np.ndarray
) -> Slice:
    rows, clicks = len(labels), int(labels.sum())
    low, high = wilson_interval(np.array([clicks]), np.array([rows]))
    return Slice(
        value=value,
        rows=rows,
        clicks=clicks,
        predicted=float(probability.mean()),
        base_rate=clicks / rows,
        base_rate_low=float(low[0]),
        base_rate_high=float(high[0]),
        auc=auc(labels, logit),
        log_loss=log_loss(labels, logit),
    )
