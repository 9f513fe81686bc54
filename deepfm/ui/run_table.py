"""Lines to the table of runs: ticks, links, sorting, groups that open, a curve in each row."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

from deepfm.charts.palette import COLOURS, shortened_apart
from deepfm.ui.run_lines import Line

_HERE: Final = Path(__file__).parent
DATASET_LENGTH: Final = 20
"""Characters of a dataset's name in its cell; pointing at it shows the whole."""
MOST_HIGH: Final = 440
"""Pixels before the table scrolls by itself, so that what is compared stays near."""


@dataclass(frozen=True)
class Heading:
    """One column: its name in the address, its title, whether the list can be sorted by it."""

    name: str
    title: str
    help: str
    sortable: bool = True


HEADINGS: Final = (
    Heading("name", "Run", "The name opens the run; a tick compares it or does something with it."),
    Heading(
        "auc",
        "AUC",
        "Of the test rows. Where there are none, or the run goes on, of the rows that are named "
        "beside it; sorted, these come last.",
    ),
    Heading("loss", "Log loss", "Of the same rows, once the run has ended; lower is better."),
    Heading("state", "State", "Waiting, training, or how it ended."),
    Heading("dataset", "Dataset", "What it was trained on."),
    Heading(
        "curve",
        "AUC by epoch",
        "Validation (else test) AUC after each epoch. Runs of one dataset share a scale.",
        False,
    ),
    Heading("model", "Model", "L linear, P pairwise, D deep: the terms of the score.", False),
    Heading("settings", "Settings", "What differs from each setting's default.", False),
    Heading("epoch", "Epochs", "Trained, of those asked for.", False),
    Heading("person", "By", "Who started it."),
    Heading("seconds", "Time", "Of training."),
    Heading("created", "Queued", "When it was asked for."),
)


@dataclass(frozen=True)
class Actions:
    """What is called before the page runs again: ticks by id, sorting, opening, following."""

    tick: Callable[[Mapping[str, bool]], None]
    sort: Callable[[str], None]
    open: Callable[[str, bool], None]
    follow: Callable[[str], None]


def show_table(
    lines: Sequence[Line],
    *,
    key: str,
    label: str,
    order: str,
    falling: bool,
    hidden: Sequence[str],
    actions: Actions,
) -> None:
    """Show the lines; `hidden` names columns in which every line would be the same."""

    def did(name: str, call: Callable[[Any], None]) -> Callable[[], None]:
        def changed() -> None:
            event = st.session_state[key].get(name)
            if event:
                call(event)

        return changed

    short = shortened_apart([line.dataset for line in lines], DATASET_LENGTH)
    _GRID(
        key=key,
        data={
            "label": label,
            "height": MOST_HIGH,
            "order": order,
            "falling": falling,
            "columns": [asdict(each) for each in HEADINGS if each.name not in hidden],
            "rows": [
                {
                    **asdict(line),
                    "curve_words": line.curve_words,
                    "dataset_short": short[line.dataset],
                }
                for line in lines
            ],
        },
        on_tick_change=did("tick", lambda event: actions.tick(event["changes"])),
        on_sort_change=did("sort", lambda event: actions.sort(str(event["order"]))),
        on_open_change=did("open", lambda event: actions.open(str(event["id"]), event["open"])),
        on_follow_change=did("follow", lambda event: actions.follow(str(event["id"]))),
    )


def _component() -> Callable[..., Any]:
    colours = json.dumps({mode: dict(names) for mode, names in COLOURS.items()})
    script = (_HERE / "run_grid.js").read_text(encoding="utf-8")
    return st.components.v2.component(
        "deepfm_runs",
        html='<div class="dfm-grid-frame"><div class="dfm-grid" role="region" aria-label="Runs" '
        'tabindex="-1"></div><div class="dfm-grid-fade"></div></div>'
        '<div class="dfm-grid-more" hidden></div>',
        css=(_HERE / "run_grid.css").read_text(encoding="utf-8"),
        js=script.replace("__COLOURS__", colours),
        isolate_styles=False,
    )


_GRID: Final = _component()
