"""One impression's pairs to a heat map, the fields with the strongest pairs first."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    colour,
    format_logit,
    inked,
    label,
    new_figure,
    pairs_colorscale,
    shortened,
    shortened_apart,
)

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

MOST_PAIR_FIELDS: Final = 40
"""Fields in the chart; of more, those with the strongest pairs."""
LONGEST_NAME: Final = 18
MOST_NARROW: Final = 14
"""Fields where there is no room for all: so many have labels that can be read on a phone."""
NARROW_NAME: Final = 16
COLUMN: Final = 11
"""Pixels of a column whose label does not touch the next one's."""
MOST_WITH_NUMBERS: Final = 14
"""Up to so many fields the cells have their numbers in them."""


def pair_order(explanation: "Explanation") -> list[str]:
    """The fields of the chart: the one whose pairs move this impression most first."""
    strength = dict.fromkeys(explanation.linear_by_field, 0.0)
    for (first, second), value in explanation.pairs.items():
        strength[first] += abs(value)
        strength[second] += abs(value)
    return sorted(strength, key=lambda field: -strength[field])[:MOST_PAIR_FIELDS]


def pair_at(fields: list[str], row: int, column: int) -> tuple[str, str] | None:
    """The two fields of a cell, counted from the chart's first row and column; None for no cell."""
    if not 0 <= column <= row < len(fields) - 1:
        return None
    return fields[column], fields[row + 1]


def pairs_figure(explanation: "Explanation", chosen: tuple[str, str] | None = None) -> go.Figure:
    """The centred pairs as a triangle, one cell a pair of values.

    chosen  the pair that has a frame, in either order
    """
    fields = pair_order(explanation)
    matrix = _matrix(explanation, fields)
    reach = float(np.nanmax(np.abs(matrix))) if len(fields) > 1 else 1.0
    long = [
        label(f"{shortened(name, 40)} = {shortened(explanation.values[name], 40)}")
        for name in fields
    ]
    names = shortened_apart(fields, LONGEST_NAME)
    few = len(fields) <= MOST_WITH_NUMBERS
    size = 13 if few else 11 if len(fields) <= 26 else 10
    figure = new_figure("Which pairs of values moved this impression", showlegend=False)
    figure.add_heatmap(
        z=matrix[1:, :-1],
        colorscale=pairs_colorscale(),
        zmid=0.0,
        zmin=-(reach or 1.0),
        zmax=reach or 1.0,
        xgap=2 if few else 1,
        ygap=2 if few else 1,
        text=[[_cell(value, reach or 1.0) for value in row] for row in matrix[1:, :-1]]
        if few
        else None,
        texttemplate="%{text}" if few else None,
        textfont={"size": 11},
        hoverongaps=False,
        hovertemplate="%{hovertext}<br>%{z:+.4f}<extra></extra>",
        hovertext=[
            [
                f"{first}<br>{second}" if column <= row else ""
                for column, first in enumerate(long[:-1])
            ]
            for row, second in enumerate(long[1:])
        ],
        colorbar={
            "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
            "thickness": 8,
            # In the corner that the triangle leaves empty.
            "x": 0.97,
            "xanchor": "right",
            "len": 0.45,
            "y": 1.0,
            "yanchor": "top",
            "outlinewidth": 0,
            "tickformat": "+.1f" if reach >= 0.5 else "+.2f" if reach >= 0.05 else "+.1e",
            "tickfont": {"size": 12, "color": colour("muted")},
        },
    )
    places = list(range(len(fields) - 1))
    figure.update_xaxes(
        tickvals=places,
        ticktext=[label(names[name]) for name in fields[:-1]],
        tickangle=-35 if few else -60,
        tickfont={"size": size},
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=places,
        ticktext=[_row_label(names[name], explanation.values[name]) for name in fields[1:]],
        autorange="reversed",
        tickfont={"size": size},
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(meta={"narrow": _narrow(explanation, fields)})
    if chosen is not None:
        _frame(figure, fields, chosen)
    return figure


def _narrow(explanation: "Explanation", fields: list[str]) -> dict[str, Any]:
    """On a narrow page: the first fields, a row's value below its name."""
    names = shortened_apart(fields, NARROW_NAME)
    layout = narrow_triangle(len(fields), labels=170)
    layout["yaxis"]["ticktext"] = [
        f"{label(names[name])}<br><b>{label(shortened(explanation.values[name], NARROW_NAME))}</b>"
        for name in fields[1:]
    ]
    return layout


def narrow_triangle(fields: int, labels: int) -> dict[str, Any]:
    """The layout of a triangle of pairs where there is no room for all its fields.

    labels  pixels that the labels of the rows take where there is room
    """
    shown = min(fields, MOST_NARROW)
    layout: dict[str, Any] = {
        "height": 110 + 31 * shown,
        "xaxis": {"range": [-0.5, shown - 1.5], "tickangle": -60, "tickfont": {"size": 11}},
        "yaxis": {
            "range": [shown - 1.5, -0.5],
            "autorange": False,
            "tickfont": {"size": 11},
        },
    }
    if fields > shown:
        layout["below"] = labels + COLUMN * fields
        layout["note"] = (
            f"There is room here for the {shown} fields with the strongest pairs; the list has "
            "more."
        )
    return layout


def pairs_height(fields: int) -> int:
    """Pixels of the drawing: rows that can be read, at 40 fields too."""
    fields = min(fields, MOST_PAIR_FIELDS)
    return max(300, 130 + (30 if fields <= MOST_WITH_NUMBERS else 18) * fields)


def _matrix(explanation: "Explanation", fields: list[str]) -> NDArray[np.float64]:
    """float64[F, F] in the chart's order: the pairs below the diagonal, NaN elsewhere."""
    matrix = np.full((len(fields), len(fields)), np.nan)
    place = {field: number for number, field in enumerate(fields)}
    for (first, second), value in explanation.pairs.items():
        if first in place and second in place:
            column, row = sorted((place[first], place[second]))
            matrix[row, column] = value
    return matrix


def _row_label(name: str, value: str) -> str:
    return f"{label(name)} = <b>{label(shortened(value, 16))}</b>"


def _frame(figure: go.Figure, fields: list[str], chosen: tuple[str, str]) -> None:
    """A frame round the chosen pair's cell."""
    if not set(chosen) <= set(fields):
        return
    column, row = sorted(fields.index(name) for name in chosen)
    figure.add_shape(
        type="rect",
        x0=column - 0.5,
        x1=column + 0.5,
        y0=row - 1.5,
        y1=row - 0.5,
        line={"color": colour("text"), "width": 2.5},
    )


def _cell(value: float, reach: float) -> str:
    if np.isnan(value) or abs(value) < 0.05:
        return ""
    return inked(format_logit(value, 1), pairs_colorscale(), 0.5 + value / (2 * reach))
