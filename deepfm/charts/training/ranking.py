"""AUCs of each branch alone, as a run learns, to their curves under that of the whole model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.draft import Draft
from deepfm.charts.history import History, Part, metrics_of, value_of
from deepfm.charts.palette import colour, format_auc, line
from deepfm.charts.training.axes import epoch_axis, spread_labels, value_range
from deepfm.charts.training.curves import MARKED_UP_TO, add_level, tracks_of
from deepfm.charts.training.marks import add_resumed_marks
from deepfm.charts.training.views import numbers, views
from deepfm.events import Epoch, Point

Branch = str

RANKING_CAPTION: Final = (
    "a branch alone is scored as base + (branch − its mean), so it ranks as the branch does. Where "
    "the dashed line stands above both, the branches know different things; neither was trained "
    "to stand alone. 0.5 is a coin. Thin lines within an epoch are a sample of the rows."
)
_KEPT: Final = (
    " Numbers at the right: the latest epoch at which the branches were ranked, up to the replay's "
    "place. Evaluate and Model rank by the kept weights, of epoch {}."
)
_NAMES: Final[Mapping[Branch, str]] = {"all": "together", "fm": "FM alone", "deep": "deep alone"}
_COLOURS: Final[Mapping[Branch, str]] = {"all": "accent", "fm": "pairwise", "deep": "deep"}
_LINES: Final[Mapping[Branch, dict[str, Any]]] = {
    "all": line("validation", "accent"),
    "fm": {"color": colour("pairwise"), "width": 4, "dash": "solid"},
    "deep": {"color": colour("deep"), "width": 2, "dash": "dot"},
}


def ranks_of(history: History, branch: Branch) -> tuple[list[float], list[float]]:
    """Positions and AUCs of "fm", "deep" or "all" at the ends of epochs, where they are known."""
    if branch == "all":
        return history.curve("auc", history.judged_by)
    known = [(each, auc_of(each, branch)) for each in history.ranked]
    found = [(float(each.epoch), auc) for each, auc in known if auc is not None]
    return [position for position, _ in found], [auc for _, auc in found]


def sampled_ranks_of(history: History, branch: Branch) -> tuple[list[float], list[float]]:
    """The same on the validation sample within epochs, where those are long enough to want it."""
    if "sample" not in tracks_of(history, "within epochs"):
        return [], []
    samples = [seen.observation for seen in history.seen_samples]
    known = [(each.epoch, auc_of(each, branch)) for each in samples]
    found = [(position, auc) for position, auc in known if auc is not None]
    return [position for position, _ in found], [auc for _, auc in found]


def auc_of(observation: Point | Epoch, branch: Branch, part: Part = "validation") -> float | None:
    """The AUC of "fm", "deep" or "all" (of one part) as an observation tells it."""
    if branch == "all":
        return value_of(metrics_of(observation, part), "auc")
    if observation.branches is None:
        return None
    return observation.branches.fm if branch == "fm" else observation.branches.deep


def ranking_caption(history: History) -> str:
    """How to read it; once it has ended also why other pages show other numbers."""
    ended = history.finished
    return RANKING_CAPTION + (_KEPT.format(ended.best_epoch) if ended else "")


def has_two_branches(terms: Sequence[str]) -> bool:
    """Whether a model has an FM branch and a deep one, so that each can be looked at alone."""
    return "deep" in terms and len(terms) > 1


def ranking_figure(history: History) -> go.Figure:
    """AUC of the FM branch alone, the deep branch alone and the whole model, by epoch."""
    draft = Draft(
        "What each branch ranks alone, as it learns",
        x="epoch",
        y=f"{history.judged_by} AUC",
        hovermode="x unified",
        showlegend=False,
        margin={"r": 112, "t": 12},
        uirevision="ranking",
    )
    for branch in ("fm", "deep", "all"):
        draft.add_trace("scatter", **_trace(history, branch))
        if sampled_ranks_of(history, branch)[0]:
            draft.add_trace("scatter", **_sample_trace(history, branch))
    best = history.started.best_possible_auc if history.started else None
    known = [
        value
        for branch in _NAMES
        for _, values in (ranks_of(history, branch), sampled_ranks_of(history, branch))
        for value in values
    ]
    span = value_range([*known, *([best] if best is not None else [])], "auc")
    draft.update_axis("x", **epoch_axis([history]))
    draft.update_axis("y", range=span, zeroline=False)
    if best is not None:
        add_level(draft, best, f"best possible {best:.2f}")
    add_resumed_marks(draft, history)
    for each in rank_labels(history, history.position, span):
        draft.add_annotation(**each)
    draft.update_layout(meta=views())
    return draft.figure()


def _trace(history: History, branch: Branch) -> dict[str, Any]:
    positions, values = ranks_of(history, branch)
    marks = len(positions) <= MARKED_UP_TO
    return {
        "x": numbers(positions) if positions else [None],
        "y": numbers(values) if positions else [None],
        "name": _NAMES[branch],
        "mode": "lines+markers" if marks else "lines",
        "line": _LINES[branch],
        "marker": {"size": 6, "color": colour(_COLOURS[branch])},
        "hovertemplate": f"{_NAMES[branch]} %{{y:.4f}}<extra></extra>",
    }


def _sample_trace(history: History, branch: Branch) -> dict[str, Any]:
    positions, values = sampled_ranks_of(history, branch)
    return {
        "x": numbers(positions),
        "y": numbers(values),
        "name": f"{_NAMES[branch]}, sample",
        "mode": "lines",
        "line": {**_LINES[branch], "width": 1.5, "color": colour(_COLOURS[branch], 0.55)},
        "hovertemplate": f"{_NAMES[branch]}, sample %{{y:.4f}}<extra></extra>",
    }


def rank_labels(
    history: History, position: float, span: tuple[float, float]
) -> list[Mapping[str, Any]]:
    """Each line's name and its value at a position of the training, right of the panel.

    span   the range of the axis of AUC
    """
    ends = []
    for branch in _NAMES:
        reached = _value_at(ranks_of(history, branch), position)
        if reached is None:
            reached = _value_at(sampled_ranks_of(history, branch), position)
        if reached is not None:
            ends.append((branch, reached))
    low, high = span
    heights = spread_labels([value for _, value in ends], gap=0.11 * (high - low))
    return [
        {
            "xref": "paper",
            "x": 1.0,
            "xshift": 8,
            "y": height,
            "text": f"{_NAMES[branch]} {value:.3f}",
            "showarrow": False,
            "xanchor": "left",
            "font": {"color": colour(_COLOURS[branch]), "size": 12},
        }
        for (branch, value), height in zip(ends, heights, strict=True)
    ]


def _value_at(curve: tuple[list[float], list[float]], position: float) -> float | None:
    """The newest value up to a position."""
    reached = [value for at, value in zip(*curve, strict=True) if at <= position + 1e-9]
    return reached[-1] if reached else None


def ranking_finding(history: History) -> str:
    """The latest AUCs of the branches in one sentence."""
    if not history.ranked:
        return "The branches have not been ranked yet."
    last = history.ranked[-1]
    words = (
        f"At epoch {last.epoch} the FM branch alone ranks {history.judged_by} rows with AUC "
        f"{format_auc(auc_of(last, 'fm'))}, the deep branch alone with "
        f"{format_auc(auc_of(last, 'deep'))}"
    )
    return f"{words}, together {format_auc(auc_of(last, 'all', history.judged_by))}."


def ranking_table(history: History) -> pd.DataFrame:
    """One row an end of an epoch at which the branches were ranked."""
    part = history.judged_by
    return pd.DataFrame(
        [
            {
                "epoch": each.epoch,
                f"{part} AUC, FM branch alone": auc_of(each, "fm"),
                f"{part} AUC, deep branch alone": auc_of(each, "deep"),
                f"{part} AUC, together": auc_of(each, "all", part),
            }
            for each in history.ranked
        ]
    )
