"""Runs to the table of all of them, and to what differs between a few."""

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import streamlit as st

from deepfm.charts.history import History, sparkline, value_of
from deepfm.charts.palette import NO_VALUE, format_auc, format_duration, format_loss, format_rate
from deepfm.charts.training.comparison import lamps
from deepfm.config import ModelConfig, Setting
from deepfm.ui import feed, state
from deepfm.ui.text import numbered_names
from deepfm.ui.train_form import all_settings, model_of
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

CURVES_FOR: Final = 60
"""The newest runs have their curve in the table; reading all events of more would take long."""


def runs_table(rows: Sequence["RunRow"]) -> pd.DataFrame:
    """One row a run, as the list shows it."""
    return pd.DataFrame([_table_row(row, place < CURVES_FOR) for place, row in enumerate(rows)])


def _table_row(row: "RunRow", with_curve: bool) -> dict[str, Any]:
    result = row.result or {}
    model = model_of(row)
    history = feed.history(row.id)[1] if with_curve else History()
    best = history.best or (history.epochs[-1] if history.epochs else None)
    seconds = None
    if row.started is not None and row.finished is not None:
        seconds = row.finished - row.started
    return {
        "Run": row.name,
        "Group": row.group_name or None,
        "State": STATE_WORDS[row.state],
        "Model": f"{lamps(row.model.get('terms', ()))}  {model}",
        "Test AUC": row.auc if result.get("part") == "test" else None,
        "Validation AUC": None if best is None else value_of(best.validation, "auc"),
        "Log loss": result.get("log_loss"),
        "Curve": sparkline(history),
        "Epochs": f"{row.epoch:g} of {row.train.get('epochs', '?')}"
        if float(row.epoch).is_integer()
        else f"{row.epoch:.1f} of {row.train.get('epochs', '?')}",
        "Settings": settings_in_words(row),
        "Dataset": row.dataset_name,
        "Time": seconds,
        "Queued": datetime.datetime.fromtimestamp(row.created),
    }


def table_columns() -> dict[str, Any]:
    """How each column of `runs_table` is shown."""
    config = st.column_config
    return {
        "Run": config.TextColumn(width="medium", pinned=True),
        "State": config.TextColumn(width="small"),
        "Group": config.TextColumn(width=150, help="The comparison that a run belongs to."),
        "Test AUC": config.NumberColumn(format="%.4f", help="Once the run has ended."),
        "Validation AUC": config.NumberColumn(
            format="%.4f", help="Of the best epoch so far, whose weights are kept."
        ),
        "Log loss": config.NumberColumn(format="%.4f"),
        "Curve": config.LineChartColumn(
            width="small", help="AUC by epoch, of the validation rows, else of the test rows."
        ),
        "Settings": config.TextColumn(
            width="medium", help="What differs from the default of each setting."
        ),
        "Time": config.NumberColumn(format="%.1f s", help="From its start to its end."),
        "Queued": config.DatetimeColumn(format="D MMM, HH:mm"),
    }


def settings_in_words(row: "RunRow") -> str:
    """The settings that differ from their default, the five models apart."""
    values = settings_of(row)
    changed = [
        f"{setting.label} {_shown(setting, values[name])}"
        for name, setting in all_settings().items()
        if name != "terms" and _plain(values[name]) != _plain(setting.default)
    ]
    return ", ".join(changed) or "all by default"


def settings_of(row: "RunRow") -> dict[str, Any]:
    """Every setting of a run; one it was queued without has its default."""
    given: Mapping[str, Any] = {**row.model, **row.train}
    return {name: given.get(name, setting.default) for name, setting in all_settings().items()}


def differences(rows: Sequence["RunRow"]) -> pd.DataFrame:
    """What differs between runs: first in their settings, then in their results.

    One line a setting or result, one column a run, all as text; columns are numbered where
    names repeat.
    """
    names = numbered_names([row.name for row in rows])
    settings = [settings_of(row) for row in rows]
    lines = [("setting", "Dataset", [row.dataset_name for row in rows])]
    for name, setting in all_settings().items():
        lines.append(
            ("setting", _label(setting), [_shown(setting, values[name]) for values in settings])
        )
    lines = [line for line in lines if len(set(line[2])) > 1]
    lines += [("result", what, values) for what, values in _results(rows)]
    return pd.DataFrame(
        [
            {"": kind, "What": what, **dict(zip(names, values, strict=True))}
            for kind, what, values in lines
        ]
    )


def _label(setting: Setting) -> str:
    return "Model" if setting.name == "terms" else setting.label


def _results(rows: Sequence["RunRow"]) -> list[tuple[str, list[str]]]:
    results = [row.result or {} for row in rows]
    return [
        ("State", [STATE_WORDS[row.state] for row in rows]),
        (_auc_name(rows), [format_auc(row.auc) for row in rows]),
        ("Log loss", [format_loss(result.get("log_loss")) for result in results]),
        (
            "Log loss, calibrated",
            [format_loss(result.get("log_loss_calibrated")) for result in results],
        ),
        ("Accuracy", [format_auc(result.get("accuracy")) for result in results]),
        ("Best epoch", [str(result.get("best_epoch", NO_VALUE)) for result in results]),
        ("Epochs", [str(result.get("epochs", NO_VALUE)) for result in results]),
        ("Speed", [format_rate(result.get("examples_per_second")) for result in results]),
        (
            "Training time",
            [
                format_duration(result["seconds"]) if "seconds" in result else NO_VALUE
                for result in results
            ],
        ),
    ]


def _auc_name(rows: Sequence["RunRow"]) -> str:
    """ "Test AUC" where all runs were judged by their test rows."""
    names = {state.auc_name(row) for row in rows}
    name = names.pop() if len(names) == 1 else "AUC"
    return name[0].upper() + name[1:]


def _shown(setting: Setting, value: Any) -> str:
    if setting.kind == "terms":
        return model_of_terms(value)
    return setting.format(value)


def model_of_terms(terms: Sequence[str]) -> str:
    """ "L P FM": lamps, then the name."""
    return f"{lamps(terms)}  {ModelConfig(terms=tuple(terms)).name}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
