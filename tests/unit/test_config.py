"""Each setting is declared once and refuses what lies outside its bounds."""

import dataclasses
import json
import math

import pytest

from deepfm.config import (
    PRESETS,
    TERM_SETS,
    ModelConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
    model_name,
    parameter_count,
)
from deepfm.errors import ConfigError

CONFIGS = (PrepareConfig, ModelConfig, TrainConfig, Settings)
EVERY = [
    pytest.param(config, setting, id=f"{config.__name__}.{setting.name}")
    for config in CONFIGS
    for setting in config.settings()
]
NUMBERS = [param for param in EVERY if param.values[1].kind in ("int", "float", "ints")]


@pytest.mark.parametrize(("config", "setting"), EVERY)
def test_a_default_is_within_its_own_bounds(config, setting):
    assert setting.check(setting.default) == setting.default


@pytest.mark.parametrize(("config", "setting"), EVERY)
def test_what_format_writes_parse_reads(config, setting):
    assert setting.parse(setting.format(setting.default)) == setting.default


@pytest.mark.parametrize(("config", "setting"), EVERY)
def test_a_setting_has_help_that_is_a_sentence(config, setting):
    assert setting.help[0].isupper() or setting.help.startswith(setting.choices)
    assert setting.help.endswith(".")


@pytest.mark.parametrize(("config", "setting"), EVERY)
@pytest.mark.parametrize("value", [object(), {}, [None], b"1"])
def test_a_value_of_a_foreign_type_is_refused(config, setting, value):
    with pytest.raises(ConfigError, match=setting.label):
        config(**{setting.name: value})


@pytest.mark.parametrize(("config", "setting"), NUMBERS)
@pytest.mark.parametrize("text", ["", "many", "nan", "inf", "-inf", "-1", "1e400", "--", "0x10"])
def test_a_number_written_badly_or_out_of_bounds_is_refused_by_name(config, setting, text):
    with pytest.raises(ConfigError, match=setting.label):
        setting.parse(text)


@pytest.mark.parametrize(("config", "setting"), NUMBERS)
def test_just_past_a_bound_is_refused_with_the_bound_in_words(config, setting):
    one = (lambda number: (number,)) if setting.kind == "ints" else (lambda number: number)
    step = 1 if setting.kind in ("int", "ints") else 1e-9
    outside = [
        *([setting.low - step] if setting.low is not None else []),
        *([setting.above] if setting.above is not None else []),
        *([setting.high + step] if setting.high is not None else []),
    ]
    assert outside, "a number has bounds"
    for number in outside:
        with pytest.raises(ConfigError, match=r"be (at least|above|at most)"):
            setting.check(one(number))


@pytest.mark.parametrize(("config", "setting"), NUMBERS)
def test_a_bound_itself_is_allowed_unless_it_is_open(config, setting):
    one = (lambda number: (number,)) if setting.kind == "ints" else (lambda number: number)
    for bound in (setting.low, setting.high):
        if bound is not None:
            assert setting.check(one(bound)) == one(bound)


@pytest.mark.parametrize("config", CONFIGS)
def test_json_and_back_is_the_same(config):
    assert config.from_dict(json.loads(json.dumps(config().to_dict()))) == config()


@pytest.mark.parametrize("config", CONFIGS)
def test_an_unknown_key_is_refused_and_the_known_ones_are_named(config):
    with pytest.raises(ConfigError, match=next(config.settings()).name):
        config.from_dict({"learningrate": 0.1})


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_cannot_be_changed_in_place(config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config(), next(config.settings()).name, 0)


def test_a_setting_has_one_name_in_all_configurations():
    """seed apart, which means the same in both places where it stands."""
    names = [setting.name for config in CONFIGS for setting in config.settings()]
    assert sorted({name for name in names if names.count(name) > 1}) == ["seed"]


@pytest.mark.parametrize("rate", ["0", "-0.01", "nan", "fast"])
def test_a_learning_rate_that_learns_nothing_is_refused(rate):
    with pytest.raises(ConfigError, match="Learning rate"):
        TrainConfig.setting("learning_rate").parse(rate)


@pytest.mark.parametrize("dims", ["30,,10", "", ",", "30,0,10", "30,-1", "30;20", "30.5"])
def test_mlp_dims_written_badly_are_refused_with_an_example(dims):
    with pytest.raises(ConfigError, match="30,20,10"):
        ModelConfig.setting("mlp_dims").parse(dims)


@pytest.mark.parametrize("dims", ["30,20,10", "30, 20, 10", "30-20-10"])
def test_mlp_dims_are_read_in_each_way_people_write_them(dims):
    assert ModelConfig.setting("mlp_dims").parse(dims) == (30, 20, 10)


@pytest.mark.parametrize("dims", [(), (8,) * 17])
def test_a_network_has_1_to_16_layers(dims):
    with pytest.raises(ConfigError, match="1 to 16"):
        ModelConfig(mlp_dims=dims)


def test_a_billion_epochs_are_refused():
    with pytest.raises(ConfigError, match=r"Epochs is 1000000000\. It must be at least 1"):
        TrainConfig(epochs=10**9)


@pytest.mark.parametrize("split", ["time", "time:", "group:", "alphabet", "random:x"])
def test_a_split_that_names_no_column_is_refused(split):
    with pytest.raises(ConfigError, match="random, time:COLUMN or group:COLUMN"):
        PrepareConfig(split=split)


@pytest.mark.parametrize("name", sorted(TERM_SETS))
def test_a_model_is_chosen_by_its_name_or_its_terms(name):
    setting = ModelConfig.setting("terms")
    assert setting.parse(name) == setting.parse(",".join(TERM_SETS[name])) == TERM_SETS[name]
    assert ModelConfig(terms=TERM_SETS[name]).name == model_name(TERM_SETS[name]) == name


@pytest.mark.parametrize("terms", ["pairwise", "linear,linear", "", "deep,linear", "wide"])
def test_other_sets_of_terms_are_refused(terms):
    with pytest.raises(ConfigError, match="five models"):
        ModelConfig.setting("terms").parse(terms)


def test_lazy_adam_refuses_weight_decay():
    with pytest.raises(ConfigError, match="embedding L2"):
        TrainConfig(optimizer="lazy-adam", weight_decay=0.1)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_holds_known_settings_within_bounds(preset):
    PrepareConfig.from_dict(preset.prepare)
    ModelConfig.from_dict(preset.model)
    TrainConfig.from_dict(preset.train)


def test_the_d2l_preset_is_the_decks_recipe():
    """Chapter 16.10 of Dive into Deep Learning: DeepFM(field_dims, 10, [30, 20, 10])."""
    preset = PRESETS["d2l"]
    prepare, model, train = (
        PrepareConfig.from_dict(preset.prepare),
        ModelConfig.from_dict(preset.model),
        TrainConfig.from_dict(preset.train),
    )
    assert (prepare.validation, prepare.min_count) == (0.0, 4)
    assert (model.num_factors, model.mlp_dims, model.drop_rate) == (10, (30, 20, 10), 0.1)
    assert (model.name, model.embedding_drop_rate) == ("DeepFM", 0.0)
    assert (train.learning_rate, train.batch_size, train.epochs) == (0.01, 2048, 30)
    assert (train.optimizer, train.embedding_l2, train.drop_last) == ("adam", 0.0, True)


@pytest.mark.parametrize("name", sorted(TERM_SETS))
@pytest.mark.parametrize("shared", [True, False])
def test_the_parameter_count_is_the_sum_over_the_tensors(name, shared):
    features, fields = 700, 5
    model = ModelConfig(
        num_factors=4, mlp_dims=(6, 3), terms=TERM_SETS[name], shared_embedding=shared
    )
    linear = {"table": (features, 1), "scale": (1,), "bias": (1,)}
    network = {"w0": (6, 20), "b0": (6,), "w1": (3, 6), "b1": (3,), "w2": (1, 3), "b2": (1,)}
    tables = {"LR": 0, "FM": 1, "DNN": 1, "Wide & Deep": 1, "DeepFM": 1 if shared else 2}[name]
    shapes = [
        *(linear.values() if "linear" in model.terms else ()),
        *(network.values() if "deep" in model.terms else ()),
        *[(features, 4)] * tables,
    ]
    assert parameter_count(features, fields, model) == sum(map(math.prod, shapes))


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path))
    monkeypatch.setenv("DEEPFM_MAX_ROWS", "1000")
    settings = Settings.from_environment()
    assert (settings.home_folder, settings.max_rows) == (tmp_path.resolve(), 1000)


def test_a_bad_variable_of_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("DEEPFM_MAX_UPLOAD_MB", "lots")
    with pytest.raises(ConfigError, match=r"^DEEPFM_MAX_UPLOAD_MB: .*'lots'"):
        Settings.from_environment()


def test_without_a_variable_the_state_lives_beside_the_app(monkeypatch):
    monkeypatch.delenv("DEEPFM_HOME", raising=False)
    folder = Settings.from_environment().home_folder
    assert folder.name == ".deepfm"
    assert (folder.parent / "app.py").exists()
