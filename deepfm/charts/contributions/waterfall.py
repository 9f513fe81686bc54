"""One impression's explanation to a waterfall: typical score, terms, this score."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.contributions.terms import term_values
from deepfm.charts.draft import Draft
from deepfm.charts.palette import (
    colour,
    format_logit,
    format_probability,
    shortened,
    signed_arrow,
    term_marker,
)

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

LONGEST_TITLE: Final = 90
BAR: Final = 0.56
OUTLINE: Final = 0.2
GAP: Final = 0.04
"""Heights of a term's bar, of the outline of what it was, and between the two, in rows."""

PROBABILITY_TICKS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Step:
    """One bar of the waterfall, from `start` to `end` on the logit axis."""

    name: str
    term: str
    start: float
    end: float


def waterfall_steps(explanation: "Explanation") -> list[Step]:
    """Typical score, then each term, then the logit; each starts where the last one ended."""
    steps = []
    level = explanation.base
    for name, value in term_values(explanation).items():
        steps.append(Step(name.capitalize(), name, level, level + value))
        level += value
    return steps


def waterfall_figure(explanation: "Explanation", before: "Explanation | None" = None) -> go.Figure:
    """From the typical score through the three terms to this score, logit and probability.

    Without a `transition`: plotly.js fails to move bars that have a pattern, and all is drawn anew.
    """
    steps = waterfall_steps(explanation)
    draft = Draft(
        f"From {shortened(explanation.against, LONGEST_TITLE)} to this one",
        x="score (logit)",
        showlegend=False,
        bargap=0.4,
        barcornerradius=0,
    )
    ends = [start_name(explanation), *(step.name for step in steps), "This score"]
    rows = [*ends, "Before"] if before else ends
    _add_ends(draft, explanation)
    if before is not None:
        _add_steps_before(draft, before)
    for step in steps:
        _add_step(draft, step, beside_before=before is not None)
    _add_joints(draft, ends, [explanation.base, *(step.end for step in steps)])
    if before is not None:
        _add_before(draft, before)
    marks = [explanation.base, *(step.end for step in steps)]
    if before is not None:
        marks += [step.end for step in waterfall_steps(before)]
    _both_scales(draft, marks)
    draft.update_axis(
        "y",
        categoryorder="array",
        categoryarray=rows[::-1],
        tickfont={"size": 13, "color": colour("text")},
        showgrid=False,
    )
    return draft.figure()


def start_name(explanation: "Explanation") -> str:
    """What the waterfall starts at: “Typical score”, or that of the other impression."""
    return "The other's score" if explanation.reference_kind == "other" else "Typical score"


def _add_ends(draft: Draft, explanation: "Explanation") -> None:
    ends = (
        (start_name(explanation), explanation.base, explanation.typical),
        ("This score", explanation.logit, explanation.probability),
    )
    for row, logit, probability in ends:
        last = row == "This score"
        draft.add_trace(
            "scatter",
            x=[logit],
            y=[row],
            mode="markers+text",
            marker={"symbol": "diamond", "size": 14 if last else 10, "color": colour("text")},
            text=[f"<b>{format_probability(probability)}</b>   {format_logit(logit)}"],
            textposition="middle right" if _left_half(explanation, logit) else "middle left",
            textfont={"size": 14 if last else 13, "color": colour("text")},
            cliponaxis=False,
            hovertemplate=f"{row}: logit %{{x:+.4f}}<extra></extra>",
        )


def _add_before(draft: Draft, before: "Explanation") -> None:
    draft.add_trace(
        "scatter",
        x=[before.logit],
        y=["Before"],
        mode="markers+text",
        marker={"symbol": "diamond-open", "size": 12, "color": colour("muted")},
        text=[f"{format_probability(before.probability)}   {format_logit(before.logit)}"],
        textposition="middle right",
        textfont={"color": colour("muted"), "size": 13},
        cliponaxis=False,
        hovertemplate="before your change: logit %{x:+.4f}<extra></extra>",
    )


def _left_half(explanation: "Explanation", logit: float) -> bool:
    levels = [explanation.base, *(step.end for step in waterfall_steps(explanation))]
    return logit <= (min(levels) + max(levels)) / 2


def _add_steps_before(draft: Draft, before: "Explanation") -> None:
    """What each term was before the change: a thin outline under the term's bar."""
    steps = waterfall_steps(before)
    draft.add_trace(
        "bar",
        x=[step.end - step.start for step in steps],
        base=[step.start for step in steps],
        y=[step.name for step in steps],
        orientation="h",
        width=OUTLINE,
        offset=-BAR / 2 - OUTLINE / 2 - GAP,
        marker={"color": "rgba(0,0,0,0)", "line": {"color": colour("muted"), "width": 1.2}},
        text=[f"was {format_logit(step.end - step.start)}" for step in steps],
        textposition="outside",
        textfont={"size": 11, "color": colour("muted")},
        constraintext="none",
        cliponaxis=False,
        hovertemplate="before your change %{text}<extra></extra>",
    )


def _add_step(draft: Draft, step: Step, beside_before: bool) -> None:
    change = step.end - step.start
    draft.add_trace(
        "bar",
        x=[change],
        base=[step.start],
        y=[step.name],
        orientation="h",
        width=BAR,
        offset=-BAR / 2 + (OUTLINE / 2 if beside_before else 0.0),
        marker=term_marker(step.term),
        text=[f"{format_logit(change)} {signed_arrow(change)}"],
        textposition="outside",
        textfont={"size": 13, "color": colour("text")},
        cliponaxis=False,
        customdata=[[change, step.end]],
        hovertemplate=(
            f"{step.term} %{{customdata[0]:+.4f}}, score so far %{{customdata[1]:+.4f}}"
            "<extra></extra>"
        ),
    )


def _add_joints(draft: Draft, rows: Sequence[str], edges: Sequence[float]) -> None:
    """Dotted lines from each row's end down to the next row: one trace, with a gap after each."""
    pairs = list(zip(edges, itertools.pairwise(rows), strict=True))
    draft.add_trace(
        "scatter",
        x=[place for edge, _ in pairs for place in (edge, edge, None)],
        y=[row for _, (upper, lower) in pairs for row in (upper, lower, None)],
        mode="lines",
        line={"color": colour("zero"), "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )


def _both_scales(draft: Draft, marks: Sequence[float]) -> None:
    """The logit below, the same positions as probabilities above, unevenly spaced."""
    low, high = min(marks), max(marks)
    room = max(1.0, 0.3 * (high - low))
    span = [low - room, high + room]
    ticks = [
        (float(np.log(p / (1 - p))), p)
        for p in PROBABILITY_TICKS
        if span[0] <= np.log(p / (1 - p)) <= span[1]
    ]
    draft.update_layout(
        xaxis={"range": span, "zeroline": False, "title": {"text": "score (logit)"}},
        xaxis2={
            "overlaying": "x",
            "side": "top",
            "range": span,
            "matches": "x",
            "tickvals": [place for place, _ in ticks],
            "ticktext": [_percent(p) for _, p in ticks],
            "title": {"text": "probability of a click"},
            "showgrid": False,
            "zeroline": False,
        },
    )
    draft.add_trace(
        "scatter",
        x=[marks[0]],
        y=["This score"],
        xaxis="x2",
        mode="markers",
        opacity=0,
        hoverinfo="skip",
    )


def _percent(probability: float) -> str:
    return f"{100 * probability:g} %"
