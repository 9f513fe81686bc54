"""Several runs in one chart: their curves along epochs or seconds, and their ROC."""

import numpy as np
import pytest

from deepfm.charts.evaluation import (
    NamedRoc,
    runs_roc_figure,
    runs_roc_finding,
    runs_roc_table,
)
from deepfm.charts.history import history_of
from deepfm.charts.palette import RUN_COLOURS, RUN_MARKERS, colour, run_places
from deepfm.charts.training.comparison import ComparedRun, comparison_figure, comparison_table
from deepfm.evaluation import auc, roc
from deepfm.events import Epoch, Event, Metrics, Started
from deepfm.terms import TERM_NAMES


def compared(name: str, seconds_an_epoch: float, aucs: list[float]) -> ComparedRun:
    events: list[Event] = [
        Started("DeepFM", 100, 10, 10, 2, len(aucs), 5_600, "CPU, 2 threads", "plain")
    ]
    for number, value in enumerate(aucs, start=1):
        metrics = Metrics(0.5, 0.8, value, 100)
        events.append(
            Epoch(
                number,
                number * seconds_an_epoch,
                1e5,
                2e5,
                metrics,
                metrics,
                None,
                value == max(aucs[:number]),
                None,
                (),
            )
        )
    return ComparedRun(name, TERM_NAMES, history_of(events))


def named(name: str, place: int, quality: float) -> NamedRoc:
    chance = np.random.default_rng(place)
    labels = chance.random(400) < 0.3
    scores = chance.normal(size=400) + quality * labels
    curve = roc(labels, scores)
    assert curve is not None
    return NamedRoc(name, RUN_COLOURS[place], curve, auc(labels, scores))  # type: ignore[arg-type]


# --- curves -----------------------------------------------------------------------------------


def test_curves_along_seconds_have_the_same_values_at_the_time_they_took() -> None:
    runs = [compared("slow", 10.0, [0.6, 0.7, 0.65]), compared("fast", 2.0, [0.5, 0.6])]
    epochs, seconds = comparison_figure(runs), comparison_figure(runs, "auc", "seconds")
    assert list(epochs.data[0].x) == [1, 2, 3]
    assert list(seconds.data[0].x) == [10.0, 20.0, 30.0]
    assert list(seconds.data[1].x) == [2.0, 4.0]
    assert [list(trace.y) for trace in seconds.data] == [list(trace.y) for trace in epochs.data]
    assert seconds.layout.xaxis.range == (0.0, 30.0)
    assert "seconds" in seconds.layout.xaxis.title.text


@pytest.mark.parametrize("along", ["epochs", "seconds"])
def test_the_best_epoch_has_the_large_mark_and_its_value_beside_the_name(along: str) -> None:
    figure = comparison_figure([compared("one", 3.0, [0.6, 0.7, 0.65])], "auc", along)  # type: ignore[arg-type]
    sizes = list(figure.data[0].marker.size)
    assert sizes.index(max(sizes)) == 1
    assert "one 0.7000" in {note.text for note in figure.layout.annotations}


def test_names_beside_the_curves_stand_in_the_order_of_their_values() -> None:
    runs = [compared("falls", 1.0, [0.6, 0.8, 0.6]), compared("stays", 1.0, [0.6, 0.7, 0.7])]
    notes = {note.text: note.y for note in comparison_figure(runs).layout.annotations}
    assert notes["falls 0.8000"] == pytest.approx(0.8)
    assert notes["stays 0.7000"] == pytest.approx(0.7)


def test_another_axis_forgets_the_zoom() -> None:
    run = [compared("one", 3.0, [0.6, 0.7])]
    keys = {
        comparison_figure(run, metric, along).layout.uirevision
        for metric in ("auc", "loss")
        for along in ("epochs", "seconds")
    }
    assert len(keys) == 4


def test_runs_differ_by_hue_and_mark_and_never_by_dash() -> None:
    runs = [compared(f"run {place}", 1.0, [0.5 + place / 20]) for place in range(6)]
    traces = comparison_figure(runs).data
    assert [trace.line.color for trace in traces] == [colour(name) for name in RUN_COLOURS]
    assert [trace.marker.symbol for trace in traces] == list(RUN_MARKERS)
    assert {trace.line.dash for trace in traces} == {"solid"}


def test_the_table_has_each_epoch_of_each_run() -> None:
    table = comparison_table([compared("a", 2.0, [0.6, 0.7]), compared("b", 1.0, [0.5])])
    assert list(table["run"]) == ["a", "a", "b"]
    assert list(table["seconds"]) == [2.0, 4.0, 1.0]
    assert list(table["auc"]) == [0.6, 0.7, 0.5]


# --- ROC --------------------------------------------------------------------------------------


def test_a_run_keeps_its_hue_and_mark_where_another_has_no_curve() -> None:
    figure = runs_roc_figure([named("first", 0, 1.0), named("third", 2, 1.0)])
    lines = [trace for trace in figure.data[1:] if trace.showlegend is False]
    assert [trace.line.color for trace in lines] == [colour("run1"), colour("run3")]
    assert [trace.marker.symbol for trace in lines] == [RUN_MARKERS[0], RUN_MARKERS[2]]


def test_the_best_ranked_run_is_named_first() -> None:
    curves = [named("weak", 0, 0.2), named("strong", 1, 2.0)]
    figure = runs_roc_figure(curves)
    entries = sorted(
        (trace for trace in figure.data if trace.showlegend is not False),
        key=lambda trace: trace.legendrank,
    )
    assert [entry.name.split()[0] for entry in entries] == ["strong", "weak", "guessing,"]
    assert all(entry.marker.size == 9 for entry in entries[:2]), "a mark of its own, not the line's"
    assert runs_roc_finding(curves).startswith("strong ranks best")


def test_every_point_of_the_curves_is_in_the_data() -> None:
    curves = [named("a", 0, 1.0), named("b", 1, 1.0)]
    table = runs_roc_table(curves)
    assert len(table) == sum(len(each.curve.fpr) for each in curves)
    of_a = table[table["run"] == "a"]
    assert np.trapezoid(of_a["true positive rate"], of_a["false positive rate"]) == pytest.approx(
        curves[0].auc, abs=0.01
    )


def test_a_name_with_tags_is_text() -> None:
    figure = runs_roc_figure([named("<b>bold</b>", 0, 1.0)])
    assert all("<b>" not in (trace.name or "") for trace in figure.data)


@pytest.mark.parametrize(
    ("models", "places"),
    [
        (["DeepFM", "LR", "FM"], [4, 0, 1]),
        (["LR", "FM", "DNN", "Wide & Deep", "DeepFM"], [0, 1, 2, 3, 4]),
        (["DeepFM", "DeepFM", "FM"], [0, 1, 2]),
        ([], []),
    ],
)
def test_models_keep_their_hue_and_mark_and_runs_of_one_model_go_in_order(models, places):
    assert run_places(models) == places
