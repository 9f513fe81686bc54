"""Beyond pairs: shares against exact enumeration, what is planted, and what is kept of it."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from deepfm import cli
from deepfm.charts.beyond import beyond_figure
from deepfm.config import TERM_SETS, ModelConfig, PrepareConfig, Settings, TrainConfig
from deepfm.data.dataset import prepare
from deepfm.data.synthetic import planted_logit, planted_rule, true_probability
from deepfm.errors import Cancelled, RunError
from deepfm.events import Event, Progress
from deepfm.explanation import beyond
from deepfm.explanation.beyond import (
    FIGURES,
    FIT,
    Beyond,
    beyond_of_one,
    find_beyond,
    measure_beyond,
    save_beyond,
)
from deepfm.explanation.beyond.marginals import fold, marginals_of
from deepfm.explanation.beyond.measures import division_of
from deepfm.explanation.beyond.pair_model import pairs_of, purified, sum_of
from deepfm.trained import TrainedModel, open_run
from deepfm.training.loop import train
from tests.unit.run_folders import ALL_MODELS, RunSpec, random_ids, write_run
from tests.unit.tabled_networks import (
    centred,
    exact_parts,
    exact_variances,
    shares_of,
    uneven_rows,
    write_tabled,
)

Values = NDArray[np.float64]

SIZES = (4, 4, 4, 4, 4)
NORMAL = np.random.default_rng(0).standard_normal


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A random network over 5 fields of 4 values, its reference uneven."""
    folder = tmp_path_factory.mktemp("five") / "run"
    spec = RunSpec(
        model=ModelConfig(num_factors=3, mlp_dims=(12, 6)),
        categorical=(3, 3, 3, 3, 3),
        numeric=False,
        weight_scale=0.7,
    )
    write_run(folder, spec)
    np.save(folder / "reference.npy", uneven_rows(SIZES, 300, 1))
    return open_run(folder)


@pytest.fixture(scope="module")
def found(five: TrainedModel) -> Beyond:
    return measure_beyond(five)


@pytest.fixture(scope="module")
def pairs_alone(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A network of single effects and four pairs, exactly."""
    tables: dict[tuple[int, ...], Values] = {(field,): NORMAL(4) for field in range(5)}
    tables |= {pair: NORMAL((4, 4)) for pair in ((0, 1), (1, 2), (2, 4), (0, 3))}
    return write_tabled(tmp_path_factory.mktemp("pairs") / "run", SIZES, tables)


# --- the shares -----------------------------------------------------------------------------


def test_shares_agree_with_exact_enumeration_at_5_fields_of_4_values(
    five: TrainedModel, found: Beyond
) -> None:
    variances = exact_variances(five)
    total = sum(variances.values())
    assert found.deep.variance == pytest.approx(total, rel=0.03)
    exact = [variances[1] / total, variances[2] / total]
    exact.append(1 - sum(exact))
    for share, value in zip(
        (found.deep.singles, found.deep.pairs, found.deep.beyond), exact, strict=True
    ):
        assert abs(share.value - value) < 3 * share.standard_error + 0.005
    # What the fit finds is never more than there is.
    assert found.deep.beyond.value > exact[2] - 3 * found.deep.beyond.standard_error
    assert 0.02 < exact[2] < 0.98


def test_single_and_pair_effects_agree_with_exact_enumeration(
    five: TrainedModel, found: Beyond
) -> None:
    parts = exact_parts(five)
    scale = np.sqrt(found.deep.variance)
    places = list(found.marginals.fields())
    for field, span in enumerate(places):
        np.testing.assert_allclose(
            found.model.single[span], parts[(field,)].ravel(), atol=0.05 * scale
        )
    for first, second in itertools.combinations(range(5), 2):
        fitted = found.model.factors[places[first]] @ found.model.factors[places[second]].T
        exact = parts[(first, second)].reshape(4, 4)
        np.testing.assert_allclose(fitted, exact, atol=0.1 * scale)


def test_pair_strengths_agree_with_exact_enumeration(five: TrainedModel, found: Beyond) -> None:
    shares, parts = shares_of(five), exact_parts(five)
    for pair in found.pairs():
        fields = (found.fields.index(pair.first), found.fields.index(pair.second))
        table = parts[fields].reshape(4, 4)
        weights = np.outer(shares[fields[0]], shares[fields[1]])
        spread = np.sqrt(np.average(table**2, weights=weights))
        assert pair.spread == pytest.approx(spread, abs=0.03 * np.sqrt(found.deep.variance))


def test_the_three_shares_add_up_to_one(found: Beyond) -> None:
    for division in (found.deep, found.score):
        shares = (division.singles, division.pairs, division.beyond)
        assert sum(share.value for share in shares) == pytest.approx(1.0, abs=1e-9)
        assert all(0 < share.standard_error < 0.02 for share in shares)
    assert sum(found.terms.values()) == pytest.approx(1.0)


def test_a_network_of_single_fields_and_pairs_adds_almost_nothing(
    pairs_alone: TrainedModel,
) -> None:
    found = measure_beyond(pairs_alone)
    assert 0 <= found.deep.beyond.value <= 0.05
    variances = exact_variances(pairs_alone)
    share = variances[1] / (variances[1] + variances[2])
    assert found.deep.singles.value == pytest.approx(share, abs=0.02)


def test_a_parity_of_three_fields_is_beyond_pairs(tmp_path: Path) -> None:
    signs = np.array([-1.0, 1.0])
    parity = np.einsum("i,j,k->ijk", signs, signs, signs)
    model = write_tabled(tmp_path / "run", (2, 2, 2, 3, 3), {(0, 1, 2): parity, (3,): NORMAL(3)})
    found = measure_beyond(model)
    variances = exact_variances(model)
    exact = variances[3] / sum(variances.values())
    assert exact > 0.5 and found.deep.beyond.value >= 0.5
    assert found.deep.beyond.value == pytest.approx(exact, abs=0.03)
    taking = sorted(found.taking_part, key=lambda name: -found.taking_part[name].value)
    assert set(taking[:3]) == {"word_0", "word_1", "word_2"}
    assert found.taking_part["word_3"].value < 0.02


def test_a_centred_third_order_effect_is_beyond_pairs_and_below_the_weakest_planted_pair(
    tmp_path: Path,
) -> None:
    planted = ((0, 1), (2, 3), (3, 4))
    tables: dict[tuple[int, ...], Values] = {pair: NORMAL((4, 4)) for pair in planted}
    shares = shares_of(write_tabled(tmp_path / "pairs", SIZES, tables))
    three = centred(NORMAL((4, 4, 4)), [shares[field] for field in (0, 2, 4)])
    weights = np.einsum("i,j,k->ijk", *(shares[field] for field in (0, 2, 4)))
    three /= np.sqrt(np.average(three**2, weights=weights))
    model = write_tabled(tmp_path / "run", SIZES, {**tables, (0, 2, 4): three})
    found = measure_beyond(model)
    variance = sum(exact_variances(model).values())
    assert found.deep.beyond.value * found.deep.variance == pytest.approx(1.0, abs=0.05)
    assert found.deep.beyond.value == pytest.approx(1 / variance, abs=0.02)
    strongest = [(int(p.first[-1]), int(p.second[-1])) for p in found.pairs()]
    assert set(strongest[:3]) == set(planted)
    weakest, next_one = found.pairs()[2].spread, found.pairs()[3].spread
    assert next_one < 0.25 * weakest


def test_the_fit_of_the_score_knows_the_fm_branch_exactly(tmp_path: Path) -> None:
    tables: dict[tuple[int, ...], Values] = {(0, 1): NORMAL((4, 4)), (2,): NORMAL(4)}
    model = write_tabled(tmp_path / "run", SIZES, tables, terms=TERM_SETS["DeepFM"])
    found = measure_beyond(model)
    assert found.score.beyond.value < 0.001
    left_over = found.deep.beyond.value * found.deep.variance
    assert found.score.beyond.value * found.score.variance == pytest.approx(left_over)


def test_the_standard_error_is_the_spread_of_repeated_draws(found: Beyond) -> None:
    rng = np.random.default_rng(3)
    shares, errors = [], []
    places = found.marginals.independent(rng, 200_000)
    singles = found.model.singles(places)
    fitted = singles + found.model.pairs(places)
    # A heavy-tailed rest, so that the delta method has something to get wrong.
    values = fitted + rng.standard_t(6, len(fitted)) * fitted.std()
    for block in np.array_split(np.arange(len(values)), 200):
        division = division_of(values[block], singles[block], fitted[block])
        parts = (division.singles, division.pairs, division.beyond)
        shares.append([part.value for part in parts])
        errors.append([part.standard_error for part in parts])
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(shares, axis=0), rtol=0.15)


def test_the_same_seed_gives_the_same_figures(five: TrainedModel, found: Beyond) -> None:
    again = measure_beyond(five)
    assert again.deep == found.deep and again.taking_part == found.taking_part
    other = measure_beyond(five, seed=5)
    difference = abs(other.deep.beyond.value - found.deep.beyond.value)
    assert 0 < difference < 0.02


def test_shares_of_the_reference_rows_are_of_just_these_rows(
    five: TrainedModel, found: Beyond
) -> None:
    deep = five.deep(five.reference_ids)
    fitted = [
        deep_of.deep - deep_of.beyond
        for deep_of in (beyond_of_one(five, found, ids) for ids in five.reference_ids)
    ]
    share = np.mean((deep - fitted) ** 2) / deep.var()
    assert found.on_reference.value == pytest.approx(share, rel=1e-3)
    assert found.reference_rows == 300


# --- the pieces -----------------------------------------------------------------------------


def test_a_purified_model_is_the_same_function_and_its_parts_have_mean_zero(
    five: TrainedModel,
) -> None:
    marginals = marginals_of(five.reference_ids)
    rng = np.random.default_rng(1)
    linear = rng.standard_normal(len(marginals.features))
    factors = rng.standard_normal((len(linear), 3)).astype(np.float32)
    model = purified(marginals, 0.7, linear, factors)
    places = marginals.independent(rng, 500)
    expected = 0.7 + sum_of(linear, places) + pairs_of(factors, places)
    np.testing.assert_allclose(model.singles(places) + model.pairs(places), expected, atol=1e-4)
    np.testing.assert_allclose(marginals.field_means(model.single), 0, atol=1e-6)
    np.testing.assert_allclose(marginals.field_means(model.factors), 0, atol=1e-6)


def test_the_folded_network_is_the_network(five: TrainedModel) -> None:
    marginals = marginals_of(five.reference_ids)
    np.testing.assert_allclose(
        fold(five.weights, marginals)(marginals.rows), five.deep(five.reference_ids), atol=1e-5
    )


def test_balanced_draws_have_every_reference_value_equally_often(five: TrainedModel) -> None:
    marginals = marginals_of(five.reference_ids)
    draws = marginals.balanced(np.random.default_rng(0), 1_000)
    assert draws.shape == (5, 1_200)
    for row, reference in zip(draws, marginals.rows, strict=True):
        np.testing.assert_array_equal(np.bincount(row), 4 * np.bincount(reference))
    together = np.corrcoef(draws)
    assert np.abs(together - np.eye(5)).max() < 0.15


# --- one impression -------------------------------------------------------------------------


def test_the_parts_of_one_impression_add_up_to_its_deep_branch(
    five: TrainedModel, found: Beyond
) -> None:
    for ids in random_ids(five.vocabulary, 20, 4):
        one = beyond_of_one(five, found, ids)
        total = one.mean + sum(one.singles.values()) + sum(one.pairs.values()) + one.beyond
        assert total == pytest.approx(float(five.deep(ids[None])[0]), abs=1e-9)
        assert one.centred == pytest.approx(one.singles_total + one.pairs_total + one.beyond)
        assert len(one.pairs) == 10 and not one.unseen


def test_a_value_that_no_reference_row_has_is_fitted_when_asked(
    tmp_path: Path, pairs_alone: TrainedModel
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(pairs_alone.folder, folder)
    rows = pairs_alone.reference_ids
    np.save(folder / "reference.npy", rows[rows[:, 0] != 0])
    model = open_run(folder)
    found = measure_beyond(model)
    ids = np.array([0, 5, 9, 13, 17], np.int32)
    one = beyond_of_one(model, found, ids)
    assert one.unseen == ("word_0",)
    assert abs(one.beyond) < 0.1 * np.sqrt(found.deep.variance)
    assert one.mean + one.singles_total + one.pairs_total + one.beyond == pytest.approx(one.deep)


# --- what has none, or nothing to divide ------------------------------------------------------


@pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)
def test_every_model_with_a_network_is_divided_and_every_other_says_why_not(
    tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelConfig(num_factors=3, mlp_dims=(5,)).with_values(**changes)
    run = open_run(write_run(tmp_path / "run", RunSpec(model=model)))
    monkeypatch.setattr(beyond.fit, "SWEEP_DRAWS", 2_000)
    monkeypatch.setattr(beyond.measuring, "DRAWS", 2_000)
    if "deep" not in model.terms:
        with pytest.raises(RunError, match=r"has no network.*Choose a run with a deep branch"):
            measure_beyond(run)
        assert find_beyond(run) is None and beyond.expected_seconds(run) == 0
        return
    found = measure_beyond(run)
    assert found.deep.variance > 0 and set(found.terms) == set(model.terms)
    assert beyond.expected_seconds(run) > 0


def test_a_network_that_does_not_vary_is_idle(tmp_path: Path) -> None:
    model = write_tabled(tmp_path / "run", (3, 3), {(0, 1): np.zeros((3, 3))})
    found = measure_beyond(model)
    assert found.is_idle and found.deep.beyond.value == 0
    save_beyond(model, found)
    again = find_beyond(model)
    assert again is not None and again.is_idle
    one = beyond_of_one(model, found, model.reference_ids[0])
    assert one.deep == one.beyond == 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_field_has_single_effects_alone(tmp_path: Path) -> None:
    model = write_tabled(tmp_path / "run", (4,), {(0,): NORMAL(4)})
    found = measure_beyond(model)
    assert found.deep.singles.value == pytest.approx(1.0, abs=1e-6)
    assert found.pairs() == []


# --- what is kept -----------------------------------------------------------------------------


def test_what_is_kept_is_found_again_in_a_copy_of_the_folder(
    five: TrainedModel, found: Beyond, tmp_path: Path
) -> None:
    shutil.copytree(five.folder, tmp_path / "copy")
    model = open_run(tmp_path / "copy")
    assert find_beyond(model) is None
    save_beyond(model, found)
    again = find_beyond(open_run(shutil.move(tmp_path / "copy", tmp_path / "moved")))
    assert again is not None
    assert again.to_dict() == found.to_dict()
    ids = five.reference_ids[3]
    assert beyond_of_one(five, again, ids) == beyond_of_one(five, found, ids)


def test_figures_of_other_weights_count_as_absent(
    five: TrainedModel, found: Beyond, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(five.folder, folder)
    save_beyond(open_run(folder), found)
    tensors = load_file(folder / "model.safetensors")
    tensors["mlp.0.weight"] = tensors["mlp.0.weight"] * np.float32(1.1)
    save_file(tensors, folder / "model.safetensors")
    assert find_beyond(open_run(folder)) is None


@pytest.mark.parametrize("name", [FIGURES, FIT])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff" * 40])
def test_damaged_files_are_told_in_words(
    five: TrainedModel, found: Beyond, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(five.folder, folder)
    model = open_run(folder)
    save_beyond(model, found)
    (folder / name).write_bytes(content)
    with pytest.raises(RunError, match=r"damaged .*Delete both, and ask again\."):
        find_beyond(model)


def test_a_folder_that_is_gone_is_told_in_words(
    five: TrainedModel, found: Beyond, tmp_path: Path
) -> None:
    shutil.copytree(five.folder, tmp_path / "run")
    model = open_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match="cannot be written into the run folder"):
        save_beyond(model, found)


def test_cancelling_ends_it_and_keeps_nothing(five: TrainedModel) -> None:
    events: list[Event] = []
    with pytest.raises(Cancelled):
        measure_beyond(five, on_event=events.append, cancelled=lambda: len(events) > 2)
    assert all(isinstance(event, Progress) for event in events)
    assert not (five.folder / FIGURES).exists()


def test_progress_is_told_sweep_by_sweep(five: TrainedModel) -> None:
    events: list[Event] = []
    measure_beyond(five, on_event=events.append)
    fitting = [e for e in events if isinstance(e, Progress) and e.unit == "sweeps"]
    assert fitting[0].done == 0 and fitting[-1].done == fitting[-1].total
    assert [e.done for e in fitting] == sorted(e.done for e in fitting)
    told = [e for e in events if isinstance(e, Progress)]
    shares = [e.share for e in told]
    assert shares == sorted(shares) and {e.stages for e in told} == {2}
    assert (told[0].number, told[-1].number, told[-1].unit) == (1, 2, "fields")


def test_the_command_line_keeps_the_figures_and_prints_them(
    pairs_alone: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs_alone.folder, tmp_path / "run")
    assert cli.main(["beyond", str(tmp_path / "run")]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["deep"]["beyond"]["value"] < 0.05
    kept = find_beyond(open_run(tmp_path / "run"))
    assert kept is not None and kept.deep.beyond.value == answer["deep"]["beyond"]["value"]


def test_the_command_line_says_that_an_fm_has_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", RunSpec(model=ModelConfig(terms=TERM_SETS["FM"])))
    assert cli.main(["beyond", str(tmp_path / "run")]) == 2
    assert "is an FM: it has no network" in capsys.readouterr().err


# --- the demo ---------------------------------------------------------------------------------


def test_the_planted_shares_are_those_that_the_demo_says_of_itself() -> None:
    rule = planted_rule()
    assert (round(rule.singles, 2), round(rule.pairs, 2), round(rule.beyond, 2)) == (
        0.05,
        0.50,
        0.45,
    )


def test_the_planted_logit_is_divided_exactly() -> None:
    """A second writing: sampled logits, explained by tables of single values and of pairs."""
    from deepfm.data.synthetic import DEMO_FIELDS, demo_table

    table = demo_table("train").slice(0, 1)
    known = dict(zip(DEMO_FIELDS, (table[name][0].as_py() for name in DEMO_FIELDS), strict=True))
    assert 0 < true_probability(known) < 1
    truth = np.asarray(demo_table("train")["truth"])
    variance = np.log(truth / (1 - truth)).var()
    shares = planted_logit()
    assert shares.singles + shares.pairs + shares.beyond == pytest.approx(1)
    # The rule's three-way part has the same variance in both, so the shares tell the logit's.
    assert shares.beyond * variance == pytest.approx(planted_rule().beyond * _rule_variance(), 0.03)


def _rule_variance() -> float:
    """Of the rule of three, by enumeration of its three fields."""
    from deepfm.data import synthetic

    values = synthetic._rule_table()
    weights = np.einsum(
        "i,j,k->ijk", *(synthetic._shares(name) for name in ("weekday", "device", "format"))
    )
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights))


def test_the_bundled_run_has_found_what_was_planted() -> None:
    model = open_run(Path(__file__).resolve().parents[2] / "assets" / "demo_run")
    found = find_beyond(model)
    assert found is not None
    planted = planted_logit()
    for kind in ("singles", "pairs", "beyond"):
        share = getattr(found.score, kind).value
        assert share == pytest.approx(getattr(planted, kind), abs=0.05)
    taking = sorted(found.taking_part, key=lambda name: -found.taking_part[name].value)
    assert set(taking[:3]) == {"weekday", "device", "format"}


def test_what_the_network_says_has_no_colour_of_another_term() -> None:
    model = open_run(Path(__file__).resolve().parents[2] / "assets" / "demo_run")
    found = find_beyond(model)
    assert found is not None
    bars = [bar for bar in beyond_figure(found).data if bar.type == "bar"]
    colours = {bar.marker.color.split(",")[0].strip(")") for bar in bars if "by what" in bar.y[0]}
    assert colours == {"var(--dfm-deep", "var(--dfm-text"}
    assert len({(bar.y[0], bar.marker.color) for bar in bars}) == len(bars), "a shade a part"


def test_the_setting_is_a_limit_in_seconds() -> None:
    assert Settings().beyond_seconds == 0


# --- trained networks -----------------------------------------------------------------------

COLUMNS = ("site", "advert", "device", "region", "hour", "format")


def trained_on(folder: Path, values: np.ndarray, logits: np.ndarray, epochs: int) -> TrainedModel:
    """DeepFM, really trained on clicks with these true logits."""
    clicked = np.random.default_rng(1).random(len(logits)) < 1 / (1 + np.exp(-logits))
    lines = [",".join(("click", *COLUMNS))]
    lines += [
        f"{int(click)}," + ",".join(f"v{value}" for value in row)
        for click, row in zip(clicked, values, strict=True)
    ]
    (folder / "clicks.csv").write_text("\n".join(lines) + "\n")
    dataset = prepare(
        folder / "clicks.csv",
        label="click",
        out=folder / "dataset",
        config=PrepareConfig(min_count=1),
    )
    model = ModelConfig(num_factors=8, mlp_dims=(32, 16))
    plan = TrainConfig(epochs=epochs, batch_size=512, learning_rate=0.005, device="cpu")
    return open_run(train(dataset, model, plan, out=folder / "run").folder)


def test_a_deep_branch_that_learned_singles_and_pairs_seems_large_and_adds_almost_nothing(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(5, size=(30_000, 6))
    logits = sum(rng.normal(0, 0.5, 5)[values[:, field]] for field in range(6))
    for first, second in ((0, 1), (2, 3), (1, 4)):
        logits = logits + rng.normal(0, 1.0, (5, 5))[values[:, first], values[:, second]]
    found = measure_beyond(trained_on(tmp_path, values, np.asarray(logits), epochs=5))
    assert found.terms["deep"] > 0.25
    assert found.deep.beyond.value <= 0.05


def test_a_deep_branch_that_learned_a_parity_adds_most_of_itself(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(2, size=(8_000, 6))
    logits = 3.0 * np.prod(2 * values[:, :3] - 1, axis=1)
    found = measure_beyond(trained_on(tmp_path, values, logits, epochs=12))
    assert found.deep.beyond.value >= 0.5
    assert found.score.beyond.value >= 0.5
