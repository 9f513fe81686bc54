"""From page to page: how long a click on a page's link takes, idle and while a run trains flat out.

The clock runs in the browser, from the click on the link until the new page's heading and content
stand there, its charts are drawn as far as they are in sight, and nothing runs. The run has the
seed's shape and far more epochs than the measuring takes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser

from benchmarks.app.figures import Figure, milliseconds
from benchmarks.app.visit import Visit, until, visiting, wait_until_warm
from deepfm.config import PRESETS
from deepfm.data.dataset import Dataset
from deepfm.runs.store import Store
from deepfm.ui.links import PAGES
from tests.browser.server import Server

ROUNDS: Final = 5
WANTED: Final = 0.3
EPOCHS: Final = 10_000

WALK: Final = """
(() => {
  const walk = (window.walk = { clicked: 0, seconds: 0 });
  const there = (name) => {
    const heading = document.querySelector('[data-testid=stMain] h1');
    const app = document.querySelector('[data-testid=stApp]');
    return document.title.startsWith(name + ' ') &&
      heading && heading.textContent !== walk.before &&
      app.dataset.testScriptState === 'notRunning' &&
      !document.querySelector('[data-testid=stAppSkeleton], [data-stale=true]') &&
      [...document.querySelectorAll('.dfm-chart')].every(isDrawn);
  };
  const isDrawn = (chart) => {
    const { top, bottom, width } = chart.getBoundingClientRect();
    const inSight = width && bottom > 0 && top < window.innerHeight;
    return !inSight || chart.querySelector('.main-svg');
  };
  window.walkTo = (name) => {
    walk.seconds = 0;
    walk.before = document.querySelector('[data-testid=stMain] h1')?.textContent;
    const look = () => {
      if (there(name)) walk.seconds = (performance.now() - walk.clicked) / 1000;
      else requestAnimationFrame(look);
    };
    document.addEventListener('click', (event) => {
      walk.clicked = event.timeStamp;
      requestAnimationFrame(look);
    }, { capture: true, once: true });
  };
})();
"""

Times = Mapping[str, Sequence[float]]
"""A page's title to the seconds that each way to it took."""


def measure(browser: Browser, server: Server, dataset: Dataset, rounds: int) -> dict[str, Times]:
    """Every page so often, idle and then while the run trains."""
    wait_until_warm(server.home)
    with visiting(browser, server, WALK) as visit:
        visit.open("/")
        walk(visit, 1)  # each page's modules are loaded once for the server
        found: dict[str, Times] = {"idle": walk(visit, rounds)}
        run = begin_training(server.home, dataset)
        found["training"] = walk(visit, rounds)
    with Store.open(server.home) as store:
        if store.run(run).state != "training":
            raise SystemExit("The run ended before the measuring did; give it more epochs.")
        store.request_stop(run)
    return found


def walk(visit: Visit, rounds: int) -> Times:
    """Through all pages in their order, so often; seconds of each step."""
    titles = [page.title for page in PAGES if page.file.exists()]
    found: dict[str, list[float]] = {title: [] for title in titles}
    for _ in range(rounds):
        for title in [*titles[1:], titles[0]]:
            found[title].append(step(visit, title))
    return found


def step(visit: Visit, title: str) -> float:
    """One click on a page's link; seconds until that page is there."""
    visit.look("(title) => window.walkTo(title)", title)
    visit.page.get_by_role("link", name=title, exact=True).first.click()
    visit.page.wait_for_function("() => window.walk.seconds")
    seconds = float(visit.look("() => window.walk.seconds"))
    visit.settle()
    return seconds


def begin_training(home: Path, dataset: Dataset) -> str:
    """Queue a long run and wait until it trains; its id."""
    preset = PRESETS["d2l"]
    plan = {**preset.train, "epochs": EPOCHS, "device": "cpu"}
    with Store.open(home) as store:
        run = store.queue_run(
            "A long run",
            dataset.folder,
            dataset.name,
            preset.model,
            plan,
            fingerprint=dataset.fingerprint,
        )
        until(lambda: bool(store.events(run, limit=3)), "the long run to train")
    return run


def figures(found: Mapping[str, Times]) -> list[Figure]:
    """One row a page, then the median over all."""
    rows = [
        Figure(f"to {title}: idle; while a run trains", _both(idle, found["training"][title]))
        for title, idle in found["idle"].items()
    ]
    more = over_all(found["training"]) - over_all(found["idle"])
    return [
        *rows,
        Figure(
            "a run in training adds, at the median over all pages",
            milliseconds(more),
            f"< {milliseconds(WANTED)}",
            more < WANTED,
        ),
    ]


def _both(idle: Sequence[float], training: Sequence[float]) -> str:
    return f"{milliseconds(median(idle))}; {milliseconds(median(training))}"


def over_all(times: Times) -> float:
    """The median of the pages' steps together."""
    return median(seconds for each in times.values() for seconds in each)


def as_json(found: Mapping[str, Times]) -> dict[str, Any]:
    """Every step in seconds."""
    return {
        state: {title: [round(each, 4) for each in seconds] for title, seconds in times.items()}
        for state, times in found.items()
    }
