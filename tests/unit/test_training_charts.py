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
    Metric,
    RunningMean,
    curve,
    history_of,
    sparkline,
)
from deepfm.charts.thinning import Thinned
from deepfm.charts.training.axes import (
    epoch_range,
    kept_off,
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
    unfinished,
)
from deepfm.charts.training.curves import (
    Detail,
    curves_caption,
    curves_figure,
    curves_finding,
)
from deepfm.charts.training.curves_table import curves_table
from deepfm.charts.training.pinned import (
    NOT_YET,
    pinned_bars,
    pinned_figure,
    pinned_finding,
    pinned_range,
)
from deepfm.charts.training.ranking import (
    has_two_branches,
    rank_labels,
    ranking_caption,
    ranking_figure,
    ranking_finding,
    ranking_table,
)
from deepfm.charts.training.replay import replay_of, with_curtain, with_pinned_frames
from deepfm.charts.training.shares import (
    share_labels,
    share_text,
    shares_at,
    shares_caption,
    shares_figure,
    shares_finding,
    shares_of,
    shares_table,
    term_shares_of,
)
from deepfm.config import TERM_SETS
from deepfm.events import (
    BranchAucs,
    Epoch,
    Event,
    Finished,
    Metrics,
    Notice,
    Point,
    Progress,
    Resumed,
    Started,
    TermMoments,
)
from deepfm.terms import TERM_NAMES
from tests.unit.checked_figures import checked

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
    (name,) = (words for words in known.layout.annotations if "best possible" in words.text)
    assert name.bgcolor, "the train line may pass under it"
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
    history = history_of(run_events(tested=True))
    table = curves_table(history)
    assert list(table["epoch"]) == [1, 2, 3]
    assert table["validation auc"].iloc[-1] == pytest.approx(0.63)
    assert {"train loss", "test accuracy", "step examples per second"} <= set(table.columns)
    within = curves_table(history, "within epochs")
    assert len(within) == len(history.observations)
    assert set(within["at"]) == {"within epoch", "end of epoch"}


@pytest.mark.parametrize("detail", ["within epochs", "by epoch"])
def test_the_table_has_the_smoothed_values_that_are_drawn(detail: Detail) -> None:
    history = history_of(run_events(tested=True))
    table = curves_table(history, detail, 0.5)
    series = history.series("loss", "within" if detail == "within epochs" else "train")
    shown = table["train loss, smoothed over 0.5 epochs"].dropna()
    assert list(shown) == pytest.approx(series.smoothed(0.5))
    assert not any("smoothed" in name for name in curves_table(history, detail).columns)
    assert curves_table(History(), detail, 0.5).empty


# --- what the browser may do with a figure ------------------------------------------------------


def test_every_chart_over_epochs_may_be_logarithmic_in_them() -> None:
    history = history_of(run_events())
    for figure, panels in (
        (curves_figure(history), 2),
        (shares_figure(history), 1),
        (ranking_figure(history), 1),
    ):
        axes = figure.layout.meta["log_x"]
        assert axes == ["xaxis", "xaxis2"][:panels]
        assert all(figure.layout[axis].range[0] == 0.0 for axis in axes)


@pytest.mark.parametrize("metrics", [("loss", "auc"), ("auc", "loss"), ("accuracy", "auc")])
def test_only_loss_may_be_logarithmic_in_its_values(metrics: tuple[Metric, ...]) -> None:
    figure = curves_figure(history_of(run_events()), metrics)
    axes = {
        f"yaxis{column if column > 1 else ''}"
        for column, metric in enumerate(metrics, start=1)
        if metric == "loss"
    }
    assert set(figure.layout.meta["log_y"]) == axes


def test_a_curve_brings_the_means_that_smoothing_takes_where_they_are_not_its_values() -> None:
    history = history_of(run_events())
    train, validation, *_ = curves_figure(history, ("loss",)).data
    series = history.series("loss", "within")
    assert list(train.meta["means"]) == pytest.approx(series.means)
    assert validation.meta == {"smooth": True}


def test_another_metric_keeps_the_zoom_of_the_loss() -> None:
    history = history_of(run_events())
    auc, accuracy = (curves_figure(history, ("loss", each)) for each in ("auc", "accuracy"))
    assert auc.layout.yaxis.uirevision == accuracy.layout.yaxis.uirevision
    assert auc.layout.yaxis2.uirevision != accuracy.layout.yaxis2.uirevision
    assert auc.layout.uirevision == accuracy.layout.uirevision


def test_a_resumed_run_has_a_mark_in_every_panel_and_says_what_it_is() -> None:
    events = run_events()
    history = history_of([*events[:12], Resumed(2, 1.5, 3.0), *events[8:]])
    for figure, panels in (
        (curves_figure(history), 2),
        (shares_figure(history), 1),
        (ranking_figure(history), 1),
    ):
        marks = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == 1.5]
        assert len(marks) == panels
        assert "resumed" in [note.text for note in figure.layout.annotations]
    assert "went on from its last checkpoint" in curves_caption(history, "auc")
    assert "checkpoint" not in curves_caption(history_of(events), "auc")
    frames = with_curtain(curves_figure(history), replay_of(history), panels=2).frames
    assert all(any(s.x0 == s.x1 == 1.5 for s in f.layout.shapes) for f in frames)


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


def test_a_wild_early_observation_does_not_press_the_bars_flat() -> None:
    usual = pinned_range(history_of(run_events()), 2)
    wild = dataclasses.replace(point(0.01), pinned=((30.0, -40.0, 20.0), (0.0, 0.0, 0.0)))
    first, *rest = run_events()
    assert pinned_range(history_of([first, wild, *rest]), 2) == usual
    assert pinned_range(history_of([first, wild]), 2) >= 40, "what is shown is held"


def test_small_bars_get_a_small_range_that_stays_while_they_grow_a_little() -> None:
    def ranged(size: float) -> float:
        still = dataclasses.replace(
            point(0.5),
            moments=dataclasses.replace(MOMENTS, mean=(0.0, 0.0, 0.0)),
            pinned=((size, 0.0, 0.0),),
        )
        return pinned_range(history_of([started(3), still]), 1)

    assert ranged(0.2) == 0.25
    assert ranged(0.26) == ranged(0.3) == ranged(0.37)


@pytest.mark.parametrize("terms", TERM_SETS.values(), ids=TERM_SETS)
def test_a_model_has_bars_and_bands_for_its_own_terms_only(terms: tuple[str, ...]) -> None:
    bars = pinned_figure(pinned_bars(point(1), 0), 2.0, terms)
    bands = shares_figure(history_of(run_events()), terms)
    assert [trace.name for trace in bars.data] == list(terms)
    assert [trace.name for trace in bands.data if trace.stackgroup] == list(terms)


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


AGAINST = TermMoments((0.0, 0.0, 0.0), ((0.2, -0.5, 0.0), (-0.5, 2.0, 0.1), (0.0, 0.1, 0.6)))
"""The linear term mostly works against the pairwise one: its share is below zero."""


def against(start: TermMoments = MOMENTS) -> History:
    """A run whose linear share goes from above zero to below it."""
    first, second = epoch(1), epoch(2)
    return history_of(
        [
            started(),
            dataclasses.replace(first, moments=start),
            dataclasses.replace(second, moments=AGAINST),
        ]
    )


def test_once_it_has_ended_the_captions_name_the_epoch_that_other_pages_show() -> None:
    ended = dataclasses.replace(against(), finished=finished())
    for caption in (shares_caption, ranking_caption):
        assert f"of epoch {finished().best_epoch}." in caption(ended)
        assert "Model" not in caption(against())


def test_a_share_below_zero_hangs_under_the_line_at_its_own_height() -> None:
    history = against()
    _, last = shares_of(history)
    assert last.shares[0] == pytest.approx(-0.3 / 2.0)
    figure = shares_figure(history)
    below = [trace for trace in figure.data if trace.stackgroup == "below"]
    above = [trace for trace in figure.data if trace.stackgroup == "above"]
    assert [trace.name for trace in below] == ["linear"]
    assert below[0].y[-1] == pytest.approx(last.shares[0])
    assert sum(trace.y[-1] for trace in above) == pytest.approx(1.0 - last.shares[0])
    low, high = figure.layout.yaxis.range
    assert low <= last.shares[0] and high >= 1.0 - last.shares[0]
    assert "Linear mostly works against the others" in shares_finding(history)


def test_a_band_changes_sides_where_its_share_passes_through_zero() -> None:
    figure = shares_figure(against())
    sides = [trace for trace in figure.data if trace.name == "linear"]
    corners = list(zip(sides[0].x, sides[0].y, sides[1].y, strict=True))
    assert all(top * bottom == 0.0 for _, top, bottom in corners), "never on both sides at once"
    (crossing,) = [position for position, top, bottom in corners if top == bottom == 0.0]
    before, after = (each.shares[0] for each in shares_of(against()))
    assert crossing == pytest.approx(1 + before / (before - after))
    assert all(
        sum(trace.y[k] for trace in figure.data if trace.stackgroup) == pytest.approx(1.0)
        for k in range(len(sides[0].x))
    )


def test_the_covariances_stand_under_the_pointer_and_in_the_table() -> None:
    history = against()
    reader = next(trace for trace in shares_figure(history).data if trace.name == "linear read")
    assert list(reader.customdata[-1]) == pytest.approx([0.2, -0.5, 0.0])
    assert "LP %{customdata[1]" in reader.hovertemplate
    row = shares_table(history).iloc[-1]
    assert row["cov(linear, pairwise)"] == -0.5
    assert row["variance of the score (logit²)"] == pytest.approx(2.0)
    six = [name for name in shares_table(history).columns if name.startswith("cov")]
    assert len(six) == 6


@pytest.mark.parametrize(
    ("share", "text"), [(0.324, "32 %"), (-0.041, "−4 %"), (-0.001, "0 %"), (0.0, "0 %")]
)
def test_a_share_that_rounds_to_nothing_has_no_sign(share: float, text: str) -> None:
    assert share_text(share) == text


def test_one_wild_first_observation_does_not_press_the_shares_flat() -> None:
    wild = TermMoments((0.0,) * 3, ((1.0, -6.0, 0.0), (-6.0, 12.0, 0.0), (0.0, 0.0, 0.1)))
    events = [dataclasses.replace(point(0.001), moments=wild), *run_events(epochs=20)[1:]]
    low, high = shares_figure(history_of(events)).layout.yaxis.range
    assert (low, high) == (0.0, 1.0)


# --- each branch alone -------------------------------------------------------------------------


def ranked(epochs: int = 4) -> list[Event]:
    return [
        started(epochs),
        *(
            dataclasses.replace(epoch(n), branches=BranchAucs(0.6 + 0.01 * n, 0.5 + 0.02 * n))
            for n in range(1, epochs + 1)
        ),
    ]


def test_branches_are_drawn_by_epoch_under_the_whole_model() -> None:
    figure = ranking_figure(history_of(ranked()))
    curves = {trace.name: list(trace.y) for trace in figure.data}
    assert curves["FM alone"] == pytest.approx([0.61, 0.62, 0.63, 0.64])
    assert curves["deep alone"] == pytest.approx([0.52, 0.54, 0.56, 0.58])
    assert curves["together"] == pytest.approx([0.61, 0.62, 0.63, 0.64])
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "FM alone 0.640" in words and "deep alone 0.580" in words
    styles = {(trace.line.width, trace.line.dash) for trace in figure.data}
    assert len(styles) == 3, "told apart without colour"


def test_an_epoch_that_was_not_ranked_leaves_the_line_as_it_is() -> None:
    events = ranked()
    events[2] = epoch(2)
    figure = ranking_figure(history_of(events))
    fm = next(trace for trace in figure.data if trace.name == "FM alone")
    assert list(fm.x) == [1.0, 3.0, 4.0]
    assert list(ranking_table(history_of(events))["epoch"]) == [1, 3, 4]


def test_in_a_long_epoch_the_branches_are_ranked_on_the_sample() -> None:
    looks = [
        dataclasses.replace(
            point(0.1 * n, validation=metrics(0.5, 0.7)), branches=BranchAucs(0.6, 0.65)
        )
        for n in range(1, 9)
    ]
    history = history_of([started(1), *looks])
    figure = ranking_figure(history)
    sampled = {trace.name: len(trace.x) for trace in figure.data if "sample" in trace.name}
    assert sampled == {"FM alone, sample": 8, "deep alone, sample": 8, "together, sample": 8}
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "FM alone 0.600" in words and "deep alone 0.650" in words and "together 0.700" in words
    short = history_of([started(3), *ranked()[1:], looks[0]])
    assert not any("sample" in trace.name for trace in ranking_figure(short).data)


def test_a_run_from_before_branches_were_ranked_has_an_empty_chart() -> None:
    history = history_of(run_events())
    assert ranking_figure(history).to_json()
    assert ranking_finding(history) == "The branches have not been ranked yet."
    assert ranking_table(history).empty


def test_the_finding_of_the_branches_names_all_three() -> None:
    assert ranking_finding(history_of(ranked())) == (
        "At epoch 4 the FM branch alone ranks validation rows with AUC 0.6400, the deep branch "
        "alone with 0.5800, together 0.6400."
    )


@pytest.mark.parametrize(
    ("model", "two"),
    [("LR", False), ("FM", False), ("DNN", False), ("Wide & Deep", True), ("DeepFM", True)],
)
def test_a_model_of_one_branch_has_none_to_compare(model: str, two: bool) -> None:
    assert has_two_branches(TERM_SETS[model]) is two


def test_the_labels_of_shares_and_branches_go_back_with_the_replay() -> None:
    events = [*ranked(), finished(4)]
    history = history_of(events)
    replay = replay_of(history)
    shares, ranks = shares_figure(history), ranking_figure(history)
    high, wide = ranks.layout.yaxis.range, shares.layout.yaxis.range
    with_curtain(
        shares, replay, labels=lambda moment: share_labels(shares_at(moment), TERM_NAMES, wide)
    )
    with_curtain(
        ranks,
        replay,
        labels=lambda moment: rank_labels(history, moment.epoch if moment else 0.0, high),
    )
    said = [" ".join(note.text for note in frame.layout.annotations) for frame in ranks.frames]
    assert "FM alone" not in said[0], "before the first step nothing was ranked"
    assert "FM alone 0.610" in said[1] and "FM alone 0.640" in said[-1]
    assert all("best possible" in words for words in said)
    parts = [[note.text for note in frame.layout.annotations] for frame in shares.frames]
    assert parts[0] == [] and len(parts[1]) == 3
    notes = [note.text for note in shares.layout.annotations]
    assert parts[-1] == notes


def test_the_bands_add_up_to_the_whole_at_every_position() -> None:
    figure = shares_figure(history_of(run_events()))
    bands = [trace.y for trace in figure.data if trace.stackgroup]
    assert np.sum(bands, axis=0) == pytest.approx(1.0)
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
    assert {bar["text"][0] for bar in checked(bars).frames[0].data} == {"–"}


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
    assert [bar["x"][0] for bar in checked(bars).frames[-1].data] == pytest.approx(last.centred)
    assert [bar["x"][0] for bar in checked(bars).frames[0].data] == [0.0, 0.0, 0.0]


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


def test_runs_that_were_best_at_their_last_epoch_are_named() -> None:
    events = [*run_events()[:-1], dataclasses.replace(finished(3), best_epoch=2)]
    early = dataclasses.replace(compared(["FM"])[0], history=history_of(events))
    assert unfinished([early]) == ""
    one = unfinished([early, *compared(["LR"])])
    assert one.startswith("LR was best at the last epoch")
    three = unfinished(compared(["LR", "FM", "DNN"]))
    assert three.startswith("LR, FM and DNN were best at the last epoch")
    stopped = dataclasses.replace(finished(3), stopped=True)
    events = [*run_events()[:-1], stopped]
    assert unfinished([dataclasses.replace(early, history=history_of(events))]) == ""


def test_five_models_are_five_lines_named_at_their_ends_over_one_best_possible_line() -> None:
    figure = comparison_figure(compared(list(TERM_SETS)))
    assert len({trace.line.color for trace in figure.data}) == 5
    assert len({trace.marker.symbol for trace in figure.data}) == 5
    words = " ".join(note.text for note in figure.layout.annotations)
    assert all(palette.label(name) in words for name in TERM_SETS)
    assert [shape.y0 for shape in figure.layout.shapes] == [0.82]


def test_no_runs_name_stands_at_the_best_possible() -> None:
    """Names that are pushed apart would else be pushed up to it, as if their run had reached it."""
    below, above = [0.80, 0.805, 0.81, 0.815], [0.83, 0.84]
    heights = below + above
    placed = kept_off(heights, 0.82, spread_labels(heights, 0.02), 0.02)
    assert max(placed[:4]) <= 0.82 - 0.02 + 1e-9 and min(placed[4:]) >= 0.82 + 0.02 - 1e-9
    assert placed == sorted(placed)
    assert all(b - a >= 0.02 - 1e-9 for a, b in pairwise(placed))
    assert kept_off([0.6, 0.7], 0.82, [0.6, 0.7], 0.02) == [0.6, 0.7], "no further than needed"


def test_five_alike_close_under_the_best_possible_are_named_below_it() -> None:
    last = dataclasses.replace(epoch(3, best=True), validation=metrics(0.4, 0.815))
    history = history_of([*run_events()[:-2], last, finished(3)])
    runs = [dataclasses.replace(run, history=history) for run in compared(list(TERM_SETS))]
    figure = comparison_figure(runs)
    low, high = figure.layout.yaxis.range
    names = [note for note in figure.layout.annotations if "best possible" not in note.text]
    assert len(names) == 5
    assert max(note.y for note in names) < 0.82 - (high - low) * 0.06


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
    assert list(table["test log loss"]) == pytest.approx([0.43] * 5)
    assert list(table["test accuracy"]) == pytest.approx([0.8] * 5)
    assert lamps(("deep",)) == "D"
    assert "0.6300" in comparison_finding(compared(["FM", "LR"]))


def test_results_say_of_which_rows_they_are() -> None:
    tested, held_out = compared(["FM", "LR"])
    ended = dataclasses.replace(finished(3), part="validation")
    validated = dataclasses.replace(held_out, history=history_of([*run_events()[:-1], ended]))
    alone = compared_runs_table([validated])
    assert list(alone["validation log loss"]) == [0.43]
    assert "test log loss" not in alone and alone["test AUC"].isna().all()
    both = compared_runs_table([tested, validated])
    assert both["test log loss"].isna().tolist() == [False, True], "never of other rows"


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
