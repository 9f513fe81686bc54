"""One impression's contributions by field to stacked bars."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go

from deepfm.charts.draft import Draft
from deepfm.charts.palette import (
    colour,
    label,
    shortened,
    shortened_apart,
    term_marker,
)
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.explanation import Explanation

MOST_FIELDS: Final = 14
LONGEST_NAME: Final = 24


@dataclass(frozen=True)
class FieldRow:
    """What one field does to the score, by term; deep is None where it was not asked for.

    error  the standard error of deep, in logit units; None where it is exact or not known
    """

    field: str
    value: str
    linear: float
    pairwise: float
    deep: float | None
    error: float | None = None

    @property
    def total(self) -> float:
        """The sum of what is known."""
        return self.linear + self.pairwise + (self.deep or 0.0)


def field_rows(explanation: "Explanation") -> list[FieldRow]:
    """Every field, the one that moves the score most first."""
    deep, errors = explanation.deep_by_field, explanation.deep_standard_error or {}
    rows = [
        FieldRow(
            field,
            str(explanation.values.get(field, "")),
            linear,
            explanation.pairwise_by_field.get(field, 0.0),
            deep[field] if deep is not None else None,
            errors.get(field),
        )
        for field, linear in explanation.linear_by_field.items()
    ]
    return sorted(rows, key=lambda row: -_size(row))


def _size(row: FieldRow) -> float:
    return abs(row.linear) + abs(row.pairwise) + abs(row.deep or 0.0)


def fields_figure(
    explanation: "Explanation",
    before: "Explanation | None" = None,
    *,
    most: int = MOST_FIELDS,
    other: Mapping[str, str] | None = None,
) -> go.Figure:
    """Stacked bars by field: linear, pairwise and, where it was computed, deep with its whisker.

    before  the same impression before a change: its sums stand behind as hollow diamonds
    most    how many fields have a row of their own; the others share one
    other   the values of the impression that it is compared with, where they differ
    """
    shown, rest = _shown_rows(field_rows(explanation), most)
    names = shortened_apart(list(explanation.values), LONGEST_NAME)
    draft = Draft(
        "Which fields moved this impression",
        x="raises or lowers the score (logit)",
        barmode="relative",
    )
    for term in TERM_NAMES:
        values = [_by_term(row)[term] for row in shown]
        if term not in explanation.terms or any(value is None for value in values):
            continue
        draft.add_trace(
            "bar",
            x=values,
            y=list(range(len(shown))),
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            customdata=[
                [label(row.field), _value_words(row, other or {}), _give_or_take(row)]
                for row in shown
            ],
            **_whiskers(shown if term == "deep" else []),
            hovertemplate=(
                "%{customdata[0]} = %{customdata[1]}<br>"
                + f"{term} %{{x:+.4f}}{'%{customdata[2]}' if term == 'deep' else ''}"
                + "<extra></extra>"
            ),
        )
    _add_sums(draft, shown)
    if before is not None:
        _add_sums_before(draft, shown, rest, field_rows(before))
    draft.update_axis(
        "y",
        tickvals=list(range(len(shown))),
        ticktext=[_field_label(row, names) for row in shown],
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    draft.update_axis("x", zeroline=True)
    return draft.figure()


def _shown_rows(rows: list[FieldRow], most: int) -> tuple[list[FieldRow], list[FieldRow]]:
    """The rows as drawn, those beyond `most` added up in one; and those that were added up."""
    if len(rows) <= most + 1:
        return rows, []
    shown, rest = rows[:most], rows[most:]
    return [*shown, _added_up(f"{len(rest)} other fields", rest)], rest


def _added_up(name: str, rows: list[FieldRow]) -> FieldRow:
    deep = [row.deep for row in rows if row.deep is not None]
    return FieldRow(
        name,
        "",
        sum(row.linear for row in rows),
        sum(row.pairwise for row in rows),
        sum(deep) if deep else None,
    )


def _whiskers(rows: list[FieldRow]) -> dict[str, Any]:
    """One standard error to both sides of the deep bar's end; none where nothing was sampled."""
    if all(row.error is None for row in rows):
        return {}
    whiskers = {
        "type": "data",
        "array": [row.error or 0.0 for row in rows],
        "color": colour("text"),
        "thickness": 1.4,
        "width": 4,
    }
    return {"error_x": whiskers}


def _value_words(row: FieldRow, other: Mapping[str, str]) -> str:
    """ "phone (there: laptop)"."""
    there = other.get(row.field)
    return label(row.value) + (
        f" (there: {label(there or '(empty)')})" if there is not None else ""
    )


def _give_or_take(row: FieldRow) -> str:
    return "" if row.error is None else f" ± {row.error:.4f}"


def _add_sums(draft: Draft, rows: list[FieldRow]) -> None:
    draft.add_trace(
        "scatter",
        x=[row.total for row in rows],
        y=list(range(len(rows))),
        mode="markers",
        name="Sum",
        cliponaxis=False,
        marker={
            "symbol": "diamond",
            "size": 8,
            "color": colour("text"),
            "line": {"color": colour("ground"), "width": 1.5},
        },
        customdata=[label(row.field) for row in rows],
        hovertemplate="%{customdata}: sum %{x:+.4f}<extra></extra>",
    )


def _add_sums_before(
    draft: Draft, shown: list[FieldRow], rest: list[FieldRow], before: list[FieldRow]
) -> None:
    rows = {row.field: row for row in before}
    if rest:
        other = shown[-1].field
        rows[other] = _added_up(other, [rows[row.field] for row in rest])
    draft.add_trace(
        "scatter",
        x=[rows[row.field].total for row in shown],
        y=list(range(len(shown))),
        mode="markers",
        name="Sum before your change",
        cliponaxis=False,
        marker={
            # Hollow, and to be seen on a bar too.
            "symbol": "diamond",
            "size": 9,
            "color": colour("ground"),
            "line": {"color": colour("text"), "width": 1.6},
        },
        customdata=[label(rows[row.field].value) for row in shown],
        hovertemplate="before, with %{customdata}: %{x:+.4f}<extra></extra>",
    )


def _by_term(row: FieldRow) -> dict[str, float | None]:
    return {"linear": row.linear, "pairwise": row.pairwise, "deep": row.deep}


def _field_label(row: FieldRow, names: Mapping[str, str]) -> str:
    name = label(names.get(row.field, row.field))
    return f"{name} = <b>{label(shortened(row.value, 22))}</b>" if row.value else name


def bar_height(rows: int, *, least: int = 220, each: int = 30, around: int = 96) -> int:
    """Pixels for a chart of horizontal bars: as high as its rows need."""
    return max(least, around + each * rows)
