"""What is written under a chart holds for the model whose chart it is."""

from pathlib import Path

import numpy as np
import pytest

from deepfm.explanation import explain
from deepfm.explanation.overall import FieldSizes
from deepfm.trained import open_run
from deepfm.ui import impression_fields, impression_what_if, model_fields
from tests.unit.run_folders import ALL_MODELS, ModelConfig, RunSpec, write_run

PAIRS = "pair's effect is shared between its two fields"


@pytest.mark.parametrize("name", ALL_MODELS)
def test_the_bars_of_fields_speak_of_pairs_and_samples_only_where_there_are_some(name, tmp_path):
    model = open_run(
        write_run(Path(tmp_path) / "run", RunSpec(model=ModelConfig(**ALL_MODELS[name])))
    )
    terms = model.model.terms
    explanation = explain(model, row=0, permutations=4)
    one = impression_fields.caption_of(explanation, None)
    assert (PAIRS in one) == ("pairwise" in terms)
    assert ("whisker" in one) == ("deep" in terms)
    means = {term: np.ones(2) for term in terms}
    sizes = FieldSizes(("a", "b"), means, means, dict.fromkeys(terms, 9), 4 * ("deep" in terms))
    all_rows = model_fields.caption_of(sizes)
    assert (PAIRS in all_rows) == ("pairwise" in terms)
    assert ("sampled" in all_rows) == ("deep" in terms)
    assert ("order of the sum of their bars" in all_rows) == (len(terms) > 1)


def test_fields_stand_in_the_order_of_the_sum_of_their_bars():
    linear, deep = np.array([0.1, 0.5, 0.2]), np.array([0.6, 0.1, 0.3])
    sizes = FieldSizes(
        ("a", "b", "c"), {"linear": linear, "deep": deep}, {}, {"linear": 9, "deep": 9}, 4
    )
    assert list(sizes.by_size) == sorted(range(3), key=lambda place: -(linear + deep)[place])


def test_the_curve_of_values_has_two_branches_only_in_a_model_of_two():
    assert "its two branches" in impression_what_if.curve_caption(["FM branch", "Deep branch"])
    assert "one branch" in impression_what_if.curve_caption(["Deep branch"])
