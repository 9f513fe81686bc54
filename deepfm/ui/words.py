"""An explanation's spans to a sentence on the page; a person's values stay plain text."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from deepfm.explanation import Span

_CSS: Final = """
.dfm-said { margin: 0; font: 400 1.15rem/1.6 var(--st-font); color: var(--st-text-color); }
.dfm-said b { font-weight: 650; }
.dfm-said .value { font-weight: 600; overflow-wrap: anywhere; }
.dfm-said .linear { color: var(--st-orange-text-color); font-weight: 650; }
.dfm-said .pairwise { color: var(--st-blue-text-color); font-weight: 650; }
.dfm-said .deep { color: var(--st-violet-text-color); font-weight: 650; }
"""
_JS: Final = """
export default function ({ data, parentElement }) {
  parentElement.querySelector('.dfm-said').replaceChildren(
    ...data.spans.map(([text, emphasis]) => {
      const span = document.createElement(emphasis === 'strong' ? 'b' : 'span');
      span.textContent = text.replaceAll(' %', '\\u00a0%');
      if (emphasis) span.className = emphasis;
      return span;
    }),
  );
}
"""
_WORDS: Final = st.components.v2.component(
    "deepfm_words",
    html='<p class="dfm-said" aria-live="polite"></p>',
    css=_CSS,
    js=_JS,
    isolate_styles=False,
)


def say(spans: Sequence[Span], *, key: str) -> None:
    """Show the sentence; the terms in their colours, values in bold."""
    _WORDS(key=key, data={"spans": [[span.text, span.emphasis] for span in spans]})
