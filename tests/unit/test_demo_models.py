"""The bundled models of fewer terms: what each can learn of the demo, and what it cannot."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from deepfm.config import TERM_SETS
from deepfm.data.synthetic import PINNED, true_probability
from deepfm.errors import RunError
from deepfm.trained import TrainedModel, open_beside, open_run
from deepfm.training.bundle_models import OWN_FILES

ASSETS = Path(__file__).resolve().parents[2] / "assets"
FEWER = [name for name in TERM_SETS if name != "DeepFM"]
MOST_BYTES = 100_000

LAPTOP, PHONE = dict(PINNED[2].values), dict(PINNED[3].values)


def bundled(name: str) -> TrainedModel:
    run = open_run(ASSETS / "demo_run")
    return run if name == "DeepFM" else open_beside(run, ASSETS / "demo_models" / name)


def logit(model: TrainedModel, values: dict[str, str]) -> float:
    ids = model.encode(values)[np.newaxis]
    return float(model.weights.in_double_precision().terms(ids).logit[0])


def from_laptop_to_phone(model: TrainedModel, **others: str) -> float:
    """By how much the logit moves with that word, other words being changed before."""
    return logit(model, {**PHONE, **others}) - logit(model, {**LAPTOP, **others})


def three_together(model: TrainedModel) -> float:
    """What device, weekday and format say together beyond any two of them: a mixed difference."""
    return (
        from_laptop_to_phone(model)
        - from_laptop_to_phone(model, weekday="Wednesday")
        - from_laptop_to_phone(model, format="picture")
        + from_laptop_to_phone(model, format="picture", weekday="Wednesday")
    )


@pytest.mark.parametrize("name", FEWER)
def test_they_were_trained_as_the_bundled_run_was(name):
    run, model = open_run(ASSETS / "demo_run"), bundled(name)
    assert model.model.terms == TERM_SETS[name]
    assert dataclasses.replace(model.model, terms=run.model.terms) == run.model
    assert model.train == run.train


def test_they_are_small():
    files = [file for file in (ASSETS / "demo_models").rglob("*") if file.is_file()]
    assert {file.name for file in files} == set(OWN_FILES)
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_single_values_move_the_score_by_the_same_step_in_every_sentence():
    model = bundled("LR")
    step = from_laptop_to_phone(model)
    for others in ({"weekday": "Wednesday"}, {"format": "picture"}, {"ad": "coffee"}):
        assert from_laptop_to_phone(model, **others) == pytest.approx(step, abs=1e-9)


def test_pairs_know_two_values_that_meet_but_no_three():
    model = bundled("FM")
    assert from_laptop_to_phone(model) - from_laptop_to_phone(model, weekday="Wednesday") > 0.5
    assert three_together(model) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in TERM_SETS if "deep" in TERM_SETS[name]])
def test_a_network_learns_what_three_values_decide(name):
    assert three_together(bundled(name)) > 1.5


def test_only_a_network_follows_one_word_as_far_as_the_truth():
    step = true_probability(PHONE) - true_probability(LAPTOP)
    moved = {}
    for name in TERM_SETS:
        model = bundled(name)
        laptop, phone = (
            float(model.score(model.encode(each)[np.newaxis]).probability[0])
            for each in (LAPTOP, PHONE)
        )
        moved[name] = phone - laptop
    assert moved["LR"] < 0.05 < moved["FM"] < 0.6 * step
    assert all(moved[name] > 0.9 * step for name in TERM_SETS if "deep" in TERM_SETS[name])


def test_a_folder_of_another_dataset_is_refused(tmp_path):
    shutil.copytree(ASSETS / "demo_models" / "LR", tmp_path / "LR")
    config = tmp_path / "LR" / "config.json"
    fingerprint = open_run(ASSETS / "demo_run").dataset_fingerprint
    config.write_text(config.read_text("utf-8").replace(fingerprint, "0" * 20), "utf-8")
    with pytest.raises(RunError, match="another dataset"):
        open_beside(open_run(ASSETS / "demo_run"), tmp_path / "LR")


def test_a_folder_that_lacks_its_weights_is_told(tmp_path):
    shutil.copytree(ASSETS / "demo_models" / "LR", tmp_path / "LR")
    (tmp_path / "LR" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors"):
        open_beside(open_run(ASSETS / "demo_run"), tmp_path / "LR")
