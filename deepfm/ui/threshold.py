"""The threshold that the charts of an evaluation follow: in the address, and under the hand."""

from typing import Final

import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.ui.evaluated import Evaluated
from deepfm.ui.plot import Slider

THRESHOLD: Final = "threshold"
"""The sliders' group, and the name in the address."""


def start_of(found: Evaluated, revision: str) -> int:
    """Where the threshold starts: as the address names it when these charts are first drawn.

    Kept from then on: what is left in the address later must not move a chart by itself.
    """
    key = f"{THRESHOLD}_{revision}"
    if key not in st.session_state:
        st.session_state[key] = _threshold_in_address(found)
    return int(st.session_state[key])


def _threshold_in_address(found: Evaluated) -> int:
    try:
        threshold = float(st.query_params.get(THRESHOLD, "nan"))
    except ValueError:
        return found.start
    return found.thresholds.position(threshold) if 0 <= threshold <= 1 else found.start


def keep_threshold(found: Evaluated, place: int) -> None:
    """A callback: the threshold that was left into the address, where it is not the usual one."""
    if place == found.start:
        st.query_params.pop(THRESHOLD, None)
    else:
        st.query_params[THRESHOLD] = f"{min(1.0, found.thresholds.threshold[place]):.9g}"


def slider(found: Evaluated, revision: str, *, hidden: bool = True) -> Slider:
    """The threshold: one range moves every chart of the page."""
    return Slider(
        "Threshold",
        readouts=charts.threshold_readouts(found.thresholds),
        values=[charts.threshold_text(value) for value in found.thresholds.threshold],
        above=not hidden,
        start=start_of(found, revision),
        report=not hidden,
        group=THRESHOLD,
        hidden=hidden,
        revision=revision,
    )
