"""Validation rows to a curve that makes other rows' probabilities say what happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import ConfigError
from deepfm.evaluation.counting import Float64s
from deepfm.evaluation.figures import platt

Method = Literal["platt", "isotonic"]

METHODS: Final[Mapping[Method, str]] = {
    "platt": "Platt scaling: a logistic curve with two parameters",
    "isotonic": "isotonic regression: the best curve that never falls",
}


@dataclass(frozen=True)
class Recalibration:
    """A rising curve from logit to logit, straight between its points.

    logits       float64[S], rising
    calibrated   float64[S], what each becomes
    rows         how many rows it was fitted on
    Platt scaling, straight everywhere, has two points and is drawn on beyond them; isotonic
    regression is level beyond its ends.
    """

    method: Method
    logits: Float64s
    calibrated: Float64s
    rows: int

    def __call__(self, logits: NDArray[Any]) -> Float64s:
        """Calibrated logits, float64[N]."""
        logits = np.asarray(logits, np.float64)
        if self.method == "platt":
            slope = float(np.diff(self.calibrated)[0] / np.diff(self.logits)[0])
            return self.calibrated[0] + slope * (logits - self.logits[0])
        return np.interp(logits, self.logits, self.calibrated)


def fit_recalibration(method: Method, labels: NDArray[Any], logits: NDArray[Any]) -> Recalibration:
    """Fit a curve on rows that are not the ones to be judged.

    labels, logits   N of each, the validation part's
    Isotonic regression would promise 0 or 1 where its last rows agree; it is held half a row of
    all N away from both, so that the log loss of other rows stays finite.
    """
    if method == "platt":
        line = platt(labels, logits)
        ends = np.array([0.0, 1.0])
        return Recalibration(method, ends, line(ends), len(labels))
    if method != "isotonic":
        raise ConfigError(f"There is no recalibration {method!r}; choose {' or '.join(METHODS)}.")
    from sklearn.isotonic import IsotonicRegression

    clicked = np.asarray(labels) > 0.5
    curve = IsotonicRegression(out_of_bounds="clip").fit(np.asarray(logits, np.float64), clicked)
    margin = 0.5 / len(clicked)
    rates = np.clip(curve.y_thresholds_, margin, 1 - margin)
    return Recalibration(
        method, curve.X_thresholds_, np.log(rates) - np.log1p(-rates), len(clicked)
    )
