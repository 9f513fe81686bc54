"""One impression to what models of different terms say of it, beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from deepfm.charts.palette import (
    TERM_LETTERS,
    colour,
    format_probability,
    label,
    line,
    new_figure,
)

TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)

TRANSITION: Final = {"duration": 350, "easing": "cubic-in-out"}
"""How its dots move to where they stand after a change."""


@dataclass(frozen=True)
class ModelSays:
    """The probability that one model gives an impression, and gave it before a change."""

    name: str
    terms: tuple[str, ...]
    now: float
    before: float | None = None

    @property
    def words(self) -> str:
        """ "19 → 96 %"."""
        now = format_probability(self.now, 0)
        if self.before is None:
            return now
        return f"{format_probability(self.before, 0).rstrip(' %')} → {now}"


def models_figure(
    models: Sequence[ModelSays],
    truth: float,
    truth_before: float | None = None,
    *,
    chosen: str = "",
) -> go.Figure:
    """A dot for each model on one axis of probability, a dashed line for the truth.

    truth_before   the truth before the change, a fainter line; the dots of then are hollow
    chosen         the model that is set apart from the others
    """
    figure = new_figure(
        "What each set of terms makes of it",
        x="chance of a click",
        showlegend=False,
        transition=TRANSITION,
        margin={"t": 24, "r": 84},
    )
    if truth_before is not None:
        figure.add_vline(x=truth_before, line={**line("best possible"), "color": colour("zero")})
    figure.add_vline(x=truth, line={**line("best possible"), "width": 2})
    for place, each in enumerate(models):
        if each.before is not None:
            _draw_before(figure, place, each.before, each.now)
    _draw_now(figure, models, chosen)
    _write_truth(figure, truth)
    figure.update_xaxes(
        range=[0, 1], tickvals=TICKS, ticktext=[format_probability(tick, 0) for tick in TICKS]
    )
    figure.update_yaxes(
        range=[len(models) - 0.5, -0.5],
        tickvals=list(range(len(models))),
        ticktext=[_row(each, each.name == chosen) for each in models],
        tickfont={"size": 13, "color": colour("text")},
        showgrid=False,
        zeroline=False,
    )
    return figure


def _draw_now(figure: go.Figure, models: Sequence[ModelSays], chosen: str) -> None:
    """The dots, and their numbers in a column of their own, where no line crosses them."""
    places = list(range(len(models)))
    figure.add_scatter(
        x=[each.now for each in models],
        y=places,
        mode="markers",
        marker={
            "size": [13 if each.name == chosen else 10 for each in models],
            "color": [colour("accent" if each.name == chosen else "text") for each in models],
            "opacity": 1,
        },
        cliponaxis=False,
        text=[f"{label(each.name)} {each.words}" for each in models],
        hovertemplate="%{text}<extra></extra>",
        name="now",
    )
    for place, each in zip(places, models, strict=True):
        figure.add_annotation(
            x=1.02,
            y=place,
            xref="paper",
            xanchor="left",
            text=f"<b>{each.words}</b>" if each.name == chosen else each.words,
            showarrow=False,
            font={"size": 13, "color": colour("text")},
        )


def _draw_before(figure: go.Figure, place: int, before: float, now: float) -> None:
    """From where a dot was: a thin line and a hollow dot."""
    figure.add_scatter(
        x=[before, now],
        y=[place, place],
        mode="lines+markers",
        line={"color": colour("muted"), "width": 1.5},
        marker={
            "size": [9, 0],
            "color": colour("ground"),
            "opacity": 1,
            "line": {"width": 1.5, "color": colour("muted")},
        },
        cliponaxis=False,
        hoverinfo="skip",
        name="before",
    )


def _write_truth(figure: go.Figure, truth: float) -> None:
    figure.add_annotation(
        x=truth,
        y=1,
        yref="paper",
        yanchor="bottom",
        text=f"truth {format_probability(truth, 0)}",
        showarrow=False,
        font={"size": 13, "color": colour("text")},
    )


def _row(model: ModelSays, chosen: bool) -> str:
    """ "FM L P ·", each letter in its term's colour."""
    lamps = "\u00a0".join(
        f'<span style="color:{colour(term)}"><b>{letter}</b></span>' if term in model.terms else "·"
        for term, letter in TERM_LETTERS.items()
    )
    name = label(model.name)
    return f"{f'<b>{name}</b>' if chosen else name}\u00a0 {lamps}"
