"""The demo teaches what it promises: pairs and a rule of three, over five seeds."""

import numpy as np
import pytest

from deepfm.config import PRESETS, TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.catalog import PINNED, open_demo
from deepfm.data.dataset import Dataset
from deepfm.trained import TrainedModel, open_run
from deepfm.training.loop import train


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_demo(tmp_path_factory.mktemp("home"))


def trained(demo: Dataset, name: str, seed: int, folder) -> TrainedModel:
    preset = PRESETS["quick"]
    model = ModelConfig.from_dict({**preset.model, "terms": TERM_SETS[name]})
    config = TrainConfig.from_dict({**preset.train, "seed": seed})
    return open_run(train(demo, model, config, out=folder / name).folder)


def centred(model: TrainedModel, impression: dict[str, str]) -> tuple[float, float, float]:
    """Probability, FM branch and deep branch minus their means over the reference."""
    terms, mean = model.score(model.encode(impression)[np.newaxis]), model.reference.mean
    return (
        float(terms.probability[0]),
        float(terms.fm[0] - mean.fm[0]),
        float(terms.deep[0] - mean.deep[0]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_deepfm_beats_fm_and_the_pinned_impressions_keep_their_signs(seed, demo, tmp_path):
    deepfm, fm = trained(demo, "DeepFM", seed, tmp_path), trained(demo, "FM", seed, tmp_path)
    assert deepfm.result.auc - fm.result.auc >= 0.03

    morning, evening, laptop, phone = (
        centred(deepfm, dict(pinned.values)) for pinned in PINNED[:4]
    )
    assert morning[0] > 0.5 > evening[0]
    assert morning[1] > 0 > evening[1], "the pair turns round with the hour"
    assert laptop[1] > 0 > laptop[2], "the branches disagree"
    assert laptop[0] < 0.5 < phone[0]
    assert phone[1] > 0 and phone[2] > 0, "one word turns the network"
