"""Changes of one field and of two, held against scoring each changed impression by itself."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepfm.config import ModelConfig
from deepfm.data.dataset import Dataset
from deepfm.data.vocabulary import RARE
from deepfm.errors import ConfigError, RunError, SchemaError
from deepfm.explanation import (
    Surface,
    arithmetic,
    find_values,
    pair_in_training,
    pair_strengths,
    smallest_flip,
    surface,
    what_if,
    what_if_values,
)
from deepfm.trained import TrainedModel, open_run
from tests.unit.run_folders import ALL_MODELS, RunSpec, write_run
from tests.unit.small_models import clicks_dataset, one_impression, open_small, trained_on

each_model = pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return open_small(tmp_path / "run")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return clicks_dataset(tmp_path_factory.mktemp("clicks"), rows=3_000)


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return trained_on(dataset, tmp_path_factory.mktemp("runs") / "run", epochs=3)


def open_wide(folder: Path, **changes: Any) -> TrainedModel:
    """Two fields of 300 and 40 values beside two small ones."""
    model = ModelConfig(**{"num_factors": 4, "mlp_dims": (12, 9), **changes})
    spec = RunSpec(model=model, categorical=(300, 40, 6, 5), numeric=False, rows={"test": 8})
    return open_run(write_run(folder, spec))


# --- What if ------------------------------------------------------------------------------------


def test_the_commonest_values_are_scored_and_the_own_and_unseen_ones(tmp_path: Path) -> None:
    model = open_wide(tmp_path / "run")
    everything = model.vocabulary.values("word_0")
    for seed in range(6):
        ids = one_impression(model, seed)
        answer = what_if(model, ids, "word_0", most=20)
        assert (answer.of, answer.complete) == (301, False)
        assert answer.values.value[:20] == everything.value[:20]
        assert answer.values.value[-1] == RARE
        assert answer.current is not None
        assert answer.values.index[answer.current] == ids[0]
        assert 21 <= len(answer.values) <= 22
        changed = np.tile(ids, (len(answer.values), 1))
        changed[:, 0] = answer.values.index
        np.testing.assert_allclose(answer.terms.logit, model.score(changed).logit, atol=1e-4)
    assert what_if(model, ids, "word_0").complete
    assert what_if(model, ids, "word_0").values.value == everything.value


def test_the_rest_is_scored_on_demand(tmp_path: Path) -> None:
    model = open_wide(tmp_path / "run")
    ids = one_impression(model)
    values = [*model.vocabulary.values("word_0").value[250:252], "nobody has this"]
    answer = what_if_values(model, ids, "word_0", values)
    assert answer.values.value == (*values[:2], RARE)
    assert answer.current is None and not answer.complete
    for place, index in enumerate(answer.values.index):
        changed = ids.copy()
        changed[0] = index
        logit = model.score(changed[None]).logit[0]
        assert answer.terms.logit[place] == pytest.approx(logit, abs=1e-4)
    by_index = what_if_values(model, ids, "word_0", answer.values.index)
    assert by_index.values.value == answer.values.value
    with pytest.raises(SchemaError, match="'colour'"):
        what_if_values(model, ids, "colour", ["red"])


def test_values_are_found_by_any_part_of_their_text(tmp_path: Path) -> None:
    model = open_wide(tmp_path / "run")
    found = find_values(model.vocabulary, "word_0", "MBER_1", most=5)
    everything = model.vocabulary.values("word_0")
    expected = [value for value in everything.value if "mber_1" in value]
    assert list(found.value) == expected[:5] and len(expected) > 5
    assert find_values(model.vocabulary, "word_0", "unseen").value == (RARE,)
    assert len(find_values(model.vocabulary, "word_0", "xyz")) == 0
    assert find_values(model.vocabulary, "word_0", "[").value == ()


# --- Surfaces -----------------------------------------------------------------------------------


def slow_surface(model: TrainedModel, ids: np.ndarray, found: Surface) -> np.ndarray:
    """linear, pairwise, deep of every pair of values, one score at a time; float64[3, U, W]."""
    names = [field.name for field in model.fields]
    first, second = names.index(found.field), names.index(found.other_field)
    result = np.empty((3, len(found.values), len(found.other_values)))
    for row, value in enumerate(found.values.index):
        for column, other in enumerate(found.other_values.index):
            changed = ids.copy()
            changed[first], changed[second] = value, other
            result[:, row, column] = [term[0] for term in model.score(changed[None])]
    return result


@each_model
def test_a_surface_is_the_score_of_each_pair_of_values(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = open_small(tmp_path / "run", **changes)
    ids = one_impression(model)
    for first, second in (("word_0", "word_2"), ("price", "word_1")):
        found = surface(model, ids, first, second)
        expected = slow_surface(model, ids, found)
        np.testing.assert_allclose(np.array(list(found.terms)), expected, atol=1e-5)
        row, column = found.current
        assert found.values.index[row] in ids and found.other_values.index[column] in ids
        own = model.score(ids[None]).logit[0]
        assert found.terms.logit[row, column] == pytest.approx(own, abs=1e-5)


def test_the_fm_surface_is_low_rank_and_the_networks_is_not(tmp_path: Path) -> None:
    model = open_wide(tmp_path / "run")
    found = surface(model, one_impression(model), "word_0", "word_1")
    assert found.fm.values.shape == (len(found.values), len(found.other_values))
    assert len(found.other_values) == 41 and len(found.values) in (41, 42)
    assert (found.fm_rank_limit, found.deep_rank_limit) == (4, 40)
    assert found.fm.rank == 4 < found.deep.rank <= found.deep_rank_limit
    assert found.total.rank > found.fm.rank
    for interaction in (found.fm, found.deep, found.total):
        np.testing.assert_allclose(interaction.values.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(interaction.values.mean(axis=1), 0, atol=1e-9)
        assert interaction.shares.sum() == pytest.approx(1)
        kept = interaction.parts_for(0.9)
        assert interaction.shares[:kept].sum() >= 0.9 > interaction.shares[: kept - 1].sum()
    assert found.fm.parts_for(1 - 1e-6) <= 4


def test_a_surface_without_an_interaction_has_no_parts(tmp_path: Path) -> None:
    linear = open_small(tmp_path / "linear", terms=("linear",))
    found = surface(linear, one_impression(linear), "word_0", "word_2")
    assert [part.rank for part in (found.fm, found.deep, found.total)] == [0, 0, 0]
    assert found.fm.parts_for(0.99) == found.deep.parts_for(0.99) == 0
    assert (found.fm_rank_limit, found.deep_rank_limit) == (0, 0)


def test_a_surface_needs_two_known_fields(model: TrainedModel) -> None:
    ids = one_impression(model)
    with pytest.raises(SchemaError, match="two fields, but 'word_0' was given twice"):
        surface(model, ids, "word_0", "word_0")
    with pytest.raises(SchemaError, match="'colour'"):
        surface(model, ids, "word_0", "colour")
    with pytest.raises(RunError, match="6 fields"):
        surface(model, ids[:-1], "word_0", "word_1")


# --- Flips --------------------------------------------------------------------------------------


def slow_flips(
    model: TrainedModel, ids: np.ndarray, goal: float, fields: int, least: int = 0
) -> set[bytes]:
    """Every change of just so many fields to values seen so often that crosses the goal."""
    own, found = model.score(ids[None]).logit[0], set()
    for places in itertools.combinations(range(len(ids)), fields):
        tried = [model.choosable[place] for place in places]
        for values in itertools.product(
            *(each[model.vocabulary.counts[each] >= least] for each in tried)
        ):
            changed = ids.copy()
            changed[list(places)] = values
            logit = model.score(changed[None]).logit[0]
            if (logit >= goal) != (own >= goal) and (changed != ids).sum() == fields:
                found.add(changed.tobytes())
    return found


@each_model
def test_the_smallest_flip_is_that_of_trying_everything(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = open_small(tmp_path / "run", **changes)
    sizes = set()
    for seed, threshold in itertools.product(range(2), (0.02, 0.3, 0.5, 0.98)):
        ids = one_impression(model, seed)
        goal = math.log(threshold / (1 - threshold))
        search = smallest_flip(model, ids, threshold, most=10_000)
        common = slow_flips(model, ids, goal, 1, 50) or slow_flips(model, ids, goal, 2, 50)
        expected = common or slow_flips(model, ids, goal, 1) or slow_flips(model, ids, goal, 2)
        assert search.rare == (not common)
        assert {flip.ids.tobytes() for flip in search.flips} == expected
        assert search.found == len(expected) and search.complete
        sizes.add(search.fields)
        seen = [flip.seen for flip in search.flips]
        assert seen == sorted(seen, reverse=True)
        for flip in search.flips:
            assert flip.logit == pytest.approx(model.score(flip.ids[None]).logit[0], abs=1e-5)
            assert flip.probability == pytest.approx(1 / (1 + math.exp(-flip.logit)))
            assert len(flip.changes) == search.fields == (flip.ids != ids).sum()
            after = {**model.decode(ids), **{c.field: c.after for c in flip.changes}}
            assert model.decode(flip.ids) == after
    assert sizes & {0, 2} and 1 in sizes


def test_two_common_values_go_before_one_rare_value(model: TrainedModel) -> None:
    ids, counts = one_impression(model), model.vocabulary.counts
    counts[:] = 60
    usual = smallest_flip(model, ids, most=10_000)
    assert usual.fields == 1 and not usual.rare
    for flip in usual.flips:
        counts[flip.ids[flip.ids != ids]] = 49
    two = smallest_flip(model, ids)
    assert two.fields == 2 and not two.rare and two.flips[0].seen == 60
    assert "to a common one (in at least 50 training rows) were tried" in two.in_words()
    counts[:] = 49
    rare = smallest_flip(model, ids, most=10_000)
    assert rare.rare and rare.found == usual.found
    assert rare.in_words().startswith(
        "No common value (in at least 50 training rows) turns the decision, alone or with another. "
    )


def test_changes_are_searched_in_bounded_memory(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = one_impression(model)
    at_once = [smallest_flip(model, ids, threshold) for threshold in (0.02, 0.5, 0.98)]
    monkeypatch.setattr("deepfm.explanation.neighbours.BLOCK_NUMBERS", 20)
    in_blocks = [smallest_flip(model, ids, threshold) for threshold in (0.02, 0.5, 0.98)]
    for first, second in zip(at_once, in_blocks, strict=True):
        assert [flip.changes for flip in first.flips] == [flip.changes for flip in second.flips]
        assert (first.found, first.pairs) == (second.found, second.pairs)


def test_too_many_pairs_are_searched_by_the_best_candidates_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepfm.explanation.flips.ALL_PAIRS", 0)
    monkeypatch.setattr("deepfm.explanation.flips.MOST_PAIRS", 40)
    model = open_small(tmp_path / "run")
    ids = one_impression(model)
    search = next(
        found
        for threshold in np.linspace(0.001, 0.999, 300)
        if (found := smallest_flip(model, ids, threshold)).fields != 1
    )
    assert search.pairs == 40 < search.of_pairs and not search.complete
    assert "the 40 that look best" in search.in_words()
    assert search.in_words().endswith("Another pair may be overlooked.")


def test_without_a_network_the_best_pairs_are_known_for_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepfm.explanation.flips.ALL_PAIRS", 0)
    monkeypatch.setattr("deepfm.explanation.flips.MOST_PAIRS", 3)
    model = open_small(tmp_path / "run", terms=("linear", "pairwise"))
    for seed, threshold in itertools.product(range(3), (0.001, 0.05, 0.9, 0.999)):
        ids = one_impression(model, seed)
        goal = math.log(threshold / (1 - threshold))
        search = smallest_flip(model, ids, threshold)
        assert search.complete
        if search.fields != 1:
            assert bool(search.flips) == bool(slow_flips(model, ids, goal, 2))


def test_a_threshold_lies_between_0_and_1(model: TrainedModel) -> None:
    for threshold in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="threshold"):
            smallest_flip(model, one_impression(model), threshold)


# --- Pairs --------------------------------------------------------------------------------------


def test_meetings_are_counted_in_the_training_rows(
    trained: TrainedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, ids = dataset.parts["train"], trained.impression_ids()[0]
    found = pair_in_training(trained, ids, "site", "ad", dataset)
    rows = [
        label
        for row, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True)
        if (row[0], row[1]) == (ids[0], ids[1])
    ]
    assert (found.rows, found.clicks) == (len(rows), int(sum(rows)))
    assert found.click_rate == pytest.approx(sum(rows) / len(rows))
    assert (found.looked_at, found.of, found.advice) == (len(part), len(part), "")
    assert found.first.value == trained.decode(ids)["site"]
    assert found.first.rows == int((part.ids[:, 0] == ids[0]).sum())
    assert found.second.clicks == int(part.labels[part.ids[:, 1] == ids[1]].sum())
    vectors = trained.weights.factors.astype(float)
    assert found.product == pytest.approx(vectors[ids[0]] @ vectors[ids[1]])
    monkeypatch.setattr("deepfm.explanation.meetings._BLOCK_ROWS", 64)
    assert pair_in_training(trained, ids, "site", "ad", dataset) == found
    monkeypatch.setattr("deepfm.explanation.meetings.MOST_ROWS", 640)
    fewer = pair_in_training(trained, ids, "site", "ad", dataset)
    assert 500 < fewer.looked_at <= 640 < fewer.of and (fewer.rows or 0) < (found.rows or 0)


def test_without_the_dataset_meetings_are_said_to_be_unknown(trained: TrainedModel) -> None:
    found = pair_in_training(trained, trained.impression_ids()[0], "site", "ad")
    assert (found.rows, found.clicks, found.click_rate, found.looked_at) == (None, None, None, 0)
    assert "dataset 'Clicks' is" in found.advice
    assert found.first.rows > 0 and found.first.click_rate is not None


def test_the_planted_pair_is_the_strongest_purified_pair(trained: TrainedModel) -> None:
    names = [field.name for field in trained.fields]
    strengths = pair_strengths(trained)
    first, second = np.unravel_index(np.argmax(strengths), strengths.shape)
    assert {names[first], names[second]} == {"site", "ad"}
    assert (strengths == strengths.T).all() and not np.diag(strengths).any()
    vectors = trained.weights.factors[trained.reference_ids].astype(float)
    centred = vectors - vectors.mean(axis=0)
    products = [centred[row, 0] @ centred[row, 1] for row in range(len(centred))]
    assert strengths[0, 1] == pytest.approx(np.std(products), rel=1e-5)


# --- Arithmetic ---------------------------------------------------------------------------------


@each_model
def test_the_arithmetic_adds_up_to_the_logit(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_small(tmp_path / "run", **changes)
    for seed in range(4):
        ids = one_impression(model, seed)
        steps, raw = arithmetic(model, ids), model.score(ids[None])
        assert steps.logit == pytest.approx(float(raw.logit[0]), abs=1e-4)
        assert steps.probability == pytest.approx(float(raw.probability[0]), abs=1e-5)
        assert (steps.linear is None) == ("linear" not in model.model.terms)
        assert (steps.pairwise is None) == ("pairwise" not in model.model.terms)
        assert (steps.deep is None) == ("deep" not in model.model.terms)
        if steps.linear:
            by_value = [steps.linear.scale * w for w in steps.linear.w.tolist()]
            assert sum(by_value) + steps.linear.bias == pytest.approx(float(raw.linear[0]))
            np.testing.assert_allclose(by_value, model.weights.linear_effects[ids])
        if steps.pairwise:
            pairs = itertools.combinations(steps.pairwise.v, 2)
            assert steps.pairwise.term == pytest.approx(sum(float(a @ b) for a, b in pairs))
            assert steps.pairwise.by_factor.sum() == pytest.approx(float(raw.pairwise[0]), abs=1e-5)


@pytest.mark.parametrize("name", ["DeepFM", "DeepFM, tanh", "DeepFM, one layer", "DNN, separate"])
def test_every_layer_follows_from_the_one_before(tmp_path: Path, name: str) -> None:
    model = open_small(tmp_path / "run", **ALL_MODELS[name])
    ids = one_impression(model)
    steps = arithmetic(model, ids)
    assert [len(layer.outputs) for layer in steps.layers] == [*model.model.mlp_dims, 1]
    np.testing.assert_allclose(steps.layers[0].inputs, model.weights.deep_table[ids].ravel())
    for layer, after in itertools.zip_longest(steps.layers, steps.layers[1:]):
        for unit in range(len(layer.bias)):
            total = layer.into(unit).sum() + layer.bias[unit]
            assert layer.sums[unit] == pytest.approx(total)
            passed = layer.sums[unit]
            if after is not None:
                passed = math.tanh(passed) if name == "DeepFM, tanh" else max(passed, 0.0)
            assert layer.outputs[unit] == pytest.approx(passed)
        if after is not None:
            np.testing.assert_array_equal(layer.outputs, after.inputs)
    by_field = steps.first_layer_by_field()
    assert by_field.shape == (len(ids), len(steps.layers[0].bias))
    np.testing.assert_allclose(
        by_field.sum(axis=0) + steps.layers[0].bias, steps.layers[0].sums, atol=1e-9
    )
    assert steps.deep == pytest.approx(float(model.deep(ids[None])[0]), abs=1e-5)


def test_arithmetic_of_another_models_impression_is_refused(model: TrainedModel) -> None:
    with pytest.raises(RunError, match="6 fields"):
        arithmetic(model, one_impression(model)[:-1])
