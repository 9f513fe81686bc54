"""An impression to a card of its raw values, and a changed value back.

Values to choose from are asked for when a field is opened (`values.py`), so the card is as small
with 100,000 values in a field as with three.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.ui import state
from deepfm.ui.upload import ticket
from deepfm.ui.values import VALUES_PATH

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

    words     its name as it stands on the card, shortened
    value     what it holds now; "" is an empty cell
    was       what the row holds, where the value was changed; else None
    seen      what the model takes it for, where that is not the value itself
    other     what the impression that it is compared with holds, where that differs; else None
    number    a number of its own may be typed; else what is none of the values is unseen
    """

    name: str
    words: str
    value: str
    was: str | None
    seen: str
    other: str | None
    number: bool


def card(
    fields: Sequence[CardField],
    *,
    run: str,
    key: str,
    height: int,
    on_change: Callable[[str, str], None],
) -> None:
    """Show the card; `on_change(field, value)` is called before the page runs again.

    run  the id of the run whose values are offered
    """

    def changed() -> None:
        event = st.session_state[key].get("change")
        if event:
            on_change(str(event["field"]), str(event["value"]))

    _CARD(
        key=key,
        data={
            "name": key,
            "height": height,
            "run": run,
            "values": VALUES_PATH.removeprefix("/"),
            "ticket": ticket(state.settings()),
            "fields": [asdict(field) for field in fields],
        },
        on_change_change=changed,
    )
