"""A run that waits to words: its place in the queue, whose run trains meanwhile and how long."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepfm.charts.pace import time_left
from deepfm.charts.palette import format_time_left
from deepfm.ui import feed, state
from deepfm.ui.feed import SHARED
from deepfm.ui.shared import recent

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

NOBODY_AFTER: Final = 15.0
"""Seconds that a run is first in the queue before we ask whether there is a worker."""
MOST_GPUS: Final = 64
"""Runs in training that are looked at."""


@dataclass(frozen=True)
class Training:
    """A run that trains now. seconds: about how long it still will, None where not known yet."""

    row: "RunRow"
    seconds: float | None


def in_training() -> tuple[Training, ...]:
    """What trains now, what will be done first in front; looked up once for all who wait."""
    return recent(("in training", state.home()), SHARED, _in_training)


def _in_training() -> tuple[Training, ...]:
    rows = state.store().runs(states=("training",), limit=MOST_GPUS)
    found = [Training(row, _seconds_left(row)) for row in rows]
    return tuple(sorted(found, key=lambda each: (each.seconds is None, each.seconds or 0.0)))


def _seconds_left(row: "RunRow") -> float | None:
    left = time_left(feed.history(row.id, whole=False)[1])
    return None if left is None else left.seconds


def queue_in_words(row: "RunRow", me: str) -> str:
    """The place in the queue, what is being trained meanwhile, and for how long.

    me   who looks at it: their own run is "your" run
    """
    position = state.store().queue_position(row.id)
    words = f"waiting: {'next' if position <= 1 else f'number {position}'} in the queue"
    if position > 1 and state.store().waiting_people() > 1:
        words += ", where people take turns"
    if now := in_training():
        others = position - 1
        between = f" then {others} other{'s' * (others > 1)}," if others > 0 else ""
        yours = "yours" if row.owner == me else "this one"
        return f"{words}; {_training_in_words(now, me)};{between} then {yours}"
    if position <= 1 and time.time() - row.created >= NOBODY_AFTER:
        return "waiting, but no worker has taken it; start one with: python -m deepfm worker"
    return words


def group_waits_in_words(rows: Sequence["RunRow"], me: str) -> str:
    """The words of the first one that waits, where none of a group's runs trains; else ""."""
    waiting = [row for row in rows if row.state == "queued"]
    if not waiting or any(row.state == "training" for row in rows):
        return ""
    return queue_in_words(waiting[0], me)


def _training_in_words(now: Sequence[Training], me: str) -> str:
    """ "Sunny Tern's “DeepFM” trains now, epoch 3 of 20, about 12 min left"."""
    row, seconds = now[0].row, now[0].seconds
    whose = "your " if row.owner == me else f"{row.owner_name}'s " if row.owner_name else ""
    words = (
        f"{whose}“{row.name}” trains now, "
        f"epoch {int(row.epoch)} of {int(row.train.get('epochs', 0))}"
    )
    if seconds:
        most = "at most" if row.train.get("patience") else "about"
        words += f", {most} {_rough(seconds)} left"
    return words + (f", and {len(now) - 1} more beside it" if len(now) > 1 else "")


def _rough(seconds: float) -> str:
    """A time left that need not be drawn anew every second."""
    step = 5 if seconds < 60 else 30
    return format_time_left(step * max(1, round(seconds / step)))
