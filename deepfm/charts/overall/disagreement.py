"""Every impression's two branches to a scatter that stays readable at any number of them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import colour, format_count, new_figure
from deepfm.terms import Terms

MOST_DOTS: Final = 1_500
"""Up to so many impressions each is a dot of its own."""
SAMPLED_DOTS: Final = 600
"""Of more impressions so many are dots, over a density of all."""
CELLS: Final = (60, 44)
"""Cells of the density across and up."""
FAR: Final = 0.5
"""So far from its mean, in logit units, a branch has something to say."""
_SEED: Final = 0

Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """A region of the scatter, in logit units from the mean; both ends are in it."""

    left: float
    right: float
    low: float
    high: float

    def holds(self, fm: Float64s, deep: Float64s) -> NDArray[np.bool_]:
        """Which impressions lie in it, bool[N]."""
        across = (fm >= self.left) & (fm <= self.right)
        return across & (deep >= self.low) & (deep <= self.high)


@dataclass(frozen=True, eq=False)
class Density:
    """How many impressions lie in each cell: int64[up, across] each, and the cells' edges.

    row  one impression of each cell that can be opened, −1 where there is none
    """

    across: Float64s
    up: Float64s
    count: NDArray[np.int64]
    clicks: NDArray[np.int64]
    row: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Disagreement:
    """N impressions as the scatter shows them.

    fm, deep  float64[N]  each branch minus its mean
    clicked   bool[N]
    dots      int64[M]  rows that are drawn as dots: all, or a sample from all cells alike, so
              that rare places keep theirs
    density   None where every impression has a dot
    """

    fm: Float64s
    deep: Float64s
    clicked: NDArray[np.bool_]
    dots: NDArray[np.int64]
    density: Density | None


def disagreement_of(terms: Terms, mean: Terms, labels: NDArray[Any], openable: int) -> Disagreement:
    """Terms of N impressions to what is drawn; the first `openable` of them can be opened."""
    fm = np.asarray(terms.fm, dtype=np.float64) - float(mean.fm[0])
    deep = np.asarray(terms.deep, dtype=np.float64) - float(mean.deep[0])
    clicked = np.asarray(labels) > 0.5
    if len(fm) <= MOST_DOTS:
        return Disagreement(fm, deep, clicked, np.arange(min(openable, len(fm))), None)
    across, up = _edges(fm, CELLS[0]), _edges(deep, CELLS[1])
    cells = _cells(up, deep) * CELLS[0] + _cells(across, fm)
    shape, size = CELLS[::-1], CELLS[0] * CELLS[1]
    first = np.full(size, -1)
    # Of several writes to one place the last one stays: the first impression of each cell.
    first[cells[:openable][::-1]] = np.arange(min(openable, len(fm)))[::-1]
    density = Density(
        across,
        up,
        np.bincount(cells, minlength=size).reshape(shape),
        np.bincount(cells[clicked], minlength=size).reshape(shape),
        first.reshape(shape),
    )
    return Disagreement(fm, deep, clicked, _spread(cells[:openable]), density)


def _edges(values: Float64s, count: int) -> Float64s:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, count + 1)


def _cells(edges: Float64s, values: Float64s) -> NDArray[np.int64]:
    scaled = (values - edges[0]) * ((len(edges) - 1) / (edges[-1] - edges[0]))
    return np.clip(scaled.astype(np.int64), 0, len(edges) - 2)


def _spread(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most 600 rows, first one from every cell, then a second one and so on, at random."""
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(cells))
    by_cell = order[np.argsort(cells[order], kind="stable")]
    sizes = np.bincount(cells)
    rank = np.arange(len(cells)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    mixed = rng.permutation(len(cells))
    first = mixed[np.argsort(rank[mixed], kind="stable")[:SAMPLED_DOTS]]
    return np.sort(by_cell[first])


def disagreement_figure(
    found: Disagreement, box: Box | None = None, first: str = "FM"
) -> go.Figure:
    """FM branch against deep branch; the click reports a dot's row as customdata.

    first  what the branch beside the network is called: FM, or linear where there are no pairs
    A click on the density, which is trace 0 where there is one, reports the cell as its point.
    """
    figure = new_figure(
        "Where the two branches agree, and where they pull apart",
        x=f"{first} branch (logit, against its mean)",
        y="deep branch (logit, against its mean)",
    )
    if found.density is not None:
        _add_density(figure, found.density)
    for clicked, name in ((False, "not clicked"), (True, "clicked")):
        rows = found.dots[found.clicked[found.dots] == clicked]
        figure.add_scatter(
            x=found.fm[rows],
            y=found.deep[rows],
            mode="markers",
            name=name,
            customdata=rows,
            marker={
                "symbol": "circle" if clicked else "circle-open",
                "size": (7 if clicked else 6) if found.density is None else 5,
                "color": colour("accent" if clicked else "muted", 0.8 if clicked else 0.7),
            },
            # A box that is drawn fades no dot: it is shown by its frame.
            unselected={"marker": {"opacity": 1}},
            hovertemplate=(
                f"row %{{customdata}}<br>{first} %{{x:+.2f}}, deep %{{y:+.2f}}<extra>{name}</extra>"
            ),
        )
    across, up = _reach(found.fm), _reach(found.deep)
    _shade_corners(figure, across, up)
    if box is not None:
        _frame(figure, box, across, up)
    figure.update_layout(
        selectionrevision=repr(box),
        newselection={"line": {"dash": "dash", "color": colour("text")}},
        modebar={
            "bgcolor": "rgba(0,0,0,0)",
            "color": colour("muted"),
            "activecolor": colour("text"),
        },
    )
    return figure


def _add_density(figure: go.Figure, density: Density) -> None:
    """The cells, darker where more impressions lie; by the logarithm of their number."""
    there = density.count > 0
    with np.errstate(divide="ignore"):
        shade = np.where(there, np.log10(density.count), np.nan)
    top = max(1.0, float(np.nanmax(shade)))
    text = [
        [
            f"{format_count(count)} impressions here, {100 * clicks / count:.0f} % clicked"
            if count
            else ""
            for count, clicks in zip(*rows, strict=True)
        ]
        for rows in zip(density.count.tolist(), density.clicks.tolist(), strict=True)
    ]
    tens = list(range(int(top) + 1))
    figure.add_heatmap(
        z=shade,
        x=(density.across[:-1] + density.across[1:]) / 2,
        y=(density.up[:-1] + density.up[1:]) / 2,
        zmin=0.0,
        zmax=top,
        colorscale=[[0.0, colour("pairwise", 0.06)], [1.0, colour("pairwise", 0.75)]],
        hoverongaps=False,
        text=text,
        hovertemplate="%{text}<extra></extra>",
        colorbar={
            "title": {"text": "impressions", "side": "right", "font": {"size": 11}},
            "tickvals": tens,
            "ticktext": [format_count(10**power) for power in tens],
            "tickfont": {"size": 11, "color": colour("muted")},
            "thickness": 8,
            "len": 0.6,
            "outlinewidth": 0,
        },
    )


def _reach(values: Float64s) -> float:
    return 1.08 * float(np.abs(values).max(initial=0.1))


def _shade_corners(figure: go.Figure, across: float, up: float) -> None:
    """The two corners where the branches have opposite signs and both are far; lines at ±FAR."""
    for axis, reach in (("x", across), ("y", up)):
        for sign in (1, -1):
            if reach > FAR:
                _dotted_line(figure, axis, sign * FAR)
    figure.update_xaxes(range=[-across, across], zeroline=True)
    figure.update_yaxes(range=[-up, up], zeroline=True)
    if min(across, up) <= FAR:
        return
    for sign, anchors in ((1, ("right", "bottom")), (-1, ("left", "top"))):
        figure.add_shape(
            type="rect",
            x0=sign * FAR,
            x1=sign * across,
            y0=-sign * FAR,
            y1=-sign * up,
            line={"width": 0},
            fillcolor=colour("lowers", 0.1),
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


def _dotted_line(figure: go.Figure, axis: str, place: float) -> None:
    across = axis == "x"
    figure.add_shape(
        type="line",
        xref="x" if across else "x domain",
        yref="y domain" if across else "y",
        x0=place if across else 0,
        x1=place if across else 1,
        y0=0 if across else place,
        y1=1 if across else place,
        line={"color": colour("muted"), "width": 1, "dash": "dot"},
        layer="below",
    )


def _frame(figure: go.Figure, box: Box, across: float, up: float) -> None:
    """The chosen region, as far as it lies within the axes."""
    figure.add_shape(
        type="rect",
        x0=max(box.left, -across),
        x1=min(box.right, across),
        y0=max(box.low, -up),
        y1=min(box.high, up),
        line={"color": colour("text"), "width": 2, "dash": "dash"},
        layer="above",
    )
