"""A curve over epochs to its exponential mean, which hardly depends on how many points are left.

A curve is read as a step function of the position u, in epochs: between two observations it has
the value of the later one, y(u). Its mean over about the last τ epochs is

    S(x) = ∫₀ˣ y(u) e^{−(x−u)/τ} du  /  ∫₀ˣ e^{−(x−u)/τ} du

over those u where y is known. It is defined over the position, not over the number of points, so
it is the same however densely a run reports. Where a curve was thinned, each point that stayed
still knows the area under y up to it, and so the mean of y since the point before; putting that
mean in y's place moves S by at most (1 − e^{−Δ/τ}) × (largest − smallest y), where Δ is the
longest stretch between two points that stayed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SMOOTHINGS: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Lengths τ in epochs that can be chosen; 0 is no smoothing."""


@dataclass(frozen=True)
class Area:
    """The area under one curve from its beginning to a position.

    position   epochs
    area       ∫ y du, in the curve's unit times epochs
    length     epochs for which y is known
    """

    position: float = 0.0
    area: float = 0.0
    length: float = 0.0

    def grown(self, position: float, value: float) -> "Area":
        """The area up to a later position, when y had this value since the last one."""
        width = max(0.0, position - self.position)
        return Area(position, self.area + width * value, self.length + width)


@dataclass(frozen=True)
class Series:
    """One curve as it is drawn, and what smoothing makes of it.

    positions   epochs, rising
    values      of each observation that stayed
    means       of all observations since the one before that stayed; the same as values where
                none was left out
    """

    positions: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    means: tuple[float, ...] = ()

    def smoothed(self, epochs: float) -> tuple[float, ...]:
        """S at each position for τ = `epochs`; the values themselves for 0."""
        return smoothed(self.positions, self.means, epochs) if epochs > 0 else self.values


def series_of(seen: Iterable[tuple[float, Area]]) -> Series:
    """Value and area of each observation that stayed, in order, to their series."""
    positions, values, means = [], [], []
    before = Area()
    for value, area in seen:
        length = area.length - before.length
        positions.append(area.position)
        values.append(value)
        means.append((area.area - before.area) / length if length > 0 else value)
        before = area
    return Series(tuple(positions), tuple(values), tuple(means))


def smoothed(
    positions: Sequence[float], means: Sequence[float], epochs: float
) -> tuple[float, ...]:
    """S at each position, for y the given mean in the stretch that ends there; τ = `epochs` > 0.

    By the recursion over stretches of length Δ: both integrals decay by e^{−Δ/τ} and gain
    τ (1 − e^{−Δ/τ}) times y and 1; τ cancels.
    """
    above = below = before = 0.0
    result = []
    for position, mean in zip(positions, means, strict=True):
        decay = math.exp(-(position - before) / epochs)
        gain = -math.expm1(-(position - before) / epochs)
        above, below, before = above * decay + mean * gain, below * decay + gain, position
        result.append(above / below if below > 0 else mean)
    return tuple(result)
