"""Charts of one impression: what they hold adds up, stays apart, and is all there."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from deepfm.charts import contributions
from deepfm.charts.palette import shortened_apart
from deepfm.explanation import OtherImpression, arithmetic, explain, surface, what_if
from deepfm.trained import TrainedModel, open_run
from deepfm.ui.impression_what_if import scored_values, variants_of
from tests.unit.checked_figures import checked
from tests.unit.run_folders import ALL_MODELS, ModelConfig, RunSpec, write_run


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return open_run(write_run(tmp_path / "run"))


def trained(tmp_path: Path, name: str) -> TrainedModel:
    spec = RunSpec(model=ModelConfig(**ALL_MODELS[name]))
    return open_run(write_run(tmp_path / "run", spec))


def bars(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data if trace.type == "bar"}  # type: ignore[attr-defined]


def test_a_fields_bars_add_up_to_its_diamond(model: TrainedModel) -> None:
    why = explain(model, row=1, permutations=50)
    figure = contributions.fields_figure(why, most=2)
    stacked = sum(np.array(trace.x, dtype=float) for trace in bars(figure).values())
    diamonds = next(trace for trace in figure.data if trace.name == "Sum")
    assert np.array(diamonds.x) == pytest.approx(stacked)
    assert sum(diamonds.x) == pytest.approx(why.logit - why.base, abs=1e-6)


def test_only_the_networks_bars_have_whiskers_of_one_standard_error(model: TrainedModel) -> None:
    why = explain(model, row=1, permutations=50)
    traces = bars(contributions.fields_figure(why))
    order = [row.field for row in contributions.field_rows(why)]
    assert list(traces["Deep"].error_x.array) == [why.deep_standard_error[name] for name in order]
    assert traces["Linear"].error_x.array is None


def test_sums_before_a_change_stand_beside_those_after(model: TrainedModel) -> None:
    before = explain(model, row=1)
    after = explain(model, {**before.values, "word_0": "amber"})
    figure = contributions.fields_figure(after, before, most=2)
    were = next(trace for trace in figure.data if trace.name == "Sum before your change")
    assert sum(were.x) == pytest.approx(before.linear + before.pairwise, abs=1e-6)


def test_the_waterfall_shows_every_term_before_a_change_and_after(model: TrainedModel) -> None:
    before = explain(model, row=1)
    after = explain(model, {**before.values, "word_0": "amber"})
    figure = contributions.waterfall_figure(after, before)
    outline, *steps = [trace for trace in figure.data if trace.type == "bar"]
    assert list(outline.x) == pytest.approx([before.linear, before.pairwise, before.deep])
    assert [step.x[0] for step in steps] == pytest.approx(
        [after.linear, after.pairwise, after.deep]
    )
    low, high = figure.layout.xaxis.range
    assert low < min(outline.base) and max(outline.base) < high


def test_no_chart_would_move_bars_that_have_a_pattern(model: TrainedModel) -> None:
    """Plotly.js stops in the middle of that with an error, and the chart is drawn anew."""
    before = explain(model, row=1)
    after = explain(model, {**before.values, "word_0": "amber"})
    figures = [
        contributions.terms_figure(
            contributions.term_values(after), contributions.term_values(before)
        ),
        contributions.waterfall_figure(after, before),
        contributions.fields_figure(after, before),
    ]
    for figure in figures:
        assert any(trace.marker.pattern.shape for trace in bars(figure).values())
        assert not figure.to_dict()["layout"].get("transition")


@pytest.mark.parametrize("name", ALL_MODELS)
def test_what_a_changed_value_draws_anew_is_valid(name: str, tmp_path: Path) -> None:
    model = trained(tmp_path, name)
    before = explain(model, row=1, permutations=20)
    after = explain(model, {**before.values, "word_0": "amber"}, permutations=20)
    scored = scored_values(what_if(model, after.ids, "word_0"), model.reference, after.terms)
    figures = (
        contributions.waterfall_figure(before),
        contributions.waterfall_figure(after, before),
        contributions.fields_figure(before, other={"word_0": "amber"}),
        contributions.fields_figure(after, before, most=2),
        contributions.what_if_figure("word_0", variants_of(scored)),
        contributions.values_figure("word_0", scored),
    )
    for figure in figures:
        assert len(checked(figure).data) == len(figure.data) > 1


def test_a_dotted_line_joins_each_row_of_the_waterfall_to_the_next(model: TrainedModel) -> None:
    why = explain(model, row=1)
    figure = contributions.waterfall_figure(why)
    (dotted,) = [each for each in figure.data if each.type == "scatter" and each.mode == "lines"]
    points = list(zip(dotted.x, dotted.y, strict=True))
    lines = [points[place : place + 3] for place in range(0, len(points), 3)]
    rows = ["Typical score", *(step.name for step in contributions.waterfall_steps(why))]
    ends = [why.base, *(step.end for step in contributions.waterfall_steps(why))]
    for (upper, lower, gap), end, names in zip(
        lines, ends, itertools.pairwise([*rows, "This score"]), strict=True
    ):
        assert (upper, lower, gap) == ((end, names[0]), (end, names[1]), (None, None))


def test_the_waterfall_from_another_impression_says_so(model: TrainedModel) -> None:
    why = explain(model, row=1, reference=OtherImpression.row(model, "test", 4))
    figure = contributions.waterfall_figure(why)
    assert figure.layout.title.text == "From row 4 of the test part to this one"
    assert "The other's score" in figure.layout.yaxis.categoryarray


def test_pairs_stand_by_strength_and_a_cell_names_its_pair(model: TrainedModel) -> None:
    why = explain(model, row=1)
    fields = contributions.pair_order(why)
    strength = [
        sum(abs(value) for pair, value in why.pairs.items() if name in pair) for name in fields
    ]
    assert strength == sorted(strength, reverse=True)
    cells = np.array(contributions.pairs_figure(why).data[0].z, dtype=float)
    for row, column in itertools.product(range(len(cells)), repeat=2):
        pair = contributions.pair_at(fields, row, column)
        if pair is None:
            assert np.isnan(cells[row, column])
        else:
            amount = why.pairs.get(pair, why.pairs.get(pair[::-1]))
            assert cells[row, column] == pytest.approx(amount)
    assert np.nansum(cells) == pytest.approx(why.pairwise)


def test_the_chosen_pairs_frame_is_round_its_cell(model: TrainedModel) -> None:
    why = explain(model, row=1)
    fields = contributions.pair_order(why)
    (frame,) = contributions.pairs_figure(why, (fields[3], fields[1])).layout.shapes
    row, column = (frame.y0 + frame.y1) / 2, (frame.x0 + frame.x1) / 2
    assert contributions.pair_at(fields, int(row), int(column)) == (fields[1], fields[3])


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_values_branches_add_up_to_its_sum(name: str, tmp_path: Path) -> None:
    model = trained(tmp_path, name)
    why = explain(model, row=2)
    scored = scored_values(what_if(model, why.ids, "word_0"), model.reference, why.terms)
    total = sum(scored.branches().values())
    assert total == pytest.approx(scored.logit - model.reference.base, abs=1e-5)
    assert scored.logit[scored.order()].tolist() == sorted(scored.logit, reverse=True)
    contributions.values_figure("word_0", scored)


def test_thinned_ranks_keep_both_ends_and_the_impressions_own() -> None:
    assert contributions.drawn_ranks(10, 3).tolist() == list(range(10))
    ranks = contributions.drawn_ranks(100_000, 77_777, most=500).tolist()
    assert {0, 77_777, 99_999} <= set(ranks)
    assert ranks == sorted(set(ranks)) and len(ranks) <= 501


def test_of_many_values_the_ends_and_the_own_one_have_bars(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(categorical=(90, 3))))
    why = explain(model, row=0)
    scored = scored_values(what_if(model, why.ids, "word_0"), model.reference, why.terms)
    variants = variants_of(scored)
    logits = [variant.logit for variant in variants]
    assert max(scored.logit) == logits[0] and min(scored.logit) == logits[-1]
    assert sum(variant.current for variant in variants) == 1
    own = next(variant for variant in variants if variant.current)
    assert own.logit == pytest.approx(why.logit, abs=1e-4)


@pytest.mark.parametrize("together", [False, True])
def test_the_branches_surfaces_add_up_cell_by_cell(model: TrainedModel, together: bool) -> None:
    why = explain(model, row=1)
    found = surface(model, why.ids, "word_0", "word_2")
    values = contributions.surface_values(found, model.reference, together=together)
    assert values["FM branch"] + values["Deep branch"] == pytest.approx(values["Sum"], abs=1e-5)
    figure = contributions.surfaces_figure(found, values)
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(maps) == 3
    if not together:
        row, column = found.current
        assert maps[2].z[row][column] == pytest.approx(why.logit - why.base, abs=1e-5)


@pytest.mark.parametrize("name", ["DeepFM", "DeepFM, tanh", "DeepFM, one layer", "DNN"])
def test_the_parts_of_every_unit_add_up_to_its_sum(name: str, tmp_path: Path) -> None:
    model = trained(tmp_path, name)
    numbers = arithmetic(model, explain(model, row=3).ids)
    for layer, steps in enumerate(numbers.layers, start=1):
        for unit, total in enumerate(steps.sums):
            parts = contributions.unit_parts(numbers, layer, unit)
            assert sum(value for _, value in parts) == pytest.approx(total, abs=1e-6)
            drawn = contributions.unit_figure("one unit", parts).data[0]
            assert sum(drawn.x) == pytest.approx(total, abs=1e-6)
            assert len(drawn.x) == contributions.unit_bars(parts)
    strips = contributions.layers_figure(numbers, (1, 0)).data
    widths = [len(trace.z[0]) for trace in strips]
    assert widths == [len(numbers.layers[0].inputs), *(len(s.sums) for s in numbers.layers)]


def test_long_names_stay_apart_and_short() -> None:
    names = [f"categorical_feature_number_{number}_of_the_log" for number in range(40)]
    for length in (16, 18, 22, 28):
        short = shortened_apart([*names, "device", "x" * 90], length)
        assert len(set(short.values())) == len(short)
        assert max(map(len, short.values())) <= length
        assert short["device"] == "device"


def test_names_that_differ_only_far_inside_are_numbered() -> None:
    names = ["a" * 40 + middle + "b" * 40 for middle in ("x" * 30 + "1", "x" * 30 + "2")]
    short = shortened_apart([*names, names[0][:-1] + "c"], 20)
    assert len(set(short.values())) == 3
