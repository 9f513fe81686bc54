"""One impression and all that its page shows of it: as it is, as it was changed, against whom."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.charts.palette import format_count
from deepfm.explanation import Explanation, explain, more_draws
from deepfm.trained import Reference, TrainedModel
from deepfm.trained.weights import Ids
from deepfm.ui import choosing, state
from deepfm.ui.choosing import Choice
from deepfm.ui.impression_population import Against, against_in_address

FIRST_DRAWS: Final = 200
"""Random orders of the fields that deep by field starts with."""
MORE: Final = 5
"""How many times as many there are after “More samples”."""
MOST_DRAWS: Final = 25_000
_DRAWS: Final = "impression_draws"


@dataclass(frozen=True, eq=False)
class Shown:
    """What one run of the page is about.

    original     the row's own values explained
    explanation  the same with the changed values, or the original where none was changed
    """

    run_id: str
    model: TrainedModel
    choice: Choice
    against: Against
    original: Explanation
    explanation: Explanation

    @property
    def before(self) -> Explanation | None:
        """The original, where something was changed."""
        return self.original if self.choice.changes else None

    @property
    def reference(self) -> Reference:
        """What is measured against."""
        return self.against.reference

    @property
    def ids(self) -> Ids:
        """The feature indices, int32[F], with what was changed."""
        return self.explanation.ids

    @property
    def other_values(self) -> dict[str, str]:
        """Values of the one impression that it is compared with, where they differ; else none."""
        if self.reference.kind != "other":
            return {}
        there = self.model.decode(self.reference.ids[0])
        return {name: value for name, value in there.items() if self._differs(name, value)}

    def _differs(self, name: str, value: str) -> bool:
        return self.explanation.seen_as[name] != value


def shown_in_address(run_id: str, model: TrainedModel) -> Shown:
    """Row, changed values and population that the address names, explained."""
    choice, against = choosing.choice_in_address(model), against_in_address(model)
    original = choosing.original_of(model, choice, against.reference)
    explanation = original
    if choice.changes:
        changed = {**original.values, **choice.changes}
        explanation = explain(model, changed, reference=against.reference)
    return Shown(run_id, model, choice, against, original, explanation)


def draws_asked(shown: Shown) -> int:
    """How many random orders deep by field rests on for this impression."""
    kept, draws = st.session_state.get(_DRAWS, (b"", FIRST_DRAWS))
    return int(draws) if kept == shown.ids.tobytes() else FIRST_DRAWS


def ask_for_more_draws(shown: Shown) -> None:
    """Five times as many for this impression; another one starts anew."""
    more = min(MOST_DRAWS, MORE * draws_asked(shown))
    st.session_state[_DRAWS] = (shown.ids.tobytes(), more)


def divided(shown: Shown, explanation: Explanation) -> Explanation:
    """The explanation with deep by field, from as many draws as were asked for."""
    if "deep" not in shown.model.model.terms:
        return explanation
    stamp = state.run_time(shown.model.folder)
    draws = draws_asked(shown)
    with st.spinner(f"Drawing {format_count(draws)} random orders of the fields…"):
        return _divided(
            shown.model.folder,
            stamp,
            (explanation.ids.tobytes(), explanation.reference, explanation.base),
            draws,
            shown.model,
            explanation,
            shown.reference,
        )


@st.cache_resource(show_spinner=False, max_entries=64)
def _divided(
    folder: Path,
    time: float,
    which: tuple[bytes, str, float],
    draws: int,
    _model: TrainedModel,
    _explanation: Explanation,
    _reference: Reference,
) -> Explanation:
    if draws > FIRST_DRAWS:
        fewer = max(FIRST_DRAWS, draws // MORE)
        so_far = _divided(folder, time, which, fewer, _model, _explanation, _reference)
    else:
        so_far = _explanation
    return more_draws(_model, so_far, draws, _reference)
