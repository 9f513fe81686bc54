"""What the network adds beyond pairs, of a model and of one impression, to figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    decimals_of,
    format_logit,
    format_probability,
    label,
    new_figure,
    shortened,
    signed_arrow,
    term_marker,
)
from deepfm.data.synthetic import PlantedShares
from deepfm.explanation.beyond import Beyond, BeyondOfOne, Division, PairStrength, Share
from deepfm.terms import TERM_NAMES

KINDS: Final[Mapping[str, str]] = {
    "singles": "single fields",
    "pairs": "pairs",
    "beyond": "three or more",
}
_SHADES: Final[Mapping[str, tuple[str, float]]] = {
    "singles": ("linear", 0.3),
    "pairs": ("pairwise", 0.72),
    "beyond": ("deep", 1.0),
}
"""The pattern of the term that could have said it, and a shade; the hue says whose variance it is:
the colours of the terms mean the terms alone."""
_LIGHT: Final = 0.5
"""Fainter shades than this carry dark text."""
MOST_PAIRS: Final = 12
_SHORT: Final[Mapping[str, str]] = {**KINDS, "beyond": "3+"}
_ROOM_FOR_LETTER: Final = 0.02
_ROOM_FOR_NUMBER: Final = 0.05
"""Shares of a bar that a word's letter and a number need, on a narrow screen too."""


@dataclass(frozen=True)
class ShareRow:
    """One bar: shares by term or by kind, and the standard error of "beyond".

    hue  whose variance it is, where it is divided by kind: deep, or text for the whole score
    """

    name: str
    shares: Mapping[str, float]
    error: float = 0.0
    hue: str = "text"


def share_rows(found: Beyond, planted: Mapping[str, PlantedShares] | None = None) -> list[ShareRow]:
    """The bars of `beyond_figure`: by term, then what it takes; the planted truth where known."""
    rows = []
    if len(found.terms) > 1:
        rows.append(ShareRow("Score, by term", found.terms))
    rows.append(_row("Network, by what it takes", found.deep, "deep"))
    if len(found.terms) > 1:
        rows.append(_row("Score, by what it takes", found.score, "text"))
    for name, shares in (planted or {}).items():
        parts = {"singles": shares.singles, "pairs": shares.pairs, "beyond": shares.beyond}
        rows.append(ShareRow(name, parts))
    return rows


def _row(name: str, division: Division, hue: str) -> ShareRow:
    parts: dict[str, Share] = {kind: getattr(division, kind) for kind in KINDS}
    return ShareRow(
        name,
        {kind: share.value for kind, share in parts.items()},
        division.beyond.standard_error,
        hue,
    )


def beyond_figure(found: Beyond, planted: Mapping[str, PlantedShares] | None = None) -> go.Figure:
    """Bars of shares of variance: the raw split by term, and what each fields it takes.

    planted   name → exact shares of a known truth, such as the demo's
    """
    rows = share_rows(found, planted)
    figure = new_figure(
        "What the network adds that no list of pairs could say",
        x="share of the variance (%)",
        barmode="relative",
        showlegend=False,
        barcornerradius=0,
    )
    for row in rows:
        by_term = set(row.shares) <= set(TERM_NAMES)
        for part, share in row.shares.items():
            words = part if by_term else KINDS[part]
            marker = term_marker(part) if by_term else kind_marker(part, row.hue)
            light = not by_term and _SHADES[part][1] < _LIGHT
            figure.add_bar(
                x=[100 * share],
                y=[row.name],
                orientation="h",
                name=words,
                marker=_under_text(marker),
                text=[_inside(_SHORT.get(part, part), share)],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"size": 12, "color": colour("text" if light else "ground")},
                constraintext="none",
                hovertemplate=f"{row.name}<br>{words} %{{x:.1f}} %<extra></extra>",
            )
        if row.error:
            _add_whiskers(figure, row)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickfont={"size": 13, "color": colour("text")}
    )
    figure.update_xaxes(zeroline=True)
    return figure


def kind_marker(kind: str, hue: str) -> dict[str, Any]:
    """A bar of what single fields, pairs, or three and more say, in a shade of a hue."""
    term, alpha = _SHADES[kind]
    return {**term_marker(term), "color": colour(hue, alpha)}


def _inside(words: str, share: float) -> str:
    number = format_probability(share, 0) if share >= 0 else f"−{format_probability(-share, 0)}"
    if abs(share) >= _ROOM_FOR_LETTER * len(words):
        return f"<b>{words}</b><br>{number}"
    return number if abs(share) >= _ROOM_FOR_NUMBER else ""


def _under_text(marker: dict[str, Any]) -> dict[str, Any]:
    """The same marker with a pattern faint enough to read a number on."""
    return {**marker, "pattern": {**marker["pattern"], "fgopacity": 0.22}}


def _add_whiskers(figure: go.Figure, row: ShareRow) -> None:
    """Two standard errors to both sides of where pairs end and three or more begin."""
    figure.add_scatter(
        x=[100 * (1 - row.shares["beyond"])],
        y=[row.name],
        mode="markers",
        marker={"size": 1, "color": colour("text")},
        error_x={
            "type": "constant",
            "value": 200 * row.error,
            "color": colour("text"),
            "thickness": 1.5,
            "width": 6,
        },
        hoverinfo="skip",
    )


def network_pairs_figure(pairs: Sequence[PairStrength]) -> go.Figure:
    """The strongest pairs of fields inside the network, one bar each."""
    shown = pairs[:MOST_PAIRS]
    figure = new_figure(
        "Which pairs of fields the network ties together",
        x="spread of the pair's effect (logit)",
        showlegend=False,
    )
    names = [_pair_name(pair.first, pair.second) for pair in shown]
    longest = max((pair.spread for pair in shown), default=1.0)
    digits = decimals_of(longest)
    figure.add_bar(
        x=[pair.spread for pair in shown],
        y=list(range(len(shown))),
        orientation="h",
        marker=kind_marker("pairs", "deep"),
        text=[f"{pair.spread:.{digits}f}" for pair in shown],
        textposition="outside",
        textfont={"size": 13, "color": colour("text")},
        cliponaxis=False,
        customdata=[[name, 100 * pair.share] for name, pair in zip(names, shown, strict=True)],
        hovertemplate=(
            "%{customdata[0]}<br>spread %{x:.3g}, %{customdata[1]:.1f} % of the network's "
            "variance<extra></extra>"
        ),
    )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=names,
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(range=[0, 1.18 * (longest or 1.0)])
    return figure


def _pair_name(first: str, second: str) -> str:
    return label(f"{shortened(first, 18)} × {shortened(second, 18)}")


def beyond_of_one_figure(one: BeyondOfOne) -> go.Figure:
    """One impression's deep branch in three bars, and their sum."""
    parts = {"singles": one.singles_total, "pairs": one.pairs_total, "beyond": one.beyond}
    names = ["Single fields", "Pairs", "Three or more", "<b>D</b>  Deep branch"]
    values = [*parts.values(), one.centred]
    figure = new_figure(
        "What the network says of this impression, by what it takes",
        x="raises or lowers the score (logit)",
        showlegend=False,
    )
    markers = [kind_marker(kind, "deep") for kind in parts]
    total = {"color": colour("deep", 0.25), "line": {"width": 1.5, "color": colour("deep")}}
    for name, value, marker in zip(names, values, [*markers, total], strict=True):
        figure.add_bar(
            x=[value],
            y=[name],
            orientation="h",
            marker=marker,
            text=[f"{format_logit(value)} {signed_arrow(value)}"],
            textposition="outside",
            textfont={"size": 13, "color": colour("text")},
            cliponaxis=False,
            hovertemplate="%{x:+.3f}<extra></extra>",
        )
    reach = 1.35 * max(0.5, *(abs(value) for value in values))
    figure.update_xaxes(range=[-reach, reach], zeroline=True)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickfont={"size": 13, "color": colour("text")}
    )
    return figure
