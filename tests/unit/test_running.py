"""An epoch's running figures: step by step the same as at once, and after a checkpoint."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from deepfm import evaluation
from deepfm.training import running
from deepfm.training.running import RunningFigures

Step = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def steps(count: int, rows: int = 50) -> list[Step]:
    """Summed loss, logits and labels of each step."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        logits = torch.randn(rows, generator=generator)
        labels = (torch.rand(rows, generator=generator) < logits.sigmoid()).float()
        made.append((binary_cross_entropy_with_logits(logits, labels) * rows, logits, labels))
    return made


def all_rows(taken: list[Step]) -> evaluation.Tally:
    tally = evaluation.Tally()
    for _, logits, labels in taken:
        tally.add(labels.numpy(), logits.numpy())
    return tally


@pytest.fixture(autouse=True)
def _counting_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PENDING_ROWS", 170)


def test_figures_are_those_of_all_steps() -> None:
    taken, figures = steps(11), RunningFigures()
    for step in taken:
        figures.add(*step)
    found, expected = figures.metrics(), all_rows(taken).metrics
    assert (found.rows, found.accuracy, found.auc) == (550, expected.accuracy, expected.auc)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert figures.metrics() == found, "asking changes nothing"


def test_a_point_has_the_figures_of_its_own_steps() -> None:
    taken, figures = steps(11), RunningFigures()
    for begin, end in ((0, 4), (4, 5), (5, 11)):
        for step in taken[begin:end]:
            figures.add(*step)
        found, expected = figures.metrics_since_point(), all_rows(taken[begin:end]).metrics
        assert (found.rows, found.auc) == (expected.rows, expected.auc)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert figures.metrics().rows == 550


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_after_a_checkpoint_the_figures_are_the_same_to_the_last_digit(cut: int) -> None:
    taken, whole, first = steps(11), RunningFigures(), RunningFigures()
    for step in taken:
        whole.add(*step)
    for step in taken[:cut]:
        first.add(*step)
    resumed = RunningFigures.of_state(first.state())
    for step in taken[cut:]:
        resumed.add(*step)
    assert resumed.metrics() == whole.metrics()


def test_a_state_is_made_of_plain_arrays() -> None:
    figures = RunningFigures()
    figures.add(*steps(1)[0])
    state = figures.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    assert sum(array.nbytes for array in state.values()) < 1_000
