"""How far a run has come to how long it will still take, and how much that guess is worth."""

from dataclasses import dataclass
from typing import Final

from deepfm.charts.history import History

NOTHING_TO_GO_BY: Final = 0.3
"""Seconds of training seen before which nothing is said: the first steps are the slowest."""
LITTLE_TO_GO_BY: Final = 2.0
"""Seconds before which what is said is a first guess, unless much of the run is done by then."""
MUCH: Final = 0.1
"""Share of the planned epochs that makes a guess worth more than its seconds."""


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the last planned epoch has ended, at the pace of the newer half so far."""

    seconds: float
    first_guess: bool


def time_left(history: History) -> TimeLeft | None:
    """None where there is too little to go by.

    The pace is that since the middle of what this attempt has trained: what a start costs is left
    behind, and validation at the ends of epochs is in it.
    """
    latest = history.latest
    if latest is None or history.started is None:
        return None
    since = history.resumed[-1] if history.resumed else None
    begin, began = (since.epoch, since.seconds) if since else (0.0, 0.0)
    trained, seen = latest.epoch - begin, latest.seconds - began
    if trained <= 0 or seen < NOTHING_TO_GO_BY:
        return None
    middle = begin + trained / 2
    before = [each for each in history.observations if begin < each.epoch <= middle]
    start, started = (before[-1].epoch, before[-1].seconds) if before else (begin, began)
    pace = (latest.seconds - started) / (latest.epoch - start)
    left = max(0.0, history.started.epochs - latest.epoch)
    little = seen < LITTLE_TO_GO_BY and trained < MUCH * history.started.epochs
    return TimeLeft(pace * left, little)
