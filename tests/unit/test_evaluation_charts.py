"""Figures of Evaluate and Data: they show what the tables hold, and never interpret a name."""

import dataclasses
import json

import numpy as np
import plotly.graph_objects as go
import pytest

from deepfm.charts import data as data_charts
from deepfm.charts import evaluation as charts
from deepfm.charts.palette import resolved
from deepfm.data.dataset import FieldProfile, ValueProfile
from deepfm.evaluation import (
    MEASURES,
    AucDifference,
    Costs,
    FoundSlice,
    Selection,
    Slice,
    SliceSearch,
    auc,
    calibration,
    gain,
    histogram,
    precision_recall,
    roc,
    threshold_table,
)
from tests.unit.checked_figures import checked

HOSTILE = "<b>=SUM(A1)</b> & <script>alert(1)</script>"


def rows(count: int = 2_000, rate: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(rate * 4, (1 - rate) * 4, count)
    return (rng.random(count) < truth).astype(np.float32), truth


def named(name: str = "DeepFM", style: charts.CurveStyle = "all", seed: int = 0) -> charts.NamedRoc:
    labels, probability = rows(seed=seed)
    curve = roc(labels, probability)
    assert curve is not None
    return charts.NamedRoc(name, style, curve, auc(labels, probability))


def profiled(
    *, role: str = "categorical", names: tuple[str, ...] = ("10", "9", "")
) -> FieldProfile:
    values = tuple(
        ValueProfile(name, place, 100 - place, 10 + place, (10 + place) / (100 - place), 0.05, 0.3)
        for place, name in enumerate(names)
    )
    unseen = ValueProfile("rare or unseen", len(names), 0, 0, None, None, None)
    return FieldProfile("site", role, len(names), len(names), 0, 1.0, 0, (*values, unseen))


def every_figure() -> dict[str, go.Figure]:
    labels, probability = rows()
    table = threshold_table(labels, probability)
    recall, gained = precision_recall(labels, probability), gain(labels, probability)
    assert recall is not None and gained is not None
    slices = [Slice(HOSTILE, 50, 10, 0.2, 0.2, 0.1, 0.3, 0.7, 0.4)]
    slices.append(Slice(None, 20, 0, 0.1, 0.0, 0.0, 0.1, None, 0.1))
    values = data_charts.seen_values(profiled(names=(HOSTILE, "plain", "")))
    found = AucDifference(0.7, 0.6, 0.1, 0.02, 0.06, 0.14, 1e-6)
    differences = [
        charts.NamedDifference(HOSTILE, found, 1e-6),
        charts.NamedDifference("b", dataclasses.replace(found, difference=-0.1), 0.3),
    ]
    one = FoundSlice(Selection("site", HOSTILE), 200, 20, 0.5, 0.3, 0.2, 0.05, 1e-4, 1e-3)
    chance = dataclasses.replace(one, excess=0.1, adjusted=0.4)
    searches = {
        f"worst by {measure}": charts.worst_figure(SliceSearch(measure, 900, 100, 7, (one, chance)))
        for measure in MEASURES
    }
    return {
        **searches,
        "costs": charts.cost_figure(table, Costs(1.0, 4.0), 3),
        "differences": charts.differences_figure(differences, HOSTILE),
        "recalibrated": charts.calibration_figure(
            calibration(labels, probability), calibration(labels, probability / 2)
        ),
        "roc": charts.roc_figure([named("FM branch alone", "fm"), named(HOSTILE)], table, 3),
        "roc of runs": charts.roc_figure([named("a", "run1"), named("b", "run2", 1)]),
        "precision-recall": charts.precision_recall_figure(recall, table, 3),
        "confusion": charts.confusion_figure(table, 3),
        "calibration": charts.calibration_figure(calibration(labels, probability)),
        "gain": charts.gain_figure(gained, 0.3),
        "lift": charts.lift_figure(gained),
        "histogram": charts.histogram_figure(histogram(labels, probability), table, 3),
        "slices": charts.slices_figure(HOSTILE, slices),
        "click rates": data_charts.click_rate_figure(HOSTILE, values, 0.2),
        "coverage": data_charts.coverage_figure([profiled(), profiled(role="numeric")]),
    }


@pytest.mark.parametrize("name", sorted(every_figure()))
def test_every_figure_is_valid_json_with_a_title_and_named_axes(name):
    figure = every_figure()[name]
    assert json.loads(figure.to_json())["data"]
    assert figure.layout.title.text
    if name not in ("confusion",):
        assert figure.layout.xaxis.title.text
    assert "var(--dfm" not in json.dumps(resolved(figure, "dark").to_plotly_json(), default=str)


@pytest.mark.parametrize("name", sorted(every_figure()))
def test_no_name_is_taken_for_markup(name):
    text = every_figure()[name].to_json()
    assert "<script" not in text and "\\u003cscript" not in text
    assert "<b>=SUM" not in text and "\\u003cb\\u003e=SUM" not in text


def test_the_moving_point_lies_on_the_curve_at_every_position():
    labels, probability = rows(300)
    table = threshold_table(labels, probability)
    figure = charts.roc_figure([named()], table, 5)
    point = figure.data[-1]
    assert (point.x[0], point.y[0]) == (table.fpr[5], table.tpr[5])
    assert len(figure.frames) == len(table.threshold)
    for frame, threshold in zip(checked(figure).frames, table.threshold, strict=True):
        taken = probability >= threshold
        found = np.mean(taken[labels == 1])
        alarm = np.mean(taken[labels == 0])
        assert frame.traces == (len(figure.data) - 1,)
        assert (frame.data[0].x[0], frame.data[0].y[0]) == pytest.approx((alarm, found))


def test_confusion_frames_count_rows_one_by_one():
    labels, probability = rows(200)
    table = threshold_table(labels, probability, points=21)
    figure = charts.confusion_figure(table)
    for frame, threshold in zip(checked(figure).frames, table.threshold, strict=True):
        counts = [[0, 0], [0, 0]]
        for label, value in zip(labels, probability, strict=True):
            counts[0 if label else 1][0 if value >= threshold else 1] += 1
        for row, shares, texts in zip(counts, frame.data[0].z, frame.data[0].text, strict=True):
            assert list(shares) == pytest.approx([count / sum(row) for count in row])
            assert [text.split("</b>")[0][3:] for text in texts] == [f"{n:,}" for n in row]


def test_all_frames_of_one_table_move_together():
    labels, probability = rows(400)
    table = threshold_table(labels, probability)
    recall = precision_recall(labels, probability)
    assert recall is not None
    figures = [
        charts.roc_figure([named()], table),
        charts.precision_recall_figure(recall, table),
        charts.confusion_figure(table),
        charts.histogram_figure(histogram(labels, probability), table),
    ]
    assert {len(figure.frames) for figure in figures} == {len(table.threshold)}
    assert len(charts.threshold_readouts(table)) == len(table.threshold)


def test_a_precision_that_does_not_exist_is_not_drawn():
    labels, probability = np.array([1.0, 0.0, 0.0]), np.array([0.9, 0.2, 0.1])
    table = threshold_table(labels, probability)
    recall = precision_recall(labels, probability)
    assert recall is not None and np.isnan(table.precision[-1])
    frames = checked(charts.precision_recall_figure(recall, table)).frames
    assert frames[-1].data[0].y == (None,)


def test_readouts_say_the_counts_of_their_threshold():
    labels = np.array([1, 1, 0, 0, 0], dtype=np.float32)
    table = threshold_table(labels, np.array([0.9, 0.4, 0.6, 0.2, 0.1]))
    words = charts.threshold_readouts(table)[table.position(0.5)]
    assert words.startswith("Threshold 50.0")
    assert "1 of 2 clicked rows found" in words
    assert "1 of 3 others taken for clicks" in words


@pytest.mark.parametrize("clicked", [0.0, 1.0])
def test_one_class_has_words_instead_of_a_curve(clicked):
    labels, probability = np.full(10, clicked), np.linspace(0.1, 0.9, 10)
    assert roc(labels, probability) is None
    table = threshold_table(labels, probability)
    assert "one class only" in charts.auc_sentence(auc(labels, probability))
    figure = charts.confusion_figure(table, table.position(0.5))
    assert "nan" not in figure.to_json().lower()
    assert "nan" not in " ".join(charts.threshold_readouts(table)).lower()
    charts.calibration_figure(calibration(labels, probability)).to_json()
    charts.histogram_figure(histogram(labels, probability), table).to_json()


@pytest.mark.parametrize(
    ("value", "times"),
    [(0.79, "79"), (0.5, "50"), (0.9999, "99"), (0.0001, "1"), (1.0, "100"), (0.0, "0")],
)
def test_an_auc_is_said_in_times_of_a_hundred(value, times):
    assert f"higher {times} times in 100" in charts.auc_sentence(value)


def test_branches_have_the_colours_of_their_terms():
    figure = charts.roc_figure(
        [named("FM branch alone", "fm"), named("deep branch alone", "deep"), named()]
    )
    fm, deep, whole = figure.data[1:4]
    assert (fm.line.color, fm.line.width) == ("var(--dfm-pairwise)", 4)
    assert deep.line.color == "var(--dfm-deep)"
    assert whole.line.color == "var(--dfm-text)"


def test_runs_differ_by_hue_and_marker_and_never_by_dash():
    figure = charts.roc_figure([named("a", "run1"), named("b", "run2", 1)])
    first, second = figure.data[1:3]
    assert first.line.color != second.line.color
    assert first.marker.symbol != second.marker.symbol
    assert first.line.dash is None and second.line.dash is None


def test_clicked_bars_are_filled_and_the_others_hollow():
    labels, probability = rows()
    hollow, filled = charts.histogram_figure(histogram(labels, probability)).data
    assert hollow.marker.color == "rgba(0,0,0,0)" and hollow.marker.line.width > 0
    assert filled.marker.color.startswith("var(--dfm-accent")
    assert np.sum(hollow.y) == pytest.approx(1) and np.sum(filled.y) == pytest.approx(1)


def test_calibration_shows_the_seen_rate_of_each_bin():
    labels, probability = rows(500)
    table = calibration(labels, probability)
    dots = charts.calibration_figure(table).data[1]
    assert list(dots.y) == [clicks / n for clicks, n in zip(table.clicks, table.rows, strict=True)]
    assert np.all(dots.error_y.array >= 0) and np.all(dots.error_y.arrayminus >= 0)


def test_the_share_caught_is_that_of_the_best_rows():
    labels, probability = rows(1_000)
    best = np.argsort(-probability)[:100]
    curve = gain(labels, probability, step=None)
    assert curve is not None
    assert charts.share_caught(curve, 0.1) == pytest.approx(labels[best].sum() / labels.sum())


def test_only_what_lies_outside_its_interval_is_called_wrong():
    inside = Slice("a", 50, 10, 0.29, 0.2, 0.1, 0.3, 0.7, 0.4)
    outside = Slice("b", 50, 10, 0.31, 0.2, 0.1, 0.3, 0.7, 0.4)
    assert charts.slices_finding([inside]) == "No value lies outside its interval."
    assert charts.slices_finding([inside, outside]).startswith("Furthest outside: b,")


def test_values_stand_in_the_order_that_was_asked_for():
    field = profiled(names=("10", "9", "", "b"))
    names = {
        order: [data_charts.value_name(value) for value in data_charts.seen_values(field, order)]
        for order in ("rows", "rate", "name")
    }
    assert names["rows"] == ["10", "9", "(empty)", "b"]
    assert names["rate"] == ["b", "(empty)", "9", "10"]
    assert names["name"] == ["9", "10", "b", "(empty)"], "an empty cell has no place of its own"


def test_buckets_of_numbers_stand_in_their_own_order():
    field = profiled(role="numeric", names=("up to 3", "3 to 10", "over 10"))
    for order in ("rows", "rate", "name"):
        found = [value.value for value in data_charts.seen_values(field, order)]
        assert found == ["up to 3", "3 to 10", "over 10"]


def test_features_that_no_row_has_are_left_out():
    assert all(value.count for value in data_charts.seen_values(profiled()))


def test_the_click_rate_finding_names_both_ends():
    field = profiled(names=("news", "sport"))
    words = data_charts.click_rate_words("site", data_charts.seen_values(field), 0.2)
    assert "highest sport" in words and "lowest news" in words


def test_frames_are_built_quickly():
    """A page that is opened draws four figures of about 200 frames each."""
    import time

    labels, probability = rows(20_000)
    table = threshold_table(labels, probability)
    start = time.process_time()
    charts.roc_figure([named()], table).to_json()
    assert time.process_time() - start < 1.5


def test_the_cost_of_a_threshold_is_that_of_its_mistakes():
    labels, probability = rows()
    table, costs = threshold_table(labels, probability), Costs(2.0, 5.0)
    each = charts.costs_per_rows(table, costs)
    for place in (0, 10, len(each) - 1):
        taken = probability >= table.threshold[place]
        mistakes = 2 * (taken & (labels == 0)).sum() + 5 * (~taken & (labels == 1)).sum()
        assert each[place] == pytest.approx(1_000 * mistakes / len(labels))
    figure = charts.cost_figure(table, costs, 10)
    assert figure.data[1].y[0] == each.min()
    assert figure.data[2].y[0] == each[10]


@pytest.mark.parametrize(
    ("difference", "corrected", "words"),
    [
        (0.1, 1e-6, "A ranks these rows better than B: AUC 0.1000 higher"),
        (-0.1, 0.01, "A ranks these rows worse than B: AUC 0.1000 lower"),
        (0.1, 0.2, "These rows cannot tell A and B apart: AUC +0.1000"),
    ],
)
def test_a_difference_is_said_with_how_sure_it_is(difference, corrected, words):
    found = AucDifference(0.7, 0.6, difference, 0.02, 0.06, 0.14, corrected)
    said = charts.difference_sentence(charts.NamedDifference("A", found, corrected), "B")
    assert said.startswith(words)
    assert "+0.0600 to +0.1400" in said and "p " in said


def test_no_difference_is_one_dashed_line():
    found = AucDifference(0.7, 0.6, 0.1, 0.02, 0.06, 0.14, 1e-6)
    figure = charts.differences_figure([charts.NamedDifference("A", found, 1e-6)], "B")
    assert not figure.layout.xaxis.tickformat.startswith("+"), "zero has no sign"
    assert [(line.x0, line.line.dash) for line in figure.layout.shapes] == [(0, "longdash")]
    assert figure.layout.xaxis.zeroline is False, "a whole line would cover the dashes"


def test_two_equal_rankings_are_said_to_be_alike():
    found = AucDifference(0.7, 0.7, 0.0, 0.0, 0.0, 0.0, 1.0)
    said = charts.difference_sentence(charts.NamedDifference("A", found, 1.0), "B")
    assert said == "A and B rank these rows alike."


def test_the_finding_of_a_search_names_the_worst_beyond_chance():
    one = FoundSlice(Selection("site", "news"), 200, 20, 0.15, 0.01, 0.15, 0.05, 1e-4, 1e-3)
    search = SliceSearch("calibration", 900, 100, 7, (one,))
    assert charts.worst_finding(search).startswith(
        "1 value is worse by more than chance; the worst"
    )
    assert "predicted 25.0 %, seen 10.0 %" in charts.worst_finding(search).replace("\u00a0", " ")
    assert "Benjamini-Hochberg" in charts.worst_caption(search)
    none = dataclasses.replace(search, found=(dataclasses.replace(one, adjusted=0.2),))
    assert charts.worst_finding(none).startswith("None of 7 values")
    assert "has 100 rows" in charts.worst_finding(
        dataclasses.replace(search, looked_at=0, found=())
    )
    assert list(charts.worst_table(search)["slice"]) == ["site is news"]


def test_recalibration_shows_what_was_before_as_hollow_dots():
    labels, probability = rows()
    before, after = (calibration(labels, each) for each in (probability / 2, probability))
    figure = charts.calibration_figure(after, before)
    names = [trace.name for trace in figure.data]
    assert names[:3] == ["predicted = seen", "before, as trained", "after recalibration"]
    assert list(figure.data[1].y) == list(before.seen)
