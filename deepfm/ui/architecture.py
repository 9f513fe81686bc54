"""The figure of the two branches, alive with one impression's numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.charts.palette import format_count, format_logit, format_probability
from deepfm.config import ModelConfig
from deepfm.terms import TERM_NAMES
from deepfm.trained import TrainedModel

_FIGURE: Final = Path(__file__).resolve().parents[2] / "assets" / "architecture.svg"
_STYLE: Final = Path(__file__).parent / "architecture.css"
_LACKING: Final = "not in it"
_JS: Final = """
export default function ({ data, parentElement }) {
  const figure = parentElement.querySelector('svg');
  figure.setAttribute('aria-label', data.alt);
  for (const [slot, text] of Object.entries(data.slots)) {
    figure.querySelector(`[data-slot="${slot}"]`).textContent = text;
  }
  // What belongs to several terms is there while one of them is.
  for (const box of figure.querySelectorAll('[data-term]')) {
    const terms = box.dataset.term.split(' ');
    box.classList.toggle('absent', !terms.some((term) => data.terms.includes(term)));
  }
}
"""
_ARCHITECTURE: Final = st.components.v2.component(
    "deepfm_architecture",
    html=_FIGURE.read_text(encoding="utf-8"),
    css=_STYLE.read_text(encoding="utf-8"),
    js=_JS,
    isolate_styles=False,
)


def architecture(model: TrainedModel, numbers: Mapping[str, float], *, key: str) -> None:
    """Show the figure; numbers holds linear, pairwise, deep, logit (raw) and probability."""
    slots = figure_words(model.model, len(model.fields), numbers)
    alt = (
        f"Linear {slots['linear']}, pairwise {slots['pairwise']}, deep {slots['deep']} add up to "
        f"{slots['logit']}, which is {slots['probability']}."
    )
    _ARCHITECTURE(key=key, data={"slots": slots, "terms": list(model.model.terms), "alt": alt})


def figure_words(model: ModelConfig, fields: int, numbers: Mapping[str, float]) -> dict[str, str]:
    """What stands in each box: its number, or that the model lacks it."""
    words = {
        "input": f"{format_count(fields)} raw values",
        "embeddings": _embeddings(model, fields),
        "network": f"MLP {'-'.join(str(width) for width in model.mlp_dims)}",
        "logit": format_logit(numbers["logit"]),
        "probability": format_probability(numbers["probability"]),
    }
    for term in TERM_NAMES:
        words[term] = format_logit(numbers[term]) if term in model.terms else _LACKING
    return words


def _embeddings(model: ModelConfig, fields: int) -> str:
    """Pairwise and deep read embeddings, of one table or of one each; linear reads none."""
    tables = len({"pairwise", "deep"} & set(model.terms))
    if not tables:
        return _LACKING
    each = " for each branch" if tables == 2 and not model.shared_embedding else ""
    return f"{format_count(fields)} vectors of {model.num_factors} numbers{each}"
