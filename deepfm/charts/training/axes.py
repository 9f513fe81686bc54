"""What a run has reached to axis ranges that move seldom, and labels that do not collide."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from deepfm.charts.history import History, Metric


def epoch_axis(histories: Sequence[History]) -> dict[str, Any]:
    """An x axis of epochs: its range, and marks at whole epochs only."""
    low, high = epoch_range(histories)
    return {
        "range": (low, high),
        "zeroline": False,
        **({"dtick": 1} if high <= 10 else {}),
    }


def epoch_range(histories: Sequence[History]) -> tuple[float, float]:
    """The epochs shown: all that are planned, or what was trained once every run has ended.

    Runs that may stop early, or are long, get a range that doubles as they grow, so that a run
    of 8 epochs out of 100 does not stand in a corner.
    """
    return 0.0, max((_last_epoch(history) for history in histories), default=1.0)


def _last_epoch(history: History) -> float:
    planned = float(history.started.epochs) if history.started else 1.0
    if history.finished or history.failed:
        return max(history.position, 1.0)
    if planned <= 20:
        return planned
    grown = 4.0
    while grown < history.position * 1.02:
        grown *= 2
    return min(planned, grown)


def value_range(values: Iterable[float], metric: Metric) -> tuple[float, float]:
    """A range for the values of a metric, in steps of 0.05, so that it moves seldom.

    AUC starts at 0.5, that of a guess, unless something is worse; loss has a tenth of air.
    """
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return {"loss": (0.0, 0.8), "accuracy": (0.5, 1.0), "auc": (0.5, 1.0)}[metric]
    low, high = _step_below(min(known)), _step_above(max(known))
    if metric == "auc":
        low = min(low, 0.5)
    if metric in ("auc", "accuracy"):
        return max(0.0, low), min(1.0, max(high, low + 0.05)) + 0.005
    # One wild first point must not press the rest of the curve flat.
    ordered = sorted(known)
    usual = _step_above(ordered[int(0.98 * (len(ordered) - 1))] * 1.05)
    return max(0.0, low), max(min(high, 2 * usual), low + 0.05)


def _step_below(value: float) -> float:
    return math.floor(value / 0.05 - 0.1) * 0.05


def _step_above(value: float) -> float:
    return math.ceil(value / 0.05 + 0.1) * 0.05


def symmetric_range(values: Iterable[float], least: float = 1.0) -> float:
    """The half width of a range round zero that holds all values: 1, 1.5, 2, 3, 4, 6, 8, 12 …"""
    widest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    half = least
    while half < widest:
        half = half * 1.5 if math.log2(half / least) % 1 == 0 else half / 1.5 * 2
    return half


def spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved as little as possible so that neighbours are at least `gap` apart.

    Labels that would overlap are pushed apart round their common mean; order is kept.
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    clusters: list[list[float]] = []
    for place in order:
        clusters.append([heights[place]])
        while len(clusters) > 1 and _overlap(clusters[-2], clusters[-1], gap):
            last = clusters.pop()
            clusters[-1] = clusters[-1] + last
    placed = [height for cluster in clusters for height in _stacked(cluster, gap)]
    result = [0.0] * len(heights)
    for place, height in zip(order, placed, strict=True):
        result[place] = height
    return result


def kept_off(
    heights: Sequence[float], level: float, places: Sequence[float], gap: float
) -> list[float]:
    """Spread labels moved away from a level, so that none stands on it or past it.

    heights   what the labels are of, which tells their side of the level
    places    where they stand, at least `gap` apart in the order of their heights
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    below = [place for place in order if heights[place] < level]
    result, room = list(places), level
    for place in reversed(below):
        result[place] = min(result[place], room - gap)
        room = result[place]
    room = level
    for place in order[len(below) :]:
        result[place] = max(result[place], room + gap)
        room = result[place]
    return result


def _overlap(below: list[float], above: list[float], gap: float) -> bool:
    return _stacked(above, gap)[0] - _stacked(below, gap)[-1] < gap


def _stacked(cluster: list[float], gap: float) -> list[float]:
    middle = sum(cluster) / len(cluster)
    first = middle - gap * (len(cluster) - 1) / 2
    return [first + gap * place for place in range(len(cluster))]
