"""What a page asks for to a queued run: the worker trains it, whatever page is open."""

from deepfm.config import PRESETS, ModelConfig, TrainConfig
from deepfm.ui import state
from deepfm.ui.queueing import queue_one

DEMO_PRESET = "quick"


def queue_demo_run(name: str = "DeepFM on the demo") -> str:
    """Queue the demo with the quick preset and its pinned impressions; the run's id."""
    preset = PRESETS[DEMO_PRESET]
    model, train = ModelConfig.from_dict(preset.model), TrainConfig.from_dict(preset.train)
    return queue_one(state.dataset(state.DEMO), name, model, train)
