"""A pinned impression's three terms, as a run learns, to three bars that grow from zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.draft import Draft
from deepfm.charts.history import History
from deepfm.charts.palette import (
    NO_VALUE,
    TERM_LETTERS,
    colour,
    format_logit,
    format_probability,
    signed_arrow,
    term_marker,
)
from deepfm.charts.training.axes import symmetric_range
from deepfm.events import Epoch, Point
from deepfm.terms import TERM_NAMES, sigmoid

PINNED_CAPTION: Final = (
    "L linear, P pairwise, D deep, each minus its mean over the reference rows. Right raises the "
    "score above that of a typical impression, left lowers it."
)

USUAL: Final = 0.9
"""The share of the observations that the bars' range holds in any case."""


@dataclass(frozen=True)
class PinnedBars:
    """One pinned impression at one position of the training.

    centred      linear, pairwise, deep minus their means over the reference (logit)
    probability  of a click, as the model says then
    """

    epoch: float
    centred: tuple[float, float, float]
    probability: float


NOT_YET: Final = PinnedBars(0.0, (0.0, 0.0, 0.0), float("nan"))
"""Before the first observation: every bar is zero."""


def pinned_bars(observation: Point | Epoch | None, place: int) -> PinnedBars:
    """Pinned impression number `place` as an observation saw it."""
    if observation is None or observation.moments is None or place >= len(observation.pinned):
        return NOT_YET
    raw = observation.pinned[place]
    linear, pairwise, deep = (
        term - mean for term, mean in zip(raw, observation.moments.mean, strict=True)
    )
    probability = float(sigmoid(np.asarray(sum(raw), dtype=np.float64)))
    return PinnedBars(float(observation.epoch), (linear, pairwise, deep), probability)


def pinned_range(history: History, places: int) -> float:
    """One half width for the bars of all pinned impressions: of what rests, and of nearly all.

    It holds what is shown at rest, and nine of ten observations so far: a wild one must not press
    all others flat. It goes in steps from 0.25 up, so that it does not jump at each point.
    """
    widest = sorted(_widest(observation, places) for observation in history.observations)
    usual = widest[int(USUAL * (len(widest) - 1))] if widest else 0.0
    return symmetric_range((usual, _widest(history.resting, places)), least=0.25)


def _widest(observation: Point | Epoch | None, places: int) -> float:
    """The length of an observation's longest bar."""
    bars = (pinned_bars(observation, place).centred for place in range(places))
    return max((abs(term) for centred in bars for term in centred), default=0.0)


def pinned_figure(
    bars: PinnedBars,
    half_width: float,
    terms: Sequence[str] = TERM_NAMES,
    truth: float | None = None,
) -> go.Figure:
    """The bars of the model's `terms`, first term on top, and the model's probability above."""
    shown = [(TERM_NAMES.index(term), term) for term in TERM_NAMES if term in terms]
    draft = Draft(
        "",
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 26, "b": 4},
        bargap=0.28,
        xaxis={
            "title": {"text": ""},
            # The room beside the longest bar is for its number.
            "range": (-1.7 * half_width, 1.7 * half_width),
            "showgrid": False,
            "showticklabels": False,
            "zeroline": True,
            "fixedrange": True,
        },
        yaxis={
            "title": {"text": ""},
            "categoryorder": "array",
            "categoryarray": [TERM_LETTERS[term] for _, term in reversed(shown)],
            "fixedrange": True,
            "showgrid": False,
            "tickfont": {"color": colour("text"), "size": 12, "weight": 600},
        },
        **pinned_layout(bars, truth),
    )
    for place, term in shown:
        draft.add_trace("bar", **_bar(bars, bars.centred[place], term))
    return draft.figure()


def _bar(bars: PinnedBars, value: float, term: str) -> dict[str, Any]:
    return {
        "x": [value],
        "y": [TERM_LETTERS[term]],
        "name": term,
        "orientation": "h",
        "width": 0.72,
        "marker": term_marker(term),
        "text": [bar_text(bars, value)],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "textfont": {"color": colour("text"), "size": 12},
        "hovertemplate": f"{term} {format_logit(value)} (logit)<extra></extra>",
    }


def bar_text(bars: PinnedBars, value: float) -> str:
    """The number at a bar's end, with an arrow for its direction; a dash before there is one."""
    if bars is NOT_YET:
        return NO_VALUE
    return f"{signed_arrow(value)} {format_logit(value)}".strip()


def pinned_layout(bars: PinnedBars, truth: float | None) -> dict[str, Any]:
    """The words above the bars: what the model says, and the truth where it is known."""
    known = "" if truth is None else f" · truth {format_probability(truth, 0)}"
    return {
        "annotations": [
            {
                "text": f"model <b>{format_probability(bars.probability, 0)}</b>{known}",
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0.0,
                "xshift": -22,
                "y": 1.0,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"size": 13, "color": colour("text")},
            }
        ]
    }


def pinned_finding(words: str, bars: PinnedBars, truth: float | None) -> str:
    """One pinned impression in one sentence."""
    if bars is NOT_YET:
        return f"{words}: not scored yet."
    terms = ", ".join(
        f"{term} {format_logit(value)}"
        for term, value in zip(TERM_NAMES, bars.centred, strict=True)
    )
    known = "" if truth is None else f", the truth {format_probability(truth, 0)}"
    return f"{words}: the model says {format_probability(bars.probability, 0)}{known}; {terms}."
