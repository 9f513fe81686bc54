"""One impression's contributions by field to stacked bars."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go

from deepfm.charts.palette import (
    colour,
    label,
    new_figure,
    shortened,
    term_marker,
)
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

MOST_FIELDS: Final = 14


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


def bar_height(rows: int, *, least: int = 220, each: int = 30, around: int = 96) -> int:
    """Pixels for a chart of horizontal bars: as high as its rows need."""
    return max(least, around + each * rows)
