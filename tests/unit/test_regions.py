"""Values over-represented in a region: exact counts, exact chances, and nothing found in noise."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from deepfm.errors import DataError
from deepfm.evaluation.regions import (
    FEWEST_ROWS,
    chance_of_so_many,
    chi_square_tail,
    over_represented,
)
from tests.unit.run_folders import RunSpec, random_ids, vocabulary_of

SPEC = RunSpec(categorical=(6, 3, 30), numeric=True)


@pytest.fixture(scope="module")
def vocabulary():
    return vocabulary_of(SPEC)


def test_the_chance_of_so_many_is_the_tail_of_the_hypergeometric_distribution():
    rng = np.random.default_rng(0)
    rows, inside = 3_000, 400
    total = rng.integers(5, 2_500, 200)
    within = np.array([rng.integers(max(0, n - rows + inside), min(n, inside) + 1) for n in total])
    found = chance_of_so_many(within, total, inside, rows)
    for k, n, p in zip(within, total, found, strict=True):
        exact = stats.hypergeom.sf(k - 1, rows, n, inside)
        if k > n * inside / rows:
            assert p == pytest.approx(exact, rel=1e-8, abs=1e-300)
        else:
            assert p == 1.0 >= exact


def test_a_small_chance_is_what_counting_every_way_to_draw_gives():
    # 3 marked among 7 rows, 4 drawn: at least 2 marked.
    ways = list(itertools.combinations(range(7), 4))
    by_hand = sum(sum(row < 3 for row in way) >= 2 for way in ways) / math.comb(7, 4)
    found = chance_of_so_many(np.array([2]), np.array([3]), 4, 7)
    assert found[0] == pytest.approx(by_hand)


@pytest.mark.parametrize("degrees", [1, 2, 5, 30, 400])
def test_the_tail_of_chi_square_is_near_the_exact_one(degrees):
    for value in np.linspace(0.05, 3.0, 20) * degrees:
        exact = stats.chi2.sf(value, degrees)
        assert chi_square_tail(value, degrees) == pytest.approx(
            exact, abs=0.02 if exact > 0.2 else 0.005
        )


def test_shares_are_those_of_counting_row_by_row(vocabulary):
    rng = np.random.default_rng(1)
    ids = random_ids(vocabulary, 800, seed=2)
    labels = (rng.random(800) < 0.3).astype(np.float32)
    chosen = rng.random(800) < 0.25
    region = over_represented(vocabulary, ids, labels, chosen, most=1_000)
    assert region.inside == sum(chosen) and region.outside == 800 - sum(chosen)
    assert region.clicks_inside == sum(labels[chosen]) == labels.sum() - region.clicks_outside
    tested = 0
    for place, field in enumerate(vocabulary.fields):
        texts = vocabulary.decode_column(field.name, ids[:, place]).to_pylist()
        tested += sum(texts.count(text) >= FEWEST_ROWS for text in set(texts))
        for found in (each for each in region.values if each.field == field.name):
            inside = sum(t == found.value and c for t, c in zip(texts, chosen, strict=True))
            assert (found.inside, found.outside) == (inside, texts.count(found.value) - inside)
            assert found.share_inside == inside / chosen.sum()
            assert found.share_outside == found.outside / (800 - chosen.sum())
            assert found.share_inside > found.share_outside
    assert region.looked_at == tested


def test_a_planted_value_and_its_field_come_first(vocabulary):
    rng = np.random.default_rng(3)
    ids = random_ids(vocabulary, 2_000, seed=4)
    field = vocabulary.fields[1]
    planted = ids[:, 1] == field.offset
    chosen = rng.random(2_000) < np.where(planted, 0.4, 0.1)
    region = over_represented(vocabulary, ids, np.zeros(2_000), chosen)
    first = region.values[0]
    assert (first.field, first.value) == (field.name, "amber") and first.significant
    assert first.times > 1.5
    assert region.fields[0].field == field.name and region.fields[0].significant
    assert sum(shift.significant for shift in region.fields) == 1


def test_rows_chosen_at_random_have_nothing_special(vocabulary):
    """At 5 %, one search in twenty may find something; without the correction nearly all would."""
    rng = np.random.default_rng(5)
    ids = random_ids(vocabulary, 600, seed=6)
    searches = [
        over_represented(vocabulary, ids, np.zeros(600), rng.random(600) < 0.3) for _ in range(60)
    ]
    assert sum(bool(region.significant) for region in searches) <= 8
    uncorrected = sum(any(v.p_value < 0.05 for v in region.values) for region in searches)
    assert uncorrected > 30


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_row_and_every_row_are_refused_in_words(share, vocabulary):
    ids = random_ids(vocabulary, 20, seed=7)
    with pytest.raises(DataError, match="Choose another"):
        over_represented(vocabulary, ids, np.zeros(20), np.full(20, share > 0))


def test_fields_of_one_value_do_not_differ():
    vocabulary = vocabulary_of(RunSpec(categorical=(1,), numeric=False))
    ids = np.zeros((50, 1), np.int32)
    region = over_represented(vocabulary, ids, np.zeros(50), np.arange(50) < 10)
    assert region.fields[0].strength == 0.0 and not region.significant
