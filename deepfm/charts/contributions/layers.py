"""One impression's way through the network to strips of units, and one unit's sum to bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    format_count,
    format_logit,
    label,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from deepfm.explanation import Arithmetic

MOST_PARTS: Final = 14
"""Parts of a unit's sum that have a bar of their own; the others share one."""


def layer_names(numbers: "Arithmetic") -> list[str]:
    """ "Embeddings", "Layer 1", …, "Output": the rows of the strips."""
    hidden = [f"Layer {number}" for number in range(1, len(numbers.layers))]
    return ["Embeddings", *hidden, "Output"]


def layers_figure(numbers: "Arithmetic", chosen: tuple[int, int] | None = None) -> go.Figure:
    """One strip a layer, one cell a unit; the colour grows with the distance from zero.

    chosen  (layer from 1, unit from 0) that has a frame
    """
    figure = new_figure("What each layer of the network passes on", showlegend=False)
    strips = [numbers.layers[0].inputs, *(layer.outputs for layer in numbers.layers)]
    names = layer_names(numbers)
    for row, (name, values) in enumerate(zip(names, strips, strict=True)):
        size = np.abs(values)
        figure.add_heatmap(
            z=[(size / (size.max() or 1.0)).tolist()],
            x=np.linspace(0, 1, len(values) + 1).tolist(),
            y=[row - 0.34, row + 0.34],
            colorscale=[[0.0, colour("surface")], [1.0, colour("deep")]],
            zmin=0.0,
            zmax=1.0,
            showscale=False,
            xgap=1 if len(values) <= 120 else 0,
            customdata=[
                [_unit_words(numbers, row, unit, values[unit]) for unit in range(len(values))]
            ],
            hovertemplate="%{customdata}<extra></extra>",
            name=name,
        )
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[
            f"{name} · {format_count(len(values))}"
            for name, values in zip(names, strips, strict=True)
        ],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    if chosen is not None:
        _frame(figure, chosen, len(strips[chosen[0]]))
    return figure


def layers_height(numbers: "Arithmetic") -> int:
    """Pixels of the strips."""
    return 40 + 44 * (len(numbers.layers) + 1)


def _unit_words(numbers: "Arithmetic", row: int, unit: int, value: float) -> str:
    if row == 0:
        size = len(numbers.layers[0].inputs) // len(numbers.fields)
        name = label(shortened(numbers.fields[unit // size], 40))
        return f"{name}, factor {unit % size + 1}: {format_logit(value, 3)}"
    if row == len(numbers.layers):
        return f"the deep branch: {format_logit(value, 3)}"
    return f"layer {row}, unit {unit + 1}: {format_logit(value, 3)}"


def _frame(figure: go.Figure, chosen: tuple[int, int], units: int) -> None:
    row, unit = chosen
    figure.add_shape(
        type="rect",
        x0=unit / units,
        x1=(unit + 1) / units,
        y0=row - 0.38,
        y1=row + 0.38,
        line={"color": colour("text"), "width": 2.5},
    )


def unit_parts(numbers: "Arithmetic", layer: int, unit: int) -> list[tuple[str, float]]:
    """What goes into a unit's sum, the strongest first, its bias last; they add up to the sum.

    layer, unit  counted from 1 and from 0; the first layer's parts are the fields
    """
    steps = numbers.layers[layer - 1]
    if layer == 1:
        parts = list(zip(numbers.fields, numbers.first_layer_by_field()[:, unit], strict=True))
    else:
        products = steps.into(unit)
        parts = [(f"unit {place + 1}", value) for place, value in enumerate(products)]
    parts.sort(key=lambda part: -abs(part[1]))
    return [*((name, float(value)) for name, value in parts), ("bias", float(steps.bias[unit]))]


def unit_bars(parts: Sequence[tuple[str, float]]) -> int:
    """How many bars `unit_figure` has."""
    return len(_shown_parts(parts))


def _shown_parts(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The strongest parts, those beyond them added up, the bias; what adds nothing has no bar."""
    *inputs, bias = parts
    loud = [part for part in inputs if part[1] != 0]
    shown, rest = loud[:MOST_PARTS], loud[MOST_PARTS:]
    if rest:
        words = "1 other" if len(rest) == 1 else f"{format_count(len(rest))} others"
        shown.append((words, sum(value for _, value in rest)))
    silent = len(inputs) - len(loud)
    if silent:
        shown.append((f"{format_count(silent)} that add nothing", 0.0))
    return [*shown, bias]


def unit_figure(title: str, parts: Sequence[tuple[str, float]]) -> go.Figure:
    """The parts of one unit's sum as bars; beyond the strongest ones they share a bar."""
    shown = _shown_parts(parts)
    figure = new_figure(title, x="weight × input, added up", showlegend=False)
    figure.add_bar(
        x=[value for _, value in shown],
        y=list(range(len(shown))),
        orientation="h",
        marker={
            "color": [colour("raises" if value >= 0 else "lowers") for _, value in shown],
            "line": {"width": 0},
        },
        text=[format_logit(value, 3) for _, value in shown],
        textposition="outside",
        textfont={"size": 12, "color": colour("text")},
        cliponaxis=False,
        customdata=[label(name) for name, _ in shown],
        hovertemplate="%{customdata}: %{x:+.5f}<extra></extra>",
    )
    low = min(0.0, *(value for _, value in shown))
    high = max(0.0, *(value for _, value in shown))
    room = 0.18 * ((high - low) or 1.0)
    figure.update_xaxes(range=[low - room, high + room], zeroline=True)
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[label(shortened(name, 34)) for name, _ in shown],
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    return figure
