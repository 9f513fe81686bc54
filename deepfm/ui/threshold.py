"""The threshold that the charts of an evaluation follow: in the address, and under the hand."""

from typing import Final

import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.trained import TrainedModel
from deepfm.ui.evaluated import Evaluated, with_threshold
from deepfm.ui.plot import Slider, revision_of

THRESHOLD: Final = "threshold"
"""The sliders' group, and the name in the address."""
EXACT: Final = "threshold_exact"
"""Session key: the threshold that was asked for by name or by a rule, by what it is shown of."""


def threshold_asked_for(
    found: Evaluated, run_id: str, model: TrainedModel
) -> tuple[Evaluated, str]:
    """The same with the threshold that the address names when its charts are first drawn, or that
    `use_threshold` set since; and a revision that changes with it.

    What a hand leaves in the address later does not move a chart by itself.
    """
    base = revision_of(run_id, found.figures.part, found.selection)
    asked: dict[str, tuple[int, float | None]] = st.session_state.setdefault(EXACT, {})
    if base not in asked:
        asked[base] = (0, _threshold_in_address())
    number, exact = asked[base]
    if exact is not None:
        found = with_threshold(found, run_id, model, exact)
    revision = revision_of(base, number)
    st.session_state.setdefault(
        f"{THRESHOLD}_{revision}",
        found.start if exact is None else found.thresholds.position(exact),
    )
    return found, revision


def use_threshold(found: Evaluated, run_id: str, threshold: float) -> None:
    """Move the slider, and every chart that follows it, to a threshold; into the address too."""
    base = revision_of(run_id, found.figures.part, found.selection)
    number, _ = st.session_state[EXACT][base]
    st.session_state[EXACT][base] = (number + 1, threshold)
    st.query_params[THRESHOLD] = _as_text(threshold)


def _as_text(threshold: float) -> str:
    """All its digits: with fewer, a row right at the threshold changes sides for others."""
    return str(min(1.0, float(threshold)))


def start_of(revision: str) -> int:
    """Where the threshold stands."""
    return int(st.session_state[f"{THRESHOLD}_{revision}"])


def _threshold_in_address() -> float | None:
    try:
        threshold = float(st.query_params.get(THRESHOLD, "nan"))
    except ValueError:
        return None
    return threshold if 0 <= threshold <= 1 else None


def keep_threshold(found: Evaluated, revision: str, place: int) -> None:
    """A callback: the threshold that was left into the address, where it is not the usual one.

    Charts that are opened later start there.
    """
    st.session_state[f"{THRESHOLD}_{revision}"] = place
    if place == found.start:
        st.query_params.pop(THRESHOLD, None)
    else:
        st.query_params[THRESHOLD] = _as_text(found.thresholds.threshold[place])


def slider(found: Evaluated, revision: str, *, hidden: bool = True) -> Slider:
    """The threshold: one range moves every chart of the page."""
    return Slider(
        "Threshold",
        readouts=charts.threshold_readouts(found.thresholds),
        values=[charts.threshold_text(value) for value in found.thresholds.threshold],
        above=not hidden,
        start=start_of(revision),
        report=not hidden,
        group=THRESHOLD,
        hidden=hidden,
        revision=revision,
    )
