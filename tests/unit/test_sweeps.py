"""Sweeps as they are described: JSON, bounds, counts, studies, text to values and back."""

import json

import pytest

from deepfm.config import TERM_SETS, ModelConfig, PrepareConfig, TrainConfig
from deepfm.errors import ConfigError
from deepfm.sweeps import (
    MOST_RUNS,
    STUDIES,
    Axis,
    DataSource,
    Record,
    Sweep,
    format_axis,
    parse_axis,
    swept_settings,
)
from tests.unit.sweeps_in_store import sweep_of

FACTORS = Axis("num_factors", (4, 8, 16))
RATES = Axis("learning_rate", low=0.001, high=0.1)


# --- what is typed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "text", "values"),
    [
        ("num_factors", "4,8,16", (4, 8, 16)),
        ("num_factors", "4; 8", (4, 8)),
        ("drop_rate", " 0, 0.5 ", (0.0, 0.5)),
        ("mlp_dims", "30,20,10;64,32", ((30, 20, 10), (64, 32))),
        ("mlp_dims", "30-20-10, 64-32", ((30, 20, 10), (64, 32))),
        ("mlp_dims", "30,20,10", ((30, 20, 10),)),
        ("mlp_dims", "64; 32", ((64,), (32,))),
        ("terms", "LR, FM, DeepFM", (TERM_SETS["LR"], TERM_SETS["FM"], TERM_SETS["DeepFM"])),
        ("terms", "linear,pairwise; deep", (TERM_SETS["FM"], TERM_SETS["DNN"])),
        ("terms", "linear,pairwise", (TERM_SETS["FM"],)),
        ("terms", "Wide & Deep, DNN", (TERM_SETS["Wide & Deep"], TERM_SETS["DNN"])),
        ("shared_embedding", "yes,no", (True, False)),
        ("activation", "relu,tanh", ("relu", "tanh")),
        ("min_count", "1,4", (1, 4)),
    ],
)
def test_values_are_read_as_they_are_typed(setting, text, values):
    axis = parse_axis(setting, text)
    assert axis.values == values
    assert parse_axis(setting, format_axis(axis)) == axis


def test_a_range_is_drawn_from_on_a_logarithmic_scale_where_it_spans_a_decade():
    assert parse_axis("learning_rate", "0.001..0.1").log
    assert not parse_axis("learning_rate", "0.01..0.05").log
    assert not parse_axis("drop_rate", "0..0.9").log
    axis = parse_axis("num_factors", "4..64")
    assert (axis.low, axis.high, axis.log) == (4, 64, True)
    assert parse_axis("num_factors", format_axis(axis)) == axis


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [
        ("num_factors", "4,0", "Factor size is 0. It must be at least 1"),
        ("num_factors", "4,,x", "'x' is not a whole number"),
        ("num_factors", "", "Factor size is empty"),
        ("num_factors", "4,8,4", "Factor size: 4 is given twice"),
        ("learning_rate", "0.1,0.10", "Learning rate: 0.1 is given twice"),
        ("learning_rate", "0..0.1", "Learning rate is 0.0. It must be above 0"),
        ("learning_rate", "0.1..0.01", "LOW below HIGH"),
        ("num_factors", "..8", "Factor size is empty"),
        ("drop_rate", "0..2", "Drop rate is 2.0. It must be at least 0 and at most 0.95"),
        ("mlp_dims", "8..16", "MLP dims cannot be drawn from a range: it is not one number"),
        ("min_count", "1..16", "cannot be drawn from a range: each value needs data of its own"),
        ("activation", "relu,gelu", "choose one of relu, tanh"),
        ("terms", "LR,XX", "are not one of the five models"),
        ("seed", "1,2", "Seeds are not swept"),
        ("validation", "0.1,0.2", "holds out other rows; such runs do not compare"),
        ("device", "cpu,cuda", "choose it for all runs"),
        ("factors", "4", "There is no setting 'factors' to sweep; known are num_factors"),
    ],
)
def test_what_cannot_be_swept_is_said_in_words(setting, text, words):
    with pytest.raises(ConfigError) as refused:
        parse_axis(setting, text)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", swept_settings())
def test_bounds_are_those_of_the_setting_itself(name):
    setting = swept_settings()[name]
    assert Axis(name, (setting.default,)).values == (setting.default,)
    if setting.kind in ("int", "float") and setting.high is not None:
        with pytest.raises(ConfigError, match="at most"):
            Axis(name, (type(setting.default)(setting.high + 1),))


# --- what is described -----------------------------------------------------------------------


def test_a_grid_has_every_combination_once():
    sweep = sweep_of(FACTORS, Axis("activation", ("relu", "tanh")))
    slow = [(factor, name) for factor in (4, 8, 16) for name in ("relu", "tanh")]
    assert list(sweep.grid()) == slow
    assert (sweep.configurations, sweep.runs) == (6, 18)


def test_a_point_changes_what_is_swept_and_nothing_else():
    axes = (FACTORS, Axis("learning_rate", (0.1, 0.2)), Axis("min_count", (1, 2)))
    again = DataSource("/nowhere", "clicks", "0123", "demo")
    sweep = sweep_of(*axes, source=again, train=TrainConfig(epochs=3, batch_size=64))
    point = (16, 0.2, 2)
    assert sweep.model_of(point) == sweep.model.with_values(num_factors=16)
    assert sweep.train_of(point, 7) == TrainConfig(
        epochs=3, batch_size=64, learning_rate=0.2, seed=7
    )
    assert sweep.prepare_of(point) == PrepareConfig(min_count=2)
    assert sweep.point_name(point) == "factor size 16, learning rate 0.2, min count 2"


@pytest.mark.parametrize(
    ("axis", "names"),
    [
        (Axis("terms", (TERM_SETS["FM"], TERM_SETS["DeepFM"])), ["FM", "DeepFM"]),
        (Axis("shared_embedding", (True, False)), ["embeddings shared", "embeddings separate"]),
        (Axis("mlp_dims", ((8, 4), (4,))), ["MLP dims 8-4", "MLP dims 4"]),
        (Axis("learning_rate", (0.0001, 1.0)), ["learning rate 0.0001", "learning rate 1"]),
        (Axis("drop_last", (False, True)), ["drop last off", "drop last on"]),
    ],
)
def test_points_are_named_as_a_person_would(axis, names):
    sweep = sweep_of(axis)
    assert [sweep.point_name(point) for point in sweep.grid()] == names


SWEEPS = [
    sweep_of(FACTORS),
    sweep_of(FACTORS, RATES, sampler="tpe", trials=5, objective="log_loss", seeds=(3,)),
    sweep_of(Axis("mlp_dims", ((8, 8), (16,)), ("narrow", "wide")), study="shape"),
    sweep_of(Axis("terms", tuple(TERM_SETS.values())), Axis("drop_rate", (0.0, 0.5))),
    sweep_of(RATES, sampler="random", trials=4),
]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.sampler)
def test_a_sweep_is_the_same_after_json(sweep):
    assert Sweep.from_dict(json.loads(json.dumps(sweep.to_dict()))) == sweep
    record = Record(sweep, (), ({"site": "news"},), ("a",), True, "why")
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("axes"),
        lambda d: d.update(axes=[{"setting": "num_factors", "valuess": [4]}]),
        lambda d: d.update(axes=4),
        lambda d: d.update(unknown=1),
        lambda d: d.update(source={"path": "x"}),
        lambda d: d.update(sampler="genetic"),
        lambda d: d.update(objective="test_auc"),
        lambda d: d.update(model={"num_factors": 0}),
        lambda d: d.update(seeds=[0, 0]),
        lambda d: d.update(seeds=[]),
    ],
)
def test_a_damaged_description_is_refused_in_words(damage):
    description = sweep_of(FACTORS).to_dict()
    damage(description)
    with pytest.raises(ConfigError):
        Sweep.from_dict(description)


def test_a_grid_beyond_a_sane_number_of_runs_is_refused_with_the_count():
    widths = Axis("drop_rate", tuple(step / 20 for step in range(12)))
    with pytest.raises(ConfigError) as refused:
        sweep_of(FACTORS, widths, seeds=(0, 1, 2))
    assert "3 × 12 = 36 configurations, with 3 seeds 108 runs" in str(refused.value)
    assert f"at most {MOST_RUNS}" in str(refused.value)
    assert sweep_of(FACTORS, widths, seeds=(0, 1)).runs == 72
    assert sweep_of(FACTORS, widths, sampler="random", trials=10).runs == 30


@pytest.mark.parametrize(
    ("axes", "values", "words"),
    [
        ((), {}, "at least one setting"),
        ((Axis("num_factors", (4,)),), {}, "Only one configuration"),
        ((FACTORS, Axis("num_factors", (2, 3))), {}, "Factor size is swept twice"),
        ((RATES,), {}, "Learning rate is a range, and a grid needs a list"),
        ((FACTORS,), {"trials": 5}, "trials are for random and tpe"),
        ((RATES,), {"sampler": "tpe"}, "How many trials?"),
        ((RATES,), {"sampler": "tpe", "trials": 90}, "90 trials with 3 seeds are 270 runs"),
        ((FACTORS,), {"sampler": "random", "trials": 4}, "only 3 combinations"),
        ((Axis("min_count", (1, 2)),), {}, "Load it again on Data"),
        ((Axis("optimizer", ("adam", "lazy-adam")),), {"weight": 1}, "does not go with lazy-adam"),
        ((Axis("drop_rate", (0.0, 0.5)),), {"terms": "FM"}, "of the network, which FM does not"),
        ((Axis("shared_embedding", (True, False)),), {"terms": "DNN"}, "only DeepFM has both"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_in_words(axes, values, words):
    values = dict(values)
    if "terms" in values:
        values["model"] = ModelConfig(terms=TERM_SETS[values.pop("terms")])
    if values.pop("weight", 0):
        values["train"] = TrainConfig(weight_decay=0.1)
    with pytest.raises(ConfigError) as refused:
        sweep_of(*axes, **values)
    assert words in str(refused.value)


# --- ready-made studies ----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [500, 48_000, 45_000_000])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_a_sweep_of_any_size_of_data_with_three_seeds(name, rows):
    study = STUDIES[name]
    axis = study.axis(rows, ModelConfig())
    again = DataSource("/nowhere", "clicks", "0123", "demo")
    sweep = sweep_of(axis, source=again, model=ModelConfig(), study=name)
    assert sweep.seeds == (0, 1, 2)
    assert 2 <= sweep.configurations <= 6
    assert study.question.endswith("?") and study.found.startswith("The paper")
    assert study.name == name


def test_network_shapes_have_the_same_number_of_neurons():
    for rows in (500, 300_000, 45_000_000):
        axis = STUDIES["shape"].axis(rows, ModelConfig())
        assert set(axis.names) == {"constant", "increasing", "decreasing", "diamond"}
        shapes = dict(zip(axis.names, axis.values, strict=True))
        assert len({sum(widths) for widths in shapes.values()}) == 1
        assert {len(widths) for widths in shapes.values()} == {3}
        assert shapes["increasing"] == shapes["decreasing"][::-1]
        assert list(shapes["increasing"]) == sorted(set(shapes["increasing"]))
        assert shapes["diamond"][0] == shapes["diamond"][2] < shapes["diamond"][1]
        assert len(set(shapes["constant"])) == 1


def test_on_large_data_the_shapes_are_those_of_the_paper():
    axis = STUDIES["shape"].axis(45_000_000, ModelConfig())
    assert axis.values == ((200, 200, 200), (100, 200, 300), (300, 200, 100), (150, 300, 150))
    assert axis.name((150, 300, 150)) == "diamond (150-300-150)"
    assert axis.short_name((150, 300, 150)) == "diamond"
