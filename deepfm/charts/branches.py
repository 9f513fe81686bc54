"""What each branch does over all impressions to the figures of the Model page."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    TERM_LETTERS,
    colour,
    format_auc,
    new_figure,
    term_marker,
)
from deepfm.terms import TERM_NAMES, Terms

BRANCH_NAMES: Final[Mapping[str, str]] = {
    "linear": "<b>L</b>  Linear",
    "pairwise": "<b>P</b>  Pairwise",
    "fm": "<b>L P</b>  FM branch",
    "deep": "<b>D</b>  Deep branch",
    "all": "All together",
}
MOST_DOTS: Final = 1_500


def shares_figure(shares: Mapping[str, float], terms: tuple[str, ...]) -> go.Figure:
    """Share of the score's variance that goes with each term; the shares add up to 100 %."""
    names = [name for name in TERM_NAMES if name in terms]
    figure = new_figure(
        "How the score's variance divides between the terms",
        x="share of the variance of the score (%)",
        showlegend=False,
    )
    for name in names:
        share = 100 * shares[name]
        figure.add_bar(
            x=[share],
            y=[f"<b>{TERM_LETTERS[name]}</b>  {name.capitalize()}"],
            orientation="h",
            marker=term_marker(name),
            text=[f"{share:.0f} %"],
            textposition="outside",
            textfont={"size": 14, "color": colour("text")},
            cliponaxis=False,
            hovertemplate=f"{name} %{{x:.1f}} %<extra></extra>",
        )
    low = min(0.0, *(100 * shares[name] for name in names))
    high = max(100 * shares[name] for name in names)
    figure.update_xaxes(range=[1.25 * low, max(10.0, 1.18 * high)])
    _as_rows(figure)
    return figure


def branches_figure(aucs: Mapping[str, float | None]) -> go.Figure:
    """AUC of each branch alone and of all together, from 0.5, where a coin stands."""
    names = [name for name in BRANCH_NAMES if aucs.get(name) is not None]
    figure = new_figure(
        "What each branch ranks alone",
        x="AUC (0.5 is a coin, 1 is perfect)",
        showlegend=False,
    )
    for name in names:
        auc = aucs[name]
        assert auc is not None
        figure.add_bar(
            x=[auc - 0.5],
            base=[0.5],
            y=[BRANCH_NAMES[name]],
            orientation="h",
            marker=_branch_marker(name),
            text=[format_auc(auc)],
            textposition="outside",
            textfont={"size": 14, "color": colour("text")},
            cliponaxis=False,
            customdata=[auc],
            hovertemplate="AUC %{customdata:.4f}<extra></extra>",
        )
    known = [auc for auc in aucs.values() if auc is not None]
    figure.update_xaxes(range=[min(0.5, *known) - 0.005, max(known) + 0.06])
    _as_rows(figure)
    return figure


def _branch_marker(name: str) -> dict[str, object]:
    if name in TERM_NAMES:
        return term_marker(name)
    if name == "fm":
        return {"color": "rgba(0,0,0,0)", "line": {"color": colour("pairwise"), "width": 3}}
    return {"color": colour("text", 0.75), "line": {"width": 0}}


def _as_rows(figure: go.Figure) -> None:
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickfont={"size": 13, "color": colour("text")}
    )


def some_rows(count: int) -> NDArray[np.int64]:
    """The rows that are drawn as dots: all, or a fixed sample, int64[≤ 1,500] in order."""
    if count <= MOST_DOTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_DOTS, replace=False))


def disagreement_figure(
    rows: NDArray[np.int64], terms: Terms, mean: Terms, labels: NDArray[np.float32]
) -> go.Figure:
    """One dot an impression: FM branch against deep branch, each minus its mean.

    rows     int64[M], which rows are drawn; the click reports them as customdata
    terms, labels   of all rows
    """
    figure = new_figure(
        "Where the two branches agree, and where they pull apart",
        x="FM branch (logit, against the mean)",
        y="deep branch (logit)",
    )
    fm = np.asarray(terms.fm, dtype=np.float64)[rows] - float(mean.fm[0])
    deep = np.asarray(terms.deep, dtype=np.float64)[rows] - float(mean.deep[0])
    for clicked, name in ((0.0, "not clicked"), (1.0, "clicked")):
        chosen = labels[rows] == clicked
        figure.add_scatter(
            x=fm[chosen],
            y=deep[chosen],
            mode="markers",
            name=name,
            customdata=rows[chosen],
            marker={
                "symbol": "circle" if clicked else "circle-open",
                "size": 7 if clicked else 6,
                "color": colour("accent" if clicked else "muted", 0.8 if clicked else 0.6),
            },
            hovertemplate=(
                "row %{customdata}<br>FM %{x:+.2f}, deep %{y:+.2f}<extra>" + name + "</extra>"
            ),
        )
    _shade_corners(figure, _reach(fm), _reach(deep))
    return figure


def _reach(values: NDArray[np.float64]) -> float:
    return 1.08 * float(np.abs(values).max(initial=0.1))


def _shade_corners(figure: go.Figure, across: float, up: float) -> None:
    """The two corners where the branches have opposite signs."""
    for sign, anchors in ((1, ("right", "bottom")), (-1, ("left", "top"))):
        figure.add_shape(
            type="rect",
            x0=0,
            x1=sign * across,
            y0=0,
            y1=-sign * up,
            line={"width": 0},
            fillcolor=colour("lowers", 0.06),
            layer="below",
        )
        figure.add_annotation(
            x=sign * across,
            y=-sign * up,
            xanchor=anchors[0],
            yanchor=anchors[1],
            text="they pull apart",
            showarrow=False,
            font={"color": colour("muted")},
        )
    figure.update_xaxes(range=[-across, across], zeroline=True)
    figure.update_yaxes(range=[-up, up], zeroline=True)
