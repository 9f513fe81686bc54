"""Pairs of fields over the population to a heat map, a list, and the values of one pair."""

from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.contributions.pairs import NARROW_NAME, narrow_triangle
from deepfm.charts.palette import (
    colour,
    decimals_of,
    format_count,
    format_logit,
    inked,
    label,
    new_figure,
    pairs_colorscale,
    shortened,
    term_marker,
)

if TYPE_CHECKING:
    from deepfm.explanation.overall import PairStrengths, PairValues

MOST_FIELDS: Final = 40
MOST_PAIRS: Final = 12
MOST_VALUES: Final = 14


def shown_fields(found: "PairStrengths") -> list[int]:
    """The fields of the heat map, the one with the strongest pairs first: 40 at most."""
    return list(found.by_strength[:MOST_FIELDS])


def pair_strengths_figure(found: "PairStrengths") -> go.Figure:
    """Field × field, ordered by strength; the click reports row and column, without the first
    field among the rows and the last among the columns."""
    order = shown_fields(found)
    names = [label(shortened(found.fields[n], 18)) for n in order]
    matrix = found.strength[np.ix_(order, order)]
    matrix = np.where(np.tril(np.ones_like(matrix), -1) > 0, matrix, np.nan)[1:, :-1]
    scale = [[0.0, colour("pairwise", 0.04)], [1.0, colour("pairwise")]]
    few, top = len(order) <= 12, float(np.nanmax(matrix)) or 1.0
    figure = new_figure("Which pairs of fields matter, over all impressions")
    figure.add_heatmap(
        z=matrix,
        x=list(range(len(order) - 1)),
        y=list(range(len(order) - 1)),
        colorscale=scale,
        zmin=0.0,
        zmax=top,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        text=[
            [
                ""
                if np.isnan(x) or x < top / 5
                else inked(f"{x:.{decimals_of(top)}f}", scale, x / top)
                for x in row
            ]
            for row in matrix
        ]
        if few
        else None,
        texttemplate="%{text}" if few else None,
        textfont={"size": 11},
        customdata=[
            [f"{names[row + 1]} × {names[column]}" for column in range(len(order) - 1)]
            for row in range(len(order) - 1)
        ],
        hovertemplate="%{customdata}<br>spread %{z:.3g} logit<extra></extra>",
        colorbar={
            "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
            "thickness": 8,
            # In the corner that the triangle leaves empty.
            "x": 0.97,
            "xanchor": "right",
            "y": 1.0,
            "yanchor": "top",
            "len": 0.45,
            "outlinewidth": 0,
            "tickfont": {"size": 12, "color": colour("muted")},
        },
    )
    places = list(range(len(order) - 1))
    size = 12 if len(order) <= 25 else 10
    figure.update_xaxes(
        tickvals=places,
        ticktext=names[:-1],
        tickangle=-45 if few else -90,
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=places,
        ticktext=names[1:],
        autorange="reversed",
        showgrid=False,
        zeroline=False,
    )
    narrow = narrow_triangle(len(order), labels=140)
    narrow["yaxis"]["ticktext"] = [
        label(shortened(found.fields[n], NARROW_NAME)) for n in order[1:]
    ]
    figure.update_layout(meta={"narrow": narrow})
    figure.update_xaxes(tickfont={"size": size, "color": colour("text")})
    figure.update_yaxes(tickfont={"size": size, "color": colour("text")})
    return figure


def strongest_pairs_figure(found: "PairStrengths") -> go.Figure:
    """The strongest pairs as bars; the click reports the place in `found.ranked`."""
    ranked = found.ranked[:MOST_PAIRS]
    figure = new_figure(
        "The strongest pairs", x="spread of what the pair adds (logit)", showlegend=False
    )
    names = [
        label(f"{shortened(found.fields[i], 16)} × {shortened(found.fields[j], 16)}")
        for i, j, _ in ranked
    ]
    figure.add_bar(
        x=[strength for _, _, strength in ranked],
        y=list(range(len(ranked))),
        orientation="h",
        marker=term_marker("pairwise"),
        text=[f"{strength:.{decimals_of(ranked[0][2])}f}" for _, _, strength in ranked],
        textposition="outside",
        textfont={"color": colour("text")},
        cliponaxis=False,
        customdata=names,
        hovertemplate="%{customdata}<br>spread %{x:.3g} logit<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=list(range(len(ranked))),
        ticktext=names,
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(range=[0, 1.15 * max((s for _, _, s in ranked), default=1.0) or 1.0])
    return figure


def pair_values_figure(found: "PairValues") -> go.Figure:
    """What the values of two fields add to the score when they meet: the strongest of each."""
    first, second = _strongest_places(found)
    shown = found.logit[np.ix_(first, second)]
    reach = float(np.abs(shown).max(initial=0.0)) or 1.0
    rows = [_value(found.first.value[n]) for n in first]
    columns = [_value(found.second.value[n]) for n in second]
    one, other = (shortened(name, 30) for name in found.fields)
    figure = new_figure(f"What happens when {one} meets {other}", x=other, y=one)
    few = len(columns) <= MOST_VALUES
    figure.add_heatmap(
        z=shown,
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        colorscale=pairs_colorscale(),
        zmin=-reach,
        zmid=0.0,
        zmax=reach,
        xgap=2,
        ygap=2,
        text=[
            ["" if abs(x) < reach / 10 else _amount(float(x), reach) for x in row] for row in shown
        ]
        if few
        else None,
        texttemplate="%{text}" if few else None,
        textfont={"size": 11},
        customdata=[
            [
                [
                    row,
                    column,
                    format_count(found.first.count[a]),
                    format_count(found.second.count[b]),
                ]
                for column, b in zip(columns, second, strict=True)
            ]
            for row, a in zip(rows, first, strict=True)
        ],
        hovertemplate=(
            "%{customdata[0]} (%{customdata[2]} training rows)<br>%{customdata[1]} "
            "(%{customdata[3]})<br>%{z:+.3f} logit<extra></extra>"
        ),
        colorbar={
            "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
            "thickness": 8,
            "len": 0.7,
            "outlinewidth": 0,
            "tickfont": {"size": 12, "color": colour("muted")},
        },
    )
    figure.update_xaxes(
        tickvals=list(range(len(columns))),
        ticktext=columns,
        tickangle=-35,
        showgrid=False,
        zeroline=False,
        tickfont={"color": colour("text")},
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=rows,
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        tickfont={"color": colour("text")},
    )
    return figure


def _strongest_places(found: "PairValues") -> tuple[list[int], list[int]]:
    """The values of each field that reach furthest from zero, in their own order."""
    both = []
    for axis in (1, 0):
        reach = np.abs(found.logit).max(axis=axis, initial=0.0)
        both.append(sorted(np.argsort(-reach, kind="stable")[:MOST_VALUES].tolist()))
    return both[0], both[1]


def _amount(value: float, reach: float) -> str:
    words = format_logit(value, decimals_of(reach, 2))
    return inked(words, pairs_colorscale(), 0.5 + value / (2 * reach))


def _value(text: str) -> str:
    return label(shortened(text or "(empty)", 20))
