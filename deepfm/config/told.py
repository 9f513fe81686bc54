"""A run's settings to words: those that differ from their defaults."""

from collections.abc import Mapping
from typing import Any

from deepfm.config.configurations import ModelConfig, TrainConfig
from deepfm.config.setting import Setting


def settings_in_words(given: Mapping[str, Any]) -> str:
    """ "Factor size 64, Epochs 2": the settings with another value than their default.

    given   model and training settings by name, as JSON; one that is missing has its default
    The terms are left out: they are what a model is called after. A switch is "on" or "off".
    """
    settings = (*ModelConfig.settings(), *TrainConfig.settings())
    changed = (
        f"{setting.label} {value_in_words(setting, given[setting.name])}"
        for setting in settings
        if setting.name in given
        and setting.name != "terms"
        and _as_json(given[setting.name]) != _as_json(setting.default)
    )
    return ", ".join(changed) or "all by default"


def value_in_words(setting: Setting, value: Any) -> str:
    """A setting's value as text; a switch as on or off."""
    if setting.kind == "bool":
        return "on" if value else "off"
    return setting.format(value)


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
