"""Events to where a run stands after them: what the list of runs shows without reading events."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from deepfm.events import Epoch, Event, Point, Resumed, Started
from deepfm.runs.store.reading import json_of

Curve = tuple[tuple[float, float], ...]
"""(epoch, AUC), epochs growing."""

CURVE_POINTS: Final = 40


@dataclass(frozen=True)
class Standing:
    """Position, newest validation (else test) AUC, time and speed so far, and the thinned curve."""

    epoch: float
    auc: float | None
    seconds: float | None
    examples_per_second: float | None
    curve: Curve
    versions: dict[str, Any] | None

    @classmethod
    def of(cls, row: sqlite3.Row) -> "Standing":
        """Where a run stood at its last event."""
        return cls(
            row["epoch"],
            row["auc"],
            row["seconds"],
            row["examples_per_second"],
            tuple((epoch, auc) for epoch, auc in json_of(row["curve"], list) or ()),
            json_of(row["versions"], dict) if row["versions"] else None,
        )

    def after(self, event: Event) -> "Standing":
        """Where it stands after one more event."""
        if isinstance(event, Started):
            about = {"device": event.device, "step": event.step}
            return replace(self, versions={**(self.versions or {}), **about})
        if isinstance(event, Resumed):
            curve = tuple(point for point in self.curve if point[0] <= event.epoch)
            return replace(
                self,
                epoch=event.epoch,
                auc=curve[-1][1] if curve else None,
                seconds=event.seconds,
                curve=curve,
            )
        if isinstance(event, Point):
            return replace(
                self,
                epoch=event.epoch,
                seconds=event.seconds,
                examples_per_second=event.examples_per_second,
            )
        if isinstance(event, Epoch):
            shown = event.validation or event.test
            auc = shown.auc if shown else None
            moved = replace(self, epoch=float(event.epoch))
            if auc is None:
                return replace(moved, auc=None if shown else self.auc)
            return replace(moved, auc=auc, curve=thinned(self.curve, float(event.epoch), auc))
        return self

    def columns(self) -> dict[str, Any]:
        """Columns of the run's row to their values."""
        return {
            "epoch": self.epoch,
            "auc": self.auc,
            "seconds": self.seconds,
            "examples_per_second": self.examples_per_second,
            "curve": json.dumps(self.curve),
            "versions": None if self.versions is None else json.dumps(self.versions),
        }


def curve_of(events: Iterable[Event]) -> Curve:
    """The thinned curve of all events of a run."""
    standing = Standing(0.0, None, None, None, (), None)
    for event in events:
        standing = standing.after(event)
    return standing.curve


def thinned(curve: Curve, epoch: float, auc: float) -> Curve:
    """The curve with one more point, at most 40 of them.

    Points stand evenly, but for the newest, which is always there. Once they are too many every
    second one is left out, so that those which stay never move.
    """
    step = curve[1][0] - curve[0][0] if len(curve) > 2 else 1.0
    if len(curve) > 1 and curve[-1][0] - curve[-2][0] < step:
        curve = curve[:-1]
    curve = (*curve, (epoch, auc))
    if len(curve) <= CURVE_POINTS:
        return curve
    return curve[::2] if len(curve) % 2 else (*curve[::2], curve[-1])
