"""What each branch does over all impressions to the first figures of the Model page."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.palette import (
    TERM_LETTERS,
    colour,
    format_auc,
    format_loss,
    label,
    new_figure,
    term_marker,
)
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.evaluation.branches import JudgedBranch, TermShares

BRANCH_NAMES: Final[Mapping[str, str]] = {
    "linear": "<b>L</b>  Linear",
    "pairwise": "<b>P</b>  Pairwise",
    "fm": "<b>L P</b>  FM branch",
    "deep": "<b>D</b>  Deep branch",
    "all": "All together",
}
BRANCH_WORDS: Final[Mapping[str, str]] = {
    "linear": "linear",
    "pairwise": "pairwise",
    "fm": "FM branch",
    "deep": "deep branch",
    "all": "all together",
}
_COLOURS: Final[Mapping[str, str]] = {"fm": "pairwise", "all": "text"}
_APART: Final = 0.13
"""How far the two marks of one row stand from its middle."""


@dataclass(frozen=True)
class BranchRow:
    """One branch of a model, and the model that was trained with that branch alone.

    branch        a key of BRANCH_NAMES
    silenced      this model's figures with its other branches held at their mean
    trained       those of a model that never had them, None where there is no such run
    trained_name  LR, FM, DNN or Wide & Deep
    """

    branch: str
    silenced: "JudgedBranch"
    trained: "JudgedBranch | None" = None
    trained_name: str = ""


def alone_figure(rows: Sequence[BranchRow], base_loss: float) -> go.Figure:
    """AUC and log loss of each branch, silenced and trained alone, with their intervals.

    base_loss  log loss of always guessing the base rate of the same rows
    """
    several = len(rows) > 1
    figure = new_figure(
        "What each branch ranks and predicts alone" if several else "How well it ranks and predicts"
    )
    for which, axis in (("auc", "x"), ("log_loss", "x2")):
        _add_marks(figure, rows, which, axis, trained=False)
        if any(row.trained for row in rows):
            _add_marks(figure, rows, which, axis, trained=True)
    names = [BRANCH_NAMES[row.branch] if several else "The model" for row in rows]
    rows_axis = {
        "tickvals": list(range(len(rows))),
        "ticktext": names,
        "range": [len(rows) - 0.45, -0.6],
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": 13, "color": colour("text")},
    }
    figure.update_layout(
        xaxis={"title": {"text": "AUC (higher is better)"}, "domain": [0, 0.42]},
        xaxis2={
            "title": {"text": "log loss (lower is better)"},
            "domain": [0.52, 0.93],
            "anchor": "y2",
        },
        yaxis=rows_axis,
        yaxis2={**rows_axis, "anchor": "x2", "showticklabels": False},
        meta={"narrow": _one_below_the_other(len(rows))},
        showlegend=any(row.trained for row in rows),
        legend={"itemclick": False, "itemdoubleclick": False},
    )
    _mark_line(figure, "x", 0.5, "a coin")
    _mark_line(figure, "x2", base_loss, "guessing the base rate")
    return figure


def _one_below_the_other(rows: int) -> dict[str, Any]:
    """The layout where both halves do not fit side by side."""
    return {
        "height": 170 + 90 * rows,
        "xaxis": {"domain": [0, 0.77]},
        "xaxis2": {"domain": [0, 0.77]},
        "yaxis": {"domain": [0.58, 1]},
        "yaxis2": {"domain": [0, 0.42], "showticklabels": True},
    }


def _add_marks(
    figure: go.Figure, rows: Sequence[BranchRow], which: str, axis: str, *, trained: bool
) -> None:
    shown = [
        (place, row, *figures)
        for place, row in enumerate(rows)
        if (judged := row.trained if trained else row.silenced) is not None
        and (figures := _figures(judged, which)) is not None
    ]
    both = any(row.trained for row in rows)
    colours = [colour(_COLOURS.get(row.branch, row.branch)) for _, row, *_ in shown]
    write = format_auc if which == "auc" else format_loss
    places = [place + (_APART if trained else -_APART) * both for place, *_ in shown]
    for y, (_, _, value, _, _) in zip(places, shown, strict=True):
        mark = ("◇ " if trained else "● ") if both else ""
        _write_at_the_right(figure, axis, y, mark + write(value))
    figure.add_scatter(
        x=[value for _, _, value, _, _ in shown],
        y=places,
        xaxis=axis,
        yaxis=axis.replace("x", "y"),
        mode="markers",
        name="trained without the others" if trained else "within this model, others silenced",
        legendgroup=str(trained),
        showlegend=which == "auc",
        marker={
            "symbol": "diamond-open" if trained else "circle",
            "size": 11,
            "color": colours,
            "line": {"width": 2, "color": colours},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for _, _, value, _, high in shown],
            "arrayminus": [value - low for _, _, value, low, _ in shown],
            "color": colour("muted"),
            "thickness": 1.5,
            "width": 4,
        },
        cliponaxis=False,
        customdata=[
            [label(_who(row, trained)), write(low), write(high)] for _, row, _, low, high in shown
        ],
        hovertemplate=(
            "%{customdata[0]}<br>"
            + ("AUC" if which == "auc" else "log loss")
            + " %{x:.4f}, 95 % interval %{customdata[1]} to %{customdata[2]}<extra></extra>"
        ),
    )


def _write_at_the_right(figure: go.Figure, axis: str, y: float, words: str) -> None:
    """A value in the column beside its half, where it meets no other and no whisker."""
    figure.add_annotation(
        xref=f"{axis} domain",
        yref=axis.replace("x", "y"),
        x=1,
        y=y,
        xanchor="left",
        xshift=6,
        text=words,
        showarrow=False,
        font={"size": 12, "color": colour("text")},
    )


def _figures(judged: "JudgedBranch", which: str) -> tuple[float, float, float] | None:
    """Value, low and high; all three the same where there is no interval, None without a value."""
    if which == "log_loss":
        return judged.log_loss, judged.log_loss_low, judged.log_loss_high
    if judged.auc is None:
        return None
    if judged.auc_low is None or judged.auc_high is None:
        return judged.auc, judged.auc, judged.auc
    return judged.auc, judged.auc_low, judged.auc_high


def _who(row: BranchRow, trained: bool) -> str:
    return row.trained_name if trained else BRANCH_WORDS[row.branch]


def _mark_line(figure: go.Figure, axis: str, x: float, words: str) -> None:
    """A thin line across all rows, named at its foot."""
    figure.add_shape(
        type="line",
        xref=axis,
        yref=f"{axis.replace('x', 'y')} domain",
        x0=x,
        x1=x,
        y0=0,
        y1=1,
        line={"color": colour("muted"), "width": 1, "dash": "dot"},
        layer="below",
    )
    figure.add_annotation(
        xref=axis,
        yref=f"{axis.replace('x', 'y')} domain",
        x=x,
        y=0,
        xanchor="center",
        yanchor="bottom",
        text=words,
        showarrow=False,
        font={"size": 11, "color": colour("muted")},
        bgcolor=colour("ground", 0.8),
    )


def whole_percents(covariance: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cells as they are written, int64[3, 3]: percent of the score's variance.

    covariance  float64[3, 3] in the order linear, pairwise, deep
    Symmetric, in all 100, each cell its value rounded up or down: of all such roundings the one
    nearest to the cells and to their rows' sums, so that what is written adds up.
    """
    percent = _percent(covariance)
    low, up = np.floor(percent).astype(np.int64), np.triu_indices(3)
    choices = np.zeros((2 ** len(up[0]), 3, 3), np.int64)
    choices[:, up[0], up[1]] = list(itertools.product((0, 1), repeat=len(up[0])))
    cells = low + np.maximum(choices, choices.swapaxes(1, 2))
    whole = cells.sum(axis=(1, 2)) == round(percent.sum())
    error = ((cells - percent) ** 2).sum(axis=(1, 2))
    error += ((cells - percent).sum(axis=2) ** 2).sum(axis=1)
    found: NDArray[np.int64] = cells[np.argmin(np.where(whole, error, np.inf))]
    return found


def whole_shares(found: "TermShares") -> dict[str, int]:
    """Each term's share in whole percents, the sum of its row of cells as they are written."""
    rows = whole_percents(found.covariance).sum(axis=1).tolist()
    return dict(zip(TERM_NAMES, rows, strict=True))


def _percent(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(covariance.sum())
    return 100 * covariance / (total if total > 0 else 1.0)


def shares_figure(found: "TermShares", terms: tuple[str, ...]) -> go.Figure:
    """Share of the score's variance that goes with each term; the shares add up to 100 %."""
    shares, whole = found.shares, whole_shares(found)
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
            y=[_term_name(name)],
            orientation="h",
            marker=term_marker(name),
            text=[_in_words(whole[name])],
            textposition="outside",
            textfont={"size": 14, "color": colour("text")},
            cliponaxis=False,
            hovertemplate=f"{name} %{{x:.1f}} %<extra></extra>",
        )
    low = min(0.0, *(100 * shares[name] for name in names))
    high = max(100 * shares[name] for name in names)
    figure.update_xaxes(range=[1.25 * low, max(10.0, 1.18 * high)])
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickfont={"size": 13, "color": colour("text")}
    )
    return figure


def covariance_figure(covariance: NDArray[np.float64], terms: tuple[str, ...]) -> go.Figure:
    """The covariances of the terms, in percent of the score's variance: all cells add to 100.

    covariance  float64[3, 3] in the order linear, pairwise, deep
    """
    places = [place for place, name in enumerate(TERM_NAMES) if name in terms]
    names = [_term_name(TERM_NAMES[place]) for place in places]
    cells = np.ix_(places, places)
    percent = _percent(covariance)[cells]
    reach = max(1e-9, float(np.abs(percent).max()))
    figure = new_figure("Which terms rise and fall together")
    figure.add_heatmap(
        z=percent,
        x=names,
        y=names,
        zmin=-reach,
        zmax=reach,
        colorscale=[
            [0.0, colour("lowers", 0.6)],
            [0.5, colour("surface")],
            [1.0, colour("raises", 0.6)],
        ],
        xgap=3,
        ygap=3,
        showscale=False,
        text=[[_in_words(cell) for cell in row] for row in whole_percents(covariance)[cells]],
        texttemplate="%{text}",
        textfont={"size": 14, "color": colour("text")},
        customdata=covariance[cells].tolist(),
        hovertemplate=(
            "%{y} with %{x}<br>covariance %{customdata:+.4f} logit²"
            "<br>%{z:.1f} % of the score's variance<extra></extra>"
        ),
    )
    figure.update_xaxes(showgrid=False, side="bottom", tickfont={"color": colour("text")})
    figure.update_yaxes(showgrid=False, autorange="reversed", tickfont={"color": colour("text")})
    return figure


def _in_words(percent: int) -> str:
    """ "49 %", "−3 %"."""
    return f"{percent} %".replace("-", "−")


def _term_name(name: str) -> str:
    return f"<b>{TERM_LETTERS[name]}</b>  {name.capitalize()}"
