"""One impression's centred terms to three bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from deepfm.charts.palette import (
    TERM_LETTERS,
    colour,
    format_logit,
    new_figure,
    signed_arrow,
    term_marker,
)
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.explanation import Explanation


def term_values(explanation: "Explanation") -> dict[str, float]:
    """The centred terms of the model, by name; one the model does not have is left out."""
    values = (explanation.linear, explanation.pairwise, explanation.deep)
    return {
        name: value
        for name, value in zip(TERM_NAMES, values, strict=True)
        if name in explanation.terms
    }


def terms_figure(
    terms: Mapping[str, float],
    before: Mapping[str, float] | None = None,
    *,
    title: str = "What moves this score",
    least_range: float = 3.0,
) -> go.Figure:
    """Three bars, one a term, centred on the reference; `before` stands behind as an outline.

    terms, before   logit units by term; a term the model does not have is left out
    least_range     the axis reaches at least this far to both sides, so that small bars look small
    Without a `transition`, as plotly.js fails to move bars that have a pattern.
    """
    names = [name for name in TERM_NAMES if name in terms]
    figure = new_figure(
        title,
        x="raises or lowers the score (logit)",
        showlegend=False,
        bargap=0.42,
        # Square: the outline of before shows behind each end of its bar.
        barcornerradius=0,
    )
    rows = [f"<b>{TERM_LETTERS[name]}</b>  {name.capitalize()}" for name in names]
    if before is not None:
        figure.add_bar(
            x=[before[name] for name in names],
            y=rows,
            orientation="h",
            marker={"color": "rgba(0,0,0,0)", "line": {"color": colour("muted"), "width": 1.5}},
            hovertemplate="before %{x:+.2f}<extra></extra>",
            name="before",
        )
    for row, name in zip(rows, names, strict=True):
        figure.add_bar(
            x=[terms[name]],
            y=[row],
            orientation="h",
            marker=term_marker(name),
            name=name,
            text=[f"{format_logit(terms[name])} {signed_arrow(terms[name])}"],
            textposition="outside",
            textfont={"size": 14, "color": colour("text")},
            cliponaxis=False,
            hovertemplate=f"{name} %{{x:+.3f}}<extra></extra>",
        )
    _symmetric_range(figure, [*terms.values(), *(before or {}).values()], least_range)
    figure.update_layout(barmode="overlay")
    # A range of its own: one that Plotly finds while bars move counts as a person's zoom.
    figure.update_yaxes(
        range=[len(names) - 0.5, -0.5],
        uirevision=",".join(names),
        tickfont={"size": 14, "color": colour("text")},
        showgrid=False,
    )
    if {"linear", "pairwise"} <= set(names) and "deep" in names:
        _bracket_fm(figure)
    return figure


def _symmetric_range(figure: go.Figure, values: Sequence[float], least: float) -> None:
    reach = max(least, 1.35 * max((abs(value) for value in values), default=0.0))
    figure.update_xaxes(range=[-reach, reach], zeroline=True)
    # On a phone the numbers beside the bars take more of the axis.
    figure.update_layout(meta={"narrow": {"xaxis": {"range": [-1.4 * reach, 1.4 * reach]}}})


def _bracket_fm(figure: go.Figure) -> None:
    figure.add_shape(
        type="path",
        path="M 1.005 -0.3 L 1.02 -0.3 L 1.02 1.3 L 1.005 1.3",
        xref="paper",
        yref="y",
        line={"color": colour("pairwise"), "width": 2},
    )
    figure.add_annotation(
        x=1.025,
        y=0.5,
        xref="paper",
        yref="y",
        xanchor="left",
        text="FM",
        showarrow=False,
        font={"color": colour("pairwise"), "size": 13},
    )
    figure.update_layout(margin={"r": 44})
