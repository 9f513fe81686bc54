"""The terms' covariances, as a run learns, to how the variance of its score divides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.history import History
from deepfm.charts.palette import TERM_LETTERS, TERM_PATTERNS, colour, new_figure
from deepfm.charts.training.axes import epoch_axis, spread_labels
from deepfm.events import TermMoments
from deepfm.terms import TERM_NAMES

LEAST_VARIANCE: Final = 1e-6
"""Of the logit; below it nothing has been learned whose shares could be told."""
SHARES_CAPTION: Final = (
    "each band is one term's share of the variance of the score over the reference rows; together "
    "they are 100 %. A share can be below zero where a term mostly works against the others."
)


@dataclass(frozen=True)
class TermShares:
    """cov(term, logit) / var(logit) of linear, pairwise and deep at one position; sums to 1."""

    epoch: float
    shares: tuple[float, float, float]
    logit_variance: float


def term_shares_of(moments: TermMoments) -> tuple[tuple[float, float, float], float] | None:
    """Shares of the three terms and the variance of the logit; None where it hardly varies."""
    linear, pairwise, deep = (sum(row) for row in moments.covariance)
    variance = linear + pairwise + deep
    if variance < LEAST_VARIANCE:
        return None
    return (linear / variance, pairwise / variance, deep / variance), variance


def shares_of(history: History) -> list[TermShares]:
    """The shares at every observation that has moments."""
    found = []
    for observation in history.observations:
        known = term_shares_of(observation.moments) if observation.moments else None
        if known is not None:
            found.append(TermShares(float(observation.epoch), *known))
    return found


def shares_figure(history: History, terms: Sequence[str] = TERM_NAMES) -> go.Figure:
    """Bands that add up to 100 %, one for each of the model's `terms`, named at their right end."""
    shares = shares_of(history)
    figure = new_figure(
        "How the score's variance divides between the terms",
        x="epoch",
        y="share of the variance",
        hovermode="x unified",
        showlegend=False,
        margin={"r": 108, "t": 12},
    )
    for place, term in enumerate(TERM_NAMES):
        if term in terms:
            figure.add_trace(_band(shares, place, term))
    if shares:
        _name_bands(figure, shares[-1], terms)
    figure.update_xaxes(**epoch_axis([history]))
    figure.update_yaxes(range=_share_range(shares), tickformat=".0%")
    return figure


def _band(shares: Sequence[TermShares], place: int, term: str) -> go.Scatter:
    return go.Scatter(
        x=[each.epoch for each in shares],
        y=[each.shares[place] for each in shares],
        name=term,
        mode="lines",
        stackgroup="variance",
        line={"color": colour(term), "width": 1.5},
        fillcolor=colour(term, 0.55),
        fillpattern={
            "shape": TERM_PATTERNS[term],
            "fgcolor": colour("ground", 0.6),
            "size": 8,
            "solidity": 0.2,
            "fillmode": "overlay",
        },
        hovertemplate=f"{TERM_LETTERS[term]} {term} %{{y:.1%}}<extra></extra>",
    )


def _name_bands(figure: go.Figure, last: TermShares, terms: Sequence[str]) -> None:
    bottom = 0.0
    middles = []
    for place, term in enumerate(TERM_NAMES):
        if term in terms:
            middles.append((term, bottom + last.shares[place] / 2, last.shares[place]))
            bottom += last.shares[place]
    heights = spread_labels([middle for _, middle, _ in middles], gap=0.11)
    for (term, _, share), height in zip(middles, heights, strict=True):
        figure.add_annotation(
            xref="paper",
            x=1.0,
            xshift=8,
            y=height,
            text=f"<b>{TERM_LETTERS[term]}</b> {term} {share:.0%}",
            showarrow=False,
            xanchor="left",
            font={"color": colour(term), "size": 12},
        )


def _share_range(shares: Sequence[TermShares]) -> tuple[float, float]:
    """0 to 100 %, and further where a share is below zero."""
    lowest = min((min(each.shares) for each in shares), default=0.0)
    below = 0.0 if lowest > -0.005 else -(int(-lowest / 0.1) + 1) * 0.1
    return below, 1.0 - min(0.0, below)


def shares_finding(history: History, terms: Sequence[str] = TERM_NAMES) -> str:
    """The latest shares in one sentence."""
    shares = shares_of(history)
    if not shares:
        return "The score hardly varies yet."
    parts = [
        f"{term} {share:.0%}"
        for term, share in zip(TERM_NAMES, shares[-1].shares, strict=True)
        if term in terms
    ]
    return f"At epoch {shares[-1].epoch:.2f} the variance of the score divides into " + (
        ", ".join(parts) + "."
    )


def shares_table(history: History) -> pd.DataFrame:
    """Epoch, the three shares, and the variance of the logit."""
    return pd.DataFrame(
        [
            {
                "epoch": each.epoch,
                **dict(zip(TERM_NAMES, each.shares, strict=True)),
                "variance of the score (logit²)": each.logit_variance,
            }
            for each in shares_of(history)
        ]
    )
