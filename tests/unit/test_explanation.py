"""Contributions against brute-force enumeration, and the laws that every explanation keeps."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from deepfm.config import ModelConfig
from deepfm.data.vocabulary import MISSING, RARE
from deepfm.errors import ConfigError, RunError, SchemaError
from deepfm.explanation import (
    Change,
    Explanation,
    best_change,
    branches_disagree,
    describe,
    describe_network,
    explain,
    smallest_flip,
    strongest,
    what_if,
)
from deepfm.explanation.shapley import deep_by_field, random_draws
from deepfm.trained import TrainedModel, Weights, open_run, reference_from_ids
from deepfm.trained.choices import common_from
from tests.unit.run_folders import ALL_MODELS, RunSpec, write_run
from tests.unit.small_models import Values, brute_force, by_field, one_impression, open_small

each_model = pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return open_small(tmp_path / "run")


def flat(spans: list[Any]) -> str:
    return "".join(span.text for span in spans)


# --- Shapley values -----------------------------------------------------------------------------


@each_model
def test_linear_and_pairwise_are_the_enumerated_shapley_values(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = open_small(tmp_path / "run", **changes)
    for seed in range(4):
        ids = one_impression(model, seed)
        why = explain(model, model.decode(ids))
        for name, found in (("linear", why.linear_by_field), ("pairwise", why.pairwise_by_field)):
            expected = brute_force(
                lambda rows, name=name: getattr(model.score(rows), name), ids, model.reference_ids
            )
            np.testing.assert_allclose(by_field(found), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["DeepFM", "DNN", "DeepFM, tanh", "DeepFM, separate"])
def test_deep_is_the_enumerated_shapley_values_within_its_error(tmp_path: Path, name: str) -> None:
    model = open_small(tmp_path / "run", **ALL_MODELS[name])
    for seed in range(3):
        ids = one_impression(model, seed)
        why = explain(model, model.decode(ids), permutations=600, seed=seed)
        expected = brute_force(model.deep, ids, model.reference_ids)
        error = by_field(why.deep_standard_error)
        assert (np.abs(by_field(why.deep_by_field) - expected) < 3.5 * error + 1e-6).all()
        assert error.max() < 0.2 * np.abs(expected).max()


def test_the_standard_error_is_the_spread_over_seeds(model: TrainedModel) -> None:
    ids = one_impression(model)
    draws = [deep_by_field(model.weights, model.reference, ids, 60, seed) for seed in range(150)]
    spread = np.std([draw.values for draw in draws], axis=0)
    claimed = np.mean([draw.standard_error for draw in draws], axis=0)
    np.testing.assert_allclose(claimed, spread, rtol=0.25)


@pytest.mark.parametrize("permutations", [1, 2, 3, 4, 50])
def test_fields_add_up_to_the_deep_difference_for_any_number_of_draws(
    model: TrainedModel, permutations: int
) -> None:
    for seed in range(5):
        why = explain(model, row=seed, permutations=permutations, seed=seed)
        assert by_field(why.deep_by_field).sum() == pytest.approx(why.deep, abs=1e-12)
        assert (why.deep_standard_error is None) == (permutations < 3)


def test_one_reference_row_leaves_nothing_to_correct(model: TrainedModel) -> None:
    alone = reference_from_ids(model.weights, model.reference_ids[:1], "one row")
    why = explain(model, row=0, permutations=10, reference=alone)
    assert by_field(why.deep_by_field).sum() == pytest.approx(why.deep, abs=1e-12)
    assert np.isfinite(by_field(why.deep_standard_error)).all()
    assert (why.reference, why.reference_rows) == ("one row", 1)


def slow_deep_by_field(
    model: TrainedModel, ids: NDArray[np.int32], draws: int, seed: int
) -> Values:
    """The same draws, walked one field at a time with the whole network scored each time."""
    reference, fields = model.reference, len(ids)
    rows, orders = random_draws(len(reference.ids), fields, 0, draws, seed)
    contributions = np.zeros((draws, fields))
    for draw in range(draws):
        for order in (orders[draw], orders[draw][::-1]):
            mixed = reference.ids[rows[draw]].copy()
            before = model.deep(mixed[None])[0]
            for field in order:
                mixed[field] = ids[field]
                after = model.deep(mixed[None])[0]
                contributions[draw, field] += (after - before) / 2
                before = after
    drawn = np.array([model.deep(reference.ids[row][None])[0] for row in rows])
    beta = [-np.cov(contributions[:, i], drawn)[0, 1] / drawn.var(ddof=1) for i in range(fields)]
    assert sum(beta) == pytest.approx(1)
    return contributions.mean(axis=0) + np.array(beta) * (drawn.mean() - reference.deep.mean())


@pytest.mark.parametrize("name", ["DeepFM", "DeepFM, tanh", "DeepFM, one layer"])
def test_the_quick_walk_is_the_slow_walk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_small(tmp_path / "run", **ALL_MODELS[name])
    ids = one_impression(model)
    expected = slow_deep_by_field(model, ids, draws=12, seed=5)
    for numbers in (2**21, 100):
        monkeypatch.setattr("deepfm.explanation.shapley.WALK_NUMBERS", numbers)
        quick = deep_by_field(model.weights, model.reference, ids, 12, 5)
        np.testing.assert_allclose(quick.values, expected, atol=1e-4)


def test_the_same_seed_gives_the_same_answer(model: TrainedModel) -> None:
    first, again, other = (
        explain(model, row=2, permutations=20, seed=seed).deep_by_field for seed in (1, 1, 2)
    )
    assert first == again != other


# --- Laws of an explanation ---------------------------------------------------------------------


@each_model
def test_parts_add_up_to_the_logit_for_every_row(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(model=ModelConfig(**changes))))
    stored = model.scores()
    for row in range(len(stored)):
        why = explain(model, row=row)
        assert why.base + why.linear + why.pairwise + why.deep == pytest.approx(why.logit, abs=1e-9)
        assert why.logit == pytest.approx(stored.terms.logit[row], abs=1e-4)
        assert why.probability == pytest.approx(1 / (1 + math.exp(-why.logit)))
        assert sum(why.linear_by_field.values()) == pytest.approx(why.linear, abs=1e-9)
        assert sum(why.pairwise_by_field.values()) == pytest.approx(why.pairwise, abs=1e-9)
        assert sum(why.pairs.values()) == pytest.approx(why.pairwise, abs=1e-9)


@each_model
def test_terms_are_centred_on_the_reference(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_small(tmp_path / "run", **changes)
    why = [explain(model, model.decode(ids)) for ids in model.reference_ids]
    for term in ("linear", "pairwise", "deep"):
        assert np.mean([getattr(each, term) for each in why]) == pytest.approx(0, abs=1e-5)
    logit = model.score(model.reference_ids).logit
    assert why[0].base == pytest.approx(logit.mean(), abs=1e-5)
    assert why[0].typical == pytest.approx(1 / (1 + math.exp(-logit.mean())), abs=1e-6)


def test_a_pair_is_its_product_minus_the_mean(model: TrainedModel) -> None:
    why = explain(model, row=3)
    vectors = model.weights.factors.astype(float)
    names = [field.name for field in model.fields]
    assert list(why.pairs) == list(itertools.combinations(names, 2))
    for (first, second), value in why.pairs.items():
        i, j = names.index(first), names.index(second)
        product = vectors[why.ids[i]] @ vectors[why.ids[j]]
        mean = np.mean([vectors[row[i]] @ vectors[row[j]] for row in model.reference_ids])
        assert value == pytest.approx(product - mean, abs=1e-6)


def test_a_constant_moved_between_branches_changes_no_contribution(
    model: TrainedModel, tmp_path: Path
) -> None:
    tensors = load_file(model.folder / "model.safetensors")
    tensors["linear.bias"] = tensors["linear.bias"] + np.float32(3)
    tensors["mlp.2.bias"] = tensors["mlp.2.bias"] - np.float32(3)
    save_file(tensors, model.folder / "model.safetensors")
    moved = open_run(model.folder)
    for row in range(10):
        first = explain(model, row=row, permutations=20)
        again = explain(moved, row=row, permutations=20)
        for name in ("base", "linear", "pairwise", "deep", "logit"):
            assert getattr(again, name) == pytest.approx(getattr(first, name), abs=1e-5)
        for name in ("linear_by_field", "pairs", "deep_by_field", "deep_standard_error"):
            assert getattr(again, name) == pytest.approx(getattr(first, name), abs=1e-5)


def test_a_constant_moved_between_values_of_fields_changes_no_contribution(
    model: TrainedModel,
) -> None:
    tensors = load_file(model.folder / "model.safetensors")
    table, first, second = tensors["linear.table"].copy(), *model.fields[:2]
    table[first.indices] += 2
    table[second.indices] -= 2
    save_file(tensors | {"linear.table": table}, model.folder / "model.safetensors")
    moved = explain(open_run(model.folder), row=0).linear_by_field
    assert moved == pytest.approx(explain(model, row=0).linear_by_field, abs=1e-5)


@each_model
def test_a_model_without_a_term_has_nothing_in_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_small(tmp_path / "run", **changes)
    why = explain(model, row=0, permutations=5)
    if "linear" not in why.terms:
        assert why.linear == 0 and not any(why.linear_by_field.values())
    if "pairwise" not in why.terms:
        assert why.pairwise == 0 and why.pairs == {} and not any(why.pairwise_by_field.values())
    if "deep" not in why.terms:
        assert why.deep == 0
        assert not any(by_field(why.deep_by_field)) and not any(by_field(why.deep_standard_error))


def test_a_row_and_its_values_give_the_same_explanation(model: TrainedModel) -> None:
    kept = model.impression("validation", 4)
    by_row = explain(model, part="validation", row=4)
    by_value = explain(model, kept.fields)
    assert (by_row.part, by_row.row, by_row.label) == ("validation", 4, kept.label)
    assert (by_value.part, by_value.row, by_value.label) == (None, None, None)
    for name in ("logit", "values", "seen_as", "pairs", "linear_by_field"):
        assert getattr(by_row, name) == getattr(by_value, name)


def test_an_unseen_value_is_explained_and_said_to_be_so(model: TrainedModel) -> None:
    why = explain(model, {**model.impression(row=0).fields, "word_0": "<b>new</b>", "price": 2})
    assert why.values["word_0"] == "<b>new</b>"
    assert why.seen_as["word_0"] == RARE
    assert (why.values["price"], why.seen_as["price"]) == ("2", "1 to 2.5")


def test_mistakes_are_named(model: TrainedModel) -> None:
    fields = model.impression(row=0).fields
    with pytest.raises(SchemaError, match="'colour'"):
        explain(model, {**fields, "colour": "red"})
    with pytest.raises(SchemaError, match="'word_2'"):
        explain(model, {name: value for name, value in fields.items() if name != "word_2"})
    with pytest.raises(RunError, match="no row 60"):
        explain(model, row=60)
    for arguments in ({}, {"impression": fields, "row": 1}, {"impression": fields, "part": "test"}):
        with pytest.raises(ConfigError, match="either an impression by value, or a row"):
            explain(model, **arguments)
    for permutations in (-1, 10**9):
        with pytest.raises(ConfigError, match="Permutations"):
            explain(model, row=0, permutations=permutations)


def test_an_explanation_goes_into_json(model: TrainedModel) -> None:
    why = explain(model, row=1, permutations=5)
    there = json.loads(json.dumps(why.to_dict(), allow_nan=False))
    assert {"logit", "probability", "base", "linear", "pairwise", "deep", "seconds"} <= set(there)
    assert there["pairwise"]["word_0 × price"] == why.pairs["word_0", "price"]
    total = sum(there["linear"].values()) + sum(there["pairwise"].values()) + there["deep"]
    assert there["base"] + total == pytest.approx(there["logit"])
    assert there["deep_by_field"].keys() == there["deep_standard_error"].keys()


# --- What if ------------------------------------------------------------------------------------


@each_model
def test_what_if_is_the_score_of_each_changed_impression(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = open_small(tmp_path / "run", **changes)
    ids = one_impression(model)
    for position, field in enumerate(model.fields):
        answer = what_if(model, ids, field.name)
        changed = np.tile(ids, (len(answer.values), 1))
        changed[:, position] = answer.values.index
        np.testing.assert_allclose(
            list(answer.terms), list(model.score(changed)), atol=1e-5, rtol=1e-5
        )
        assert answer.values.index[answer.current] == ids[position]
        assert answer.values.value[-1] == RARE


def slow_best_change(
    model: TrainedModel, ids: NDArray[np.int32], least: int = 20
) -> tuple[float, Values]:
    """Every choosable value of every field that is seen so often, one score at a time."""
    own = model.score(ids[None]).logit[0]
    best, best_ids = own, ids
    for position, field in enumerate(model.fields):
        values = model.vocabulary.values(field.name)
        counted = list(zip(values.value, values.index, values.count, strict=True))
        choosable = [(i, n) for name, i, n in counted if name not in (RARE, MISSING)]
        often = [i for i, n in choosable if n >= 20] or [i for i, _ in choosable]
        often = [i for i, n in choosable if i in often and (least == 20 or n >= least)]
        for index in values.index:
            changed = ids.copy()
            changed[position] = index
            logit = model.score(changed[None]).logit[0]
            better = logit < best if own >= 0 else logit > best
            if index in often and better:
                best, best_ids = logit, changed
    return best, best_ids


@each_model
def test_the_best_change_is_best(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_small(tmp_path / "run", **changes)
    for seed in range(8):
        ids = one_impression(model, seed)
        own = model.score(ids[None]).logit[0]
        logit, changed = slow_best_change(model, ids, least=50)
        rarer, rarer_changed = slow_best_change(model, ids)
        rare = logit == own or (logit >= 0) == (own >= 0) != (rarer >= 0)
        logit, changed = (rarer, rarer_changed) if rare else (logit, changed)
        change = best_change(model, ids)
        assert change is not None
        assert change.rare == rare == (change.count < 50)
        assert change.logit == pytest.approx(logit, abs=1e-5)
        assert change.ids.tolist() == changed.tolist()
        assert change.flips == ((model.score(ids[None]).logit[0] >= 0) != (logit >= 0))
        names = model.decode(ids)
        assert change.before == names[change.field]
        values = model.vocabulary.values(change.field)
        assert change.count == values.count[values.value.index(change.after)]
        assert 0 <= change.clicks <= change.count
        assert model.decode(change.ids) == {**names, change.field: change.after}
        assert best_change(model, names) == change


def test_a_rare_value_is_named_only_where_no_common_one_turns_it(model: TrainedModel) -> None:
    counts = model.vocabulary.counts
    counts[:] = 60
    several = (one_impression(model, seed) for seed in range(20))
    ids = next(ids for ids in several if smallest_flip(model, ids, most=9).found > 1)
    usual = best_change(model, ids)
    assert usual is not None and usual.flips and not usual.rare
    counts[usual.ids[usual.ids != ids]] = 49
    other = best_change(model, ids)
    assert other is not None and not other.rare and other.ids.tolist() != usual.ids.tolist()
    counts[:] = 49
    rare = best_change(model, ids)
    assert rare is not None and rare.rare and rare.ids.tolist() == usual.ids.tolist()


def test_common_is_a_thousandth_of_many_rows(model: TrainedModel) -> None:
    first = model.vocabulary.fields[0]
    model.vocabulary.counts[:] = 0
    for rows, least in ((0, 50), (49_999, 50), (50_001, 51), (1_000_000, 1_000)):
        model.vocabulary.counts[first.default] = rows
        assert common_from(model.vocabulary) == least


def test_no_change_is_offered_where_none_helps(model: TrainedModel) -> None:
    ids = one_impression(model)
    for _ in range(50):
        change = best_change(model, ids)
        if change is None or change.flips:
            break
        ids = change.ids
    tensors = load_file(model.folder / "model.safetensors")
    tensors = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    save_file(tensors, model.folder / "model.safetensors")
    assert best_change(open_run(model.folder), ids) is None


def test_the_best_change_of_many_fields_sends_each_through_the_network_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(categorical=(300,) * 39, numeric=False, rows={"test": 5})
    model = open_run(write_run(tmp_path / "run", spec))
    scored: list[int] = []
    whole = Weights.deep_after_first_layer

    def counted(weights: Weights, sums: NDArray[np.float32]) -> Values:
        scored.append(len(sums))
        return whole(weights, sums)

    monkeypatch.setattr(Weights, "deep_after_first_layer", counted)
    best_change(model, one_impression(model))
    assert sum(scored) == sum(map(len, model.choosable)) <= 39 * 200


def test_only_the_commonest_values_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepfm.trained.choices.COMMONEST", 3)
    spec = RunSpec(categorical=(40, 30), numeric=False)
    model = open_run(write_run(tmp_path / "run", spec))
    for seed in range(10):
        change = best_change(model, one_impression(model, seed))
        if change is not None:
            values = model.vocabulary.values(change.field)
            counts = sorted(values.count[:-1], reverse=True)
            assert values.count[values.value.index(change.after)] >= counts[2]


def test_ids_of_another_model_are_refused(model: TrainedModel) -> None:
    ids = one_impression(model)
    for wrong in (ids[:-1], ids[::-1].copy(), ids[None], ids - 100):
        with pytest.raises(RunError, match="6 fields"):
            what_if(model, wrong, "word_0")
        with pytest.raises(RunError, match="6 fields"):
            best_change(model, wrong)
    with pytest.raises(SchemaError, match="'colour'"):
        what_if(model, ids, "colour")


# --- Words --------------------------------------------------------------------------------------


def written(**changes: Any) -> Explanation:
    """The explanation of PAGES' example, or a variation of it."""
    seen_as = {
        "ad": "kitchenware",
        "site": "recipes",
        "device": "laptop",
        "hour": "8",
        "user": RARE,
    }
    values = {
        "values": seen_as,
        "seen_as": seen_as,
        "ids": np.arange(5, dtype=np.int32),
        "part": None,
        "row": None,
        "label": None,
        "truth": None,
        "terms": ("linear", "pairwise", "deep"),
        "base": -1.5,
        "typical": 0.18,
        "linear": 0.5,
        "pairwise": 2.4,
        "deep": -2.2,
        "logit": -0.8,
        "probability": 0.31,
        "linear_by_field": {"ad": 0.3, "site": 0.1, "device": -0.1, "hour": 0.2, "user": 0.0},
        "pairwise_by_field": {},
        "pairs": {("ad", "site"): 2.5, ("hour", "user"): -0.1},
        "deep_by_field": None,
        "deep_standard_error": None,
        "reference": "1,000 training rows",
        "reference_rows": 1_000,
        "seconds": 0.0,
    }
    return Explanation(**{**values, **changes})


PHONE = Change(
    "device", "laptop", "phone", 9_120, 2_280, np.arange(5, dtype=np.int32), 3.2, 0.96, True
)


def test_the_sentence_reads_as_the_pages_say() -> None:
    assert flat(describe(written(), PHONE)) == (
        "Chance of a click: 31.0 %, against 18.0 % for a typical impression. Single values (+0.50) "
        "and pairs (+2.40, mostly kitchenware × recipes) raise it; the network lowers it (−2.20). "
        "With phone instead of laptop (seen 9,120 times, 25.0 % clicked): 96.0 %."
    )


def test_a_rare_value_is_said_to_be_one() -> None:
    rare = dataclasses.replace(PHONE, after="u0024", count=28, clicks=7, rare=True)
    assert flat(describe(written(), rare)).endswith(
        "With device u0024 instead of laptop (a rare value, seen 28 times, 25.0 % clicked; no "
        "common one turns the decision): 96.0 %."
    )
    assert "; no common one moves it that way): " in flat(
        describe(written(), dataclasses.replace(rare, flips=False))
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"pairwise": -3.0, "deep": 0.02, "pairs": {("hour", "user"): -1.6, ("ad", "hour"): -1}},
            "Pairs lower it (−3.00, mostly hour 8 × user rare or unseen); "
            "single values raise it (+0.50).",
        ),
        (
            {"pairs": {("ad", "site"): 1.1, ("ad", "hour"): 1.3}, "deep": 1.0},
            "Single values (+0.50), pairs (+2.40, mostly kitchenware × hour 8) "
            "and the network (+1.00) raise it.",
        ),
        (
            {"pairs": {("ad", "site"): 0.6, ("ad", "hour"): 0.6}, "linear": 0.0, "deep": 0.0},
            "Pairs raise it (+2.40, led by kitchenware × recipes).",
        ),
        (
            {"linear": 0.01, "pairwise": 0.0, "deep": -0.04},
            "No part of the model moves it far from there.",
        ),
        (
            {"terms": ("deep",), "linear": 0.0, "pairwise": 0.0},
            "The network lowers it (−2.20).",
        ),
        (
            {
                "linear": 0.0,
                "pairwise": 0.0,
                "deep_by_field": {"ad": 0.1, "site": 0.0, "device": -2.0, "hour": -0.3, "user": 0},
                "deep_standard_error": dict.fromkeys(("ad", "site", "device", "hour", "user"), 0.1),
            },
            "The network lowers it (−2.20, mostly laptop).",
        ),
    ],
)
def test_the_sentence_fits_the_model_and_the_numbers(
    changes: dict[str, Any], expected: str
) -> None:
    sentence = flat(describe(written(**changes)))
    start = "Chance of a click: "
    assert sentence == f"{start}31.0 %, against 18.0 % for a typical impression. {expected}"


FIELDS = ("ad", "site", "device", "hour", "user")


@pytest.mark.parametrize(
    ("deep", "error", "expected"),
    [
        (
            (0.1, -0.04, -2.0, -0.3, 0.0),
            0.01,
            "Of the network's part most is laptop (−2.00), hour 8 (−0.30) and kitchenware (+0.10).",
        ),
        (
            (0.1, 0.0, -2.0, -0.3, 0.0),
            0.1,
            "Of the network's part most is laptop (−2.00) and hour 8 (−0.30).",
        ),
        ((0.04, 0.0, 0.0, -0.03, 0.0), 0.001, ""),
        ((1.0, 0.0, 0.0, 0.0, 0.0), 0.6, ""),
    ],
)
def test_the_networks_fields_are_named_where_they_count_beyond_two_standard_errors(
    deep: tuple[float, ...], error: float, expected: str
) -> None:
    known = written(
        deep_by_field=dict(zip(FIELDS, deep, strict=True)),
        deep_standard_error=dict.fromkeys(FIELDS, error),
    )
    assert flat(describe_network(known)) == expected
    assert describe_network(written()) == []


def test_values_are_plain_text_in_spans_of_their_own() -> None:
    nasty = "<b>*x*</b>" + "y" * 80
    seen_as = {"ad": nasty, "site": "", "device": "laptop", "hour": "8", "user": RARE}
    spans = describe(written(seen_as=seen_as))
    named = [span.text for span in spans if span.emphasis == "value"]
    assert len(named) == 1
    assert named[0].startswith("<b>*x*</b>yyy") and named[0].endswith("… × site empty")
    assert len(named[0]) < 80
    assert [span.text for span in spans if span.emphasis == "strong"] == ["31.0 %"]
    assert {s.text for s in spans if s.emphasis in ("linear", "pairwise", "deep")} == {
        "+0.50",
        "+2.40",
        "−2.20",
    }


def test_a_training_row_is_said_to_be_one() -> None:
    assert flat(describe(written(part="train", row=3))).endswith("trained on this very row.")


def test_the_strongest_contributor_points_as_its_term_does() -> None:
    pair = strongest(written(), "pairwise")
    assert pair is not None
    assert (pair.fields, pair.value, pair.share) == (("ad", "site"), 2.5, pytest.approx(2.5 / 2.4))
    down = strongest(written(pairwise=-1.0), "pairwise")
    assert down is not None and down.fields == ("hour", "user")
    single = strongest(written(), "linear")
    assert single is not None and single.fields == ("ad",)
    assert strongest(written(), "deep") is None
    assert strongest(written(linear=0.0), "linear") is None
    assert strongest(written(pairs={("ad", "site"): -1.0}), "pairwise") is None


def test_branches_disagree_only_where_both_are_far_and_opposed() -> None:
    assert branches_disagree(written())
    assert not branches_disagree(written(deep=2.2))
    assert not branches_disagree(written(deep=-0.4))
    assert not branches_disagree(written(linear=-2.1))


@each_model
def test_every_model_has_a_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_small(tmp_path / "run", **changes)
    for row in range(10):
        why = explain(model, row=row, permutations=10)
        sentence = flat(describe(why, best_change(model, why.ids)))
        assert sentence.endswith(".") and "  " not in sentence
