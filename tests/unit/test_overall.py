"""What a model's parts do over all impressions, checked by slower writings of the same."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest

from deepfm.config import TERM_SETS, ModelConfig
from deepfm.errors import RunError
from deepfm.evaluation.branches import judge_branches, judge_scores
from deepfm.explanation.overall import (
    deep_draws,
    deep_field_sizes,
    default_effects,
    embedding_map,
    exact_field_sizes,
    pair_strengths,
    pair_values,
)
from deepfm.explanation.overall.embeddings import principal_components
from deepfm.explanation.shapley import deep_by_field, linear_by_field, pairwise_by_field
from deepfm.intervals import NORMAL_95
from deepfm.trained import open_run, reference_from_ids
from tests.unit.run_folders import ALL_MODELS, RunSpec, write_run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_run(write_run(tmp_path_factory.mktemp("overall") / "run"))


@pytest.fixture(scope="module", params=list(ALL_MODELS))
def any_model(request, tmp_path_factory):
    spec = RunSpec(model=ModelConfig(**ALL_MODELS[request.param]), weight_scale=0.3)
    return open_run(write_run(tmp_path_factory.mktemp("any") / "run", spec))


# --- branches alone --------------------------------------------------------------------------


def slow_delong(labels, scores):
    """AUC and its 95 % interval from all pairs, one by one."""
    clicked, others = scores[labels == 1], scores[labels == 0]
    wins = np.array([[(c > o) + 0.5 * (c == o) for o in others] for c in clicked])
    variance = wins.mean(axis=1).var(ddof=1) / len(clicked)
    variance += wins.mean(axis=0).var(ddof=1) / len(others)
    half = NORMAL_95 * np.sqrt(variance)
    return wins.mean(), wins.mean() - half, wins.mean() + half


def test_each_branch_has_the_interval_of_all_pairs_one_by_one(any_model):
    scores, mean = any_model.scores(), any_model.reference.mean
    found = judge_branches(scores.labels, scores.terms, mean, any_model.model.terms)
    sums = {
        "linear": ("linear",),
        "pairwise": ("pairwise",),
        "fm": ("linear", "pairwise"),
        "deep": ("deep",),
        "all": any_model.model.terms,
    }
    there = {name for name, terms in sums.items() if set(terms) <= set(any_model.model.terms)}
    assert set(found) == there and list(found)[-1] == "all"
    for name in there:
        logit = float(mean.logit[0]) + sum(
            np.asarray(getattr(scores.terms, t), float) - getattr(mean, t)[0] for t in sums[name]
        )
        auc, low, high = slow_delong(scores.labels, logit)
        judged = found[name]
        assert (judged.auc, judged.auc_low, judged.auc_high) == pytest.approx(
            (auc, max(0, low), min(1, high)), abs=1e-6
        )
        p = 1 / (1 + np.exp(-logit))
        losses = -np.where(scores.labels == 1, np.log(p), np.log(1 - p))
        half = NORMAL_95 * losses.std(ddof=1) / np.sqrt(len(losses))
        assert judged.log_loss == pytest.approx(losses.mean(), abs=1e-6)
        assert judged.log_loss_high - judged.log_loss == pytest.approx(half, abs=1e-6)
        if name != "all":
            assert judged.behind.difference == pytest.approx(found["all"].auc - judged.auc)


def test_one_class_has_a_log_loss_and_no_auc():
    found = judge_scores(np.zeros(5), np.arange(5.0), np.arange(5.0))
    assert found.auc is None and found.auc_low is None and found.behind is None
    assert found.log_loss_low < found.log_loss < found.log_loss_high


# --- fields ----------------------------------------------------------------------------------


def test_linear_and_pairwise_sizes_are_those_of_row_by_row(any_model):
    ids = any_model.impression_ids()
    found = exact_field_sizes(any_model, ids)
    exact = {"linear": linear_by_field, "pairwise": pairwise_by_field}
    assert set(found.mean) == set(exact) & set(any_model.model.terms)
    for term in found.mean:
        rows = np.array(
            [np.abs(exact[term](any_model.weights, any_model.reference, row)) for row in ids]
        )
        assert found.mean[term] == pytest.approx(rows.mean(axis=0), abs=1e-9)
        error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
        assert found.error[term] == pytest.approx(error, abs=1e-9)


def test_deep_sizes_come_near_those_of_many_draws(model):
    """What the noise of few draws adds is a few percent; more rows do not take it away."""
    ids = model.impression_ids()
    found = deep_field_sizes(model, ids)
    draw = functools.partial(deep_by_field, model.weights, model.reference)
    many = np.abs([draw(row, 1_500, 9).values for row in ids]).mean(axis=0)
    assert found.rows["deep"] == len(ids) and found.draws == 50
    assert found.mean["deep"] == pytest.approx(many, rel=0.1, abs=0.05 * many.max())
    assert found.by_size[0] == int(found.mean["deep"].argmax())


def test_a_field_that_the_network_does_not_read_has_no_deep_size(model):
    layers = list(model.weights.layers)
    weight = layers[0].weight.copy()
    factors = model.model.num_factors
    weight[:, 2 * factors : 3 * factors] = 0
    layers[0] = dataclasses.replace(layers[0], weight=weight)
    deaf = dataclasses.replace(
        model, weights=dataclasses.replace(model.weights, layers=tuple(layers))
    )
    mean = deep_field_sizes(deaf, model.impression_ids()).mean["deep"]
    assert abs(mean[2]) < 1e-5 * mean.max()


def test_a_large_network_is_sampled_in_fewer_rows(tmp_path):
    small = open_run(write_run(tmp_path / "small"))
    model = ModelConfig(mlp_dims=(900, 900))
    wide = RunSpec(model=model, categorical=(3,) * 30, rows={"test": 5}, weight_scale=0.05)
    large = open_run(write_run(tmp_path / "large", wide))
    assert deep_draws(small, 10_000) == 300
    assert 60 <= deep_draws(large, 10_000) < 300
    assert deep_draws(small, 40) == 40


def test_progress_is_told_and_stops_what_it_raises_in(model):
    seen = []
    deep_field_sizes(model, model.impression_ids()[:7], on_row=lambda *told: seen.append(told))
    assert seen == [(n, 7) for n in range(8)]
    with pytest.raises(KeyboardInterrupt):
        default_effects(model, on_field=_interrupt)


def _interrupt(done, of):
    raise KeyboardInterrupt


# --- pairs -----------------------------------------------------------------------------------


def test_pair_strengths_are_the_spread_of_centred_products(model):
    found = pair_strengths(model)
    vectors = model.weights.factors[model.reference_ids].astype(float)
    vectors = vectors - vectors.mean(axis=0)
    ranked = []
    for i, j in itertools.combinations(range(len(model.fields)), 2):
        spread = np.std([row[i] @ row[j] for row in vectors])
        assert found.strength[i, j] == found.strength[j, i] == pytest.approx(spread, abs=1e-6)
        ranked.append((spread, i, j))
    ranked.sort(reverse=True)
    assert [(i, j) for i, j, _ in found.ranked] == [(i, j) for _, i, j in ranked]
    assert not found.strength.diagonal().any()


def test_a_constant_added_to_a_fields_embeddings_leaves_its_strengths(model):
    """What a constant adds is a matter of single fields, not of pairs."""
    factors = model.weights.factors.copy()
    factors[model.fields[0].indices] += 3.0
    moved = dataclasses.replace(model, weights=dataclasses.replace(model.weights, factors=factors))
    again = reference_from_ids(moved.weights, model.reference_ids, "the same")
    assert pair_strengths(moved, again).strength == pytest.approx(
        pair_strengths(model).strength, abs=1e-4
    )


def test_values_of_a_pair_are_products_of_centred_embeddings(model):
    found = pair_values(model, "word_0", "word_2")
    first, second = (model.vocabulary.field(name) for name in ("word_0", "word_2"))
    means = [
        model.weights.factors[model.reference_ids[:, model.fields.index(f)]].astype(float).mean(0)
        for f in (first, second)
    ]
    for a, one in enumerate(found.first.index):
        for b, other in enumerate(found.second.index):
            slow = (model.weights.factors[one] - means[0]) @ (
                model.weights.factors[other] - means[1]
            )
            assert found.logit[a, b] == pytest.approx(slow, abs=1e-6)
    strengths = [abs(each.logit) for each in found.strongest]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(np.abs(found.logit).max())
    assert found.looked_at == 0 and found.strongest[0].rows is None


# --- embeddings ------------------------------------------------------------------------------


def test_principal_components_are_those_of_the_weighted_covariance():
    rng = np.random.default_rng(0)
    vectors, weight = rng.normal(size=(40, 6)) * np.arange(1, 7), rng.random(40)
    weight /= weight.sum()
    centred = vectors - weight @ vectors
    covariance = sum(w * np.outer(v, v) for w, v in zip(weight, centred, strict=True))
    values, directions = np.linalg.eigh(covariance)
    position, explained = principal_components(centred, weight)
    assert explained == pytest.approx(values[::-1][:2] / values.sum())
    for number in range(2):
        slow = centred @ directions[:, -1 - number]
        assert np.abs(position[:, number]) == pytest.approx(np.abs(slow), abs=1e-9)
    assert (weight @ position**2) == pytest.approx(values[::-1][:2])


def test_a_map_has_every_value_with_its_counts_and_the_default_last(model):
    for field in model.fields:
        found = embedding_map(model, field.name)
        assert len(found.values) == found.of == field.size
        assert found.values[-1] == "rare or unseen"
        assert found.count.sum() == model.vocabulary.counts[field.indices].sum()
        assert 0 < found.explained.sum() <= 1 + 1e-9


@pytest.mark.parametrize("factors", [1, 2])
def test_short_embeddings_have_a_map_too(factors, tmp_path):
    spec = RunSpec(model=ModelConfig(num_factors=factors), categorical=(3, 1))
    found = embedding_map(open_run(write_run(tmp_path / "run", spec)), "word_0")
    assert found.explained.sum() == pytest.approx(1.0)
    assert factors == 2 or not found.position[:, 1].any()


def test_a_table_of_its_own_gives_another_map(tmp_path):
    spec = RunSpec(model=ModelConfig(shared_embedding=False))
    model = open_run(write_run(tmp_path / "run", spec))
    one, other = (embedding_map(model, "word_0", table) for table in ("fm", "deep"))
    assert not np.allclose(one.position, other.position)


def test_a_model_without_embeddings_says_so(tmp_path):
    spec = RunSpec(model=ModelConfig(terms=TERM_SETS["LR"]))
    with pytest.raises(RunError, match="no embeddings"):
        embedding_map(open_run(write_run(tmp_path / "run", spec)), "word_0")


# --- defaults --------------------------------------------------------------------------------


def test_a_default_does_what_scoring_every_reference_row_with_it_shows(any_model):
    for field, found in zip(any_model.fields, default_effects(any_model), strict=True):
        changes = []
        place = any_model.fields.index(field)
        for row in any_model.reference_ids:
            changed = row.copy()
            changed[place] = field.default
            before, after = any_model.score(row[None]), any_model.score(changed[None])
            changes.append([b[0] - a[0] for a, b in zip(before, after, strict=True)])
        mean = np.mean(changes, axis=0)
        assert [found.linear, found.pairwise, found.deep] == pytest.approx(mean, abs=1e-5)
        assert found.spread == pytest.approx(np.sum(changes, axis=1).std(), abs=1e-5)
        assert found.rows == any_model.vocabulary.counts[field.default]
        assert found.trained == (found.rows > 0)
