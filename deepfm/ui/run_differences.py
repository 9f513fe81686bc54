"""A few runs to what differs in their settings, beside what differs in their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import streamlit as st

from deepfm.charts.palette import (
    COLOURS,
    NO_VALUE,
    RUN_COLOURS,
    format_auc,
    format_duration,
    format_loss,
    format_rate,
)
from deepfm.ui import state
from deepfm.ui.plot import data_button
from deepfm.ui.run_roc import Judged
from deepfm.ui.run_words import part_of, result_of, settings_of, shown
from deepfm.ui.text import numbered_names
from deepfm.ui.train_form import all_settings
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

MOST_LINES: Final = 100
"""Runs in the table on the page; its data have all of them."""

MARKS: Final = ("●", "■", "◆", "▲", "✖", "★")
"""A run's mark in a table, as the charts draw it: circle, square, diamond, triangle, x, star."""


@dataclass(frozen=True)
class Column:
    """One setting or result in which runs differ: a text for each of them.

    best   places of the best value; none where there is no better or worse
    """

    name: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Differences:
    """In what some runs differ; where they do not there is no column."""

    names: tuple[str, ...]
    settings: tuple[Column, ...]
    results: tuple[Column, ...]


def differences(rows: Sequence["RunRow"], comparable: bool = True) -> Differences:
    """What differs between runs; the best results are known only where they are comparable."""
    return Differences(
        tuple(numbered_names([row.name for row in rows])),
        tuple(column for column in _settings(rows) if len(set(column.cells)) > 1),
        tuple(column for column in _results(rows, comparable) if len(set(column.cells)) > 1),
    )


def _settings(rows: Sequence["RunRow"]) -> list[Column]:
    values = [settings_of(row) for row in rows]
    columns = [Column("Dataset", _datasets(rows))]
    for name, setting in all_settings().items():
        label = "Model" if name == "terms" else setting.label
        columns.append(Column(label, tuple(shown(setting, each[name]) for each in values)))
    return columns


def _datasets(rows: Sequence["RunRow"]) -> tuple[str, ...]:
    """Names; of the same name but another preparation, told apart by the fingerprint's start."""
    prints: dict[str, set[str]] = {}
    for row in rows:
        prints.setdefault(row.dataset_name, set()).add(row.fingerprint)
    return tuple(
        row.dataset_name
        if len(prints[row.dataset_name]) == 1
        else f"{row.dataset_name} ({row.fingerprint[:6]})"
        for row in rows
    )


@dataclass(frozen=True)
class _Figure:
    """One result: how to get it from a run, how to say it, and which end is better."""

    name: str
    value: Callable[["RunRow"], float | None]
    words: Callable[[Any], str]
    better: Callable[[Sequence[float]], float] | None


def _result(key: str) -> Callable[["RunRow"], float | None]:
    return lambda row: result_of(row).get(key)


_FIGURES: Final = (
    _Figure("AUC", _result("auc"), format_auc, max),
    _Figure("Log loss", _result("log_loss"), format_loss, min),
    _Figure("Log loss, calibrated", _result("log_loss_calibrated"), format_loss, min),
    _Figure("Accuracy", _result("accuracy"), format_auc, max),
    _Figure("Best epoch", _result("best_epoch"), str, None),
    _Figure("Epochs trained", _result("epochs"), str, None),
    _Figure("Training time", _result("seconds"), format_duration, None),
    _Figure("Speed", _result("examples_per_second"), format_rate, None),
)


def _results(rows: Sequence["RunRow"], comparable: bool) -> list[Column]:
    columns = [
        Column("State", tuple(STATE_WORDS[row.state] for row in rows)),
        Column("Judged by", tuple(_rows_in_words(row) for row in rows)),
    ]
    for figure in _FIGURES:
        values = [figure.value(row) for row in rows]
        cells = tuple(NO_VALUE if value is None else figure.words(value) for value in values)
        name = _auc_name(rows) if figure.name == "AUC" else figure.name
        columns.append(Column(name, cells, _best(values, cells, figure, comparable)))
    return columns


def _best(
    values: Sequence[float | None], cells: Sequence[str], figure: _Figure, comparable: bool
) -> frozenset[int]:
    """The places of the best value, and of those that cannot be told from it as shown."""
    known = [value for value in values if value is not None]
    if figure.better is None or not comparable or len(known) < 2:
        return frozenset()
    best = cells[values.index(figure.better(known))]
    return frozenset(place for place, cell in enumerate(cells) if cell == best)


def _rows_in_words(row: "RunRow") -> str:
    part = part_of(row)
    return f"{part} rows" if part else NO_VALUE


def _auc_name(rows: Sequence["RunRow"]) -> str:
    """ "Test AUC" where all runs were judged by their test rows."""
    names = {state.auc_name(row) for row in rows if result_of(row)}
    name = names.pop() if len(names) == 1 else "AUC"
    return name[0].upper() + name[1:]


# --- whether they may be compared at all ------------------------------------------------------


def not_comparable(rows: Sequence["RunRow"], scores: Mapping[str, Judged]) -> str:
    """Why the results of runs must not be held against each other; "" where they may.

    They may on the same part of the same dataset, or where the scored rows are the same ones
    anyway (the same file prepared with another count threshold).
    """
    ended = [row for row in rows if result_of(row)]
    parts = {part_of(row) for row in ended}
    if len(parts) > 1:
        return (
            f"Some of these runs were judged by {' rows, others by '.join(sorted(parts))} rows, "
            "so their results are not comparable and no best value is marked."
        )
    datasets = {(row.fingerprint or str(row.dataset_folder)) for row in ended}
    if len(datasets) < 2 or _same_rows(ended, scores):
        return ""
    names = list(dict.fromkeys(row.dataset_name for row in ended))
    where = f"{len(names)} datasets" if len(names) > 1 else "one dataset prepared in different ways"
    return (
        f"These runs were judged by different rows ({where}), so their results are not "
        "comparable and no best value is marked."
    )


def _same_rows(rows: Sequence["RunRow"], scores: Mapping[str, Judged]) -> bool:
    labels = {scores[row.id].labels if row.id in scores else row.id for row in rows}
    return len(labels) == 1


# --- on the page ------------------------------------------------------------------------------


def show_differences(found: Differences, *, key: str) -> None:
    """One line a run: on the left the settings that differ, on the right the results."""
    st.markdown("**What differs in their settings, beside what differs in their results**")
    st.html(differences_html(found))
    if len(found.names) > MOST_LINES:
        st.caption(f"The first {MOST_LINES} of {len(found.names):,} runs; all of them are in Data.")
    data_button(lambda: differences_table(found), key=f"{key}_data", name="differences")


def differences_html(found: Differences) -> str:
    """The two tables as one, so that a run's settings and results stand in one line."""
    left = found.settings or (Column("Settings", ("the same",) * len(found.names)),)
    right = found.results or (Column("Results", ("the same",) * len(found.names)),)
    heads = "".join(f'<th scope="col">{escape(column.name)}</th>' for column in left)
    heads += "".join(
        f'<th scope="col"{_edge(place)}>{escape(column.name)}</th>'
        for place, column in enumerate(right)
    )
    lines = "".join(
        _line(found.names[run], run, left, right)
        for run in range(min(MOST_LINES, len(found.names)))
    )
    return (
        f"{_STYLE}"
        '<div class="dfm-differences" tabindex="0" role="region" aria-label="What differs">'
        '<table><thead><tr><td></td><th scope="colgroup" '
        f'colspan="{len(left)}">Settings that differ</th><th scope="colgroup" class="dfm-edge" '
        f'colspan="{len(right)}">Results that differ</th></tr>'
        f'<tr><th scope="col">Run</th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _line(name: str, run: int, left: Sequence[Column], right: Sequence[Column]) -> str:
    mark = "<span></span>"
    if run < len(MARKS):
        mark = f'<span class="dfm-{RUN_COLOURS[run]}" aria-hidden="true">{MARKS[run]}</span>'
    cells = "".join(f"<td>{escape(column.cells[run])}</td>" for column in left)
    for place, column in enumerate(right):
        text = escape(column.cells[run])
        if run in column.best:
            text = f"<b>{text}</b> <small>best</small>"
        cells += f"<td{_edge(place)}>{text}</td>"
    return f'<tr><th scope="row" title="{escape(name)}">{mark}{escape(name)}</th>{cells}</tr>'


def _edge(place: int) -> str:
    """The first column of the results is parted from the settings by a line."""
    return ' class="dfm-edge"' if place == 0 else ""


def differences_table(found: Differences) -> pd.DataFrame:
    """The same as data: one row a run."""
    columns: dict[str, Sequence[str]] = {"Run": found.names}
    for column in (*found.settings, *found.results):
        columns[column.name] = column.cells
    return pd.DataFrame(columns)


_GROUND: Final = f"light-dark({COLOURS['light']['ground']},{COLOURS['dark']['ground']})"


def _style() -> str:
    hues = "".join(
        f".dfm-{name}{{color:light-dark({COLOURS['light'][name]},{COLOURS['dark'][name]})}}"
        for name in RUN_COLOURS
    )
    return (
        "<style>"
        ".dfm-differences{overflow:auto;max-height:30rem;font-size:.875rem;"
        # A shadow at the right edge, which the ground covers once the table is moved to its end.
        f"background:linear-gradient(to left,{_GROUND} 40%,transparent) "
        "right/3.5rem 100% no-repeat local,"
        "linear-gradient(to left,light-dark(rgb(20 30 50/.3),rgb(190 210 255/.3)),transparent) "
        "right/1.4rem 100% no-repeat scroll}"
        ".dfm-differences table{border-collapse:collapse}"
        ".dfm-differences th,.dfm-differences td{padding:.3rem .65rem;text-align:left;"
        "white-space:nowrap;border:0;"
        "border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent);"
        "font-variant-numeric:tabular-nums}"
        ".dfm-differences thead th{font-weight:600;font-size:.8rem;white-space:normal;"
        "vertical-align:bottom}"
        ".dfm-differences tbody th{position:sticky;left:0;"
        f"background:{_GROUND}}}"
        ".dfm-differences tbody th{font-weight:550;max-width:18rem;overflow:hidden;"
        "text-overflow:ellipsis}"
        ".dfm-differences tbody th span{display:inline-block;width:1.2rem}"
        ".dfm-differences thead{position:sticky;top:0;z-index:1;"
        f"background:{_GROUND}}}"
        ".dfm-differences .dfm-edge{border-left:2px solid "
        "color-mix(in srgb,currentColor 30%,transparent)}"
        ".dfm-differences small{opacity:.7}"
        "@media (max-width:640px){.dfm-differences tbody th{max-width:9rem}}"
        f"{hues}</style>"
    )


_STYLE: Final = _style()
