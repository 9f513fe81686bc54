"""Running figures: the same as those of all rows at once, in memory that does not grow."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepfm import evaluation
from deepfm.errors import DataError
from deepfm.evaluation.tally import BINS, HIGHEST, Tally, bins_of
from deepfm.terms import sigmoid


def drawn(rows: int, seed: int = 0, spread: float = 1.5) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels that follow the logits, and the logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, spread, rows).astype(np.float32)
    labels = (rng.random(rows) < sigmoid(logits)).astype(np.float32)
    return labels, logits


def filled(labels: NDArray[Any], logits: NDArray[Any], size: int, exact_rows: int) -> Tally:
    tally = Tally(exact_rows)
    for start in range(0, len(labels), size):
        tally.add(labels[start : start + size], logits[start : start + size])
    return tally


@pytest.mark.parametrize("size", [1, 7, 1_000, 5_000])
def test_portions_add_up_to_the_figures_of_all_rows(size: int) -> None:
    labels, logits = drawn(3_000)
    found, expected = (
        filled(labels, logits, size, 10_000).metrics,
        evaluation.metrics_of(labels, logits),
    )
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    assert (found.accuracy, found.auc) == (expected.accuracy, expected.auc)
    assert found.rows == expected.rows


@pytest.mark.parametrize("spread", [0.01, 1.5, 30.0])
def test_beyond_the_exact_rows_the_auc_is_off_by_no_more_than_it_says(spread: float) -> None:
    labels, logits = drawn(20_000, spread=spread)
    tally = filled(labels, logits, 3_000, exact_rows=5_000)
    exact = evaluation.auc(labels, logits)
    assert tally.auc is not None and exact is not None
    assert tally.auc_error > 0
    assert abs(tally.auc - exact) <= tally.auc_error + 1e-12


def test_the_stated_error_is_half_the_pairs_that_share_a_bin() -> None:
    labels, logits = drawn(400, spread=0.01)
    tally = filled(labels, logits, 100, exact_rows=10)
    places = bins_of(logits)
    clicked, others = places[labels == 1], places[labels == 0]
    shared = sum(int((others == place).sum()) for place in clicked)
    assert tally.auc_error == pytest.approx(shared / (2 * len(clicked) * len(others)))


def test_the_usual_spread_has_the_error_that_the_docstring_names() -> None:
    labels, logits = drawn(300_000, spread=1.0)
    tally = filled(labels, logits, 100_000, exact_rows=0)
    assert tally.auc_error < 5e-5
    exact = evaluation.auc(labels, logits)
    assert tally.auc == pytest.approx(exact, abs=1e-6)


def test_bins_rise_with_the_logit_and_end_at_the_borders() -> None:
    logits = np.array([-np.inf, -40, -HIGHEST, -1e-3, 0, 1e-3, 31.9999, HIGHEST, np.inf])
    places = bins_of(logits.astype(np.float32))
    assert (np.diff(places) >= 0).all()
    assert places[0] == places[2] == 0 and places[-1] == places[-2] == BINS - 1
    assert places[4] == BINS // 2 and places[3] < places[4] < places[5]


@pytest.mark.parametrize("exact_rows", [0, 10_000])
def test_one_class_or_a_diverged_model_has_no_auc(exact_rows: int) -> None:
    _, logits = drawn(50)
    one_class = filled(np.ones(50), logits, 20, exact_rows)
    assert one_class.auc is None and np.isfinite(one_class.metrics.loss)
    labels, logits = drawn(50)
    logits[3] = np.nan
    assert filled(labels, logits, 20, exact_rows).auc is None


def test_no_rows_have_no_figures() -> None:
    with pytest.raises(DataError, match="no rows"):
        _ = Tally().metrics


def test_known_losses_are_taken_as_they_are() -> None:
    labels, logits = drawn(100)
    tally = Tally()
    tally.add(labels, logits, losses=np.array([200, 50], np.float32))
    assert tally.metrics.loss == 2.5


@pytest.mark.parametrize("cut", [0, 500, 2_500])
@pytest.mark.parametrize("exact_rows", [0, 2_000, 10_000])
def test_a_state_goes_on_to_the_same_figures(cut: int, exact_rows: int) -> None:
    labels, logits = drawn(3_000)
    before = filled(labels[:cut], logits[:cut], 500, exact_rows)
    again = Tally.of_state(before.state(), exact_rows)
    for tally in (before, again):
        tally.add(labels[cut:], logits[cut:])
    assert again.metrics == before.metrics
    assert again.auc_error == before.auc_error


def test_the_state_stays_small() -> None:
    labels, logits = drawn(50_000)
    exact = filled(labels, logits, 10_000, 50_000).state()
    counted = filled(labels, logits, 10_000, 49_999).state()
    assert sum(array.nbytes for array in exact.values()) < 5 * 50_000 + 100
    assert len(counted["logits"]) == 0
    assert sum(array.nbytes for array in counted.values()) < 2 * 8 * BINS + 100


def test_the_input_is_left_untouched() -> None:
    labels, logits = drawn(100)
    kept = logits.copy()
    tally = Tally(0)
    tally.add(labels, logits)
    logits[:] = 0
    assert (kept != 0).all()
    assert tally.auc == filled(labels, kept, 10, 0).auc
