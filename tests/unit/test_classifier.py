"""DeepFMClassifier against scikit-learn's own checks, and on data it is made for."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from deepfm import DeepFMClassifier, explain
from deepfm.config import ModelConfig, PrepareConfig, TrainConfig


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clicks(rows: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    site, ad = rng.choice(["news", "sport", "games"], rows), rng.choice(["news", "sport"], rows)
    price = np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2.0, 10.0, rows))
    chance = np.where(site == ad, 0.8, 0.2) + np.where(price > 20, 0.1, -0.1)
    frame = pd.DataFrame({"site": site, "ad": ad, "price": price, "mobile": rng.random(rows) < 0.5})
    labels = np.where(rng.random(rows) < chance, "click", "none")
    return frame, pd.Series(labels)


def test_it_learns_pairs_numbers_and_missing_values():
    frame, labels = clicks(4_000, 0)
    classifier = DeepFMClassifier(epochs=20, batch_size=128).fit(frame, labels)
    held_out, truth = clicks(1_000, 1)
    assert list(classifier.classes_) == ["click", "none"]
    assert classifier.score(held_out, truth) > 0.75
    probability = classifier.predict_proba(held_out)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(
        classifier.predict(held_out), classifier.classes_[(probability[:, 1] > 0.5).astype(int)]
    )


def test_terms_sum_to_the_decision_and_rows_can_be_explained():
    frame, labels = clicks(1_000, 0)
    classifier = DeepFMClassifier(epochs=2).fit(frame, labels)
    terms = classifier.score_terms(frame)
    np.testing.assert_allclose(terms.logit, classifier.decision_function(frame))
    impression = {"site": "news", "ad": "sport", "price": 12.5, "mobile": True}
    why = explain(classifier.model_, impression)
    assert why.base + why.linear + why.pairwise + why.deep == pytest.approx(why.logit, abs=1e-4)


def test_an_unseen_value_and_a_pickled_model_score_alike():
    frame, labels = clicks(1_000, 0)
    classifier = DeepFMClassifier(epochs=2).fit(frame, labels)
    unseen = frame.head(3).assign(site="never seen", mobile=[True, False, True])
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(unseen), classifier.predict_proba(unseen))


def test_every_parameter_is_a_setting_with_the_same_default():
    settings = {
        setting.name: setting.default
        for config in (PrepareConfig, ModelConfig, TrainConfig)
        for setting in config.settings()
    }
    parameters = DeepFMClassifier().get_params()
    own = {"random_state", "validation"}
    assert {name: settings[name] for name in parameters if name not in own} == {
        name: value for name, value in parameters.items() if name not in own
    }
    assert set(settings) - set(parameters) == {"split", "test_share", "seed", "drop_last"}


def test_three_classes_are_refused():
    frame, _ = clicks(30, 0)
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        DeepFMClassifier().fit(frame, np.arange(30) % 3)


def test_scikit_learns_checks_hold():
    estimator = clone(DeepFMClassifier(epochs=40, batch_size=32, min_count=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(estimator)
