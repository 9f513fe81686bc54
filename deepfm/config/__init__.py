"""Settings: each declared once, with default, bounds and help, for form, JSON, address and flag."""

from deepfm.config.configurations import (
    ALL_GPUS,
    BYTES_A_PARAMETER,
    ModelConfig,
    PrepareConfig,
    TrainConfig,
    parameter_count,
)
from deepfm.config.installation import Settings, machine_memory
from deepfm.config.models import NETWORK_SETTINGS, TERM_SETS, model_name
from deepfm.config.presets import PRESETS, Preset
from deepfm.config.setting import Config, Setting
from deepfm.config.told import settings_in_words, value_in_words

__all__ = [
    "ALL_GPUS",
    "BYTES_A_PARAMETER",
    "NETWORK_SETTINGS",
    "PRESETS",
    "TERM_SETS",
    "Config",
    "ModelConfig",
    "PrepareConfig",
    "Preset",
    "Setting",
    "Settings",
    "TrainConfig",
    "machine_memory",
    "model_name",
    "parameter_count",
    "settings_in_words",
    "value_in_words",
]
