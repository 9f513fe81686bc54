"""An impression to a card of its raw values, and a changed value back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

_HERE: Final = Path(__file__).parent
_CARD: Final = st.components.v2.component(
    "deepfm_card",
    html='<div class="dfm-card"></div>',
    css=(_HERE / "card.css").read_text(encoding="utf-8"),
    js=(_HERE / "card.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class CardField:
    """One field on the card.

    value     what it holds now; "" is an empty cell
    was       what the row holds, where the value was changed; else None
    seen      what the model takes it for, where that is not the value itself
    options   values to choose from; with `free` any other may be typed
    """

    name: str
    value: str
    was: str | None
    seen: str
    options: Sequence[str]
    free: bool


def card(
    fields: Sequence[CardField], *, key: str, height: int, on_change: Callable[[str, str], None]
) -> None:
    """Show the card; `on_change(field, value)` is called before the page runs again."""

    def changed() -> None:
        event = st.session_state[key].get("change")
        if event:
            on_change(str(event["field"]), str(event["value"]))

    _CARD(
        key=key,
        data={
            "name": key,
            "height": height,
            "fields": [{**field.__dict__, "options": list(field.options)} for field in fields],
        },
        on_change_change=changed,
    )
