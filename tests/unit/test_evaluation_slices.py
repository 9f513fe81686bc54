"""Paired tests, decomposition, recalibration, groups, thresholds and slices, by slower writings."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss as sk_log_loss
from sklearn.metrics import roc_auc_score

from deepfm import evaluation
from deepfm.errors import ConfigError, DataError, SchemaError
from deepfm.evaluation import (
    Costs,
    Evaluation,
    JudgedRows,
    Selection,
    compare_aucs,
    decomposition,
    evaluate,
    grouped_auc,
    judged_rows,
    worst_slices,
)
from deepfm.evaluation.comparing import benjamini_hochberg, holm, midranks
from deepfm.evaluation.decomposition import level_blocks, log_loss_parts
from deepfm.evaluation.grouping import rank_within_groups
from deepfm.terms import sigmoid
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run
from tests.unit.test_evaluation import CASES, Data, clicks, each_case

# --- two rankings of the same rows --------------------------------------------------------------


def slow_delong(
    labels: NDArray[Any], first: NDArray[Any], second: NDArray[Any]
) -> tuple[float, float]:
    """Difference and its variance from the full matrices of comparisons (DeLong et al. 1988)."""
    wins = []
    for scores in (first, second):
        clicked, others = scores[labels == 1], scores[labels == 0]
        wins.append((clicked[:, None] > others) + 0.5 * (clicked[:, None] == others))
    rows = np.cov([each.mean(axis=1) for each in wins])
    columns = np.cov([each.mean(axis=0) for each in wins])
    covariance = rows / wins[0].shape[0] + columns / wins[0].shape[1]
    contrast = np.array([1, -1])
    return wins[0].mean() - wins[1].mean(), float(contrast @ covariance @ contrast)


@pytest.mark.parametrize("digits", [0, 1, 6])
@pytest.mark.parametrize("rate", [0.5, 0.05])
def test_a_difference_of_aucs_is_tested_as_delong_did(digits: int, rate: float) -> None:
    labels, first = clicks(rows=600, rate=rate, digits=digits)
    noise = np.random.default_rng(3).normal(size=600)
    second = np.round(first + noise, digits)
    difference, variance = slow_delong(labels, first, second)
    found = compare_aucs(labels, first, second)
    assert found is not None
    assert found.first == pytest.approx(roc_auc_score(labels, first))
    assert found.second == pytest.approx(roc_auc_score(labels, second))
    assert found.difference == pytest.approx(difference)
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    z = difference / math.sqrt(variance)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert found.low == pytest.approx(difference - 1.959964 * math.sqrt(variance), abs=1e-6)


def test_the_test_keeps_its_level_where_two_models_are_equally_good() -> None:
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(600):
        labels = (rng.random(300) < 0.3).astype(float)
        common = labels + rng.normal(size=300)
        found = compare_aucs(labels, common + rng.normal(size=300), common + rng.normal(size=300))
        assert found is not None
        rejected += found.p_value < 0.05
    assert 0.03 < rejected / 600 < 0.075


def test_a_ranking_does_not_differ_from_itself() -> None:
    labels, scores = CASES["distinct"]
    found = compare_aucs(labels, scores, 2 * scores + 1)
    assert found is not None
    assert (found.difference, found.standard_error, found.p_value) == (0, 0, 1)


def test_too_few_rows_of_a_class_are_not_tested() -> None:
    labels = np.array([1.0, 0, 0, 0])
    assert compare_aucs(labels, np.arange(4.0), np.arange(4.0)) is None


@pytest.mark.parametrize("digits", [0, 6])
def test_midranks_are_scipys(digits: int) -> None:
    values = clicks(digits=digits)[1]
    np.testing.assert_array_equal(midranks(values), stats.rankdata(values))


def test_corrected_p_values_are_scipys_and_a_loops() -> None:
    p_values = np.random.default_rng(0).random(50) ** 3
    np.testing.assert_allclose(
        benjamini_hochberg(p_values), stats.false_discovery_control(p_values)
    )
    order, largest, slow = np.argsort(p_values), 0.0, np.empty(50)
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (50 - rank)))
        slow[place] = largest
    np.testing.assert_allclose(holm(p_values), slow)
    assert len(benjamini_hochberg(np.array([]))) == len(holm(np.array([]))) == 0


# --- what the log loss is made of ---------------------------------------------------------------


def pool_adjacent_violators(labels: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Isotonic regression by merging neighbours until none falls; equal scores stand together."""
    blocks: list[list[float]] = []
    for score in np.unique(scores):
        here = labels[scores == score]
        blocks.append([float(here.sum()), float(len(here))])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            clicked, rows = blocks.pop()
            blocks[-1] = [blocks[-1][0] + clicked, blocks[-1][1] + rows]
    rates = np.concatenate([[clicked / rows] * int(rows) for clicked, rows in blocks])
    calibrated = np.empty(len(labels))
    calibrated[np.argsort(scores, kind="stable")] = rates
    return calibrated


@pytest.mark.parametrize("rounds", [1, 40])
@pytest.mark.parametrize("shape", ["noise", "rising", "falling", "one long fall at the end"])
def test_the_rising_curve_is_scikit_learns(
    shape: str, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decomposition, "ROUNDS", rounds)
    rng = np.random.default_rng(5)
    scores = np.repeat(np.arange(600.0), 3)
    chance = {
        "noise": np.full(len(scores), 0.3),
        "rising": scores / 600,
        "falling": 1 - scores / 600,
        "one long fall at the end": (scores / 600) * (scores < 595),
    }[shape]
    labels = (rng.random(len(scores)) < chance).astype(np.float32)
    counts = evaluation.count(labels, scores)
    clicks, rows = level_blocks(counts)
    fitted = IsotonicRegression().fit_transform(scores, labels)
    assert np.repeat(clicks / rows, rows.astype(int)) == pytest.approx(fitted)
    assert (np.diff(clicks / rows) > 0).all()


@each_case
def test_the_parts_of_a_log_loss_add_up_and_are_those_of_isotonic_regression(
    labels: NDArray[Any], logits: NDArray[Any]
) -> None:
    loss = evaluation.log_loss(labels, logits)
    parts = log_loss_parts(evaluation.count(labels, logits), loss)
    assert parts.calibration + parts.uncertainty - parts.resolution == pytest.approx(loss)
    assert parts.refinement == pytest.approx(loss - parts.calibration)
    assert parts.calibration >= -1e-12 and parts.resolution >= 0
    calibrated = pool_adjacent_violators(labels, logits)
    refinement = sk_log_loss(labels, np.clip(calibrated, 1e-15, 1 - 1e-15))
    assert parts.refinement == pytest.approx(refinement, abs=1e-9)
    base = np.full(len(labels), labels.mean())
    assert parts.uncertainty == pytest.approx(sk_log_loss(labels, base))


def test_a_wrong_scale_is_bad_calibration_and_nothing_else() -> None:
    labels, logits = clicks(rows=5_000)
    counts = evaluation.count(labels, logits)
    right = log_loss_parts(counts, evaluation.log_loss(labels, logits))
    wrong = log_loss_parts(counts, evaluation.log_loss(labels, 3 * logits))
    assert wrong.resolution == right.resolution
    assert wrong.calibration > 3 * right.calibration


# --- recalibration --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_recalibration_rises_and_mends_a_wrong_scale(method: Any) -> None:
    fit_labels, fit_logits = clicks(rows=4_000, seed=1)
    labels, logits = clicks(rows=4_000, seed=2)
    curve = evaluation.fit_recalibration(method, fit_labels, 3 * fit_logits + 1)
    mended = curve(3 * logits + 1)
    assert np.isfinite(mended).all() and curve.rows == 4_000
    assert (np.diff(mended[np.argsort(logits)]) >= 0).all()
    plain = evaluation.log_loss(labels, logits)
    assert evaluation.log_loss(labels, mended) < plain + 0.01
    assert evaluation.log_loss(labels, 3 * logits + 1) > plain + 0.1


def test_isotonic_recalibration_is_scikit_learns_within_half_a_row() -> None:
    labels, logits = clicks(rows=300)
    curve = evaluation.fit_recalibration("isotonic", labels, logits)
    expected = np.clip(pool_adjacent_violators(labels, logits), 0.5 / 300, 1 - 0.5 / 300)
    np.testing.assert_allclose(sigmoid(curve(logits)), expected, atol=1e-6)


def test_platt_recalibration_is_a_straight_line_of_logits() -> None:
    labels, logits = CASES["distinct"]
    line = evaluation.platt(labels, logits)
    curve = evaluation.fit_recalibration("platt", labels, logits)
    np.testing.assert_allclose(curve(logits), line(logits))


def test_an_unknown_recalibration_is_refused() -> None:
    with pytest.raises(ConfigError, match="platt or isotonic"):
        evaluation.fit_recalibration("spline", *CASES["distinct"])  # type: ignore[arg-type]


# --- groups -------------------------------------------------------------------------------------


def grouped(digits: int, rows: int = 500) -> tuple[Data, NDArray[np.int64]]:
    labels, logits = clicks(rows=rows, digits=digits)
    return (labels, logits), np.random.default_rng(5).integers(0, 60, rows)


@pytest.mark.parametrize("digits", [0, 6])
def test_grouped_auc_is_a_plain_loop_over_groups(digits: int) -> None:
    (labels, logits), groups = grouped(digits)
    total = weight = left_out = 0.0
    for group in np.unique(groups):
        rows = groups == group
        if len(np.unique(labels[rows])) < 2:
            left_out += rows.sum()
            continue
        total += rows.sum() * roc_auc_score(labels[rows], logits[rows])
        weight += rows.sum()
    found = grouped_auc(labels, logits, groups * 7 + 3)
    assert found.value == pytest.approx(total / weight)
    assert (found.rows, found.left_out_rows) == (weight, left_out)
    assert found.groups + found.left_out_groups == len(np.unique(groups))
    assert set(found.number) <= set(groups * 7 + 3)


@pytest.mark.parametrize("digits", [0, 6])
def test_the_variance_within_groups_is_delongs(digits: int) -> None:
    (labels, logits), groups = grouped(digits, rows=2_000)
    ranks = rank_within_groups(labels, logits, groups, 60)
    for group in range(60):
        rows = groups == group
        clicked, others = logits[rows & (labels == 1)], logits[rows & (labels == 0)]
        if min(len(clicked), len(others)) < 2:
            assert np.isnan(ranks.variance[group])
            continue
        wins = (clicked[:, None] > others) + 0.5 * (clicked[:, None] == others)
        variance = wins.mean(axis=1).var(ddof=1) / len(clicked)
        variance += wins.mean(axis=0).var(ddof=1) / len(others)
        assert ranks.auc[group] == pytest.approx(wins.mean())
        assert ranks.variance[group] == pytest.approx(variance)
        assert ranks.wins[group] == pytest.approx(wins.sum())


def test_groups_of_one_class_alone_have_no_grouped_auc() -> None:
    found = grouped_auc(np.array([1.0, 0, 0]), np.arange(3.0), np.array([0, 1, 1]))
    assert found.value is None and found.groups == 0 and found.left_out_groups == 2


# --- thresholds ---------------------------------------------------------------------------------


@each_case
def test_the_cheapest_threshold_is_found_by_trying_all(
    labels: NDArray[Any], logits: NDArray[Any]
) -> None:
    probability = sigmoid(logits)
    for costs in (Costs(1, 1), Costs(1, 9), Costs(5, 0.5), Costs.of_impressions(2.0, 0.4)):
        tried = [
            costs.false_positive * ((probability >= t) & (labels == 0)).sum()
            + costs.false_negative * ((probability < t) & (labels == 1)).sum()
            for t in [*np.unique(probability), 2.0]
        ]
        best = evaluation.cheapest(labels, probability, costs)
        assert best.value == pytest.approx(min(tried))
        taken = probability >= best.threshold
        assert costs.total((taken & (labels == 0)).sum(), (~taken & (labels == 1)).sum()) == (
            pytest.approx(best.value)
        )


def test_buying_impressions_is_a_pair_of_costs() -> None:
    """The gain of value · clicks − price · bought differs from minus the cost by a constant."""
    labels, logits = CASES["distinct"]
    probability, costs = sigmoid(logits), Costs.of_impressions(3.0, 0.5)
    differences = set()
    for threshold in (0.1, 0.3, 0.6):
        taken = probability >= threshold
        gain = 3.0 * (taken & (labels == 1)).sum() - 0.5 * taken.sum()
        cost = costs.total((taken & (labels == 0)).sum(), (~taken & (labels == 1)).sum())
        differences.add(round(float(gain + cost), 9))
    assert len(differences) == 1
    assert costs.fair_threshold == pytest.approx(0.5 / 3.0)


@pytest.mark.parametrize("given", [(0, 1), (1, -1), (math.nan, 1), (1, math.inf)])
def test_costs_that_are_none_are_refused(given: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        Costs(*given)
    with pytest.raises(ConfigError, match="more than an impression"):
        Costs.of_impressions(0.5, 0.5)


def test_a_slider_holds_the_thresholds_that_were_asked_for() -> None:
    labels, logits = clicks(rows=5_000)
    counts = evaluation.count(labels, sigmoid(logits))
    table = evaluation.threshold_table_of(counts, also=(0.123456,))
    place = table.position(0.123456)
    assert table.threshold[place] == 0.123456
    expected = evaluation.confusion(labels, sigmoid(logits), 0.123456)
    assert (table.tp[place], table.fp[place], table.fn[place], table.tn[place]) == expected


# --- slices -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedRows:
    """600 rows, in which the model is wrong where word_0 has its first value."""
    spec = RunSpec(rows={"test": 600, "validation": 300}, weight_scale=0.4, categorical=(4, 3, 5))
    rows = judged_rows(open_run(write_run(tmp_path_factory.mktemp("run") / "run", spec)))
    wrong = rows.codes("word_0") == 0
    rows.labels[wrong] = np.random.default_rng(0).random(wrong.sum()) < 0.5
    return rows


def test_a_slice_has_the_figures_of_its_rows(judged: JudgedRows) -> None:
    value = judged.value_of("word_1", 1)
    found = evaluation.evaluate_rows(judged.where(Selection("word_1", value)))
    rows = judged.codes("word_1") == 1
    assert found.rows == rows.sum() and found.selection == f"word_1 is {value}"
    assert found.auc == pytest.approx(roc_auc_score(judged.labels[rows], judged.logit[rows]))
    assert found.log_loss == pytest.approx(judged.losses[rows].mean())
    assert found.judged_rows.of == len(judged)


def test_a_range_of_a_numeric_column_is_a_slice(judged: JudgedRows) -> None:
    prices = np.random.default_rng(0).integers(0, 20, len(judged))
    texts = pa.array([None if price == 7 else f"${price}.00" for price in prices])
    rows = dataclasses.replace(judged, read_column=lambda name: texts)
    chosen = rows.where(Selection("price", low=2.0, high=9.0))
    inside = (prices >= 2) & (prices <= 9) & (prices != 7)
    np.testing.assert_array_equal(chosen.logit, judged.logit[inside])
    assert str(Selection("price", low=2.0)) == "price is at least 2"
    assert str(Selection("price", high=9.5)) == "price is at most 9.5"
    with pytest.raises(DataError, match="Choose another value"):
        judged.where(Selection("price", low=1e9))
    with pytest.raises(SchemaError, match="no field"):
        judged.where(Selection("colour", "red"))
    with pytest.raises(DataError, match="keeps no column"):
        judged.where(Selection("colour", low=1))


def test_slices_of_a_numeric_field_are_its_buckets(judged: JudgedRows) -> None:
    codes = judged.codes("price")
    bucket = judged.value_of("price", int(codes[0]))
    assert len(judged.where(Selection("price", bucket))) == (codes == codes[0]).sum()


def slow_search(rows: JudgedRows, measure: str, fewest: int) -> dict[str, tuple[float, float]]:
    """Slice to how much worse it is and its raw p-value, one slice at a time."""
    labels, logit, found = rows.labels == 1, np.asarray(rows.logit, float), {}
    probability = sigmoid(logit)
    for field in rows.model.fields:
        codes = rows.codes(field.name)
        for code in range(field.size):
            here = codes == code
            if here.sum() < fewest or (~here).sum() < fewest:
                continue
            name = str(Selection(field.name, rows.value_of(field.name, code)))
            if measure == "log_loss":
                test = stats.ttest_ind(
                    rows.losses[here], rows.losses[~here], equal_var=False, alternative="greater"
                )
                excess = rows.losses[here].mean() - rows.losses[~here].mean()
                found[name] = excess, float(stats.norm.sf(test.statistic))
            elif measure == "calibration":
                gap = (probability - labels)[here].sum()
                spread = math.sqrt((probability * (1 - probability))[here].sum())
                found[name] = abs(gap) / here.sum(), float(2 * stats.norm.sf(abs(gap / spread)))
            else:
                inside = roc_auc_score(labels[here], logit[here])
                found[name] = roc_auc_score(labels[~here], logit[~here]) - inside, math.nan
    return found


@pytest.mark.parametrize("measure", ["log_loss", "calibration", "auc"])
def test_a_search_is_a_plain_loop_over_all_slices(judged: JudgedRows, measure: Any) -> None:
    found = worst_slices(judged, measure, fewest_rows=40, most=1_000)
    slow = slow_search(judged, measure, 40)
    assert {str(one.selection) for one in found.found} == set(slow)
    assert found.looked_at == len(slow)
    for one in found.found:
        excess, p_value = slow[str(one.selection)]
        assert one.excess == pytest.approx(excess, abs=1e-9)
        if measure != "auc":
            assert one.p_value == pytest.approx(p_value, abs=1e-9)
    p_values = np.array([one.p_value for one in found.found])
    np.testing.assert_allclose(
        [one.adjusted for one in found.found], stats.false_discovery_control(p_values)
    )
    worse = [one.significant and one.excess > 0 for one in found.found]
    assert worse == sorted(worse, reverse=True)
    for one, after in itertools.pairwise(found.found):
        assert one.excess >= after.excess or one.significant > after.significant


@pytest.mark.parametrize("measure", ["log_loss", "calibration", "auc"])
def test_a_planted_slice_is_found(judged: JudgedRows, measure: Any) -> None:
    found = worst_slices(judged, measure, fewest_rows=40)
    wrong = Selection("word_0", judged.value_of("word_0", 0))
    assert wrong in [one.selection for one in found.significant]
    assert len(found.significant) <= 4


def test_small_slices_are_not_looked_at(judged: JudgedRows) -> None:
    found = worst_slices(judged, fewest_rows=100)
    assert all(one.rows >= 100 for one in found.found)
    assert worst_slices(judged, fewest_rows=601).found == ()


def test_a_model_without_fault_has_few_bad_slices(tmp_path: Path) -> None:
    """The labels follow the model's own probabilities, so every find is chance."""
    falsely = 0
    for seed in range(8):
        spec = RunSpec(rows={"test": 600}, weight_scale=0.4, seed=100 * seed)
        rows = judged_rows(open_run(write_run(tmp_path / str(seed), spec)))
        falsely += bool(worst_slices(rows, "calibration", fewest_rows=40).significant)
    assert falsely <= 2


# --- an evaluation carries all of it ------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path) -> Evaluation:
    spec = RunSpec(rows={"test": 300, "validation": 200}, weight_scale=0.4)
    return evaluate(open_run(write_run(tmp_path / "run", spec)))


def test_an_evaluation_makes_its_curves_and_slices(found: Evaluation) -> None:
    rows = found.judged_rows
    full = evaluation.roc(rows.labels, rows.probability)
    assert found.roc is not None and full is not None
    np.testing.assert_array_equal(found.roc.tpr, full.tpr)
    np.testing.assert_array_equal(found.roc.thresholds, full.thresholds)
    assert found.precision_recall is not None and found.gain is not None
    assert found.calibration.error == found.calibration_error
    assert found.histogram.clicked.sum() == rows.labels.sum()
    assert found.decomposition.log_loss == pytest.approx(found.log_loss)
    assert found.thresholds.threshold[found.thresholds.position(0.5)] == 0.5
    assert found.best_f1 == evaluation.best_f1(rows.labels, rows.probability)
    assert found.best_youden == evaluation.best_youden(rows.labels, rows.probability)
    costs = Costs(1, 3)
    assert found.cheapest(costs) == evaluation.cheapest(rows.labels, rows.probability, costs)
    assert [one.rows for one in found.slices("word_0")]
    assert found.worst_slices(fewest_rows=30).looked_at > 0
    assert found.grouped_auc("word_0").rows == 300
    value = found.slices("word_0")[0].value
    assert found.where(Selection("word_0", value)).rows == found.slices("word_0")[0].rows


def test_an_evaluation_compares_itself_with_another(found: Evaluation) -> None:
    same = found.compare(found)
    assert same is not None and same.p_value == 1
    other = evaluate(found.judged_rows.model, part="validation")
    with pytest.raises(DataError, match="same rows"):
        found.compare(other)


def test_recalibration_is_never_fitted_on_the_judged_rows(found: Evaluation) -> None:
    curve = found.recalibration("platt")
    assert curve.rows == 200
    loss = evaluation.log_loss(found.judged_rows.labels, curve(found.judged_rows.logit))
    assert found.log_loss_calibrated == pytest.approx(loss)
    with pytest.raises(ConfigError, match="judged by others"):
        evaluate(found.judged_rows.model, part="validation").recalibration("isotonic")


def test_figures_go_to_json_without_their_rows(found: Evaluation) -> None:
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert "judged" not in values and values["auc"] == found.auc


def test_an_evaluation_shows_itself_in_a_notebook(found: Evaluation, tmp_path: Path) -> None:
    shown = found._repr_html_()
    assert f"{found.auc:.4f}" in shown and "<svg" in shown and "DeLong" in shown
    sliced = found.where(Selection("word_0", found.slices("word_0")[0].value))
    hostile = evaluation.evaluate_rows(
        sliced.judged_rows.where(Selection("price", found.slices("price")[0].value))
    )
    assert "price is" in hostile._repr_html_()
    training = open_run(write_run(tmp_path / "train", RunSpec(rows={"train": 20})))
    without = evaluate(training)
    assert "–" in without._repr_html_()
    with pytest.raises(DataError, match="not trained on"):
        without.judged_rows  # noqa: B018
