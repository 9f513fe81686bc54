"""Labels and logits to a verdict: does it rank, are its probabilities right, is it of use at all?

Each answer stands beside what chance alone would give on so many rows, so that no figure of few
rows is taken for more than it is.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import DataError
from deepfm.evaluation.comparing import SIGNIFICANT, holm, two_sided
from deepfm.evaluation.counting import Counts, Float64s, checked, count
from deepfm.evaluation.curves import calibration, equal_groups
from deepfm.evaluation.figures import (
    auc_interval,
    auc_of,
    base_rate_log_loss,
    log_losses,
    platt,
)
from deepfm.intervals import NORMAL_95
from deepfm.terms import sigmoid

FAIR_FROM: Final = 0.65
STRONG_FROM: Final = 0.75
"""From these AUCs on a ranking is called fair, and strong: a convention for click data, where the
best models of the large public sets reach about 0.8."""
SLIGHT: Final = 0.1
"""A calibration error below this share of the rarer label's rate is called slight."""
DRAWS: Final = 2_000
"""So many times labels are drawn from the model's own probabilities."""

Grade = Literal["weak", "fair", "strong"]
Against = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class RankingVerdict:
    """Whether the scores rank clicked rows above others.

    low, high      95 % interval of the AUC (DeLong)
    against_coin   whether that interval lies above 0.5, below it, or holds it
    """

    auc: float
    low: float
    high: float
    against_coin: Against

    @property
    def grade(self) -> Grade:
        """What an AUC of this size is called."""
        return grade_of(self.auc)


def grade_of(auc: float) -> Grade:
    """What an AUC is called in words."""
    return "strong" if auc >= STRONG_FROM else "fair" if auc >= FAIR_FROM else "weak"


@dataclass(frozen=True)
class CalibrationVerdict:
    """Whether the probabilities say how often rows are clicked.

    error              mean distance of predicted and seen click rate over groups of rows
    chance             that of labels drawn from the probabilities themselves, on average
    chance_high        what 95 % of such draws stay below
    p_error            how often chance alone gives at least this error
    predicted, seen    mean probability, and click rate
    p_level            that they differ so much by chance (two-sided z test)
    slope              of the logits in a logistic regression of the labels; below 1 high
                       probabilities are too high and low ones too low: overconfident
    p_slope            that a model whose slope is 1 leans so far by chance (Cox 1958, score test)
    The three p-values are corrected for being three (Holm).
    """

    error: float
    chance: float
    chance_high: float
    p_error: float
    predicted: float
    seen: float
    p_level: float
    slope: float
    p_slope: float

    @property
    def beyond_chance(self) -> bool:
        """Whether anything about the probabilities is off by more than chance."""
        return min(self.p_error, self.p_level, self.p_slope) < SIGNIFICANT

    @property
    def error_beyond_chance(self) -> bool:
        """Whether the mean distance itself is more than chance gives."""
        return self.p_error < SIGNIFICANT

    @property
    def slight(self) -> bool:
        """Whether what is off is small beside the rate of the rarer label."""
        return self.error < SLIGHT * min(self.seen, 1 - self.seen)

    @property
    def level(self) -> Literal["too high", "too low", ""]:
        """Whether clicks are promised too often or too seldom; "" where chance explains it."""
        if self.p_level >= SIGNIFICANT:
            return ""
        return "too high" if self.predicted > self.seen else "too low"

    @property
    def spread(self) -> Literal["overconfident", "underconfident", ""]:
        """Whether the probabilities lie too far apart or too near; "" where chance explains it."""
        if self.p_slope >= SIGNIFICANT:
            return ""
        return "overconfident" if self.slope < 1 else "underconfident"


@dataclass(frozen=True)
class UseVerdict:
    """Whether the probabilities are of more use than always giving the base rate.

    log_loss, base    in nats; base is that of always giving the click rate of these very rows
    gained            base − log_loss, with its 95 % interval low to high, row by row
    """

    log_loss: float
    base: float
    low: float
    high: float

    @property
    def gained(self) -> float:
        """How much less the log loss is."""
        return self.base - self.log_loss

    @property
    def against_base(self) -> Against:
        """Whether the interval lies above 0, below it, or holds it."""
        return _against(self.low, self.high, 0.0)


@dataclass(frozen=True)
class Verdict:
    """What a model is worth on N rows."""

    rows: int
    ranking: RankingVerdict
    calibration: CalibrationVerdict
    use: UseVerdict


def verdict_of(
    labels: NDArray[Any], logits: NDArray[Any], counts: Counts | None = None
) -> Verdict | None:
    """N labels of 0 and 1 and N logits to a verdict; None with fewer than two rows of a class.

    counts  those of the logits, where they are there already
    DataError unless labels and logits have one length, or where a logit is no number.
    """
    clicked, logits = checked(labels, logits)
    if not np.isfinite(logits).all():
        raise DataError("The logits hold values that are not numbers: the training diverged.")
    ranking = _ranking(count(clicked, logits) if counts is None else counts)
    if ranking is None:
        return None
    return Verdict(len(clicked), ranking, _calibration(clicked, logits), _use(clicked, logits))


def _ranking(counts: Counts) -> RankingVerdict | None:
    auc, interval = auc_of(counts), auc_interval(counts)
    if auc is None or interval is None:
        return None
    return RankingVerdict(auc, *interval, _against(*interval, 0.5))


def _against(low: float, high: float, mark: float) -> Against:
    return "better" if low > mark else "worse" if high < mark else "unclear"


def _calibration(clicked: NDArray[np.bool_], logits: Float64s) -> CalibrationVerdict:
    probability = sigmoid(logits)
    error = calibration(clicked, probability).error
    by_chance = errors_by_chance(probability)
    p_error = (1 + int((by_chance >= error).sum())) / (1 + len(by_chance))
    level, slope = _lean(clicked, logits, probability)
    corrected = holm(np.array([p_error, two_sided(level), two_sided(slope)]))
    return CalibrationVerdict(
        error,
        float(by_chance.mean()),
        float(np.quantile(by_chance, 0.95)),
        float(corrected[0]),
        float(probability.mean()),
        float(clicked.mean()),
        float(corrected[1]),
        platt(clicked, logits).slope,
        float(corrected[2]),
    )


def errors_by_chance(probability: NDArray[Any], draws: int = DRAWS, bins: int = 15) -> Float64s:
    """Calibration errors of labels that are drawn from the probabilities themselves.

    probability  float[N]
    returns      float64[draws], the same for the same probabilities
    The clicks of a group are drawn at once: a binomial with the mean and the variance that the sum
    of its rows' draws has, so that millions of rows take no longer than a few.
    """
    ordered = np.sort(np.asarray(probability, np.float64))
    starts = equal_groups(ordered, bins)
    expected = np.add.reduceat(ordered, starts)
    squares = np.add.reduceat(ordered**2, starts)
    trials = np.ceil(
        np.divide(expected**2, squares, out=np.zeros_like(expected), where=squares > 0)
    )
    chance = np.minimum(1.0, expected / np.maximum(trials, 1.0))
    clicks = np.random.default_rng(0).binomial(
        trials.astype(np.int64), chance, (draws, len(starts))
    )
    errors: Float64s = np.abs(clicks - expected).sum(axis=1) / len(ordered)
    return errors


def _lean(
    clicked: NDArray[np.bool_], logits: Float64s, probability: Float64s
) -> tuple[float, float]:
    """How far level and slope lie from what the probabilities say, in standard errors.

    The scores of a logistic regression at intercept 0 and slope 1, the slope's taken apart from
    the level's; 0 where nothing varies.
    """
    left_over, weight = clicked - probability, probability * (1 - probability)
    information = float(weight.sum())
    if information <= 0:
        return 0.0, 0.0
    centred = logits - float(weight @ logits) / information
    spread = float(weight @ centred**2)
    level = float(left_over.sum()) / np.sqrt(information)
    return level, float(left_over @ centred) / np.sqrt(spread) if spread > 1e-12 else 0.0


def _use(clicked: NDArray[np.bool_], logits: Float64s) -> UseVerdict:
    rate = float(clicked.mean())
    losses = log_losses(clicked, logits)
    gained = np.where(clicked, -np.log(rate), -np.log1p(-rate)) - losses
    half = NORMAL_95 * float(gained.std(ddof=1)) / np.sqrt(len(gained))
    gain = float(gained.mean())
    return UseVerdict(float(losses.mean()), base_rate_log_loss(rate), gain - half, gain + half)
