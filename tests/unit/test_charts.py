"""Figures: what is drawn adds up, and what a person wrote stays text."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from deepfm.charts import contributions, data, palette
from deepfm.charts.branches import shares_figure
from deepfm.config import TERM_SETS, ModelConfig
from deepfm.data.dataset import FieldProfile, ValueProfile
from deepfm.evaluation.branches import TermShares
from deepfm.explanation import Explanation, explain
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run


def explained(folder: Path, terms: str = "DeepFM", row: int = 3, **kwargs) -> Explanation:
    run = write_run(folder / "run", RunSpec(model=ModelConfig(terms=TERM_SETS[terms])))
    return explain(open_run(run), row=row, **kwargs)


def bars(figure):
    return [trace for trace in figure.data if trace.type == "bar"]


@pytest.mark.parametrize("terms", TERM_SETS)
def test_the_waterfalls_steps_add_up_to_the_logit(terms, tmp_path):
    why = explained(tmp_path, terms)
    figure = contributions.waterfall_figure(why)
    drawn = bars(figure)
    assert len(drawn) == len(TERM_SETS[terms])
    assert drawn[0].base[0] == why.base
    for before, after in itertools.pairwise(drawn):
        assert after.base[0] == pytest.approx(before.base[0] + before.x[0], abs=1e-12)
    assert drawn[-1].base[0] + drawn[-1].x[0] == pytest.approx(why.logit, abs=1e-9)


def test_the_probability_scale_stands_at_the_logits_of_its_ticks(tmp_path):
    figure = contributions.waterfall_figure(explained(tmp_path))
    axis = figure.layout.xaxis2
    assert len(axis.tickvals) >= 1
    for place, text in zip(axis.tickvals, axis.ticktext, strict=True):
        probability = float(text.split()[0]) / 100
        assert 1 / (1 + math.exp(-place)) == pytest.approx(probability)
    assert tuple(axis.range) == tuple(figure.layout.xaxis.range)


@pytest.mark.parametrize("permutations", [0, 8])
def test_field_bars_add_up_to_the_terms(permutations, tmp_path):
    why = explained(tmp_path, permutations=permutations)
    drawn = {trace.name: sum(trace.x) for trace in bars(contributions.fields_figure(why))}
    assert drawn.pop("Linear") == pytest.approx(why.linear, abs=1e-9)
    assert drawn.pop("Pairwise") == pytest.approx(why.pairwise, abs=1e-9)
    if permutations:
        assert drawn.pop("Deep") == pytest.approx(why.deep, abs=1e-9)
    assert drawn == {}


def test_fields_that_are_left_out_stand_in_one_row(tmp_path):
    why = explained(tmp_path)
    drawn = bars(contributions.fields_figure(why, most=2))
    assert len(drawn[0].x) == 3
    assert sum(drawn[0].x) == pytest.approx(why.linear, abs=1e-9)


def test_every_pair_is_one_cell_and_the_cells_add_up(tmp_path):
    why = explained(tmp_path)
    cells = np.asarray(contributions.pairs_figure(why).data[0].z, dtype=float)
    assert np.isfinite(cells).sum() == len(why.pairs)
    assert np.nansum(cells) == pytest.approx(why.pairwise, abs=1e-9)


def test_a_chart_of_many_pairs_keeps_the_strongest(tmp_path):
    run = write_run(tmp_path / "run", RunSpec(categorical=(3,) * 45))
    why = explain(open_run(run), row=0)
    cells = np.asarray(contributions.pairs_figure(why).data[0].z, dtype=float)
    assert len(cells) == contributions.MOST_PAIR_FIELDS - 1


def test_bars_without_a_change_have_no_outline_and_with_one_have(tmp_path):
    terms = contributions.term_values(explained(tmp_path))
    assert [trace.name for trace in contributions.terms_figure(terms).data] == [*terms]
    changed = contributions.terms_figure(terms, terms)
    assert [trace.name for trace in changed.data] == ["before", *terms]


def test_the_bracket_stands_round_two_bars_of_three():
    both = contributions.terms_figure({"linear": 1.0, "pairwise": 1.0, "deep": -1.0})
    assert [note.text for note in both.layout.annotations] == ["FM"]
    assert not contributions.terms_figure({"linear": 1.0, "deep": 1.0}).layout.annotations


def test_bars_and_dots_keep_ranges_of_their_own_so_that_no_zoom_is_reported():
    bars = contributions.terms_figure({"linear": 1.0, "deep": 1.0})
    assert bars.layout.yaxis.range == (1.5, -0.5)
    models = [contributions.ModelSays("LR", ("linear",), 0.2)]
    assert contributions.models_figure(models, 0.5).layout.yaxis.range == (0.5, -0.5)


def test_each_model_is_a_dot_beside_the_truth_with_its_number():
    models = [
        contributions.ModelSays("FM", ("linear", "pairwise"), 0.79, 0.43),
        contributions.ModelSays("Wide & Deep", ("linear", "deep"), 0.5),
    ]
    figure = contributions.models_figure(models, 0.947, 0.236, chosen="FM")
    before, now = figure.data
    assert (before.name, before.x) == ("before", (0.43, 0.79))
    assert (now.name, now.x) == ("now", (0.79, 0.5))
    notes = [note.text for note in figure.layout.annotations]
    assert notes == ["<b>43 → 79 %</b>", "50 %", "truth 95 %"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.236, 0.947]
    assert figure.layout.yaxis.ticktext[1].startswith("Wide &amp; Deep")


@pytest.mark.parametrize("text", ["<b>x</b>", "a & b", "<a href='javascript:x'>", "&lt;"])
def test_a_persons_text_is_escaped_for_plotly(text):
    shown = palette.label(text)
    assert "<" not in shown and ">" not in shown
    assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


def test_text_that_looks_like_a_named_colour_stays_text():
    assert palette._NAMED.search(palette.label("var(--dfm-linear)")) is None


def test_shortening_keeps_both_ends_and_the_length():
    assert palette.shortened("short") == "short"
    long = palette.shortened("beginning " + "x" * 80 + " end")
    assert len(long) == 28 and long.startswith("beginning") and long.endswith("end")


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.132, "13.2 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.0024, "0.24 %"),
        (0.0099, "0.99 %"),
        (0.00996, "1.0 %"),
        (1e-7, "<0.01 %"),
        (0.99999, ">99.9 %"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_probabilities_are_never_rounded_to_certainty(probability, text):
    assert palette.format_probability(probability).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("logit", "text"), [(1.274, "+1.27"), (-0.5, "−0.50"), (-0.001, "0.00"), (0.0, "0.00")]
)
def test_logits_carry_their_sign(logit, text):
    assert palette.format_logit(logit) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(260_000, "260 k/s"), (1_500_000, "1.5 M/s"), (12, "12 /s")]
)
def test_rates_have_a_unit(rate, text):
    assert palette.format_rate(rate).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (48.54, "49 s"),
        (599, "9 min 59 s"),
        (620, "10 min"),
        (3_599, "1 h"),
        (35_990, "10 h"),
        (53_160, "15 h"),
    ],
)
def test_a_time_left_is_told_as_far_as_it_is_known(seconds, text):
    assert palette.format_time_left(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize(("position", "text"), [(52.71, "52.7"), (2.0, "2"), (0.04, "0")])
def test_a_position_has_one_decimal_at_most(position, text):
    assert palette.format_epoch(position) == text


@pytest.mark.parametrize(
    ("largest", "written"),
    [(12.345, "12.3"), (1.2345, "1.23"), (0.0823, "0.0823"), (0.00051, "0.000510"), (0.0, "0.00")],
)
def test_the_largest_of_some_numbers_shows_three_digits_that_count(largest, written):
    assert f"{largest:.{palette.decimals_of(largest)}f}" == written


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_figure_has_plain_colours_once_resolved(mode, tmp_path):
    figure = contributions.waterfall_figure(explained(tmp_path))
    assert "var(--dfm-" in figure.to_json()
    assert "var(--dfm-" not in palette.resolved(figure, mode).to_json()


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", ["linear", "pairwise", "deep", "text", "muted", "accent"])
def test_colours_are_readable_on_their_ground(mode, name):
    colours = palette.COLOURS[mode]
    light, dark = sorted((_luminance(colours[name]), _luminance(colours["ground"])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.39


def test_both_modes_name_the_same_colours_and_unknown_ones_are_refused():
    assert palette.COLOURS["light"].keys() == palette.COLOURS["dark"].keys()
    with pytest.raises(KeyError):
        palette.colour("mauve")


def test_shares_may_be_negative_and_still_show():
    shares = {"linear": -0.1, "pairwise": 0.6, "deep": 0.5}
    figure = shares_figure(TermShares(shares, np.diag([-0.1, 0.6, 0.5])), TERM_SETS["DeepFM"])
    assert figure.layout.xaxis.range[0] < -10
    assert sum(trace.x[0] for trace in figure.data) == pytest.approx(100)


def field_of(*names: str, kept: int | None = None) -> FieldProfile:
    """A field with these values, the commonest first, and a default."""
    values = tuple(
        ValueProfile(name, place, 100 - place, 10, 0.1, 0.05, 0.2)
        for place, name in enumerate((*names, "rare or unseen"))
    )
    return FieldProfile("field", "categorical", len(names), kept or len(names), 0, 1.0, 0, values)


@pytest.mark.parametrize(
    ("common_first", "in_order"),
    [
        (("20:00", "08:00", "9:30"), ["08:00", "9:30", "20:00"]),
        (("Sunday", "Friday", "monday"), ["monday", "Friday", "Sunday"]),
        (("Mar", "Jan"), ["Jan", "Mar"]),
        (("100", "9", "25"), ["9", "25", "100"]),
        (("65+", "18-24", "25-34"), ["18-24", "25-34", "65+"]),
        (("-1", "3", "-20"), ["-20", "-1", "3"]),
    ],
)
def test_values_with_an_order_of_their_own_stand_in_it(common_first, in_order):
    field = field_of(*common_first)
    assert data.usual_order(field) == "name"
    shown = [value.value for value in data.seen_values(field, data.usual_order(field))]
    assert shown == [*in_order, "rare or unseen"]


@pytest.mark.parametrize("names", [("phone", "laptop"), ("10", "car"), ("a1", "b2"), ()])
def test_other_values_stand_commonest_first(names):
    assert data.usual_order(field_of(*names)) == ("rows" if names else "name")


def test_a_part_of_many_numbers_stands_commonest_first():
    assert data.usual_order(field_of("7", "3", kept=500)) == "rows"
