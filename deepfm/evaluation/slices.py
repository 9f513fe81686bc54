"""Scores to the same figures for the rows of each value of one field: where a model is wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfm.data.value_order import meant_order
from deepfm.evaluation.figures import auc
from deepfm.evaluation.judged import JudgedRows, judged_rows
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

    Numbers, weekdays and months stand in their own order, other values by their rows.

    Over the rows of the part that the run keeps with their values (100,000 at most). SchemaError
    for an unknown field, DataError for a part without such rows.
    """
    return slices_of(judged_rows(model, part), field)


def slices_of(rows: JudgedRows, field: str) -> tuple[Slice, ...]:
    """The same of any judged rows, as far as their values are known."""
    known = rows.known
    codes = known.codes(field)
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [int(found[i]) for i in order[:MOST_SLICES] if counts[i] >= FEWEST_ROWS]
    all_slices = [_slice(known, known.value_of(field, code), codes == code) for code in shown]
    meant = meant_order([one.value or "" for one in all_slices])
    all_slices = [all_slices[place] for place in meant] if meant else all_slices
    rest = ~np.isin(codes, shown)
    if rest.any():
        all_slices.append(_slice(known, None, rest))
    return tuple(all_slices)


def _slice(known: JudgedRows, value: str | None, chosen: NDArray[np.bool_]) -> Slice:
    labels = known.labels[chosen]
    rows, clicks = len(labels), int(labels.sum())
    low, high = wilson_interval(np.array([clicks]), np.array([rows]))
    return Slice(
        value=value,
        rows=rows,
        clicks=clicks,
        predicted=float(known.probability[chosen].mean()),
        base_rate=clicks / rows,
        base_rate_low=float(low[0]),
        base_rate_high=float(high[0]),
        auc=auc(labels, known.logit[chosen]),
        log_loss=float(known.losses[chosen].mean()),
    )
