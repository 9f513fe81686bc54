"""How soon the app answers, how many can watch, and how large a store may grow, as one table.

python -m benchmarks.app                       (all parts; about six minutes)
python -m benchmarks.app --first-point         (a click on Train to the first point on the curve)
python -m benchmarks.app --pages               (from page to page, idle and while a run trains)
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
from benchmarks.app import first_point
from benchmarks.app.figures import Figure, table
from benchmarks.app.visit import browsing
from deepfm.data.catalog import open_demo
from tests.browser.server import Server, serving

Found = tuple[list[Figure], dict[str, Any]]


def main() -> None:
    """Measure the parts that are asked for, and print them."""
    given = arguments()
    figures: list[Figure] = []
    behind: dict[str, Any] = {}
    for name, measure in parts(given).items():
        found, behind[name] = measure()
        figures += found
    print(report.title("The app", report.machine()))
    print(f"\n{table(figures)}\n")
    report.print_json("app", report.machine(), behind)


def arguments() -> argparse.Namespace:
    """The flags; without any, all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-point", action="store_true")
    parser.add_argument("--clicks", type=int, default=first_point.CLICKS)
    return parser.parse_args()


def parts(given: argparse.Namespace) -> dict[str, Callable[[], Found]]:
    """What to measure, by name."""
    return {"first_point": lambda: measure_first_point(given.clicks)}


@contextmanager
def served() -> Iterator[Server]:
    """The app on an empty home in which the demo is prepared."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        open_demo(home)
        with serving(home) as server:
            yield server


def measure_first_point(clicks: int) -> Found:
    """Clicks on Train with the demo prepared and the worker warm."""
    with served() as server, browsing() as browser:
        found = first_point.measure(browser, server, clicks)
    return first_point.figures(found), first_point.as_json(found)


if __name__ == "__main__":
    main()
