"""What holds for every chart: a title, units on its axes, how to read it, its finding in words."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.data.catalog import open_demo
from deepfm.ui import plot
from tests.app import runs_page
from tests.app.conftest import assert_nothing_wrong

EVALUATE = (
    "Precision-recall",
    "Threshold",
    "Calibration",
    "Lift and gain",
    "Scores by label",
    "Where it is wrong",
)
MODEL = ("Where they disagree", "Shares", "Fields", "Pairs", "Embedding map", "Rare or unseen")
IMPRESSION = ("Fields", "Pairs", "Arithmetic")
WHAT_IF = ("one", "two", "turn")

Chart = dict[str, Any]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Chart]:
    """What every chart tells the browser, in the order in which they are drawn."""
    seen: list[Chart] = []
    real = plot._PLOT

    def component(**given: Any) -> Any:
        seen.append(given["data"])
        return real(**given)

    monkeypatch.setattr(plot, "_PLOT", component)
    return seen


def walk(page: AppTest, key: str, names: tuple[str, ...]) -> None:
    """Open one view after the other."""
    for name in names:
        page.session_state[key] = name
        page.run()
        assert_nothing_wrong(page)


def evaluate(open_page: Callable[..., AppTest]) -> None:
    walk(open_page("evaluate", run="demo"), "view", EVALUATE)


def model(open_page: Callable[..., AppTest]) -> None:
    walk(open_page("model", run="demo"), "view", MODEL)


def impression(open_page: Callable[..., AppTest]) -> None:
    page = open_page("impression", run="demo", row="3")
    walk(page, "impression_tabs", IMPRESSION)
    page.session_state["impression_tabs"] = "What if"
    walk(page, "impression_question", WHAT_IF)


def start_and_data(open_page: Callable[..., AppTest]) -> None:
    open_page("start")
    open_page("data", dataset="demo")


def train_and_runs(open_page: Callable[..., AppTest]) -> None:
    home = Path(os.environ["DEEPFM_HOME"])
    first, second = (runs_page.trained(home, open_demo(home), name) for name in ("One", "Two"))
    open_page("train", run=first)
    assert_nothing_wrong(runs_page.open_runs(first, second))


@pytest.mark.parametrize(
    ("visit", "least"),
    [(evaluate, 10), (model, 10), (impression, 8), (start_and_data, 2), (train_and_runs, 4)],
)
def test_each_chart_says_what_it_shows_in_which_units_and_what_is_found(
    visit, least, open_page, drawn
):
    visit(open_page)
    # Small charts that stand side by side have their names and one explanation above them.
    full = [chart for chart in drawn if not chart["name"].startswith("train_pinned_")]
    found = {lack for chart in full for lack in lacks(chart)}
    assert not found, "\n".join(sorted(found))
    assert len({chart["title"] for chart in full}) >= least


def lacks(chart: Chart) -> list[str]:
    """What a chart does not say, each named after the chart."""
    figure = json.loads(chart["figure"])
    said = {
        "a title": len(chart["title"].split()) > 1,
        "how to read it": chart["caption"].strip().endswith("."),
        "its finding": bool(re.search(r"\d|\bNo \b|\bnot .* yet\b", chart["alt"])),
    }
    said |= {f"a unit on {axis}": bool(unit) for axis, unit in units(figure).items()}
    return [
        f"{chart['title'] or chart['name']!r} lacks {what}"
        for what, is_said in said.items()
        if not is_said
    ]


def units(figure: Chart) -> dict[str, str]:
    """The axes of numbers that are labelled, each with its words."""
    axes: dict[str, str] = {}
    for trace in figure["data"]:
        for letter in "xy":
            name = f"{letter}axis{(trace.get(f'{letter}axis') or letter)[1:]}"
            axis = figure["layout"].get(name, {})
            if _are_numbers(trace.get(letter)) and _is_labelled(axis):
                axes[name] = axis.get("title", {}).get("text", "")
    return axes


def _are_numbers(values: Any) -> bool:
    if isinstance(values, dict):
        return "bdata" in values
    return bool(values) and all(isinstance(value, int | float | None) for value in values)


def _is_labelled(axis: Chart) -> bool:
    return (
        axis.get("visible", True) and axis.get("showticklabels", True) and not axis.get("ticktext")
    )
