"""Random orders for deep by field: a sequence that goes on, and a standard error that is right."""

from pathlib import Path

import numpy as np
import pytest

from deepfm.errors import ConfigError
from deepfm.explanation import explain, more_draws
from deepfm.explanation.shapley import DRAWS_IN_BATCH, deep_by_field, random_draws
from deepfm.trained import TrainedModel, reference_from_ids
from tests.unit.small_models import brute_force, by_field, one_impression, open_small


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return open_small(tmp_path / "run")


@pytest.mark.parametrize(("first", "more"), [(1, 2), (3, 50), (49, 51), (50, 100), (130, 260)])
def test_draws_go_on_where_they_ended(model: TrainedModel, first: int, more: int) -> None:
    at_once = explain(model, row=0, permutations=more, seed=7)
    begun = explain(model, row=0, permutations=first, seed=7)
    went_on = more_draws(model, begun, more)
    assert (begun.permutations, went_on.permutations) == (first, more)
    for name in ("deep_by_field", "deep_standard_error"):
        assert getattr(went_on, name) == pytest.approx(getattr(at_once, name), abs=1e-6)
    assert by_field(went_on.deep_by_field).sum() == pytest.approx(went_on.deep, abs=1e-12)
    back = more_draws(model, went_on, first)
    assert back.deep_by_field == pytest.approx(begun.deep_by_field, abs=1e-6)


def test_the_first_draws_are_the_same_however_many_are_asked_for() -> None:
    rows, orders = random_draws(30, 6, 0, 3 * DRAWS_IN_BATCH + 7, seed=4)
    for start, stop in ((0, 1), (13, 14), (49, 52), (60, 157), (150, 157)):
        some_rows, some_orders = random_draws(30, 6, start, stop, seed=4)
        np.testing.assert_array_equal(some_rows, rows[start:stop])
        np.testing.assert_array_equal(some_orders, orders[start:stop])
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert not np.array_equal(random_draws(30, 6, 0, 50, seed=5)[1], orders[:50])


def test_orders_and_rows_are_drawn_evenly() -> None:
    rows, orders = random_draws(10, 4, 0, 20_000, seed=0)
    assert np.bincount(rows).min() > 1_800 and np.bincount(rows).max() < 2_200
    for place in range(4):
        shares = np.bincount(orders[:, place]) / len(orders)
        assert (np.abs(shares - 0.25) < 0.02).all()


def test_an_explanation_without_draws_gets_them_later(model: TrainedModel) -> None:
    why = explain(model, row=2)
    assert (why.permutations, why.deep_by_field) == (0, None)
    later = more_draws(model, why, 40)
    assert later.deep_by_field == explain(model, row=2, permutations=40).deep_by_field
    assert (later.pairs, later.logit) == (why.pairs, why.logit)
    with pytest.raises(ConfigError, match="at least 1"):
        more_draws(model, why, 0)


def test_a_model_without_a_network_has_nothing_to_draw(tmp_path: Path) -> None:
    model = open_small(tmp_path / "run", terms=("linear", "pairwise"))
    why = more_draws(model, explain(model, row=0, permutations=5), 9)
    assert why.permutations == 9
    assert not by_field(why.deep_by_field).any() and not by_field(why.deep_standard_error).any()


@pytest.mark.parametrize("draws", [40, 150])
def test_the_standard_error_is_the_spread_of_repeated_sampling(
    model: TrainedModel, draws: int
) -> None:
    ids = one_impression(model)
    expected = brute_force(model.deep, ids, model.reference_ids)
    results = [
        deep_by_field(model.weights, model.reference, ids, draws, seed) for seed in range(300)
    ]
    values = np.array([result.values for result in results])
    claimed = np.sqrt(np.mean([result.standard_error**2 for result in results], axis=0))
    np.testing.assert_allclose(claimed, values.std(axis=0), rtol=0.15)
    missed = np.abs(values - expected) / np.array([result.standard_error for result in results])
    assert 0.62 < (missed < 1).mean() < 0.74
    assert (missed < 3).mean() > 0.985
    off = np.abs(values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(len(values)))
    assert (off < 4.5).all(), "the mean over many samples is the exact value"


def test_draws_from_a_sample_of_the_rows_are_less_sure(model: TrainedModel) -> None:
    """The means are over all rows, and the rows that are drawn are themselves a draw."""
    ids = one_impression(model)
    rng = np.random.default_rng(0)
    everything = np.stack(
        [rng.integers(f.offset, f.offset + f.size, 4_000) for f in model.fields], axis=1
    ).astype(np.int32)
    whole = reference_from_ids(model.weights, everything, "all rows")
    expected = deep_by_field(model.weights, whole, ids, 20_000, 0).values
    missed, claimed, spread = [], [], []
    for seed in range(150):
        chosen = np.sort(rng.choice(len(everything), 100, replace=False))
        sample = reference_from_ids(model.weights, everything[chosen], "a sample")
        from_sample = type(whole)(
            **{**whole.__dict__, "ids": sample.ids, "deep": sample.deep, "rows": len(everything)}
        )
        result = deep_by_field(model.weights, from_sample, ids, 200, seed)
        assert result.standard_error is not None
        own = float(model.deep(ids[None])[0])
        assert result.values.sum() == pytest.approx(own - whole.deep.mean(), abs=1e-9)
        missed.append(np.abs(result.values - expected) / result.standard_error)
        claimed.append(result.standard_error)
        spread.append(result.values)
    assert (np.array(missed) < 3).mean() > 0.98
    assert (np.mean(claimed, axis=0) > 0.9 * np.std(spread, axis=0)).all()


def test_fields_with_the_reference_rows_own_value_cost_and_add_nothing(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = one_impression(model)
    near = ids.copy()
    near[1] = next(i for i in range(*model.fields[1].indices.indices(10**6)) if i != ids[1])
    alone = reference_from_ids(model.weights, near[None], "one other impression")
    scored: list[int] = []
    whole = type(model.weights).deep_after_first_layer

    def counted(weights: object, sums: np.ndarray) -> np.ndarray:
        scored.append(len(sums))
        return whole(weights, sums)

    monkeypatch.setattr(type(model.weights), "deep_after_first_layer", counted)
    result = deep_by_field(model.weights, alone, ids, 60, 0)
    assert sum(scored) <= 2 * 60
    others = np.arange(len(ids)) != 1
    assert np.abs(result.values[others]).max() < 1e-6
    expected = brute_force(model.deep, ids, near[None])
    np.testing.assert_allclose(result.values, expected, atol=1e-5)
