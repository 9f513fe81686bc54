"""Two fields of one impression to heat maps beside one another: FM branch, deep branch, sum."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.draft import axis_number
from deepfm.charts.palette import (
    colour,
    label,
    new_figure,
    pairs_colorscale,
    shortened,
)

if TYPE_CHECKING:
    from deepfm.explanation import Surface
    from deepfm.trained import Reference

SPACE: Final = 0.03
"""Between two heat maps, as a share of the width."""
MOST_NAMED: Final = 26
MOST_ACROSS: Final = 16
"""Up to so many values, down and across, every one has its name; of more, some evenly."""


def surface_values(
    surface: "Surface", reference: "Reference", *, together: bool = False
) -> dict[str, NDArray[np.float64]]:
    """FM branch, deep branch and their sum, float64[U, W] each, as far as the model has them.

    together  only what no sum of one curve for each field can say; else the whole branch minus its
              mean over the reference population
    """
    mean = reference.mean
    if together:
        found = {
            "FM branch": surface.fm.values,
            "Deep branch": surface.deep.values,
            "Sum": surface.total.values,
        }
    else:
        found = {
            "FM branch": np.asarray(surface.terms.fm - mean.fm[0], np.float64),
            "Deep branch": np.asarray(surface.terms.deep - mean.deep[0], np.float64),
            "Sum": np.asarray(surface.terms.logit - mean.logit[0], np.float64),
        }
    return found


def surfaces_figure(surface: "Surface", values: Mapping[str, NDArray[np.float64]]) -> go.Figure:
    """One heat map a branch, all on one colour scale; the impression itself has a mark in each."""
    first, other = shortened(surface.field, 30), shortened(surface.other_field, 30)
    figure = new_figure(f"Every {first} with every {other}, by branch", showlegend=False)
    reach = max((float(np.abs(each).max()) for each in values.values()), default=0.0) or 1.0
    width = (1 - SPACE * (len(values) - 1)) / len(values)
    rows, columns = _names(surface.values.value), _names(surface.other_values.value)
    for number, (name, grid) in enumerate(values.items()):
        axis = axis_number(number + 1)
        start = number * (width + SPACE)
        _add_map(figure, surface, grid, axis, (rows, columns))
        figure.update_layout(
            {
                f"xaxis{axis}": {
                    "domain": [start, start + width],
                    "anchor": f"y{axis}",
                    **_ticks(columns, MOST_ACROSS),
                    "tickangle": -60,
                    "title": {"text": label(other)},
                },
                f"yaxis{axis}": {
                    "anchor": f"x{axis}",
                    **_ticks(rows, MOST_NAMED),
                    "autorange": "reversed",
                    "showticklabels": number == 0,
                    "title": {"text": label(first) if number == 0 else ""},
                    **({"matches": "y"} if number else {}),
                },
            }
        )
        figure.add_annotation(
            x=start + width / 2,
            y=1.0,
            xref="paper",
            yref="paper",
            yanchor="bottom",
            text=f"<b>{name}</b>",
            showarrow=False,
            font={"size": 13, "color": colour("text")},
        )
    figure.update_layout(
        margin={"t": 30},
        coloraxis={
            "colorscale": pairs_colorscale(),
            "cmin": -reach,
            "cmax": reach,
            "colorbar": {
                "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
                "thickness": 8,
                "outlinewidth": 0,
                "tickformat": "+.1f" if reach >= 0.5 else "+.2f",
                "tickfont": {"size": 12, "color": colour("muted")},
            },
        },
    )
    return figure


def surfaces_height(surface: "Surface") -> int:
    """Pixels of the drawing: as high as its rows need."""
    return max(340, 150 + 14 * len(surface.values))


def _add_map(
    figure: go.Figure,
    surface: "Surface",
    grid: NDArray[np.float64],
    axis: str,
    names: tuple[list[str], list[str]],
) -> None:
    rows, columns = names
    figure.add_heatmap(
        z=grid,
        xaxis=f"x{axis}",
        yaxis=f"y{axis}",
        coloraxis="coloraxis",
        customdata=[[f"{row} · {column}" for column in columns] for row in rows],
        hovertemplate="%{customdata}<br>%{z:+.3f}<extra></extra>",
    )
    row, column = surface.current
    figure.add_scatter(
        x=[column],
        y=[row],
        xaxis=f"x{axis}",
        yaxis=f"y{axis}",
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 11,
            "color": colour("text"),
            "line": {"width": 2.5},
        },
        hovertemplate="this impression<extra></extra>",
    )


def _names(values: Sequence[str]) -> list[str]:
    return [label(shortened(value or "(empty)", 18)) for value in values]


def _ticks(names: list[str], most: int) -> dict[str, object]:
    step = -(-len(names) // most)
    places = list(range(0, len(names), step))
    return {
        "tickvals": places,
        "ticktext": [names[place] for place in places],
        "tickfont": {"size": 11 if step == 1 else 10},
        "showgrid": False,
        "zeroline": False,
    }
