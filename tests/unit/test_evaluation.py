"""Figures and curves against scikit-learn and against slower writings of the same formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from deepfm import evaluation
from deepfm.errors import DataError
from deepfm.evaluation import figures as figures_module
from deepfm.evaluation.figures import NORMAL_95, auc_of, average_precision_of
from deepfm.intervals import wilson_interval
from deepfm.terms import Terms, sigmoid

Data = tuple[NDArray[np.float32], NDArray[np.float64]]


def clicks(rows: int = 400, rate: float = 0.3, digits: int = 6, seed: int = 0) -> Data:
    """Labels and logits that rank them somewhat; few digits make many ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < rate).astype(np.float32)
    labels[:2] = (0, 1)
    logits = rng.normal(size=rows) + 1.2 * labels + np.log(rate / (1 - rate))
    return labels, np.round(logits, digits)


CASES: dict[str, Data] = {
    "distinct": clicks(),
    "many ties": clicks(digits=0),
    "rare clicks": clicks(rows=3_000, rate=0.01, digits=2),
    "two rows": (np.array([0, 1], np.float32), np.array([0.3, -0.2])),
    "all tied": (clicks()[0], np.zeros(400)),
    "perfect": (clicks()[0], clicks()[0] * 4.0 - 2),
    "reversed": (clicks()[0], -clicks()[0] * 4.0 + 2),
    "large logits": (clicks()[0], clicks()[1] * 500),
}
each_case = pytest.mark.parametrize(("labels", "logits"), CASES.values(), ids=CASES)
ONE_CLASS = {"clicks": np.ones(5, np.float32), "none": np.zeros(5, np.float32)}


# --- Figures ------------------------------------------------------------------------------------


@each_case
def test_auc_is_scikit_learns(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    assert evaluation.auc(labels, logits) == pytest.approx(sk.roc_auc_score(labels, logits))


@each_case
def test_auc_is_the_share_of_pairs_ranked_rightly(
    labels: NDArray[Any], logits: NDArray[Any]
) -> None:
    above = logits[labels == 1][:, None] - logits[labels == 0][None]
    assert evaluation.auc(labels, logits) == pytest.approx(
        np.mean((above > 0) + 0.5 * (above == 0))
    )


def test_auc_does_not_depend_on_the_order_of_rows() -> None:
    labels, logits = CASES["many ties"]
    order = np.random.default_rng(1).permutation(len(labels))
    assert evaluation.auc(labels, logits) == evaluation.auc(labels[order], logits[order])


@pytest.mark.parametrize("labels", ONE_CLASS.values(), ids=ONE_CLASS)
def test_one_class_has_no_auc_and_no_curve(labels: NDArray[np.float32]) -> None:
    logits = np.linspace(-1, 1, 5)
    metrics = evaluation.metrics_of(labels, logits)
    assert metrics.auc is None and metrics.rows == 5 and np.isfinite(metrics.loss)
    counts = evaluation.count(labels, logits)
    assert evaluation.auc_interval(counts) is None
    assert evaluation.roc(labels, logits) is None
    assert evaluation.best_youden(labels, sigmoid(logits)) is None
    table = evaluation.threshold_table(labels, sigmoid(logits))
    assert np.isnan(table.tpr).all() != np.isnan(table.fpr).all()
    assert evaluation.platt(labels, logits) == evaluation.Calibration(1.0, 0.0)


def test_a_part_without_clicks_has_no_precision_recall_and_no_gain() -> None:
    labels, logits = ONE_CLASS["none"], np.linspace(-1, 1, 5)
    assert evaluation.precision_recall(labels, logits) is None
    assert evaluation.gain(labels, logits) is None
    assert average_precision_of(evaluation.count(labels, logits)) is None


def test_a_diverged_model_has_no_auc() -> None:
    assert evaluation.auc(np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2])) is None


@each_case
def test_loss_and_accuracy_are_scikit_learns(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    metrics = evaluation.metrics_of(labels, logits)
    probability = sigmoid(logits)
    plain = -np.log(np.where(labels == 1, sigmoid(logits), sigmoid(-logits)) + 1e-300).mean()
    if np.abs(logits).max() < 30:
        assert metrics.loss == pytest.approx(sk.log_loss(labels, probability))
        assert metrics.loss == pytest.approx(plain)
    assert metrics.accuracy == sk.accuracy_score(labels, probability >= 0.5)
    assert metrics.rows == len(labels)


def test_loss_is_finite_and_exact_at_any_logit() -> None:
    assert evaluation.log_loss(np.array([0.0]), np.array([1e6])) == pytest.approx(1e6)
    assert evaluation.log_loss(np.array([1.0]), np.array([1e6])) == 0.0
    assert evaluation.log_loss(np.array([1.0, 0.0]), np.zeros(2)) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    "figure", [evaluation.metrics_of, evaluation.auc, evaluation.calibration, evaluation.roc]
)
def test_no_rows_and_unequal_lengths_are_refused(figure: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="no rows"):
        figure(np.array([]), np.array([]))
    with pytest.raises(DataError, match="each row"):
        figure(np.array([1.0, 0.0]), np.array([0.5]))


@each_case
def test_average_precision_is_scikit_learns(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    counts = evaluation.count(labels, logits)
    assert average_precision_of(counts) == pytest.approx(sk.average_precision_score(labels, logits))


def slow_delong(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[float, float]:
    """DeLong 1988 with the full matrix of comparisons."""
    clicked, others = scores[labels == 1], scores[labels == 0]
    wins = (clicked[:, None] > others) + 0.5 * (clicked[:, None] == others)
    variance = wins.mean(axis=1).var(ddof=1) / len(clicked)
    variance += wins.mean(axis=0).var(ddof=1) / len(others)
    half = NORMAL_95 * np.sqrt(variance)
    return max(0.0, wins.mean() - half), min(1.0, wins.mean() + half)


@each_case
def test_auc_interval_is_delongs(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    interval = evaluation.auc_interval(evaluation.count(labels, logits))
    if len(labels) == 2:
        assert interval is None
    else:
        assert interval == pytest.approx(slow_delong(labels, logits))


def test_auc_interval_agrees_with_a_bootstrap() -> None:
    labels, logits = clicks(rows=500, digits=1)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(1_000):
        rows = rng.integers(0, len(labels), len(labels))
        draws.append(evaluation.auc(labels[rows], logits[rows]))
    low, high = np.quantile(np.array(draws, dtype=float), (0.025, 0.975))
    interval = evaluation.auc_interval(evaluation.count(labels, logits))
    assert interval == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize("name", ["distinct", "many ties", "rare clicks", "large logits"])
def test_platt_scaling_is_scikit_learns(name: str) -> None:
    labels, logits = CASES[name]
    scale = np.abs(logits).max()
    regression = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    regression.fit(logits[:, None] / scale, labels)
    calibration = evaluation.platt(labels, logits)
    assert calibration.slope * scale == pytest.approx(regression.coef_[0, 0], rel=1e-3)
    assert calibration.intercept == pytest.approx(regression.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("name", ["perfect", "reversed", "all tied", "two rows"])
def test_platt_scaling_stays_finite(name: str) -> None:
    calibration = evaluation.platt(*CASES[name])
    assert np.isfinite([calibration.slope, calibration.intercept]).all()
    assert np.isfinite(evaluation.calibrated_log_loss(*CASES[name], *CASES["distinct"]))


def test_platt_scaling_undoes_a_wrong_scale() -> None:
    labels, logits = clicks(rows=20_000)
    stretched = 3 * logits + 1
    assert evaluation.calibrated_log_loss(labels, stretched, labels, stretched) == pytest.approx(
        evaluation.calibrated_log_loss(labels, logits, labels, logits), rel=1e-9
    )
    assert evaluation.calibrated_log_loss(
        labels, stretched, labels, stretched
    ) < evaluation.log_loss(labels, stretched)


# --- Curves -------------------------------------------------------------------------------------


@each_case
def test_the_full_roc_curve_is_scikit_learns(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    curve = evaluation.roc(labels, logits, step=None)
    assert curve is not None
    fpr, tpr, thresholds = sk.roc_curve(labels, logits, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_allclose(curve.thresholds, thresholds)


@pytest.mark.parametrize("rate", [0.5, 0.002])
@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("step", [1 / 400, 1 / 20])
def test_a_thinned_roc_curve_hardly_moves(rate: float, digits: int, step: float) -> None:
    labels, logits = clicks(rows=30_000, rate=rate, digits=digits)
    full = evaluation.roc(labels, logits, step=None)
    thin = evaluation.roc(labels, logits, step=step)
    assert full is not None and thin is not None
    assert len(thin.fpr) <= 4 / step + 2
    assert (thin.fpr[0], thin.tpr[0], thin.fpr[-1], thin.tpr[-1]) == (0, 0, 1, 1)
    assert set(zip(thin.fpr, thin.tpr, strict=True)) <= set(zip(full.fpr, full.tpr, strict=True))
    dropped = ~np.isin(full.thresholds, thin.thresholds)
    after = np.searchsorted(-thin.thresholds, -full.thresholds)[dropped]
    x, y = full.fpr[dropped], full.tpr[dropped]
    x0, y0, x1, y1 = thin.fpr[after - 1], thin.tpr[after - 1], thin.fpr[after], thin.tpr[after]
    width = np.where(x1 > x0, x1 - x0, 1)
    chord = np.where(x1 > x0, y0 + (y1 - y0) * (x - x0) / width, y)
    assert np.abs(y - chord).max(initial=0) <= step
    assert max((y1 - y0).max(initial=0), (x1 - x0).max(initial=0)) <= step
    area = np.trapezoid(thin.tpr, thin.fpr)
    assert area == pytest.approx(evaluation.auc(labels, logits), abs=step**2 * len(thin.fpr))


@each_case
def test_the_full_precision_recall_curve_is_scikit_learns(
    labels: NDArray[Any], logits: NDArray[Any]
) -> None:
    curve = evaluation.precision_recall(labels, logits, step=None)
    assert curve is not None
    precision, recall, thresholds = sk.precision_recall_curve(labels, logits)
    # Theirs is reversed, and ends with the point (0, 1) that no threshold has.
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1])
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1])
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds)
    assert curve.base_rate == pytest.approx(labels.mean())


def test_a_thinned_precision_recall_curve_keeps_its_peaks() -> None:
    labels, logits = clicks(rows=30_000, digits=9)
    full = evaluation.precision_recall(labels, logits, step=None)
    thin = evaluation.precision_recall(labels, logits)
    assert full is not None and thin is not None
    assert len(thin.recall) < 2_000 < len(full.recall)
    for low in np.arange(0, 1, 1 / 400):
        there = (full.recall >= low) & (full.recall < low + 1 / 400)
        kept = (thin.recall >= low) & (thin.recall < low + 1 / 400)
        if there.any():
            assert thin.precision[kept].max() == full.precision[there].max()
            assert thin.precision[kept].min() == full.precision[there].min()


@each_case
def test_calibration_bins_hold_every_row_once(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    probability = sigmoid(logits)
    table = evaluation.calibration(labels, probability, bins=10)
    assert table.rows.sum() == len(labels) and (table.rows > 0).all()
    assert table.clicks.sum() == labels.sum()
    assert table.rows @ table.predicted == pytest.approx(probability.sum())
    assert (np.diff(table.predicted) > 0).all()
    assert ((table.low <= table.seen) & (table.seen <= table.high)).all()
    assert len(table.rows) <= min(10, len(np.unique(probability)))


def test_calibration_of_distinct_probabilities_is_a_plain_loop() -> None:
    labels, logits = clicks(rows=100)
    probability = sigmoid(logits)
    table = evaluation.calibration(labels, probability, bins=4)
    order, error = np.argsort(probability), 0.0
    for i in range(4):
        rows = order[25 * i : 25 * (i + 1)]
        assert table.clicks[i] == labels[rows].sum()
        error += 0.25 * abs(probability[rows].mean() - labels[rows].mean())
    assert table.error == pytest.approx(error)


def test_equal_probabilities_share_a_bin_whatever_their_order() -> None:
    labels, logits = CASES["many ties"]
    order = np.random.default_rng(0).permutation(len(labels))
    first = evaluation.calibration(labels, sigmoid(logits))
    again = evaluation.calibration(labels[order], sigmoid(logits)[order])
    np.testing.assert_array_equal(first.clicks, again.clicks)


def test_wilson_interval_solves_its_equation() -> None:
    """Its ends p are where the seen rate lies 1.96 standard errors, taken at p, away."""
    clicked, rows = np.array([1, 7, 50]), np.array([10, 10, 1_000])
    for ends in wilson_interval(clicked, rows):
        distance = np.abs(clicked / rows - ends)
        np.testing.assert_allclose(distance, NORMAL_95 * np.sqrt(ends * (1 - ends) / rows))
    low, high = wilson_interval(np.array([0, 5]), np.array([5, 5]))
    assert low[0] == 0 and high[1] == 1


def test_a_histogram_counts_every_row_once() -> None:
    labels, logits = CASES["distinct"]
    counts = evaluation.histogram(labels, sigmoid(logits))
    assert counts.clicked.sum() == labels.sum()
    assert counts.not_clicked.sum() == len(labels) - labels.sum()
    assert len(counts.edges) == len(counts.clicked) + 1


@each_case
def test_gain_is_a_plain_loop_over_thresholds(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    curve = evaluation.gain(labels, logits, step=None)
    assert curve is not None
    for i, threshold in enumerate(np.unique(logits)[::-1]):
        taken = logits >= threshold
        assert curve.share_of_rows[i + 1] == pytest.approx(taken.mean())
        assert curve.share_of_clicks[i + 1] == pytest.approx(labels[taken].sum() / labels.sum())
        assert curve.lift[i + 1] == pytest.approx(labels[taken].mean() / labels.mean())


@each_case
def test_confusion_at_every_slider_position(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    probability = sigmoid(logits)
    table = evaluation.threshold_table(labels, probability)
    assert (np.diff(table.threshold) > 0).all()
    for i, threshold in enumerate(table.threshold):
        tn, fp, fn, tp = sk.confusion_matrix(labels, probability >= threshold).ravel()
        expected = (tp, fp, fn, tn)
        assert (table.tp[i], table.fp[i], table.fn[i], table.tn[i]) == expected
        assert evaluation.confusion(labels, probability, threshold) == expected
        assert table.tpr[i] == pytest.approx(tp / (tp + fn))
        assert table.fpr[i] == pytest.approx(fp / (fp + tn))
        assert table.accuracy[i] == pytest.approx((tp + tn) / len(labels))
        if tp + fp:
            assert table.precision[i] == pytest.approx(tp / (tp + fp))
        else:
            assert np.isnan(table.precision[i])


@each_case
def test_a_slider_reaches_all_none_one_half_and_the_base_rate(
    labels: NDArray[Any], logits: NDArray[Any]
) -> None:
    table = evaluation.threshold_table(labels, sigmoid(logits))
    assert table.fn[0] == table.tn[0] == table.tp[-1] == table.fp[-1] == 0
    assert {0.0, 0.5, float(np.mean(labels == 1))} <= set(table.threshold.tolist())
    assert table.threshold[table.position(0.5)] == 0.5
    assert len(table.threshold) <= 205


def test_each_step_of_the_slider_is_small_where_clicks_are_rare() -> None:
    labels, logits = clicks(rows=50_000, rate=0.003, digits=9)
    table = evaluation.threshold_table(labels, sigmoid(logits))
    assert np.abs(np.diff(table.tpr)).max() < 0.05
    assert np.abs(np.diff(table.fpr)).max() < 0.05


@each_case
def test_best_thresholds_are_best(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    probability = sigmoid(logits)
    f1 = [sk.f1_score(labels, probability >= t) for t in np.unique(probability)]
    best = evaluation.best_f1(labels, probability)
    assert best.value == pytest.approx(max(f1))
    assert sk.f1_score(labels, probability >= best.threshold) == pytest.approx(max(f1))
    fpr, tpr, _ = sk.roc_curve(labels, probability)
    youden = evaluation.best_youden(labels, probability)
    assert youden is not None
    assert youden.value == pytest.approx(max(tpr[1:] - fpr[1:]))


# --- Terms --------------------------------------------------------------------------------------


def random_terms(rows: int = 500, seed: int = 0) -> Terms:
    rng = np.random.default_rng(seed)
    return Terms(*(rng.normal(loc, 1, rows) for loc in (0.5, -2.0, 1.0)))


def test_shares_of_the_terms_add_up_to_one() -> None:
    terms = random_terms()
    shares = evaluation.term_shares(terms)
    assert sum(shares.shares.values()) == pytest.approx(1)
    variance = terms.logit.var()
    assert shares.covariance.sum() == pytest.approx(variance)
    for name, share in shares.shares.items():
        cross = np.mean((getattr(terms, name) - getattr(terms, name).mean()) * terms.logit)
        assert share == pytest.approx(cross / variance)
    assert evaluation.term_shares(evaluation.moments_of(terms)).shares == shares.shares


def test_a_logit_that_does_not_vary_has_no_shares() -> None:
    same = Terms(np.ones(5), np.zeros(5), np.zeros(5))
    assert evaluation.term_shares(same).shares == {"linear": 0, "pairwise": 0, "deep": 0}


def test_branches_disagree_where_both_are_far_and_opposed() -> None:
    terms = Terms(np.array([1.0, 1.0, -3.0]), np.array([1.0, 0, 0]), np.array([-0.75, 2, 0.25]))
    zero = Terms(*np.zeros((3, 1)))
    assert evaluation.disagreement(terms, zero).tolist() == [0.75, 0.0, 0.25]
    shifted = Terms(*(np.array([x]) for x in (1.0, 0.5, 0.25)))
    assert evaluation.disagreement(terms, shifted).tolist() == [0.5, 0.5, 0.0]


def test_a_constant_moved_between_branches_changes_no_branch_figure() -> None:
    terms, labels = random_terms(), clicks(rows=500)[0]
    mean = Terms(*(np.array([term.mean()]) for term in terms))
    moved = Terms(terms.linear + 5, terms.pairwise - 2, terms.deep - 3)
    moved_mean = Terms(mean.linear + 5, mean.pairwise - 2, mean.deep - 3)
    all_terms = ("linear", "pairwise", "deep")
    first = evaluation.branch_figures(labels, terms, mean, all_terms)
    again = evaluation.branch_figures(labels, moved, moved_mean, all_terms)
    assert list(first) == ["linear", "pairwise", "fm", "deep", "all"]
    for name, figures in first.items():
        assert again[name].log_loss == pytest.approx(figures.log_loss)
        assert again[name].auc == pytest.approx(figures.auc)
    assert first["all"].log_loss == pytest.approx(evaluation.log_loss(labels, terms.logit))
    alone = mean.logit + terms.deep - mean.deep
    assert first["deep"].log_loss == pytest.approx(evaluation.log_loss(labels, alone))
    assert first["deep"].auc == evaluation.auc(labels, terms.deep)


@each_case
def test_auc_is_that_of_the_counts(labels: NDArray[Any], logits: NDArray[Any]) -> None:
    assert evaluation.auc(labels, logits) == auc_of(evaluation.count(labels, logits))


@pytest.mark.parametrize("block", [1, 7, 50])
def test_figures_do_not_depend_on_the_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, logits = CASES["many ties"]
    metrics, calibration = evaluation.metrics_of(labels, logits), evaluation.platt(labels, logits)
    monkeypatch.setattr(figures_module, "BLOCK", block)
    again = evaluation.metrics_of(labels, logits)
    assert (again.auc, again.accuracy, again.rows) == (metrics.auc, metrics.accuracy, metrics.rows)
    assert again.loss == pytest.approx(metrics.loss, rel=1e-12)
    fitted = evaluation.platt(labels, logits)
    assert fitted.slope == pytest.approx(calibration.slope, rel=1e-9)
    assert fitted.intercept == pytest.approx(calibration.intercept, rel=1e-9)


def test_counts_of_a_large_part_do_not_overflow() -> None:
    labels = np.repeat(np.array([1.0, 0.0]), 100_000)
    assert auc_of(evaluation.count(labels, np.arange(200_000.0))) == 0.0
    assert auc_of(evaluation.count(labels, -np.arange(200_000.0))) == 1.0
