"""A sweep's charts: every configuration is in them, good is up, names are text."""

import dataclasses
import math
import re

import pytest

from deepfm.charts.sweeps import (
    PARALLEL_CAPTION,
    effect_figure,
    parallel_figure,
    parameters_of,
    sweep_table,
)
from deepfm.config import ModelConfig, PrepareConfig, TrainConfig, parameter_count
from deepfm.runs.store import RunRow
from deepfm.sweeps import Axis, Place, Record, Results, Sweep, results_of
from tests.unit.sweeps_in_store import epoch, finished, sweep_of

FACTORS = Axis("num_factors", (4, 8, 16))
RATES = Axis("learning_rate", low=0.001, high=0.1)
SHAPES = Axis("mlp_dims", ((16, 16), (8, 24)), ("constant", "<b>increasing</b>"))


def row(sweep: Sweep, point: tuple[object, ...], seed: int, number: int) -> RunRow:
    """A finished run."""
    values = {field.name: None for field in dataclasses.fields(RunRow)}
    values |= {
        "id": f"run{number}",
        "name": "a run",
        "state": "finished",
        "fingerprint": "0123",
        "model": sweep.model_of(point).to_dict(),
        "train": sweep.train_of(point, seed).to_dict(),
        "result": vars(finished()),
        "created": float(number),
    }
    return RunRow(**values)  # type: ignore[arg-type]


def results(sweep: Sweep, points: list[tuple[object, ...]], auc) -> Results:  # type: ignore[no-untyped-def]
    """Finished runs at these points with an AUC for each point and seed; None leaves it out."""
    record = Record(sweep, (Place(PrepareConfig(), "/nowhere", "clicks", "0123", 50, 5),))
    runs = [(point, seed) for point in points for seed in sweep.seeds]
    rows = [row(sweep, point, seed, number) for number, (point, seed) in enumerate(runs)]
    epochs = {
        each.id: [epoch(1, value, 1 - value)]
        for each, (point, seed) in zip(rows, runs, strict=True)
        if (value := auc(point, seed)) is not None
    }
    return results_of(record, rows, epochs)


def by_factor(point: tuple[object, ...], seed: int) -> float:
    return 0.7 + int(str(point[0])) / 1000 + seed / 10_000


GRID = sweep_of(FACTORS, SHAPES)
DONE = results(GRID, list(GRID.grid()), by_factor)


def marks(figure):  # type: ignore[no-untyped-def]
    """The traces of single configurations."""
    return [trace for trace in figure.data if trace.error_y.array is not None]


@pytest.mark.parametrize("place", [0, 1])
def test_every_configuration_has_its_mark_with_mean_and_spread(place):
    figure = effect_figure(DONE, place)
    assert len(marks(figure)) == 6
    (best,) = [trace for trace in marks(figure) if trace.marker.symbol == "diamond"]
    assert best.y[0] == pytest.approx(0.7161)
    assert best.error_y.array[0] == pytest.approx(0.0001)
    seeds = next(trace for trace in figure.data if trace.marker.symbol == "circle-open")
    assert len(seeds.x) == 18


@pytest.mark.parametrize("objective", ["auc", "log_loss"])
@pytest.mark.parametrize("auc", [0.999, 0.78, 0.0])
def test_one_value_alone_has_a_narrow_axis_within_what_its_figure_can_be(objective, auc):
    sweep = sweep_of(FACTORS, objective=objective, seeds=(0,))
    done = results(sweep, [(4,)], lambda point, seed: auc)
    low, high = effect_figure(done).layout.yaxis.range
    value = auc if objective == "auc" else 1 - auc
    assert 0 <= low <= value <= high
    assert high - low <= 0.02
    assert objective == "log_loss" or high <= 1


def test_the_axis_holds_every_seed_and_every_bar():
    done = results(GRID, list(GRID.grid()), lambda point, seed: 0.8 + seed / 20)
    figure = effect_figure(done)
    low, high = figure.layout.yaxis.range
    for trace in marks(figure):
        assert low < trace.y[0] - trace.error_y.array[0]
        assert trace.y[0] + trace.error_y.array[0] < high <= 1
    seeds = next(trace for trace in figure.data if trace.marker.symbol == "circle-open")
    assert low < min(seeds.y) and max(seeds.y) <= high


def test_the_words_below_say_on_which_axes_higher_is_better():
    titles = [str(text) for text in parallel_figure(DONE).layout.xaxis.ticktext[-2:]]
    assert [re.sub("</?b>|Val. ", "", title) for title in titles] == ["log loss", "AUC"]
    assert "two uprights at the right, AUC and log loss, better is higher" in PARALLEL_CAPTION


def test_combinations_stand_beside_each_other_in_the_column_of_their_value():
    figure = effect_figure(DONE, 0)
    columns = sorted(round(float(trace.x[0])) for trace in marks(figure))
    assert columns == [0, 0, 1, 1, 2, 2]
    assert len({float(trace.x[0]) for trace in marks(figure)}) == 6
    assert list(figure.layout.xaxis.ticktext) == ["4", "8", "16"]


def test_the_line_runs_through_the_means_of_values_that_grow_and_through_no_others():
    (line,) = [trace for trace in effect_figure(DONE, 0).data if trace.mode == "lines"]
    assert list(line.y) == pytest.approx([0.7041, 0.7081, 0.7161])
    assert not [trace for trace in effect_figure(DONE, 1).data if trace.mode == "lines"]


def test_a_persons_names_are_text_on_every_chart():
    for figure in (effect_figure(DONE, 1), parallel_figure(DONE)):
        text = figure.to_json()
        assert "<b>increasing" not in text.replace("\\u003c", "<")
        assert "increasing" in text


def test_a_range_has_a_logarithmic_axis_with_plain_marks():
    sweep = sweep_of(RATES, sampler="tpe", trials=3)
    done = results(sweep, [(0.002,), (0.01,), (0.05,)], lambda point, seed: 0.8 - point[0])
    axis = effect_figure(done).layout.xaxis
    assert axis.type == "log"
    assert list(axis.ticktext) == ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1"]


@pytest.mark.parametrize("objective", ["auc", "log_loss"])
def test_parallel_coordinates_have_a_line_each_and_good_is_up(objective):
    sweep = sweep_of(FACTORS, SHAPES, objective=objective)
    done = results(sweep, list(sweep.grid()), by_factor)
    figure = parallel_figure(done)
    paths = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(paths) == 6
    for path in paths:
        assert len(path.x) == 5 and all(0 <= height <= 1 for height in path.y)
    best = paths[-1]
    assert best.marker.symbol == "diamond", "the best is drawn last, on top"
    assert list(best.y[-2:]) == [1.0, 1.0], "the highest AUC, the lowest log loss"
    titles = [re.sub("</?b>", "", text) for text in figure.layout.xaxis.ticktext]
    assert titles[:3] == ["Factor size", "MLP dims", "Parameters"]
    assert titles[-1] == ("Val. AUC" if objective == "auc" else "Val. log loss")


def test_one_configuration_alone_can_be_drawn():
    done = results(GRID, [(4, (16, 16))], by_factor)
    heights = parallel_figure(done).data[0].y
    assert all(math.isfinite(height) for height in heights)
    assert len(marks(effect_figure(done, 1))) == 1


def test_the_table_has_all_configurations_best_first_and_those_without_figures_last():
    def auc(point, seed):  # type: ignore[no-untyped-def]
        return None if point == (8, (16, 16)) else by_factor(point, seed)

    table = sweep_table(results(GRID, list(GRID.grid()), auc))
    assert list(table["Factor size"]) == ["16", "16", "8", "4", "4", "8"]
    assert list(table["seeds"]) == [*["3 of 3"] * 5, "0 of 3"]
    assert math.isnan(table["rank"].iloc[-1]) and table["rank"].iloc[0] == 1
    assert list(table["val. AUC"].iloc[:5]) == sorted(table["val. AUC"].iloc[:5], reverse=True)


def test_parameters_are_those_of_the_model_on_the_points_own_dataset():
    (configuration, *_) = DONE.ranked
    model = ModelConfig(num_factors=16, mlp_dims=configuration.point[1])
    assert parameters_of(DONE.record, configuration) == parameter_count(50, 5, model)
    assert DONE.sweep.train == TrainConfig(epochs=2, batch_size=128)
