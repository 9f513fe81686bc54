"""A run and its dataset to what other models reach on the same parts."""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.dataset import Dataset
from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.evaluation.baselines.models import FITS, MISSING_WORDS, Fit, Fitted
from deepfm.evaluation.baselines.record import Baseline, Baselines
from deepfm.evaluation.baselines.rows import Watch, baseline_data
from deepfm.evaluation.comparing import AucDifference, compare_aucs
from deepfm.evaluation.counting import count
from deepfm.evaluation.curves import calibration
from deepfm.evaluation.figures import auc_interval, metrics_of
from deepfm.terms import sigmoid
from deepfm.trained import TrainedModel

SECONDS_EACH: Final = 300.0
"""The longest that one model is fitted; it then keeps what it has."""


def run_baselines(
    model: TrainedModel,
    dataset: Dataset,
    *,
    seconds_each: float = SECONDS_EACH,
    fits: Mapping[str, Fit] = FITS,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Baselines:
    """Fit every other model and judge it by the run's own rows; the run itself is not trained.

    seconds_each   the longest that one model is fitted
    A model whose library is not installed is left out, by name. RunError for a dataset that the
    run was not trained on, Cancelled where the person asked to stop: nothing is kept then.
    """
    reporter = Reporter(on_event, cancelled)
    to_come = sum(_is_installed(name) for name in fits)
    reporter.plan(1 + to_come)
    reporter.step("Reading the rows", 0, None, "rows")
    data = baseline_data(model, dataset)
    own = model.scores()
    found, missing = [], {}
    for name, fit in fits.items():
        reporter.plan(to_come)  # fewer than was said where one before says nothing
        to_come -= _is_installed(name)
        watch = Watch(reporter, name, seconds_each)
        try:
            fitted = fit(data, watch)
        except ImportError:
            missing[name] = MISSING_WORDS.get(name, "it is not installed")
            continue
        late = watch.taken > seconds_each
        difference = compare_aucs(own.labels, fitted.logits, own.terms.logit)
        found.append(
            _judged(name, own.labels, fitted, watch.taken, late=late, difference=difference)
        )
    itself = Fitted(own.terms.logit.astype(np.float64), "")
    return Baselines(
        own=_judged(model.model.name, own.labels, itself, model.result.seconds),
        part=model.part,
        rows=len(own),
        labels=labels_digest(own.labels),
        train_rows=len(data.train),
        stopping=data.stopping_words,
        models=tuple(found),
        missing=missing,
    )


def _is_installed(name: str) -> bool:
    """Whether a model's library is there, as far as can be told without loading it."""
    return name not in MISSING_WORDS or find_spec(name.lower()) is not None


def _judged(
    name: str,
    labels: NDArray[Any],
    fitted: Fitted,
    seconds: float,
    *,
    late: bool = False,
    difference: AucDifference | None = None,
) -> Baseline:
    logits, metrics = fitted.logits, metrics_of(labels, fitted.logits)
    low, high = auc_interval(count(labels, logits)) or (None, None)
    return Baseline(
        name=name,
        auc=metrics.auc,
        auc_low=low,
        auc_high=high,
        log_loss=metrics.loss,
        accuracy=metrics.accuracy,
        calibration_error=calibration(labels, sigmoid(logits)).error,
        seconds=seconds,
        detail=fitted.detail,
        late=late,
        difference=difference,
    )


def labels_digest(labels: NDArray[Any]) -> str:
    """What happened in the rows, row by row, as a short text: equal for the same rows."""
    return hashlib.blake2s((np.asarray(labels) > 0.5).tobytes(), digest_size=8).hexdigest()
