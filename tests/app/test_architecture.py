"""The figure of the two branches says of each model what it has, and what it lacks."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deepfm.config import ModelConfig
from deepfm.ui.architecture import figure_words

FIGURE = Path(__file__).parents[2] / "assets" / "architecture.svg"
NUMBERS = {"linear": 0.5, "pairwise": -0.25, "deep": 1.0, "logit": 1.25, "probability": 0.78}


@pytest.mark.parametrize(
    ("terms", "shared", "embeddings"),
    [
        (("linear",), True, "not in it"),
        (("linear", "pairwise"), True, "10 vectors of 8 numbers"),
        (("deep",), False, "10 vectors of 8 numbers"),
        (("linear", "pairwise", "deep"), True, "10 vectors of 8 numbers"),
        (("linear", "pairwise", "deep"), False, "10 vectors of 8 numbers for each branch"),
    ],
)
def test_only_what_the_model_has_stands_in_its_figure(terms, shared, embeddings):
    model = ModelConfig(terms=terms, num_factors=8, shared_embedding=shared)
    words = figure_words(model, 10, NUMBERS)
    assert words["embeddings"] == embeddings
    for term in ("linear", "pairwise", "deep"):
        assert (words[term] == "not in it") == (term not in terms)


def test_the_linear_term_is_fed_by_raw_values_and_not_by_embeddings():
    wires = {
        (path.get("data-term"), path.get("d", ""))
        for path in ElementTree.parse(FIGURE).iter("{http://www.w3.org/2000/svg}path")
    }
    linear = {path for term, path in wires if term == "linear"}
    assert any(path.startswith("M 170 389") for path in linear), "from the box of raw values"
    assert not any(path.startswith("M 320 296") for path in linear), "the top of the embeddings"
