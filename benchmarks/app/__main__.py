"""How soon the app answers, how many can watch, and how large a store may grow, as one table.

python -m benchmarks.app                       (all parts; about six minutes)
python -m benchmarks.app --first-point         (a click on Train to the first point on the curve)
python -m benchmarks.app --pages               (from page to page, idle and while a run trains)
python -m benchmarks.app --what-if             (a changed value to the new score on the screen)
python -m benchmarks.app --clients             (twenty clients and a browser watch one run)
python -m benchmarks.app --store 5000          (the pages with so many runs in the store)

Each part has an app, a worker and a home of its own, and a real Chromium (DEEPFM_CHROMIUM names
one where the search would miss it). Prints a Markdown table and one JSON line.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.app import clients, first_point, pages, store, what_if
from benchmarks.app.figures import Figure, table
from benchmarks.app.visit import browsing
from benchmarks.shapes import add_cache_flag, criteo_shape, seed_shape
from deepfm.data.catalog import open_demo
from deepfm.locks import FileLock
from deepfm.runs.worker.service import worker_lock
from tests.browser.server import Server, serving

Found = tuple[list[Figure], Any]


def main() -> None:
    """Measure the parts that are asked for, and print them."""
    figures: list[Figure] = []
    behind: dict[str, Any] = {}
    for name, measure in parts(arguments()).items():
        found, behind[name] = measure()
        figures += found
    print(report.title("The app", report.machine()))
    print(f"\n{table(figures)}\n")
    report.print_json("app", report.machine(), behind)


def arguments() -> argparse.Namespace:
    """The flags; without any that names a part, all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-point", action="store_true", help="a click on Train to its point")
    parser.add_argument("--pages", action="store_true", help="moving between pages")
    parser.add_argument("--what-if", action="store_true", help="changing a value of an impression")
    parser.add_argument("--clients", action="store_true", help="many who watch one run")
    parser.add_argument("--store", type=int, metavar="RUNS", help="pages with so many runs")
    parser.add_argument("--clicks", type=int, default=first_point.CLICKS)
    parser.add_argument("--rounds", type=int, default=pages.ROUNDS)
    parser.add_argument("--changes", type=int, default=what_if.CHANGES)
    parser.add_argument("--crowd", type=int, default=clients.CLIENTS)
    parser.add_argument("--seconds", type=float, default=clients.SECONDS)
    add_cache_flag(parser)
    given = parser.parse_args()
    asked = given.first_point or given.pages or given.what_if or given.clients or given.store
    if not asked:
        given.first_point = given.pages = given.what_if = given.clients = True
        given.store = store.RUNS
    return given


def parts(given: argparse.Namespace) -> dict[str, Callable[[], Found]]:
    """What to measure, by name."""
    all_parts: dict[str, tuple[bool, Callable[[], Found]]] = {
        "first_point": (given.first_point, lambda: measure_first_point(given.clicks)),
        "pages": (given.pages, lambda: measure_pages(given.cache, given.rounds)),
        "what_if": (given.what_if, lambda: measure_what_if(given.cache, given.changes)),
        "clients": (
            given.clients,
            lambda: measure_clients(given.cache, given.crowd, given.seconds),
        ),
        "store": (bool(given.store), lambda: measure_store(given.store)),
    }
    return {name: measure for name, (wanted, measure) in all_parts.items() if wanted}


@contextmanager
def served(*, worker: bool = True) -> Iterator[Server]:
    """The app on an empty home in which the demo is prepared.

    worker   False keeps the worker's place, so that what stands in the store stays as it is
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        open_demo(home)
        lock = FileLock(worker_lock(home))
        if not worker:
            lock.acquire()
        with serving(home) as server:
            yield server
            lock.release()


def measure_first_point(clicks: int) -> Found:
    """Clicks on Train with the demo prepared and the worker warm."""
    with served() as server, browsing() as browser:
        found = first_point.measure(browser, server, clicks)
    return first_point.figures(found), first_point.as_json(found)


def measure_pages(cache: Path, rounds: int) -> Found:
    """All pages, idle and while the seed's shape is trained."""
    dataset = seed_shape(cache)
    with served() as server, browsing() as browser:
        found = pages.measure(browser, server, dataset, rounds)
    return pages.figures(found), pages.as_json(found)


def measure_what_if(cache: Path, changes: int) -> Found:
    """The demo, and a run whose largest field has more than a hundred thousand values."""
    rows, test_rows = what_if.ROWS
    dataset = criteo_shape(cache, rows, test_rows=test_rows)
    with served() as server, browsing() as browser:
        found = what_if.measure(browser, server, dataset, changes)
    return what_if.figures(found), what_if.as_json(found)


def measure_clients(cache: Path, crowd: int, seconds: float) -> Found:
    """Many who watch one run: of the seed's shape, flat out; then one that says nothing new."""
    dataset = seed_shape(cache)
    with browsing() as browser:
        with served() as server:
            moving, errors = clients.measure_moving(browser, server, dataset, crowd, seconds)
        with served(worker=False) as server:
            still, more = clients.measure_still(browser, server, open_demo(server.home), crowd)
    found = clients.Watched(moving, still, (*errors, *more))
    return clients.figures(found), clients.as_json(found)


def measure_store(runs: int) -> Found:
    """The runs page and a live page, with few runs and with many."""
    with served(worker=False) as server, browsing() as browser:
        found = store.measure(browser, server, open_demo(server.home), runs)
    return store.figures(found), store.as_json(found)


if __name__ == "__main__":
    main()
