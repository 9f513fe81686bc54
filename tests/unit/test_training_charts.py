"""What a run says, and the figures that are drawn of it."""

import dataclasses
import math
import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from deepfm.charts import palette
from deepfm.charts.history import (
    History,
    RunningMean,
    curve,
    history_of,
    sparkline,
)
from deepfm.charts.thinning import Thinned
from deepfm.charts.training.axes import (
    epoch_range,
    spread_labels,
    symmetric_range,
    value_range,
)
from deepfm.charts.training.comparison import (
    ComparedRun,
    compared_runs_table,
    comparison_figure,
    comparison_finding,
    lamps,
)
from deepfm.charts.training.curves import (
    curves_caption,
    curves_figure,
    curves_finding,
    curves_table,
)
from deepfm.charts.training.pinned import (
    NOT_YET,
    pinned_bars,
    pinned_figure,
    pinned_finding,
    pinned_range,
)
from deepfm.charts.training.replay import replay_of, with_curtain, with_pinned_frames
from deepfm.charts.training.shares import (
    shares_figure,
    shares_finding,
    shares_of,
    shares_table,
    term_shares_of,
)
from deepfm.config import TERM_SETS
from deepfm.events import (
    Epoch,
    Event,
    Finished,
    Metrics,
    Notice,
    Point,
    Progress,
    Started,
    TermMoments,
)

PINNED = ((0.1, 0.5, -0.25), (-0.3, 0.0, 1.5))
MOMENTS = TermMoments((0.1, 0.2, -0.3), ((1.0, 0.2, 0.1), (0.2, 2.0, -0.4), (0.1, -0.4, 3.0)))
FLAT = TermMoments((0.0, 0.0, 0.0), ((0.0,) * 3,) * 3)


def metrics(loss: float, auc: float | None = 0.7) -> Metrics:
    return Metrics(loss, 0.8, auc, 100)


def point(position: float, *, validation: Metrics | None = None) -> Point:
    return Point(
        position, position * 2, 1e5, metrics(1 / (1 + position)), validation, MOMENTS, PINNED
    )


def epoch(
    number: int, *, best: bool = False, validated: bool = True, tested: bool = False
) -> Epoch:
    return Epoch(
        epoch=number,
        seconds=2.0 * number,
        examples_per_second=1e5,
        step_examples_per_second=2e5,
        train=metrics(1 / (1 + number)),
        validation=metrics(0.5, 0.6 + 0.01 * number) if validated else None,
        test=metrics(0.55, 0.6) if tested else None,
        best=best,
        moments=MOMENTS,
        pinned=PINNED,
    )


def started(epochs: int = 3, best_possible: float | None = 0.82) -> Started:
    return Started("DeepFM", 48_000, 6_000, 6_000, 24, epochs, 1_234, "cpu", "plain", best_possible)


def finished(epochs: int = 3) -> Finished:
    return Finished(epochs, epochs, 6.0, 1e5, 2e5, "test", 6_000, 0.79, 0.43, 0.42, 0.8, 0.225)


def run_events(epochs: int = 3, points: int = 4, **epoch_words: bool) -> list[Event]:
    """A whole run: `points` points in each epoch, its end, the last event."""
    events: list[Event] = [started(epochs)]
    for number in range(1, epochs + 1):
        events += [point(number - 1 + place / (points + 1)) for place in range(1, points + 1)]
        events.append(epoch(number, best=number == epochs, **epoch_words))
    return [*events, Progress("Scoring", 0, None, "rows"), finished(epochs)]


# --- history -------------------------------------------------------------------------------


def test_a_thinned_curve_never_moves_as_it_grows() -> None:
    drawn = random.Random(0)
    thinned: Thinned[Point] = Thinned(kept=32)
    position, before, every = 0.0, set(), set()
    for _ in range(3_000):
        position += drawn.expovariate(50.0)
        thinned.add(point(position))
        every.add(position)
        settled = [each.epoch for each in thinned.kept()][:-1]
        assert set(settled) <= every
        # What is shown was shown before, or is new since; nothing comes back in between.
        assert {each for each in settled if each < max(before, default=0.0)} <= before
        before = {each.epoch for each in thinned.kept()}
    assert 16 <= len(thinned.kept()) <= 33


def test_the_newest_observation_is_always_kept() -> None:
    thinned: Thinned[Point] = Thinned(kept=4)
    for number in range(1, 100):
        thinned.add(point(number / 7))
        assert thinned.kept()[-1].epoch == number / 7


def test_a_resumed_run_supersedes_what_followed_its_checkpoint() -> None:
    events = [started(), point(0.5), epoch(1), point(1.5), epoch(2), point(1.25)]
    history = history_of([*events, epoch(2, best=True)])
    assert [each.epoch for each in history.points] == [0.5, 1.25]
    assert [each.epoch for each in history.epochs] == [1, 2]
    assert history.best is not None and history.best.epoch == 2


def test_history_tells_notices_the_end_and_the_best_epoch() -> None:
    events = run_events()
    history = history_of([*events[:-1], Notice("memorising", "It is memorising."), events[-1]])
    assert history.best is history.epochs[-1]
    assert history.notices[0].text == "It is memorising."
    assert history.finished == finished()
    assert history.position == 3.0
    positions = [each.epoch for each in history.observations]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({}, "validation"),
        ({"validated": False, "tested": True}, "test"),
        ({"validated": False}, "train"),
    ],
)
def test_a_run_is_judged_by_validation_else_test_else_train(
    words: dict[str, bool], part: str
) -> None:
    assert history_of(run_events(**words)).judged_by == part


def test_a_part_of_one_class_has_no_auc_curve() -> None:
    one_class = Point(0.5, 1.0, 1e5, metrics(0.4, auc=None), None, None, ())
    assert curve([one_class], "auc", "train") == ([], [])
    assert curve([one_class], "loss", "train") == ([0.5], [0.4])


def test_a_sparkline_is_short_and_ends_at_the_last_epoch() -> None:
    history = history_of(run_events(epochs=200, points=1))
    values = sparkline(history, points=40)
    assert len(values) <= 40
    assert values[-1] == history.epochs[-1].validation.auc  # type: ignore[union-attr]
    assert sparkline(History()) == []


def test_the_train_curve_is_a_running_mean_that_looks_back_only() -> None:
    drawn = random.Random(2)
    points = [
        dataclasses.replace(point(0.02 * number), train=Metrics(drawn.random(), 0.5, None, 64))
        for number in range(1, 60)
    ]
    running = RunningMean(epochs=0.1)
    shown = [running.add(each) for each in points]
    for last in (0, 7, 58):
        ages = [points[last].epoch - each.epoch for each in points[: last + 1]]
        weights = [math.exp(-age / 0.1) for age in ages]
        losses = [each.train.loss for each in points[: last + 1]]
        slow = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
        assert shown[last].train.loss == pytest.approx(slow)
        assert shown[last].train.auc is None


# --- axes ----------------------------------------------------------------------------------


def test_labels_are_spread_apart_in_their_order_and_no_further_than_needed() -> None:
    drawn = random.Random(1)
    for _ in range(200):
        heights = [drawn.random() for _ in range(drawn.randint(1, 7))]
        placed = spread_labels(heights, 0.1)
        ordered = sorted(zip(heights, placed, strict=True))
        gaps = [b[1] - a[1] for a, b in pairwise(ordered)]
        assert all(gap >= 0.1 - 1e-9 for gap in gaps)
        if all(b - a >= 0.1 for a, b in pairwise(sorted(heights))):
            assert placed == pytest.approx(heights)


def test_a_value_range_holds_all_auc_and_moves_seldom() -> None:
    seen = set()
    for number in range(200):
        auc = 0.5 + number * 0.0015
        low, high = value_range([0.5, auc, 0.82], "auc")
        assert low <= 0.5 and high >= max(auc, 0.82)
        seen.add((round(low, 9), round(high, 9)))
    assert len(seen) <= 3


def test_a_bar_range_is_the_smallest_of_few_that_holds_all() -> None:
    assert [symmetric_range([value]) for value in (0.2, 1.2, -1.6, 2.5, 3.5, -5.0, 7.0)] == (
        pytest.approx([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0])
    )
    assert symmetric_range([]) == 1.0


def test_a_long_run_that_stops_early_does_not_stand_in_a_corner() -> None:
    events = [started(epochs=100), *(epoch(number) for number in range(1, 9))]
    assert epoch_range([history_of(events)]) == (0.0, 16.0)
    assert epoch_range([history_of([*events, finished(8)])]) == (0.0, 8.0)
    assert epoch_range([history_of([started(epochs=15)])]) == (0.0, 15.0)


# --- curves --------------------------------------------------------------------------------


def names_of(figure: go.Figure) -> set[str]:
    return {trace.name.split(":")[0] for trace in figure.data}


def test_the_legend_says_which_mode_each_curve_was_measured_in() -> None:
    figure = curves_figure(history_of(run_events()))
    legend = {trace.name for trace in figure.data if trace.showlegend}
    assert "train: running mean in training mode" in legend
    assert "validation: in evaluation mode" in legend


def test_each_curve_is_named_once_in_the_legend_of_two_panels() -> None:
    figure = curves_figure(history_of(run_events(tested=True)))
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == len(set(shown))


def test_train_validation_and_test_differ_in_width_and_dash() -> None:
    figure = curves_figure(history_of(run_events(tested=True)), ("loss",), "by epoch")
    styles = {
        trace.legendgroup: (trace.line.width, trace.line.dash)
        for trace in figure.data
        if trace.mode != "markers"
    }
    assert styles == {"train": (1.5, "solid"), "validation": (3, "dash"), "test": (2, "dot")}


def test_the_best_possible_line_stands_in_the_auc_panel_where_the_truth_is_known() -> None:
    known = curves_figure(history_of(run_events()), ("loss", "auc"))
    assert [shape.y0 for shape in known.layout.shapes] == [0.82]
    assert known.layout.shapes[0].yref == "y2"
    unknown = history_of([started(best_possible=None), *run_events()[1:]])
    assert not curves_figure(unknown, ("loss", "auc")).layout.shapes


def test_accuracy_is_compared_with_the_commoner_label() -> None:
    figure = curves_figure(history_of(run_events()), ("loss", "accuracy"), majority=0.775)
    assert [shape.y0 for shape in figure.layout.shapes] == [0.775]


def test_within_epochs_the_train_curve_has_the_points_and_not_the_lagging_mean() -> None:
    history = history_of(run_events(epochs=2, points=3))
    within = curves_figure(history, ("loss",), "within epochs").data[0]
    assert list(within.x) == [each.epoch for each in history.points]
    without = history_of(run_events(epochs=2, points=0))
    assert list(curves_figure(without, ("loss",), "within epochs").data[0].x) == [1.0, 2.0]


def test_a_sample_of_validation_is_drawn_only_in_long_epochs() -> None:
    long = [started(), *(point(0.1 * n, validation=metrics(0.6)) for n in range(1, 9))]
    short = [started(), point(0.5, validation=metrics(0.6)), epoch(1)]
    assert any("sample" in trace.name for trace in curves_figure(history_of(long)).data)
    assert not any("sample" in trace.name for trace in curves_figure(history_of(short)).data)


def test_a_figure_of_a_run_without_events_can_be_drawn() -> None:
    for figure in (
        curves_figure(History()),
        shares_figure(History()),
        pinned_figure(NOT_YET, 1.0),
        comparison_figure([ComparedRun("DeepFM", TERM_SETS["DeepFM"], History())]),
    ):
        assert figure.to_json()
    assert curves_finding(History()) == "No epoch has ended yet."
    assert curves_table(History()).empty


def test_the_table_of_a_run_has_every_figure_of_every_epoch() -> None:
    table = curves_table(history_of(run_events(tested=True)))
    assert list(table["epoch"]) == [1, 2, 3]
    assert table["validation auc"].iloc[-1] == pytest.approx(0.63)
    assert {"train loss", "test accuracy", "step examples per second"} <= set(table.columns)


# --- pinned impressions, shares -------------------------------------------------------------


def test_pinned_bars_are_raw_terms_minus_their_means() -> None:
    bars = pinned_bars(point(0.5), 1)
    for term, (raw, mean) in enumerate(zip(PINNED[1], MOMENTS.mean, strict=True)):
        assert bars.centred[term] == raw - mean
    assert bars.probability == pytest.approx(1 / (1 + math.exp(-sum(PINNED[1]))))


def test_pinned_bars_are_zero_before_the_first_observation() -> None:
    assert pinned_bars(None, 0) is NOT_YET
    assert pinned_bars(point(0.5), 7) is NOT_YET
    assert "not scored yet" in pinned_finding("Coffee", NOT_YET, None)


def test_all_pinned_bars_share_one_range_that_holds_them() -> None:
    half_width = pinned_range(history_of(run_events()), 2)
    assert half_width >= max(
        abs(b) for place in (0, 1) for b in pinned_bars(point(1), place).centred
    )


@pytest.mark.parametrize("terms", TERM_SETS.values(), ids=TERM_SETS)
def test_a_model_has_bars_and_bands_for_its_own_terms_only(terms: tuple[str, ...]) -> None:
    bars = pinned_figure(pinned_bars(point(1), 0), 2.0, terms)
    bands = shares_figure(history_of(run_events()), terms)
    assert [trace.name for trace in bars.data] == list(terms)
    assert [trace.name for trace in bands.data] == list(terms)


def test_shares_are_the_covariance_with_the_logit_over_its_variance() -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 5_000)) * [[0.5], [1.0], [2.0]]
    drawn[1] += 0.4 * drawn[0]
    covariance = np.cov(drawn, bias=True)
    moments = TermMoments(
        tuple(drawn.mean(axis=1)), tuple(tuple(float(c) for c in row) for row in covariance)
    )
    known = term_shares_of(moments)
    assert known is not None
    logit = drawn.sum(axis=0)
    slow = [np.mean((t - t.mean()) * (logit - logit.mean())) / logit.var() for t in drawn]
    assert known[0] == pytest.approx(slow)
    assert sum(known[0]) == pytest.approx(1.0)
    assert known[1] == pytest.approx(logit.var())


def test_a_score_that_hardly_varies_has_no_shares() -> None:
    assert term_shares_of(FLAT) is None
    assert shares_finding(History()) == "The score hardly varies yet."


def test_the_bands_add_up_to_the_whole_at_every_position() -> None:
    figure = shares_figure(history_of(run_events()))
    assert np.sum([trace.y for trace in figure.data], axis=0) == pytest.approx(1.0)
    assert len(shares_table(history_of(run_events()))) == len(shares_of(history_of(run_events())))


# --- replay, comparison ----------------------------------------------------------------------


def test_the_replay_goes_from_before_the_first_step_to_the_end() -> None:
    replay = replay_of(history_of(run_events(epochs=60, points=9)))
    assert replay.moments[0] is None
    assert replay.positions[-1] == 60.0
    assert len(replay.moments) == len(replay.readouts) <= 122
    assert list(replay.positions) == sorted(replay.positions)


def test_a_finished_run_rests_at_the_epoch_whose_weights_are_kept() -> None:
    events = [started(3), epoch(1), epoch(2, best=True), point(2.5), epoch(3), finished(3)]
    training, history = history_of(events[:-1]), history_of(events)
    assert training.kept is None and training.resting is training.epochs[-1]
    assert history.kept is history.resting is history.epochs[1]
    replay = replay_of(history)
    assert replay.moments[-2:] == (history.epochs[2], history.epochs[1])
    assert replay.readouts[-1].startswith("Epoch 2, kept")
    assert replay_of(training).moments[-1] is training.epochs[-1]


def test_the_replay_begins_with_dashes_as_nothing_is_scored_yet() -> None:
    replay = replay_of(history_of(run_events()))
    bars = with_pinned_frames(pinned_figure(pinned_bars(point(1), 0), 2.0), replay, 0)
    assert {bar["text"][0] for bar in bars.frames[0].data} == {"–"}


def test_the_best_possible_auc_is_explained_where_it_is_drawn() -> None:
    with_bound = history_of([dataclasses.replace(started(), best_possible_auc=0.82)])
    assert "has not seen" in curves_caption(with_bound, "auc")
    assert "has not seen" not in curves_caption(with_bound, "accuracy")
    without = history_of([dataclasses.replace(started(), best_possible_auc=None)])
    assert "has not seen" not in curves_caption(without, "auc")


def test_every_chart_of_a_replay_has_the_same_frames() -> None:
    history = history_of(run_events())
    replay = replay_of(history)
    bars = with_pinned_frames(pinned_figure(pinned_bars(point(1), 0), 2.0), replay, 0)
    frames = [
        len(figure.frames)
        for figure in (
            with_curtain(curves_figure(history), replay, panels=2),
            with_curtain(shares_figure(history), replay),
            bars,
        )
    ]
    assert frames == [len(replay.moments)] * 3
    last = pinned_bars(history.latest, 0)
    assert [bar["x"][0] for bar in bars.frames[-1].data] == pytest.approx(last.centred)
    assert [bar["x"][0] for bar in bars.frames[0].data] == [0.0, 0.0, 0.0]


def test_a_curtain_leaves_the_best_possible_line_standing() -> None:
    history = history_of(run_events())
    figure = with_curtain(curves_figure(history), replay_of(history), panels=2)
    assert len(figure.frames[-1].layout.shapes) == 1
    for frame in figure.frames:
        assert any(shape.y0 == 0.82 for shape in frame.layout.shapes)


def compared(names: list[str]) -> list[ComparedRun]:
    return [
        ComparedRun(name, TERM_SETS.get(name, TERM_SETS["FM"]), history_of(run_events()))
        for name in names
    ]


def test_five_models_are_five_lines_named_at_their_ends_over_one_best_possible_line() -> None:
    figure = comparison_figure(compared(list(TERM_SETS)))
    assert len({trace.line.color for trace in figure.data}) == 5
    assert len({trace.marker.symbol for trace in figure.data}) == 5
    words = " ".join(note.text for note in figure.layout.annotations)
    assert all(palette.label(name) in words for name in TERM_SETS)
    assert [shape.y0 for shape in figure.layout.shapes] == [0.82]


def test_a_compared_run_is_named_with_the_value_of_the_epoch_that_is_kept() -> None:
    (run,) = compared(["DeepFM"])
    kept = run.history.best
    assert kept is not None and kept.validation is not None
    figure = comparison_figure([run])
    sizes = dict(zip(figure.data[0].x, figure.data[0].marker.size, strict=True))
    assert max(sizes, key=lambda epoch: sizes[epoch]) == kept.epoch
    table = compared_runs_table([run])
    assert f"{table['validation AUC'][0]:.4f}" in figure.layout.annotations[-1].text


def test_no_more_than_six_runs_stand_in_one_chart() -> None:
    assert len(comparison_figure(compared([f"run {n}" for n in range(9)])).data) == 6


def test_a_run_name_that_is_html_is_shown_as_it_is() -> None:
    figure = comparison_figure(compared(["<b>bold</b>"]))
    assert figure.data[0].name == "&lt;b&gt;bold&lt;/b&gt;"
    assert all("<b>bold" not in note.text for note in figure.layout.annotations)


def test_the_table_of_five_models_has_lamps_and_results() -> None:
    table = compared_runs_table(compared(list(TERM_SETS)))
    assert list(table["terms"]) == ["L", "L P", "D", "L D", "L P D"]
    assert list(table["validation AUC"]) == pytest.approx([0.63] * 5)
    assert list(table["test AUC"]) == pytest.approx([0.79] * 5)
    assert lamps(("deep",)) == "D"
    assert "0.6300" in comparison_finding(compared(["FM", "LR"]))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curves_figure(history_of(run_events(tested=True))),
        lambda: shares_figure(history_of(run_events())),
        lambda: pinned_figure(pinned_bars(point(1), 0), 2.0, truth=0.24),
        lambda: comparison_figure(compared(list(TERM_SETS))),
    ],
    ids=["curves", "shares", "pinned", "comparison"],
)
def test_every_colour_has_a_name_in_both_themes(draw: Callable[[], go.Figure]) -> None:
    for mode in ("light", "dark"):
        assert "var(--dfm" not in palette.resolved(draw(), mode).to_json()
