"""The terms' covariances, as a run learns, to how the variance of its score divides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.draft import Draft
from deepfm.charts.history import History
from deepfm.charts.palette import TERM_LETTERS, TERM_PATTERNS, colour
from deepfm.charts.training.axes import epoch_axis, spread_labels
from deepfm.charts.training.marks import add_resumed_marks
from deepfm.charts.training.views import numbers, views
from deepfm.events import Epoch, Point, TermMoments
from deepfm.terms import TERM_NAMES

LEAST_VARIANCE: Final = 1e-6
"""Of the logit; below it nothing has been learned whose shares could be told."""
BELOW: Final = -0.005
"""A share that is printed as below zero."""
SHARES_CAPTION: Final = (
    "each band is one term's share of the variance of the score over the reference rows: its "
    "covariance with the score, over the variance of the score. Together they are 100 %. A term "
    "that mostly works against the others has a share below zero, and hangs under the line. Under "
    "the pointer LL is the variance of linear, LP its covariance with pairwise."
)
_KEPT: Final = " The Model page's shares are over the {} rows, by the kept weights, of epoch {}."

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class TermShares:
    """How the variance divides at one position of the training.

    shares          cov(term, logit) / var(logit) of linear, pairwise and deep; they sum to 1
    covariance      of the terms, 3 rows of 3 (logit²); a row's sum is cov(term, logit)
    logit_variance  the sum of the covariances
    """

    epoch: float
    shares: Triple
    covariance: tuple[tuple[float, ...], ...]
    logit_variance: float


def shares_caption(history: History) -> str:
    """How to read it; once it has ended also why the Model page shows other shares."""
    ended = history.finished
    return SHARES_CAPTION + (_KEPT.format(ended.part, ended.best_epoch) if ended else "")


def term_shares_of(moments: TermMoments) -> tuple[Triple, float] | None:
    """Shares of the three terms and the variance of the logit; None where it hardly varies."""
    linear, pairwise_, deep = (sum(row) for row in moments.covariance)
    variance = linear + pairwise_ + deep
    if not variance >= LEAST_VARIANCE:
        return None
    return (linear / variance, pairwise_ / variance, deep / variance), variance


def shares_at(observation: Point | Epoch | None) -> TermShares | None:
    """The shares at one observation, where it has moments and the score varies."""
    if observation is None or observation.moments is None:
        return None
    known = term_shares_of(observation.moments)
    if known is None:
        return None
    shares, variance = known
    return TermShares(float(observation.epoch), shares, observation.moments.covariance, variance)


def shares_of(history: History) -> list[TermShares]:
    """The shares at every measured observation that has them."""
    found = (shares_at(observation) for observation in history.measured)
    return [shares for shares in found if shares is not None]


def shares_figure(history: History, terms: Sequence[str] = TERM_NAMES) -> go.Figure:
    """One band for each of the model's `terms`, named at the right end.

    Shares above zero are stacked upwards from zero, those below it downwards, so that a share is
    always the height of its band: what stands above the line less what hangs below is 100 %.
    """
    shares = shares_of(history)
    draft = Draft(
        "How the score's variance divides between the terms",
        x="epoch",
        y="share of the variance",
        hovermode="x unified",
        showlegend=False,
        margin={"r": 108, "t": 12},
        uirevision="shares",
    )
    shown = [term for term in TERM_NAMES if term in terms]
    cut = _with_crossings(shares)
    for term in shown:
        draft.add_trace("scatter", **_band(cut, term, below=False))
    for term in shown:
        if any(each.shares[TERM_NAMES.index(term)] < 0 for each in cut):
            draft.add_trace("scatter", **_band(cut, term, below=True))
    for term in shown:
        draft.add_trace("scatter", **_reader(shares, term, shown))
    span = _share_range(shares)
    draft.update_axis("x", **epoch_axis([history]))
    draft.update_axis("y", range=span, tickformat=".0%", zeroline=True, zerolinewidth=1.5)
    add_resumed_marks(draft, history)
    for each in share_labels(shares[-1] if shares else None, shown, span):
        draft.add_annotation(**each)
    draft.update_layout(meta=views())
    return draft.figure()


def _with_crossings(shares: Sequence[TermShares]) -> list[TermShares]:
    """The shares, and the positions between them at which one passes through zero.

    Shares run straight between two observations; a band that changes sides has a corner there.
    """
    cut: list[TermShares] = []
    for before, after in pairwise(shares):
        cut.append(before)
        ways = {a / (a - b) for a, b in zip(before.shares, after.shares, strict=True) if a * b < 0}
        cut += [_between(before, after, way) for way in sorted(ways)]
    return [*cut, *shares[-1:]]


def _between(before: TermShares, after: TermShares, way: float) -> TermShares:
    mixed = [a + way * (b - a) for a, b in zip(before.shares, after.shares, strict=True)]
    # The share that crosses is zero here, whatever rounding says.
    linear, pairwise_, deep = (0.0 if abs(share) < 1e-9 else share for share in mixed)
    position = before.epoch + way * (after.epoch - before.epoch)
    return TermShares(position, (linear, pairwise_, deep), before.covariance, before.logit_variance)


def _band(shares: Sequence[TermShares], term: str, *, below: bool) -> dict[str, Any]:
    place = TERM_NAMES.index(term)
    limit = min if below else max
    return {
        "x": numbers([each.epoch for each in shares]),
        "y": numbers([limit(each.shares[place], 0.0) for each in shares]),
        "name": term,
        "mode": "lines",
        "stackgroup": "below" if below else "above",
        "line": {"color": colour(term), "width": 1.5},
        "fillcolor": colour(term, 0.55),
        "fillpattern": {
            "shape": TERM_PATTERNS[term],
            "fgcolor": colour("ground", 0.6),
            "size": 8,
            "solidity": 0.2,
            "fillmode": "overlay",
        },
        "hoverinfo": "skip",
    }


def _reader(shares: Sequence[TermShares], term: str, shown: Sequence[str]) -> dict[str, Any]:
    """An unseen line that tells, under the pointer, a term's share and what it is made of."""
    place = TERM_NAMES.index(term)
    others = [other for other in shown if other != term]
    columns = [term, *others]
    made_of = [
        [each.covariance[place][TERM_NAMES.index(name)] for name in columns] for each in shares
    ]
    letter = TERM_LETTERS[term]
    words = "  ".join(
        f"{letter}{TERM_LETTERS[name]} %{{customdata[{number}]:+.2f}}"
        for number, name in enumerate(columns)
    )
    return {
        "x": numbers([each.epoch for each in shares]),
        "y": numbers([each.shares[place] for each in shares]),
        "customdata": np.asarray(made_of, dtype=np.float32) if made_of else None,
        "name": f"{term} read",
        "mode": "lines",
        "line": {"width": 0, "color": colour(term)},
        "opacity": 0,
        "hovertemplate": f"<b>{letter}</b> {term} %{{y:.1%}}<br>{words}<extra></extra>",
    }


def share_labels(
    shares: TermShares | None, terms: Sequence[str], span: tuple[float, float]
) -> list[Mapping[str, Any]]:
    """Each term's name and share, right of the panel, beside its band at one position.

    span   the range of the axis of shares
    """
    if shares is None:
        return []
    top = bottom = 0.0
    middles = []
    for term in (term for term in TERM_NAMES if term in terms):
        share = shares.shares[TERM_NAMES.index(term)]
        if share < 0:
            bottom += share
            middles.append((term, share, bottom - share / 2))
        else:
            top += share
            middles.append((term, share, top - share / 2))
    low, high = span
    heights = spread_labels([middle for *_, middle in middles], gap=0.11 * (high - low))
    return [
        {
            "xref": "paper",
            "x": 1.0,
            "xshift": 8,
            "y": height,
            "text": f"<b>{TERM_LETTERS[term]}</b> {term} {share_text(share)}",
            "showarrow": False,
            "xanchor": "left",
            "font": {"color": colour(term), "size": 12},
        }
        for (term, share, _), height in zip(middles, heights, strict=True)
    ]


def share_text(share: float) -> str:
    """ "32 %"; "−4 %" below zero, "0 %" for what rounds to it."""
    return f"{round(100 * share) + 0} %".replace("-", "−")


def _share_range(shares: Sequence[TermShares]) -> tuple[float, float]:
    """0 to 100 %, and further by tenths where shares below zero make others exceed it.

    One wild first observation, of a score that hardly varies, must not press the rest flat.
    """
    depths = sorted(-sum(min(share, 0.0) for share in each.shares) for each in shares)
    usual = depths[len(depths) - 1 - len(depths) // 50] if depths else 0.0
    beyond = 0.0 if usual < -BELOW else (int(usual / 0.1) + 1) * 0.1
    return 0.0 - beyond, 1.0 + beyond


def shares_finding(history: History, terms: Sequence[str] = TERM_NAMES) -> str:
    """The latest shares in one sentence, and what a share below zero comes from."""
    shares = shares_of(history)
    if not shares:
        return "The score hardly varies yet."
    last = shares[-1]
    parts = [
        f"{term} {share_text(share)}"
        for term, share in zip(TERM_NAMES, last.shares, strict=True)
        if term in terms
    ]
    words = f"At epoch {last.epoch:.2f} the variance of the score divides into {', '.join(parts)}."
    against = [term for term, share in zip(TERM_NAMES, last.shares, strict=True) if share < BELOW]
    if against:
        words += f" {' and '.join(against).capitalize()} mostly works against the others."
    return words


def shares_table(history: History) -> pd.DataFrame:
    """Epoch, the three shares, the six covariances, and the variance of the logit."""
    return pd.DataFrame([_table_row(each) for each in shares_of(history)])


def _table_row(each: TermShares) -> dict[str, float]:
    covariances = {
        f"cov({first}, {second})": each.covariance[row][column]
        for row, first in enumerate(TERM_NAMES)
        for column, second in enumerate(TERM_NAMES)
        if row <= column
    }
    return {
        "epoch": each.epoch,
        **dict(zip(TERM_NAMES, each.shares, strict=True)),
        **covariances,
        "variance of the score (logit²)": each.logit_variance,
    }
