"""Counts at every threshold and what mistakes cost to the threshold that is best."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import ConfigError
from deepfm.evaluation.counting import Counts, Float64s, count


@dataclass(frozen=True)
class BestThreshold:
    """The threshold at which a figure is best, and the figure there."""

    threshold: float
    value: float


@dataclass(frozen=True)
class Costs:
    """What the two mistakes cost, in any one unit; ConfigError unless both are above 0.

    false_positive   an impression taken for a click that is none
    false_negative   a click that is missed
    """

    false_positive: float
    false_negative: float

    def __post_init__(self) -> None:
        for name in ("false_positive", "false_negative"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(
                    f"The cost of a {name.replace('_', ' ')} is {value:g}; it must be above 0."
                )

    @classmethod
    def of_impressions(cls, click_value: float, price: float) -> "Costs":
        """Buying impressions at a price each, of which only clicks are worth something.

        Showing a row gains click_value · clicked − price; so an unclicked one costs the price,
        and a click that is not bought costs what it would have gained. ConfigError where a click
        is worth no more than the impression costs: then none is worth buying.
        """
        if not click_value > price:
            raise ConfigError(
                f"A click is worth {click_value:g} and an impression costs {price:g}: buying "
                "loses money at any threshold. A click must be worth more than an impression."
            )
        return cls(price, click_value - price)

    @property
    def fair_threshold(self) -> float:
        """The best threshold where probabilities say what happens: price over stake."""
        return self.false_positive / (self.false_positive + self.false_negative)

    def total(self, false_positives: Any, false_negatives: Any) -> Any:
        """What so many mistakes cost together."""
        return self.false_positive * false_positives + self.false_negative * false_negatives


def best_f1(labels: NDArray[Any], probability: NDArray[Any]) -> BestThreshold:
    """The threshold with the highest F1 (harmonic mean of precision and recall)."""
    return best_f1_of(count(labels, probability))


def best_f1_of(counts: Counts) -> BestThreshold:
    """The same from counts."""
    taken = counts.true_positives + counts.false_positives
    return _highest(counts, 2 * counts.true_positives / (counts.positives + taken))


def best_youden(labels: NDArray[Any], probability: NDArray[Any]) -> BestThreshold | None:
    """The threshold with the highest tpr − fpr (Youden's J); None with one class only."""
    return best_youden_of(count(labels, probability))


def best_youden_of(counts: Counts) -> BestThreshold | None:
    """The same from counts."""
    if not counts.has_both_classes:
        return None
    return _highest(
        counts,
        counts.true_positives / counts.positives - counts.false_positives / counts.negatives,
    )


def cheapest(labels: NDArray[Any], probability: NDArray[Any], costs: Costs) -> BestThreshold:
    """The threshold with the lowest cost, and that cost over all rows."""
    return cheapest_of(count(labels, probability), costs)


def cheapest_of(counts: Counts, costs: Costs) -> BestThreshold:
    """The same from counts; above every score where taking nothing is cheapest."""
    missed = counts.positives - counts.true_positives
    found = _highest(counts, -costs.total(counts.false_positives, missed))
    nothing = float(costs.total(0, counts.positives))
    if nothing < -found.value:
        return BestThreshold(float(np.nextafter(counts.thresholds[0], np.inf)), nothing)
    return BestThreshold(found.threshold, -found.value)


def _highest(counts: Counts, figure: Float64s) -> BestThreshold:
    best = int(np.argmax(figure))
    return BestThreshold(float(counts.thresholds[best]), float(figure[best]))
