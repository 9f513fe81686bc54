"""What each field's default feature does to the score, to stacked bars by term."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    format_count,
    label,
    new_figure,
    shortened,
    term_marker,
)
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.explanation.overall import DefaultEffect

MOST_FIELDS: Final = 40


def defaults_figure(effects: "Sequence[DefaultEffect]", terms: tuple[str, ...]) -> go.Figure:
    """Mean change of the score when a field's value becomes “rare or unseen”, term by term."""
    shown = effects[:MOST_FIELDS]
    figure = new_figure(
        "What “rare or unseen” does to the score, field by field",
        x="mean change of the score (logit)",
        barmode="relative",
    )
    for term in TERM_NAMES:
        if term not in terms:
            continue
        figure.add_bar(
            x=[{"linear": e.linear, "pairwise": e.pairwise, "deep": e.deep}[term] for e in shown],
            y=list(range(len(shown))),
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            customdata=[[label(e.field), format_count(e.rows)] for e in shown],
            hovertemplate=(
                "%{customdata[0]}, for %{customdata[1]} training rows<br>"
                + term
                + " %{x:+.4f}<extra></extra>"
            ),
        )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[_name(each) for each in shown],
        range=[len(shown) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(zeroline=True)
    return figure


def _name(effect: "DefaultEffect") -> str:
    rows = format_count(effect.rows) if effect.trained else "none"
    return f"{label(shortened(effect.field, 22))} ({rows})"
