"""A run to all that it takes to repeat it: settings, data, seed, versions, device, who and when."""

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from deepfm.charts.palette import NO_VALUE, format_duration, format_rate
from deepfm.config import ModelConfig, TrainConfig
from deepfm.ui import state
from deepfm.ui.clock import local

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow


def show_recipe(run_id: str) -> None:
    """Under what is watched: closed, and read from the store when it is opened."""
    with st.expander(
        "What it takes to repeat this run", key="recipe_open", on_change="rerun"
    ) as expander:
        if not expander.open:
            return
        row = state.store().run(run_id)
        st.code(f"python -m deepfm train --like {row.id}", language=None)
        table = recipe_table(row)
        st.dataframe(table, hide_index=True, height=min(38 + 35 * len(table), 423), key="recipe")


def recipe_table(row: "RunRow") -> pd.DataFrame:
    """One line each: what it is, and its value as text."""
    versions = row.versions or {}
    packages = versions.get("packages")
    about = [
        ("Run", row.id),
        ("Brought here from", row.imported),
        ("Started by", row.author),
        ("Brought here by", row.owner_name if row.imported else ""),
        ("Queued", _time(row.created)),
        ("Started", _time(row.started)),
        ("Ended", _time(row.finished)),
        ("Training time", NO_VALUE if row.seconds is None else format_duration(row.seconds)),
        ("Speed", format_rate(row.examples_per_second)),
        ("Attempts", str(row.attempt) if row.attempt > 1 else ""),
        ("Dataset", row.dataset_name),
        ("Dataset's fingerprint", row.fingerprint),
        *_settings(row),
        ("Device", str(versions.get("device", ""))),
        ("Step", str(versions.get("step", ""))),
        ("Python", str(versions.get("python", ""))),
        *((name, str(number)) for name, number in sorted(_entries(packages))),
        ("Machine", str(versions.get("platform", ""))),
    ]
    return pd.DataFrame([line for line in about if line[1]], columns=["What", "Value"])


def _settings(row: "RunRow") -> list[tuple[str, str]]:
    """Every setting under its label; one that the run was queued without has its default."""
    lines = []
    for config, given in ((ModelConfig, row.model), (TrainConfig, row.train)):
        for setting in config.settings():
            value: Any = given.get(setting.name, setting.default)
            lines.append((setting.label, setting.format(value)))
    return lines


def _entries(packages: Any) -> list[tuple[str, Any]]:
    """Package to version; none where a file from elsewhere holds something else."""
    return list(packages.items()) if isinstance(packages, dict) else []


def _time(when: float | None) -> str:
    if when is None:
        return ""
    return local(when).strftime("%Y-%m-%d %H:%M:%S")
