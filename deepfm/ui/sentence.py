"""An impression to a sentence of drop-downs, and back: what a person chose in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

_HERE: Final = Path(__file__).parent
_HTML: Final = """
<div class="dfm-sentence">
  <p class="dfm-words"></p>
  <div class="dfm-tries" hidden>
    <span class="dfm-lead">Try</span><span class="dfm-chips"></span>
  </div>
  <div class="dfm-stories" hidden>
    <span class="dfm-lead">Or</span><span class="dfm-chips"></span>
  </div>
</div>
"""
_SENTENCE: Final = st.components.v2.component(
    "deepfm_sentence",
    html=_HTML,
    css=(_HERE / "sentence.css").read_text(encoding="utf-8"),
    js=(_HERE / "sentence.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)
_FIELD: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Suggestion:
    """A change worth trying: a word on a chip, its longer form, and the new values by field."""

    label: str
    changes: Mapping[str, str]
    title: str = ""


def sentence(
    template: str,
    values: Mapping[str, str],
    options: Mapping[str, Sequence[tuple[str, str]]],
    *,
    key: str,
    reference: Mapping[str, str],
    tries: Sequence[Suggestion] = (),
    stories: Sequence[Suggestion] = (),
) -> None:
    """Show the sentence; `chosen_values` has what the person chose in it.

    template    words with fields in braces: "On a {site} site"
    values      what each drop-down shows now
    options     field to (value, its words) in the order of the list
    reference   values that differ from these are marked as changed
    """
    _SENTENCE(
        key=key,
        data={
            "parts": _parts(template, options),
            "values": dict(values),
            "reference": dict(reference),
            "tries": [_chip(item) for item in tries],
            "stories": [_chip(item) for item in stories],
        },
        on_chosen_change=_nothing,
    )


def chosen_values(key: str) -> dict[str, str]:
    """The values that were chosen in the sentence `key`, by field; none before the first."""
    return dict(st.session_state.get(key, {}).get("chosen") or {})


def _parts(template: str, options: Mapping[str, Sequence[tuple[str, str]]]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for number, piece in enumerate(_FIELD.split(template)):
        if number % 2 == 0:
            parts.append({"text": piece})
        else:
            choices = [list(option) for option in options[piece]]
            parts.append({"field": piece, "label": piece.capitalize(), "options": choices})
    return parts


def _chip(suggestion: Suggestion) -> dict[str, Any]:
    return {
        "label": suggestion.label,
        "title": suggestion.title,
        "changes": dict(suggestion.changes),
    }


def _nothing() -> None:
    """A component's state is kept only where a callback is given."""
