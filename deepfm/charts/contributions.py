"""One impression's explanation to figures: its terms, its waterfall, its fields and its pairs.

Values are drawn as they are; only their labels are rounded, so parts still add up.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.palette import (
    TERM_LETTERS,
    colour,
    format_logit,
    format_probability,
    label,
    new_figure,
    pairs_colorscale,
    shortened,
    signed_arrow,
    term_marker,
)
from deepfm.terms import TERM_NAMES, sigmoid

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

PROBABILITY_TICKS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
TRANSITION: Final = {"duration": 350, "easing": "cubic-in-out"}
MOST_FIELDS: Final = 14
MOST_PAIR_FIELDS: Final = 24


def terms_figure(
    terms: Mapping[str, float],
    before: Mapping[str, float] | None = None,
    *,
    title: str = "What moves this score",
    least_range: float = 3.0,
) -> go.Figure:
    """Three bars, one a term, centred on the reference; `before` stands behind as an outline.

    terms, before   logit units by term; a term the model does not have is left out
    least_range     the axis reaches at least this far to both sides, so that small bars look small
    """
    names = [name for name in TERM_NAMES if name in terms]
    figure = new_figure(
        title,
        x="raises or lowers the score (logit)",
        showlegend=False,
        bargap=0.42,
        transition=TRANSITION,
        # Plotly cannot draw the steps between two bars with round corners.
        barcornerradius=0,
    )
    rows = [f"<b>{TERM_LETTERS[name]}</b>  {name.capitalize()}" for name in names]
    if before is not None:
        figure.add_bar(
            x=[before[name] for name in names],
            y=rows,
            orientation="h",
            marker={"color": "rgba(0,0,0,0)", "line": {"color": colour("muted"), "width": 1.5}},
            hovertemplate="before %{x:+.2f}<extra></extra>",
            name="before",
        )
    for row, name in zip(rows, names, strict=True):
        figure.add_bar(
            x=[terms[name]],
            y=[row],
            orientation="h",
            marker=term_marker(name),
            name=name,
            text=[f"{format_logit(terms[name])} {signed_arrow(terms[name])}"],
            textposition="outside",
            textfont={"size": 14, "color": colour("text")},
            cliponaxis=False,
            hovertemplate=f"{name} %{{x:+.3f}}<extra></extra>",
        )
    _symmetric_range(figure, [*terms.values(), *(before or {}).values()], least_range)
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(
        autorange="reversed", tickfont={"size": 14, "color": colour("text")}, showgrid=False
    )
    if {"linear", "pairwise"} <= set(names) and "deep" in names:
        _bracket_fm(figure)
    return figure


def _symmetric_range(figure: go.Figure, values: Sequence[float], least: float) -> None:
    reach = max(least, 1.35 * max((abs(value) for value in values), default=0.0))
    figure.update_xaxes(range=[-reach, reach], zeroline=True)


def _bracket_fm(figure: go.Figure) -> None:
    figure.add_shape(
        type="path",
        path="M 1.005 -0.3 L 1.02 -0.3 L 1.02 1.3 L 1.005 1.3",
        xref="paper",
        yref="y",
        line={"color": colour("pairwise"), "width": 2},
    )
    figure.add_annotation(
        x=1.025,
        y=0.5,
        xref="paper",
        yref="y",
        xanchor="left",
        text="FM",
        showarrow=False,
        font={"color": colour("pairwise"), "size": 13},
    )
    figure.update_layout(margin={"r": 44})


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


def term_values(explanation: "Explanation") -> dict[str, float]:
    """The centred terms of the model, by name; one the model does not have is left out."""
    values = (explanation.linear, explanation.pairwise, explanation.deep)
    return {
        name: value
        for name, value in zip(TERM_NAMES, values, strict=True)
        if name in explanation.terms
    }


def waterfall_figure(explanation: "Explanation", before: "Explanation | None" = None) -> go.Figure:
    """From the typical score through the three terms to this score, logit and probability."""
    steps = waterfall_steps(explanation)
    figure = new_figure(
        "From a typical impression to this one",
        x="score (logit)",
        showlegend=False,
        bargap=0.4,
        transition=TRANSITION,
        barcornerradius=0,
    )
    ends = ["Typical score", *(step.name for step in steps), "This score"]
    rows = [*ends, "Before"] if before else ends
    _add_ends(figure, explanation)
    for step in steps:
        _add_step(figure, step)
    for row, (level, upper) in enumerate(itertools.pairwise(ends)):
        edge = explanation.base if row == 0 else steps[row - 1].end
        figure.add_scatter(
            x=[edge, edge],
            y=[level, upper],
            mode="lines",
            line={"color": colour("zero"), "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    if before is not None:
        _add_before(figure, before)
    marks = [explanation.base, explanation.logit, *(step.end for step in steps)]
    _both_scales(figure, [*marks, *([before.logit] if before else [])])
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=rows[::-1],
        tickfont={"size": 13, "color": colour("text")},
        showgrid=False,
    )
    return figure


def _add_ends(figure: go.Figure, explanation: "Explanation") -> None:
    ends = (
        ("Typical score", explanation.base, explanation.typical),
        ("This score", explanation.logit, explanation.probability),
    )
    for row, logit, probability in ends:
        last = row == "This score"
        figure.add_scatter(
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


def _add_before(figure: go.Figure, before: "Explanation") -> None:
    figure.add_scatter(
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


def _add_step(figure: go.Figure, step: Step) -> None:
    change = step.end - step.start
    figure.add_bar(
        x=[change],
        base=[step.start],
        y=[step.name],
        orientation="h",
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


def _both_scales(figure: go.Figure, marks: Sequence[float]) -> None:
    """The logit below, the same positions as probabilities above, unevenly spaced."""
    low, high = min(marks), max(marks)
    room = max(1.0, 0.3 * (high - low))
    span = [low - room, high + room]
    ticks = [
        (float(np.log(p / (1 - p))), p)
        for p in PROBABILITY_TICKS
        if span[0] <= np.log(p / (1 - p)) <= span[1]
    ]
    figure.update_layout(
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
    figure.add_scatter(
        x=[marks[0]], y=["This score"], xaxis="x2", mode="markers", opacity=0, hoverinfo="skip"
    )


def _percent(probability: float) -> str:
    return f"{100 * probability:g} %"


@dataclass(frozen=True)
class FieldRow:
    """What one field does to the score, by term; deep is None where it was not asked for."""

    field: str
    value: str
    linear: float
    pairwise: float
    deep: float | None

    @property
    def total(self) -> float:
        """The sum of what is known."""
        return self.linear + self.pairwise + (self.deep or 0.0)


def field_rows(explanation: "Explanation") -> list[FieldRow]:
    """Every field, the one that moves the score most first."""
    deep = explanation.deep_by_field
    rows = [
        FieldRow(
            field,
            str(explanation.values.get(field, "")),
            linear,
            explanation.pairwise_by_field.get(field, 0.0),
            deep[field] if deep is not None else None,
        )
        for field, linear in explanation.linear_by_field.items()
    ]
    return sorted(rows, key=lambda row: -_size(row))


def _size(row: FieldRow) -> float:
    return abs(row.linear) + abs(row.pairwise) + abs(row.deep or 0.0)


def fields_figure(explanation: "Explanation", *, most: int = MOST_FIELDS) -> go.Figure:
    """Stacked bars by field: linear, pairwise and, where it was computed, deep."""
    rows = field_rows(explanation)
    shown, rest = rows[:most], rows[most:]
    if rest:
        deep = [row.deep for row in rest if row.deep is not None]
        shown.append(
            FieldRow(
                f"{len(rest)} other fields",
                "",
                sum(row.linear for row in rest),
                sum(row.pairwise for row in rest),
                sum(deep) if deep else None,
            )
        )
    names = [_field_label(row) for row in shown]
    figure = new_figure(
        "Which fields moved this impression",
        x="raises or lowers the score (logit)",
        barmode="relative",
    )
    for term in TERM_NAMES:
        values = [_by_term(row)[term] for row in shown]
        if term not in explanation.terms or any(value is None for value in values):
            continue
        figure.add_bar(
            x=values,
            y=list(range(len(shown))),
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            customdata=[[label(row.field), label(row.value)] for row in shown],
            hovertemplate=(
                "%{customdata[0]} = %{customdata[1]}<br>" + term + " %{x:+.4f}<extra></extra>"
            ),
        )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=names,
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(zeroline=True)
    return figure


def _by_term(row: FieldRow) -> dict[str, float | None]:
    return {"linear": row.linear, "pairwise": row.pairwise, "deep": row.deep}


def _field_label(row: FieldRow) -> str:
    name = label(shortened(row.field, 22))
    return f"{name} = <b>{label(shortened(row.value, 22))}</b>" if row.value else name


def pairs_figure(explanation: "Explanation") -> go.Figure:
    """Heat map of the centred pairs: how much two values raise or lower the score by meeting."""
    fields = _pair_fields(explanation)
    matrix = np.full((len(fields), len(fields)), np.nan)
    place = {field: number for number, field in enumerate(fields)}
    for (first, second), value in explanation.pairs.items():
        if first in place and second in place:
            one, other = sorted((place[first], place[second]))
            matrix[other, one] = value
    reach = float(np.nanmax(np.abs(matrix))) if len(fields) > 1 else 1.0
    names = [
        label(f"{shortened(f, 18)} = {shortened(str(explanation.values.get(f, '')), 18)}")
        for f in fields
    ]
    few = len(fields) <= 14
    figure = new_figure("Which pairs of values moved this impression")
    figure.add_heatmap(
        z=matrix[1:, :-1],
        x=[label(shortened(field, 18)) for field in fields[:-1]],
        y=names[1:],
        colorscale=pairs_colorscale(),
        zmid=0.0,
        zmin=-(reach or 1.0),
        zmax=reach or 1.0,
        xgap=2,
        ygap=2,
        text=[[_cell(value) for value in row] for row in matrix[1:, :-1]] if few else None,
        texttemplate="%{text}" if few else None,
        textfont={"size": 11},
        hoverongaps=False,
        customdata=[names[:-1]] * (len(fields) - 1),
        hovertemplate="%{y}<br>%{customdata}<br>%{z:+.4f}<extra></extra>",
        colorbar={
            "title": {"text": "logit", "font": {"size": 12, "color": colour("muted")}},
            "thickness": 8,
            "len": 0.7,
            "outlinewidth": 0,
            "tickformat": "+.1f" if reach >= 0.5 else "+.2f" if reach >= 0.05 else "+.1e",
            "tickfont": {"size": 12, "color": colour("muted")},
        },
    )
    figure.update_xaxes(type="category", tickangle=-35, showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def _pair_fields(explanation: "Explanation") -> list[str]:
    """The fields in order, or those in the strongest pairs where there are many."""
    fields = list(explanation.linear_by_field)
    if len(fields) <= MOST_PAIR_FIELDS:
        return fields
    strength = dict.fromkeys(fields, 0.0)
    for (first, second), value in explanation.pairs.items():
        strength[first] += abs(value)
        strength[second] += abs(value)
    kept = sorted(fields, key=lambda field: -strength[field])[:MOST_PAIR_FIELDS]
    return [field for field in fields if field in kept]


def _cell(value: float) -> str:
    return "" if np.isnan(value) or abs(value) < 0.05 else format_logit(value, 1)


@dataclass(frozen=True)
class Variant:
    """The impression with one value changed: its centred terms and its logit."""

    value: str
    terms: Mapping[str, float]
    logit: float
    current: bool

    @property
    def probability(self) -> float:
        """sigmoid(logit)."""
        return float(sigmoid(np.asarray(self.logit)))


def what_if_figure(field: str, variants: Sequence[Variant]) -> go.Figure:
    """Every value of one field in this impression: the terms stacked, the score beside it."""
    figure = new_figure(
        f"This impression with another {shortened(field, 30)}",
        x="raises or lowers the score (logit), against a typical impression",
        barmode="relative",
    )
    places = list(range(len(variants)))
    for term in TERM_NAMES:
        if any(term not in variant.terms for variant in variants):
            continue
        figure.add_bar(
            x=[variant.terms[term] for variant in variants],
            y=places,
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            customdata=[label(variant.value) for variant in variants],
            hovertemplate="%{customdata}: " + term + " %{x:+.4f}<extra></extra>",
        )
    figure.add_scatter(
        x=[sum(variant.terms.values()) for variant in variants],
        y=places,
        mode="markers",
        name="Sum",
        marker={
            "symbol": "diamond",
            "size": 9,
            "color": colour("text"),
            "line": {"color": colour("ground"), "width": 1.5},
        },
        customdata=[
            [label(variant.value), format_probability(variant.probability)] for variant in variants
        ],
        hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=places,
        ticktext=[_variant_label(variant) for variant in variants],
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(zeroline=True)
    return figure


def _variant_label(variant: Variant) -> str:
    text = f"{label(shortened(variant.value, 26))}  {format_probability(variant.probability)}"
    return f"<b>▸ {text}</b>" if variant.current else text


def bar_height(rows: int, *, least: int = 220, each: int = 30, around: int = 96) -> int:
    """Pixels for a chart of horizontal bars: as high as its rows need."""
    return max(least, around + each * rows)
