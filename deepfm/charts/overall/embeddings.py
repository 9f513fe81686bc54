"""One field's embeddings on two axes to a map: click rate as colour, training rows as size."""

from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    colour,
    format_count,
    format_probability,
    label,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from deepfm.explanation.overall import EmbeddingMap

MOST_LABELS: Final = 16
ENOUGH_ROWS: Final = 50
"""Training rows from which on a value's click rate has a say in the range of colours."""
_NEAR: Final = (0.11, 0.055)
"""Labels keep apart by these shares of the map's width and height."""


def embedding_figure(found: "EmbeddingMap") -> go.Figure:
    """One circle a value; the default, “rare or unseen”, is a square."""
    rates = found.clicks / np.maximum(1, found.count)
    base = float(found.clicks.sum() / max(1, found.count.sum()))
    reach = _reach(found, rates, base)
    figure = new_figure(
        f"How {shortened(found.field, 40)}'s values lie by what the model learned of them",
        x=_axis_title(0, found.explained),
        y=_axis_title(1, found.explained),
        showlegend=False,
    )
    size = 8 + 26 * np.sqrt(found.count / max(1, int(found.count.max(initial=0))))
    default = len(found.values) - 1
    named = _labelled(found)
    names = [_name(found, place) for place in range(len(found.values))]
    figure.add_scatter(
        x=found.position[:, 0],
        y=found.position[:, 1],
        mode="markers+text",
        text=[names[place] if place in named else "" for place in range(len(names))],
        textposition="top center",
        textfont={"size": 12, "color": colour("text")},
        cliponaxis=False,
        marker={
            "symbol": ["circle"] * default + ["square"],
            "size": size,
            "color": np.where(found.count > 0, rates, base),
            "cmin": base - reach,
            "cmax": base + reach,
            "colorscale": [
                [0.0, colour("lowers")],
                [0.5, colour("surface")],
                [1.0, colour("raises")],
            ],
            "line": {"width": 1, "color": colour("muted")},
            "opacity": 0.9,
            "colorbar": {
                "title": {"text": "click rate", "font": {"size": 12, "color": colour("muted")}},
                "thickness": 8,
                "len": 0.7,
                "outlinewidth": 0,
                "tickformat": ".0%" if reach > 0.03 else ".1%",
                "tickfont": {"size": 12, "color": colour("muted")},
            },
        },
        customdata=[
            [
                label(found.values[place] or "(empty)"),
                format_count(found.count[place]),
                format_probability(rates[place] if found.count[place] else None),
            ]
            for place in range(len(names))
        ],
        hovertemplate=(
            "<b>%{customdata[0]}</b><br>%{customdata[1]} training rows, "
            "%{customdata[2]} clicked<extra></extra>"
        ),
    )
    figure.update_xaxes(zeroline=True, showgrid=False)
    figure.update_yaxes(zeroline=True, showgrid=False)
    return figure


def _axis_title(number: int, explained: NDArray[np.float64]) -> str:
    share = 100 * explained[number]
    if share == 0:
        return "(there is no second direction)" if number else "(all embeddings are alike)"
    return f"direction {number + 1}: {share:.0f} % of the embeddings' variance"


def _reach(found: "EmbeddingMap", rates: NDArray[np.float64], base: float) -> float:
    """How far from the base rate the colours reach: to the rates of values seen often enough."""
    often = found.count >= min(ENOUGH_ROWS, int(found.count.max(initial=0)))
    return max(1e-4, float(np.abs(rates[often] - base).max(initial=0.0)))


def _name(found: "EmbeddingMap", place: int) -> str:
    return label(shortened(found.values[place] or "(empty)", 20))


def _labelled(found: "EmbeddingMap") -> set[int]:
    """The commonest values whose labels do not lie upon one another, and the default if it can."""
    spread = np.ptp(found.position, axis=0) if len(found.position) else np.ones(2)
    scaled = found.position / np.where(spread > 0, spread, 1.0)
    chosen: list[int] = []
    for place in range(len(found.values)):
        apart = np.abs(scaled[chosen] - scaled[place])
        if not ((apart[:, 0] < _NEAR[0]) & (apart[:, 1] < _NEAR[1])).any():
            chosen.append(place)
        if len(chosen) == MOST_LABELS:
            break
    return set(chosen)
