"""What a run says to the history its charts draw: smoothing, thinning, resuming."""

import dataclasses
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from deepfm.charts.history import History, HistoryBuilder, history_of
from deepfm.charts.pace import time_left
from deepfm.charts.smoothing import SMOOTHINGS, Area, Series, series_of, smoothed
from deepfm.charts.thinning import KEPT, Thinned
from deepfm.events import (
    BranchAucs,
    Epoch,
    Event,
    Failed,
    Finished,
    Metrics,
    Point,
    Progress,
    Resumed,
    Started,
    TermMoments,
)

MOMENTS = TermMoments((0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
STARTED = Started("DeepFM", 48_000, 6_000, 6_000, 24, 20, 1_234, "cpu", "plain")
FINISHED = Finished(3, 3, 6.0, 1e5, 2e5, "test", 6_000, 0.79, 0.43, 0.42, 0.8, 0.225)


def metrics(loss: float, auc: float | None = 0.7) -> Metrics:
    return Metrics(loss, 0.8, auc, 64)


def point(position: float, loss: float = 0.5, validation: Metrics | None = None) -> Point:
    return Point(position, position * 2, 1e5, metrics(loss), validation, MOMENTS, ())


def epoch(number: int, *, best: bool = False, branches: BranchAucs | None = None) -> Epoch:
    value = metrics(1 / (1 + number))
    return Epoch(number, 2.0 * number, 1e5, 2e5, value, value, None, best, MOMENTS, (), branches)


def noisy(steps: int, epochs: float, seed: int = 0) -> list[tuple[float, float]]:
    """Positions and values of a falling curve with the noise of small batches."""
    drawn = random.Random(seed)
    positions = [epochs * (step + 1) / steps for step in range(steps)]
    return [(x, 0.3 + 0.4 * math.exp(-x) + drawn.gauss(0.0, 0.05)) for x in positions]


def slow_mean(curve: Sequence[tuple[float, float]], at: float, tau: float) -> float:
    """S(at) by a sum over 200,000 thin slices, each with the value of the step it lies in."""
    ends, values = (np.array(column) for column in zip(*curve, strict=True))
    edges = np.linspace(0.0, at, 200_001)
    middles = (edges[1:] + edges[:-1]) / 2
    weights = np.exp(-(at - middles) / tau)
    return float(np.sum(weights * values[np.searchsorted(ends, middles)]) / np.sum(weights))


def as_series(curve: Sequence[tuple[float, float]]) -> Series:
    area, seen = Area(), []
    for position, value in curve:
        area = area.grown(position, value)
        seen.append((value, area))
    return series_of(seen)


def thinned_series(curve: Sequence[tuple[float, float]], most: int) -> Series:
    """What a history keeps of it; its points' train loss is the curve."""
    builder = HistoryBuilder()
    builder._points = Thinned(most)
    for position, value in curve:
        builder.add(point(position, value))
    return builder.history().series("loss", "within")


@pytest.mark.parametrize("tau", [0.05, 0.5, 5.0])
def test_the_recursion_is_the_integral_of_its_docstring(tau: float) -> None:
    curve = noisy(40, 3.0)
    series = as_series(curve)
    assert series.means == pytest.approx(series.values)
    for place in (0, 1, 17, 39):
        slow = slow_mean(curve, curve[place][0], tau)
        assert series.smoothed(tau)[place] == pytest.approx(slow, abs=2e-4)


@pytest.mark.parametrize("tau", [tau for tau in SMOOTHINGS if tau])
@pytest.mark.parametrize("epochs", [1.0, 20.0, 100.0])
def test_a_thinned_curve_smooths_to_the_same_values(tau: float, epochs: float) -> None:
    curve = noisy(20_000, epochs, seed=3)
    full = dict(zip([x for x, _ in curve], as_series(curve).smoothed(tau), strict=True))
    thin = thinned_series(curve, KEPT)
    assert len(thin.positions) <= KEPT + 1
    gaps = np.diff(thin.positions, prepend=0.0)
    values = [value for _, value in curve]
    bound = -math.expm1(-float(gaps.max()) / tau) * (max(values) - min(values))
    errors = [
        abs(value - full[position])
        for position, value in zip(thin.positions, thin.smoothed(tau), strict=True)
    ]
    # Bounded always; and where a stretch is short against tau, no eye can tell them apart.
    assert max(errors) <= bound
    if gaps.max() <= tau / 4:
        assert max(errors) <= 0.004, "of a curve that spans 0.4 with noise of 0.05"


@pytest.mark.parametrize("denser", [2, 7])
def test_denser_points_of_the_same_curve_smooth_to_the_same_values(denser: int) -> None:
    curve = noisy(60, 6.0)
    parts, before = [], 0.0
    for position, value in curve:
        step = (position - before) / denser
        parts += [(before + step * (number + 1), value) for number in range(denser - 1)]
        parts.append((position, value))
        before = position
    for tau in (0.2, 1.0):
        dense = as_series(parts).smoothed(tau)[denser - 1 :: denser]
        assert dense == pytest.approx(as_series(curve).smoothed(tau), abs=1e-9)


def test_the_area_under_a_thinned_curve_is_that_of_all_of_its_points() -> None:
    curve = noisy(5_000, 7.0)
    series, before, area = thinned_series(curve, 50), 0.0, 0.0
    for position, mean in zip(series.positions, series.means, strict=True):
        area += mean * (position - before)
        before = position
    step = 7.0 / 5_000
    assert area == pytest.approx(sum(value * step for _, value in curve))


def test_no_smoothing_shows_the_values_as_they_are() -> None:
    series = as_series(noisy(30, 2.0))
    assert series.smoothed(0.0) == series.values
    assert smoothed((), (), 1.0) == ()


def test_a_smoothed_constant_is_that_constant() -> None:
    series = as_series([(0.1 * step, 0.25) for step in range(1, 40)])
    assert series.smoothed(0.5) == pytest.approx([0.25] * 39)


# --- which observations make a curve ------------------------------------------------------------


def test_the_train_curve_has_the_points_and_the_ends_of_epochs_without_points() -> None:
    history = history_of([STARTED, point(0.5), epoch(1), epoch(2), point(2.4), epoch(3)])
    assert history.series("loss", "within").positions == (0.5, 2.0, 2.4)
    assert history.series("loss", "train").positions == (1.0, 2.0, 3.0)
    assert history.series("loss", "test") == Series()


def test_the_validation_sample_is_kept_though_few_points_look_at_it() -> None:
    builder = HistoryBuilder()
    for step in range(1, 8_001):
        looked = metrics(0.4) if step % 10 == 0 else None
        builder.add(point(step / 4_000, validation=looked))
    history = builder.history()
    assert len(history.points) <= KEPT + 1
    assert len(history.series("loss", "sample").positions) >= KEPT // 2


def test_branches_are_kept_though_few_epochs_rank_them() -> None:
    builder = HistoryBuilder()
    for number in range(1, 2_001):
        ranked = BranchAucs(0.6, 0.7) if number % 50 == 0 else None
        builder.add(epoch(number, branches=ranked))
    history = builder.history()
    assert [each.epoch for each in history.ranked] == list(range(50, 2_001, 50))
    assert len(history.epochs) <= KEPT + 1


def test_rows_of_one_class_have_a_loss_but_no_auc() -> None:
    one_class = dataclasses.replace(point(0.5), train=metrics(0.4, auc=None))
    history = history_of([one_class, point(0.6)])
    assert history.series("auc", "within").positions == (0.6,)
    assert history.series("loss", "within").positions == (0.5, 0.6)


# --- a run that was resumed ----------------------------------------------------------------------


def interrupted() -> list[Event]:
    """Two epochs and a half, the best one last; a checkpoint was written at 1.25."""
    return [
        STARTED,
        point(0.5),
        epoch(1, best=True),
        point(1.2),
        point(1.5, loss=9.0),
        epoch(2, best=True),
        point(2.5, loss=9.0),
    ]


def test_what_followed_the_checkpoint_is_superseded() -> None:
    history = history_of([*interrupted(), Resumed(2, 1.25, 2.5)])
    assert [each.epoch for each in history.observations] == [0.5, 1, 1.2]
    assert history.best is not None and history.best.epoch == 1
    assert history.position == 1.2
    assert [each.epoch for each in history.resumed] == [1.25]


def test_a_resumed_run_has_the_curves_of_one_that_was_never_interrupted() -> None:
    rest: list[Event] = [point(1.3), point(1.5), epoch(2), point(2.5), epoch(3, best=True)]
    resumed = history_of([*interrupted(), Resumed(2, 1.25, 2.5), *rest, FINISHED])
    whole = history_of([STARTED, point(0.5), epoch(1, best=True), point(1.2), *rest, FINISHED])
    # The running mean begins anew at the mark; all that smoothing reads is the same.
    assert [seen.areas for seen in resumed.seen_points] == [
        seen.areas for seen in whole.seen_points
    ]
    anew = dataclasses.replace(resumed, resumed=(), seen_points=whole.seen_points)
    assert anew == whole
    for tau in SMOOTHINGS[1:]:
        for track in ("within", "train", "validation"):
            series = [each.series("loss", track).smoothed(tau) for each in (resumed, whole)]
            assert series[0] == pytest.approx(series[1], abs=1e-9)


def test_a_stopped_run_that_goes_on_has_not_ended() -> None:
    stopped = [*interrupted(), Progress("Scoring", 0, None, "rows"), FINISHED, Failed("x")]
    history = history_of([*stopped, Resumed(2, 2.0, 4.0)])
    assert history.finished is history.failed is history.progress is None
    assert history.epochs[-1].epoch == 2


def test_a_run_resumed_from_its_very_beginning_starts_anew() -> None:
    history = history_of([*interrupted(), Resumed(2, 0.0, 0.0)])
    assert history.observations == () and history.best is None
    assert history_of([*interrupted(), Resumed(2, 0.0, 0.0), point(0.1)]).position == 0.1


def test_a_mark_of_an_attempt_that_was_itself_superseded_is_gone() -> None:
    events = [*interrupted(), Resumed(2, 2.0, 4.0), point(2.2), Resumed(3, 1.0, 2.0)]
    assert [each.attempt for each in history_of(events).resumed] == [3]


def test_a_history_once_made_is_not_changed_by_later_events() -> None:
    builder = HistoryBuilder()
    builder.add(point(0.5))
    before = builder.history()
    builder.add(point(0.7))
    builder.add(Resumed(2, 0.6, 1.0))
    assert [each.epoch for each in before.points] == [0.5]
    assert before.resumed == ()
    assert History().series("auc", "within") == Series()


# --- how long it will still take ------------------------------------------------------------


def timed(position: float, seconds: float) -> Point:
    return dataclasses.replace(point(position), seconds=seconds)


def planned(epochs: int) -> Started:
    return dataclasses.replace(STARTED, epochs=epochs)


def test_nothing_is_said_of_the_time_left_before_there_is_something_to_go_by() -> None:
    assert time_left(History()) is None
    assert time_left(history_of([planned(10)])) is None
    assert time_left(history_of([planned(10), timed(0.01, 0.1)])) is None


def test_the_time_left_is_a_first_guess_until_enough_was_seen() -> None:
    early = time_left(history_of([planned(100), timed(0.1, 0.5)]))
    late = time_left(history_of([planned(100), timed(0.1, 0.5), timed(1.0, 5.0)]))
    short = time_left(history_of([planned(3), timed(0.5, 0.4)]))
    assert early is not None and early.first_guess
    assert late is not None and not late.first_guess
    assert short is not None and not short.first_guess, "a sixth of it is done"


def test_the_time_left_goes_by_the_newer_half_and_leaves_a_slow_start_behind() -> None:
    # The first tenth of an epoch took three seconds, from then on one epoch takes one.
    points = [timed(0.1, 3.0), *(timed(x / 10, 3.0 + (x - 1) / 10) for x in range(2, 41))]
    left = time_left(history_of([planned(10), *points]))
    assert left is not None
    assert left.seconds == pytest.approx(6.0)


def test_the_time_left_of_a_resumed_run_goes_by_its_new_attempt() -> None:
    events = [planned(10), timed(1.0, 100.0), timed(4.0, 400.0), Resumed(2, 4.0, 400.0)]
    assert time_left(history_of(events)) is None
    left = time_left(history_of([*events, timed(5.0, 403.0), timed(6.0, 406.0)]))
    assert left is not None
    assert left.seconds == pytest.approx(12.0)


def test_no_time_is_left_after_the_last_planned_epoch() -> None:
    left = time_left(history_of([planned(3), timed(1.5, 3.0), epoch(3)]))
    assert left is not None and left.seconds == 0.0
