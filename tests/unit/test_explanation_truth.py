"""Explanations on data whose formula is known: the bundled demo, and a planted pair."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deepfm.explanation import (
    OtherImpression,
    TrainingSlice,
    explain,
    pair_strengths,
    reference_for,
)
from deepfm.trained import TrainedModel, open_run
from tests.unit.small_models import clicks_dataset, trained_on

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo_run"
NO_EFFECT = ("segment", "region")


@pytest.fixture(scope="module")
def demo() -> TrainedModel:
    return open_run(DEMO)


def test_fields_without_effect_in_the_demo_are_around_zero(demo: TrainedModel) -> None:
    rows = range(0, 300, 3)
    found: dict[str, list[float]] = {}
    for row in rows:
        why = explain(demo, row=row, permutations=30)
        assert why.deep_by_field is not None
        for name in why.values:
            total = (
                why.linear_by_field[name] + why.pairwise_by_field[name] + why.deep_by_field[name]
            )
            found.setdefault(name, []).append(total)
    size = {name: float(np.mean(np.abs(values))) for name, values in found.items()}
    mean = {name: abs(float(np.mean(values))) for name, values in found.items()}
    for name in NO_EFFECT:
        assert mean[name] < 0.06
        assert size[name] < 0.12
        assert all(size[name] < size[other] for other in size if other not in NO_EFFECT)


def test_the_demos_planted_pairs_are_the_strongest_purified_ones(demo: TrainedModel) -> None:
    names = [field.name for field in demo.fields]
    strengths = pair_strengths(demo)
    pairs = sorted(
        ((strengths[i, j], {names[i], names[j]}) for i in range(len(names)) for j in range(i)),
        key=lambda pair: -pair[0],
    )
    assert pairs[0][1] == {"site", "ad"}
    without_effect = [value for value, pair in pairs if pair & set(NO_EFFECT)]
    assert max(without_effect) < pairs[0][0] / 4


def test_a_constant_moved_between_branches_changes_nothing_shown_against_any_population(
    tmp_path: Path,
) -> None:
    dataset = clicks_dataset(tmp_path / "clicks", rows=1_500)
    model = trained_on(dataset, tmp_path / "run")
    populations = [
        None,
        TrainingSlice.of({"device": "phone"}),
        OtherImpression.row(model, None, 5),
    ]
    tensors = load_file(model.folder / "model.safetensors")
    tensors["linear.bias"] = tensors["linear.bias"] + np.float32(5)
    last = max(name for name in tensors if name.startswith("mlp.") and name.endswith("bias"))
    tensors[last] = tensors[last] - np.float32(5)
    save_file(tensors, model.folder / "model.safetensors")
    moved = open_run(model.folder)
    for population in populations:
        references = [
            each.reference if population is None else reference_for(each, population, dataset)
            for each in (model, moved)
        ]
        for row in range(5):
            before, after = (
                explain(each, row=row, permutations=20, reference=reference).to_dict()
                for each, reference in zip((model, moved), references, strict=True)
            )
            for name in ("base", "logit", "probability", "typical", "deep"):
                assert after[name] == pytest.approx(before[name], abs=1e-5)
            for name in (
                "terms",
                "linear",
                "pairwise",
                "pairwise_by_field",
                "deep_by_field",
                "deep_standard_error",
            ):
                assert after[name] == pytest.approx(before[name], abs=2e-5)
