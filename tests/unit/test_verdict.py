"""The verdict against slower writings of it, and on models whose worth is known."""

import dataclasses

import numpy as np
import pytest

from deepfm.charts.evaluation import verdict_lines
from deepfm.charts.evaluation.verdict import calibration_sentence
from deepfm.evaluation import CalibrationVerdict, calibration, log_loss, verdict_of
from deepfm.evaluation.verdict import errors_by_chance
from deepfm.terms import sigmoid


def rows(number: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from known probabilities, and their logits."""
    rng = np.random.default_rng(seed)
    logits = -1.5 + spread * rng.normal(size=number)
    return (rng.random(number) < sigmoid(logits)).astype(np.float32), logits


@pytest.mark.parametrize(("number", "shift"), [(150, 0.0), (3_000, 0.0), (3_000, -4.0)])
def test_the_error_by_chance_is_that_of_labels_drawn_row_by_row(number, shift):
    probability = sigmoid(rows(number, 1.0)[1] + shift)
    rng = np.random.default_rng(1)
    drawn = [calibration(rng.random(number) < probability, probability).error for _ in range(400)]
    found = errors_by_chance(probability)
    assert found.mean() == pytest.approx(np.mean(drawn), rel=0.05)
    assert np.quantile(found, 0.95) == pytest.approx(np.quantile(drawn, 0.95), rel=0.08)
    assert np.array_equal(found, errors_by_chance(probability))


def test_true_probabilities_are_called_right_about_as_often_as_was_asked_for():
    verdicts = [verdict_of(*rows(800, 1.0, seed)) for seed in range(100)]
    assert sum(found.calibration.beyond_chance for found in verdicts) <= 10


@pytest.mark.parametrize(
    ("factor", "shift", "spread", "level"),
    [
        (2.0, 1.5, "overconfident", ""),
        (0.5, -0.75, "underconfident", ""),
        (1.0, 0.5, "", "too high"),
        (1.0, -0.5, "", "too low"),
    ],
)
def test_wrong_probabilities_are_told_by_how_they_are_wrong(factor, shift, spread, level):
    labels, logits = rows(20_000, 1.0)
    found = verdict_of(labels, factor * logits + shift)
    assert found.calibration.beyond_chance
    assert found.calibration.spread == spread
    assert found.calibration.slope == pytest.approx(1 / factor, rel=0.1)
    if level:
        assert found.calibration.level == level
    words = verdict_lines(found)[1]
    assert spread in words and level in words


def test_noise_is_not_told_from_a_coin_nor_from_the_base_rate():
    rng = np.random.default_rng(3)
    labels = (rng.random(500) < 0.2).astype(np.float32)
    found = verdict_of(labels, -1.4 + 0.01 * rng.normal(size=500))
    assert found.ranking.against_coin == "unclear"
    assert found.use.against_base == "unclear"
    ranks, right = verdict_lines(found)
    assert "500 rows cannot tell" in ranks
    assert "may be no better" in right and "as far as 500 rows can tell" in right


@pytest.mark.parametrize(
    ("spread", "grade", "words"),
    [
        (0.4, "weak", "but weakly**"),
        (0.85, "fair", "It ranks fairly well**"),
        (2.0, "strong", "It ranks well**"),
    ],
)
def test_a_ranking_is_graded_by_its_auc(spread, grade, words):
    found = verdict_of(*rows(20_000, spread))
    assert (found.ranking.against_coin, found.ranking.grade) == ("better", grade)
    assert words in verdict_lines(found)[0]


def test_what_is_gained_on_the_base_rate_is_the_difference_of_the_log_losses():
    labels, logits = rows(5_000, 1.0)
    found = verdict_of(labels, logits).use
    rate = labels.mean(dtype=np.float64)
    always = np.full(len(labels), np.log(rate / (1 - rate)))
    gained = log_loss(labels, always) - log_loss(labels, logits)
    assert found.gained == pytest.approx(gained)
    assert (found.low + found.high) / 2 == pytest.approx(gained)
    assert found.against_base == "better"
    assert verdict_of(labels, -logits).use.against_base == "worse"
    assert verdict_of(labels, -logits).ranking.against_coin == "worse"


@pytest.mark.parametrize("clicks", [0, 1, 4, 5])
def test_rows_of_one_class_have_no_verdict(clicks):
    assert verdict_of(np.arange(5) < clicks, np.linspace(-1, 1, 5)) is None


def test_a_constant_score_and_certain_ones_are_judged_without_a_warning():
    labels, _ = rows(200, 1.0)
    assert verdict_of(labels, np.zeros(200)).calibration.p_slope == 1.0
    certain = verdict_of(labels, np.where(labels > 0.5, 800.0, -800.0))
    assert certain.use.against_base == "better" and certain.calibration.error == 0.0


def test_what_only_the_slope_tells_is_said_beside_an_error_that_chance_explains():
    found = CalibrationVerdict(
        error=0.0129,
        chance=0.0136,
        chance_high=0.0186,
        p_error=0.6,
        predicted=0.2,
        seen=0.2,
        p_level=1.0,
        slope=0.93,
        p_slope=0.01,
    )
    verdict = dataclasses.replace(verdict_of(*rows(500, 1.0)), calibration=found)
    sentence = calibration_sentence(verdict)
    assert "**Its probabilities are slightly overconfident" in sentence
    assert "has slope 0.93 where 1 is right, which is beyond chance" in sentence
    assert sentence.endswith("seldom over 1.86 %, so the error alone would not tell.")
    large = dataclasses.replace(found, p_error=0.001)
    assert calibration_sentence(dataclasses.replace(verdict, calibration=large)).endswith("1.86 %.")
    fine = dataclasses.replace(found, p_slope=1.0)
    assert "slope" not in calibration_sentence(dataclasses.replace(verdict, calibration=fine))
