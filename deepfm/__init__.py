"""DeepFM Lab: click data to a trained DeepFM to the reasons for one score.

The public names are loaded when first used, so that importing deepfm costs no torch.
"""

from __future__ import annotations  # an older Python reads this file before it is told its age

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deepfm.classifier import DeepFMClassifier
    from deepfm.config import ModelConfig, PrepareConfig, TrainConfig
    from deepfm.data.dataset import Dataset, open_dataset, prepare
    from deepfm.errors import DeepFMError
    from deepfm.evaluation import Evaluation, evaluate
    from deepfm.explanation import Explanation, explain
    from deepfm.terms import Terms
    from deepfm.trained import TrainedModel, open_run
    from deepfm.training.loop import resume, train

__version__ = "0.1.0"

__all__ = [
    "Dataset",
    "DeepFMClassifier",
    "DeepFMError",
    "Evaluation",
    "Explanation",
    "ModelConfig",
    "PrepareConfig",
    "Terms",
    "TrainConfig",
    "TrainedModel",
    "evaluate",
    "explain",
    "open_dataset",
    "open_run",
    "prepare",
    "resume",
    "train",
]

_HOMES: Final = {
    "Dataset": "deepfm.data.dataset",
    "DeepFMClassifier": "deepfm.classifier",
    "DeepFMError": "deepfm.errors",
    "Evaluation": "deepfm.evaluation",
    "Explanation": "deepfm.explanation",
    "ModelConfig": "deepfm.config",
    "PrepareConfig": "deepfm.config",
    "Terms": "deepfm.terms",
    "TrainConfig": "deepfm.config",
    "TrainedModel": "deepfm.trained",
    "evaluate": "deepfm.evaluation",
    "explain": "deepfm.explanation",
    "open_dataset": "deepfm.data.dataset",
    "open_run": "deepfm.trained",
    "prepare": "deepfm.data.dataset",
    "resume": "deepfm.training.loop",
    "train": "deepfm.training.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepfm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
