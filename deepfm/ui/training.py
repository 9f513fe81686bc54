"""What a page asks for to a queued run: the worker trains it, whatever page is open."""

from deepfm.config import PRESETS, ModelConfig, TrainConfig
from deepfm.ui import state

DEMO_PRESET = "quick"


def queue_demo_run(name: str = "DeepFM on the demo") -> str:
    """Queue the demo with the quick preset and its pinned impressions; the run's id."""
    from deepfm.data.catalog import PINNED

    preset = PRESETS[DEMO_PRESET]
    dataset = state.dataset(state.DEMO)
    return state.store().queue_run(
        name,
        dataset.folder,
        dataset.name,
        ModelConfig.from_dict(preset.model).to_dict(),
        TrainConfig.from_dict(preset.train).to_dict(),
        pinned=[dict(pinned.values) for pinned in PINNED],
        fingerprint=dataset.fingerprint,
    )
