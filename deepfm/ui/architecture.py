"""The figure of the two branches, alive with one impression's numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.charts.palette import format_count, format_logit, format_probability
from deepfm.trained import TrainedModel

_FIGURE: Final = Path(__file__).resolve().parents[2] / "assets" / "architecture.svg"
_STYLE: Final = Path(__file__).parent / "architecture.css"
_JS: Final = """
export default function ({ data, parentElement }) {
  const figure = parentElement.querySelector('svg');
  figure.setAttribute('aria-label', data.alt);
  for (const [slot, text] of Object.entries(data.slots)) {
    figure.querySelector(`[data-slot="${slot}"]`).textContent = text;
  }
  for (const box of figure.querySelectorAll('[data-term]')) {
    box.classList.toggle('absent', !data.terms.includes(box.dataset.term));
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
    fields, size = len(model.fields), model.model.num_factors
    widths = "-".join(str(width) for width in model.model.mlp_dims)
    slots = {
        "input": f"{format_count(fields)} raw values",
        "embeddings": f"{format_count(fields)} vectors of {size} numbers",
        "network": f"MLP {widths}",
        "logit": format_logit(numbers["logit"]),
        "probability": format_probability(numbers["probability"]),
    }
    for term in ("linear", "pairwise", "deep"):
        slots[term] = format_logit(numbers[term]) if term in model.model.terms else "not in it"
    alt = (
        f"Linear {slots['linear']}, pairwise {slots['pairwise']}, deep {slots['deep']} add up to "
        f"{slots['logit']}, which is {slots['probability']}."
    )
    _ARCHITECTURE(key=key, data={"slots": slots, "terms": list(model.model.terms), "alt": alt})
