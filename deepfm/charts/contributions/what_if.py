"""One impression with another value in one field to bars, one a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.draft import Draft
from deepfm.charts.palette import (
    colour,
    format_probability,
    label,
    shortened,
    term_marker,
)
from deepfm.terms import TERM_NAMES, sigmoid


@dataclass(frozen=True)
class Variant:
    """The impression with one value changed: its centred terms and its logit."""

    value: str
    terms: Mapping[str, float]
    logit: float
    current: bool

    @property
    def probability(self) -> float:
        """sigmoid(logit)."""
        return float(sigmoid(np.asarray(self.logit)))


def what_if_figure(
    field: str, variants: Sequence[Variant], against: str = "a typical impression"
) -> go.Figure:
    """Every value of one field in this impression: the terms stacked, the score beside it."""
    draft = Draft(
        f"This impression with another {shortened(field, 30)}",
        x=f"raises or lowers the score (logit), against {shortened(against, 60)}",
        barmode="relative",
    )
    places = list(range(len(variants)))
    for term in TERM_NAMES:
        if any(term not in variant.terms for variant in variants):
            continue
        draft.add_trace(
            "bar",
            x=[variant.terms[term] for variant in variants],
            y=places,
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            customdata=[label(variant.value) for variant in variants],
            hovertemplate="%{customdata}: " + term + " %{x:+.4f}<extra></extra>",
        )
    draft.add_trace(
        "scatter",
        x=[sum(variant.terms.values()) for variant in variants],
        y=places,
        mode="markers",
        name="Sum",
        cliponaxis=False,
        marker={
            "symbol": "diamond",
            "size": 9,
            "color": colour("text"),
            "line": {"color": colour("ground"), "width": 1.5},
        },
        customdata=[
            [label(variant.value), format_probability(variant.probability)] for variant in variants
        ],
        hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
    )
    draft.update_axis(
        "y",
        tickvals=places,
        ticktext=[_variant_label(variant) for variant in variants],
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    draft.update_axis("x", zeroline=True)
    return draft.figure()


def _variant_label(variant: Variant) -> str:
    text = f"{label(shortened(variant.value, 26))}  {format_probability(variant.probability)}"
    return f"<b>▸ {text}</b>" if variant.current else text
