"""The benchmark of explanations times what it says, beside a loop and peers that agree with it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import explain as benchmark
from benchmarks.explain_peers import Network
from benchmarks.shapes import criteo_shape
from deepfm.data.dataset import Dataset
from deepfm.explanation import best_change, explain
from deepfm.trained import TrainedModel


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return criteo_shape(tmp_path_factory.mktemp("data"), 600, test_rows=40, log_rows=3_000)


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return benchmark.trained(tmp_path_factory.mktemp("cache"), dataset, (9, 5))


def test_the_model_is_trained_once(dataset: Dataset, tmp_path: Path) -> None:
    first = benchmark.trained(tmp_path, dataset, (4,))
    again = benchmark.trained(tmp_path, dataset, (4,))
    assert first.folder == again.folder
    assert len(first.fields) == 39


def test_every_part_is_timed_and_stands_in_the_table(
    model: TrainedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "DRAWS", 4)
    parts = [*benchmark.parts_of(model, dataset), *benchmark.loops_of(model)]
    figures = {part.key: benchmark.milliseconds(part) for part in parts}
    assert set(benchmark.LIMITS) <= set(figures)
    assert all(figure > 0 for figure in figures.values())
    text = benchmark.table({"9-5": figures}, {part.key: part.label for part in parts})
    assert len(text.splitlines()) == len(parts) + 2
    assert "| 300 |" in text


def test_the_loops_find_what_is_compared_with_them(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "DRAWS", 60)
    ids = model.impression_ids()[0]
    slow = benchmark.deep_by_loop(model, ids)
    why = explain(model, row=0, permutations=2_000)
    assert why.deep_by_field is not None
    np.testing.assert_allclose(slow, list(why.deep_by_field.values()), atol=0.03)
    change = best_change(model, ids)
    own = float(model.score(ids[None]).logit[0])
    assert benchmark.change_by_loop(model, ids) == pytest.approx(
        own if change is None else change.logit, abs=1e-5
    )


def test_peers_are_given_the_same_network(model: TrainedModel, tmp_path: Path) -> None:
    benchmark.write_numbers(model, tmp_path / "numbers.npz")
    numbers = np.load(tmp_path / "numbers.npz")
    network = Network(numbers)
    rows = np.vstack((numbers["ids"][None], numbers["reference"]))
    expected = model.deep(np.vstack((model.impression_ids()[:1], model.reference_ids)))
    np.testing.assert_allclose(network(torch.from_numpy(rows)).numpy(), expected, atol=1e-5)
