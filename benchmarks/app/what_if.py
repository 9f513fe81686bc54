"""A click on another value to the new score on the screen, on the demo and with a large field.

Each click chooses another value of a field on the card of the Impression page. Three moments of
the browser follow it: the sentence with the new score stands there, the waterfall is drawn anew,
and so is the chart of the tab that is open: the fields, or every value of the field (the 2,000
commonest where it has more).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser

from benchmarks.app.figures import Figure, milliseconds
from benchmarks.app.visit import Visit, until, visiting
from deepfm.config import PRESETS
from deepfm.data.dataset import Dataset
from deepfm.runs.store import Store
from tests.browser.server import Server

CHANGES: Final = 10
WANTED: Final = 0.3
ROWS: Final = (50_000, 5_000)
"""Training and test rows of the run with a large field."""

MOMENTS: Final[Mapping[str, str]] = {
    "said": "the sentence with the new score",
    "waterfall": "the waterfall",
    "tab": "the chart of the open tab",
}

LISTEN: Final = """
(() => {
  const chart = (words) => [...document.querySelectorAll('figure.dfm-plot')]
    .find((each) => each.querySelector('.dfm-heading').textContent.match(words));
  const drawn = (words) => {
    const state = chart(words)?.deepfmState;
    return state?.drawnText === state?.text ? state?.drawnText : undefined;
  };
  const look = () => ({
    said: document.querySelector('.dfm-said')?.textContent,
    waterfall: drawn(/^From .* to this one/),
    tab: drawn(window.tabChart),
  });
  window.listen = (words) => {
    window.tabChart = new RegExp(words);
    const before = look();
    window.changed = {};
    const watch = (clicked) => {
      const now = look();
      const seconds = (performance.now() - clicked) / 1000;
      for (const [name, text] of Object.entries(now)) {
        if (text && text !== before[name]) window.changed[name] ??= seconds;
      }
      if (Object.keys(window.changed).length < 3) requestAnimationFrame(() => watch(clicked));
    };
    document.addEventListener('click', (event) => {
      requestAnimationFrame(() => watch(event.timeStamp));
    }, { capture: true, once: true });
  };
})();
"""


@dataclass(frozen=True)
class Case:
    """One way to ask what if.

    field  whose value is changed
    tab    the tab that is open
    chart  how the title of its chart begins
    """

    words: str
    run: str
    field: str
    tab: str
    chart: str


Times = list[dict[str, float]]
"""Seconds after the click, for each of MOMENTS, click by click."""


def measure(
    browser: Browser, server: Server, dataset: Dataset, changes: int = CHANGES
) -> dict[str, Times]:
    """So many changes of one value in each case, after one that does not count."""
    large = max(dataset.vocabulary.fields, key=lambda field: field.size)
    run = trained(server.home, dataset)
    every = f"{large.size - 1:,} values"
    cases = (
        Case("demo", "demo", "ad_id", "Fields", "Which fields moved"),
        Case("demo, every value of the field", "demo", "ad_id", "What if", "This impression with"),
        Case(f"a field of {every}", run, large.name, "Fields", "Which fields moved"),
        Case(
            f"a field of {every}, 2,000 scored", run, large.name, "What if", "This impression with"
        ),
    )
    return {case.words: one_case(browser, server, case, changes) for case in cases}


def trained(home: Path, dataset: Dataset) -> str:
    """A finished run of one epoch; its id."""
    preset = PRESETS["quick"]
    plan = {**preset.train, "epochs": 1, "optimizer": "lazy-adam", "device": "cpu"}
    with Store.open(home) as store:
        run = store.queue_run(
            "A large field",
            dataset.folder,
            dataset.name,
            preset.model,
            plan,
            fingerprint=dataset.fingerprint,
        )
        until(lambda: store.run(run).state == "finished", "the run to finish")
    return run


def one_case(browser: Browser, server: Server, case: Case, changes: int) -> Times:
    """A tab of its own; every click chooses another of the commonest values."""
    with visiting(browser, server, LISTEN) as visit:
        visit.open(f"/impression?run={case.run}&row=3")
        visit.page.get_by_role("tab", name=case.tab, exact=True).click()
        if case.tab == "What if":
            choose_field(visit, case.field)
        visit.page.locator("figure.dfm-plot", has_text=case.chart).wait_for()
        visit.settle()
        return [one_change(visit, case, place) for place in range(changes + 1)][1:]


def choose_field(visit: Visit, field: str) -> None:
    """The field whose values the open tab shows."""
    box = visit.page.get_by_role("combobox", name="Field")
    box.click()
    box.fill(field)
    visit.page.get_by_role("option", name=field, exact=True).click()
    visit.settle()


def one_change(visit: Visit, case: Case, place: int) -> dict[str, float]:
    """Open the field on the card and click the value at `place`; seconds to each moment."""
    line = visit.page.locator(
        ".dfm-line", has=visit.page.locator(f".dfm-name[title='{case.field}']")
    )
    line.locator("input").scroll_into_view_if_needed()
    visit.page.wait_for_timeout(200)
    line.locator("input").click()
    option = visit.page.locator(".dfm-option[aria-selected=false]").nth(place)
    option.wait_for()
    visit.page.wait_for_timeout(200)
    visit.look("(words) => window.listen(words)", f"^{case.chart}")
    option.click()
    visit.page.wait_for_function("() => Object.keys(window.changed).length === 3")
    seconds: dict[str, float] = visit.look("() => window.changed")
    visit.settle()
    return seconds


def figures(found: Mapping[str, Times]) -> list[Figure]:
    """A row a case and moment; the score's own has a limit."""
    return [row for words, times in found.items() for row in _rows(words, times)]


def _rows(words: str, times: Times) -> Sequence[Figure]:
    medians = {name: median(each[name] for each in times) for name in MOMENTS}
    slowest = max(each["said"] for each in times)
    return [
        Figure(
            f"{words}: click on a value → {MOMENTS['said']}, median of {len(times)} (slowest)",
            f"{milliseconds(medians['said'])} ({milliseconds(slowest)})",
            f"< {milliseconds(WANTED)}",
            medians["said"] < WANTED,
        ),
        *(
            Figure(f"{words}: → {MOMENTS[name]}", milliseconds(medians[name]))
            for name in ("waterfall", "tab")
        ),
    ]


def as_json(found: Mapping[str, Times]) -> dict[str, Any]:
    """Every click's seconds."""
    return {
        words: [{name: round(seconds, 4) for name, seconds in each.items()} for each in times]
        for words, times in found.items()
    }
