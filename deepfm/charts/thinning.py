"""Observations of a run, as they come, to few that never move, each with the areas up to it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from deepfm.charts.smoothing import Area

KEPT: Final = 400
"""Most observations kept of one curve: about one for each two pixels of a wide chart."""


class Placed(Protocol):
    """Something that stands at a position of the training, in epochs."""

    @property
    def epoch(self) -> float: ...


_Placed = TypeVar("_Placed", bound=Placed)


@dataclass(frozen=True)
class Seen(Generic[_Placed]):
    """An observation, and the area under each of its curves from the beginning up to it."""

    observation: _Placed
    areas: Mapping[tuple[str, str], Area]

    @property
    def epoch(self) -> float:
        """The observation's position."""
        return self.observation.epoch


class Thinned(Generic[_Placed]):
    """The first observation in each stretch of a curve, and the newest of all.

    Stretches double in length whenever more than `kept` are filled, two old ones making one new:
    observations may go as a curve grows, but those that stay stay where they are.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._most = kept
        self._length = 2.0**-20
        self._firsts: list[_Placed] = []
        self._newest: _Placed | None = None

    def add(self, observation: _Placed) -> None:
        """One more observation; what was at or after its position is superseded (a resumed run)."""
        while self._firsts and self._firsts[-1].epoch >= observation.epoch:
            self._firsts.pop()
        self._newest = observation
        if not self._firsts or self._stretch(observation) > self._stretch(self._firsts[-1]):
            self._firsts.append(observation)
        while len(self._firsts) > self._most:
            self._length *= 2
            self._firsts = self._one_a_stretch()

    def drop_after(self, position: float) -> None:
        """Forget what was observed after a position: the run went back to it."""
        self._firsts = [each for each in self._firsts if each.epoch <= position]
        if self._newest is not None and self._newest.epoch > position:
            self._newest = self._firsts[-1] if self._firsts else None

    def kept(self) -> tuple[_Placed, ...]:
        """What is left, in order; the newest is always the last."""
        kept = list(self._firsts)
        if self._newest is not None and (not kept or kept[-1] is not self._newest):
            kept.append(self._newest)
        return tuple(kept)

    def _stretch(self, observation: _Placed) -> int:
        return math.floor(observation.epoch / self._length)

    def _one_a_stretch(self) -> list[_Placed]:
        firsts: dict[int, _Placed] = {}
        for observation in self._firsts:
            firsts.setdefault(self._stretch(observation), observation)
        return list(firsts.values())
