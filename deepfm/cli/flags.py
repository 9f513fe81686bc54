"""Flags to configurations: each setting is a flag, and what was given wins over presets."""

import argparse
from typing import Any

from deepfm.config import (
    PRESETS,
    Config,
    ModelConfig,
    PrepareConfig,
    Setting,
    Settings,
    TrainConfig,
)
from deepfm.errors import ConfigError


def configs(given: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """Defaults, then those of --like, then the preset, then what was given."""
    preset = PRESETS[given.preset] if given.preset else None
    like_model = given.recipe.model.to_dict() if given.recipe else {}
    like_train = given.recipe.train.to_dict() if given.recipe else {}
    model, train = given_settings(given, ModelConfig), given_settings(given, TrainConfig)
    if given.separate_embedding is not None:
        model["shared_embedding"] = not given.separate_embedding
    return (
        ModelConfig.from_dict({**like_model, **(preset.model if preset else {}), **model}),
        TrainConfig.from_dict({**like_train, **(preset.train if preset else {}), **train}),
    )


def follow_like(given: argparse.Namespace) -> None:
    """Look up the run of --like; its dataset is taken where no other is given."""
    if not hasattr(given, "like"):
        return
    if given.like is not None:
        from deepfm.runs.repeat import recipe_of

        given.recipe = recipe_of(given.like, Settings.from_environment().home_folder)
        if given.dataset is None:
            given.dataset = str(given.recipe.dataset().folder)
    elif given.dataset is None:
        raise ConfigError(
            "Give a dataset folder or a file to train on, or a run to follow: --like RUN."
        )


def prepare_config(given: argparse.Namespace) -> PrepareConfig:
    """Defaults, then those of the preset, then what was given."""
    preset = PRESETS[given.preset].prepare if given.preset else {}
    return PrepareConfig.from_dict({**preset, **given_settings(given, PrepareConfig)})


def given_settings(given: argparse.Namespace, config: type[Config]) -> dict[str, Any]:
    """The settings that were given as flags, parsed and within bounds."""
    texts = vars(given)
    return {
        setting.name: setting.parse(texts[_destination(config, setting)])
        for setting in config.settings()
        if texts.get(_destination(config, setting)) is not None
    }


def _destination(config: type[Config], setting: Setting) -> str:
    """Where argparse keeps a flag: prepare's seed is not training's."""
    return f"{config.__name__}.{setting.name}"


def add_prepare_flags(verb: argparse.ArgumentParser) -> None:
    """How a raw file becomes a dataset."""
    verb.add_argument("--preset", choices=sorted(PRESETS), help="named values; flags win")
    verb.add_argument("--test", metavar="FILE", help="test rows in a file of their own")
    verb.add_argument("--label", metavar="COLUMN", help="the label column; guessed if not given")
    verb.add_argument(
        "--positive",
        action="append",
        metavar="VALUE",
        help="a label value that means clicked; may be given several times",
    )
    verb.add_argument(
        "--leave-out",
        action="append",
        metavar="VALUE",
        help="a label value whose rows are left out; may be given several times",
    )
    verb.add_argument("--schema", metavar="FILE", help="columns and roles as inspect prints them")
    for setting in PrepareConfig.settings():
        flag = "--split-seed" if setting.name == "seed" else setting.flag
        _add_setting(verb, PrepareConfig, setting, flag)


def add_train_flags(verb: argparse.ArgumentParser) -> None:
    """What is trained on, by which settings; a raw file is prepared first."""
    verb.add_argument("dataset", metavar="DATASET_DIR_OR_FILE", nargs="?")
    verb.add_argument(
        "--like",
        metavar="RUN",
        help="dataset, all settings and seed of a run (its id, or its folder); flags win",
    )
    verb.set_defaults(recipe=None)
    add_prepare_flags(verb)
    for config in (ModelConfig, TrainConfig):
        for setting in config.settings():
            if setting.name != "shared_embedding":
                _add_setting(verb, config, setting, setting.flag)
    verb.add_argument(
        "--separate-embedding",
        action=argparse.BooleanOptionalAction,
        help="the network has an embedding table of its own",
    )


def add_sweep_flags(verb: argparse.ArgumentParser) -> None:
    """Which settings take several values, and how they are tried."""
    from deepfm.sweeps import OBJECTIVES, SAMPLERS, STUDIES

    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUES",
        help="values to try: num_factors=4,8,16 or mlp_dims=30,20,10;64,32; a range for random "
        "and tpe: learning_rate=0.001..0.1. May be given several times",
    )
    verb.add_argument("--study", choices=list(STUDIES), help="a ready-made sweep")
    verb.add_argument("--sampler", choices=SAMPLERS, default="grid", help="grid tries all")
    verb.add_argument("--trials", type=int, default=0, help="configurations of random and tpe")
    verb.add_argument("--seeds", type=int, default=3, help="runs of each configuration")
    verb.add_argument("--objective", choices=OBJECTIVES, default="auc", help="of validation rows")
    verb.add_argument("--name", help="the sweep's name")
    verb.add_argument("--detach", action="store_true", help="queue it and return at once")


def _add_setting(
    verb: argparse.ArgumentParser, config: type[Config], setting: Setting, flag: str
) -> None:
    default = setting.format(setting.default)
    extra: dict[str, Any] = {"nargs": "?", "const": "yes"} if setting.kind == "bool" else {}
    verb.add_argument(
        flag,
        dest=_destination(config, setting),
        metavar="|".join(setting.choices) or setting.kind.upper(),
        help=f"{setting.help} (default {default})".replace("%", "%%"),
        **extra,
    )
