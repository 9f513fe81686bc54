"""One impression's pairs to a heat map."""

from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    format_logit,
    label,
    new_figure,
    pairs_colorscale,
    shortened,
)

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

MOST_PAIR_FIELDS: Final = 24


def pairs_figure(explanation: "Explanation") -> go.Figure:
    """Heat map of the centred pairs: how much two values raise or lower the score by meeting."""
    fields = _pair_fields(explanation)
    matrix = np.full((len(fields), len(fields)), np.nan)
    place = {field: number for number, field in enumerate(fields)}
    for (first, second), value in explanation.pairs.items():
        if first in place and second in place:
            one, other = sorted((place[first], place[second]))
            matrix[other, one] = value
    reach = float(np.nanmax(np.abs(matrix))) if len(fields) > 1 else 1.0
    names = [
        label(f"{shortened(f, 18)} = {shortened(str(explanation.values.get(f, '')), 18)}")
        for f in fields
    ]
    few = len(fields) <= 14
    figure = new_figure("Which pairs of values moved this impression")
    figure.add_heatmap(
        z=matrix[1:, :-1],
        x=[label(shortened(field, 18)) for field in fields[:-1]],
        y=names[1:],
        colorscale=pairs_colorscale(),
        zmid=0.0,
        zmin=-(reach or 1.0),
        zmax=reach or 1.0,
        xgap=2,
        ygap=2,
        text=[[_cell(value) for value in row] for row in matrix[1:, :-1]] if few else None,
        texttemplate="%{text}" if few else None,
        textfont={"size": 11},
        hoverongaps=False,
        customdata=[names[:-1]] * (len(fields) - 1),
        hovertemplate="%{y}<br>%{customdata}<br>%{z:+.4f}<extra></extra>",
        colorbar={
            "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
            "thickness": 8,
            "len": 0.7,
            "outlinewidth": 0,
            "tickformat": "+.1f" if reach >= 0.5 else "+.2f" if reach >= 0.05 else "+.1e",
            "tickfont": {"size": 12, "color": colour("muted")},
        },
    )
    figure.update_xaxes(type="category", tickangle=-35, showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def _pair_fields(explanation: "Explanation") -> list[str]:
    """The fields in order, or those in the strongest pairs where there are many."""
    fields = list(explanation.linear_by_field)
    if len(fields) <= MOST_PAIR_FIELDS:
        return fields
    strength = dict.fromkeys(fields, 0.0)
    for (first, second), value in explanation.pairs.items():
        strength[first] += abs(value)
        strength[second] += abs(value)
    kept = sorted(fields, key=lambda field: -strength[field])[:MOST_PAIR_FIELDS]
    return [field for field in fields if field in kept]


def _cell(value: float) -> str:
    return "" if np.isnan(value) or abs(value) < 0.05 else format_logit(value, 1)
