"""Thousands of runs in the store: how soon the list opens, and whether a live page notices them.

The same is measured with ten runs first. Opening is from the click on the link until the page is
drawn and nothing runs; a look at a live run is what its page asks for twice a second, from asking
to the end of the answer, by a client without a browser, one look after the other.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser

from benchmarks.app.client import opened
from benchmarks.app.figures import Figure, milliseconds
from benchmarks.app.pages import WALK, step
from benchmarks.app.visit import visiting
from deepfm.data.dataset import Dataset
from deepfm.runs.store import Store
from tests.app import runs_in_store
from tests.browser.server import Server
from tests.unit.many_runs import fill

RUNS: Final = 5_000
FEW: Final = 10
OPENINGS: Final = 7
LOOKS: Final = 60
WANTED: Final = 1.0
NOTICED: Final = 1.15
"""Times the seconds with few runs that still count as the same."""


@dataclass(frozen=True)
class Opened:
    """Seconds with so many runs in the store.

    lists    the runs page, click by click
    looks    at a live run
    """

    runs: int
    lists: tuple[float, ...]
    looks: tuple[float, ...]


def measure(browser: Browser, server: Server, dataset: Dataset, runs: int) -> list[Opened]:
    """With ten runs, then with so many."""
    live = runs_in_store.queue(server.home, dataset, epochs=20)
    runs_in_store.begin(server.home, live, epochs=15)
    found = []
    for count in (FEW, runs):
        fill(server.home, count - _count(server))
        found.append(Opened(count, _lists(browser, server), _looks(server, live)))
    return found


def _count(server: Server) -> int:
    with Store.open(server.home) as store:
        return store.count_runs()


def _lists(browser: Browser, server: Server) -> tuple[float, ...]:
    with visiting(browser, server, WALK) as visit:
        visit.open("/")
        found = []
        for _ in range(OPENINGS + 1):
            found.append(step(visit, "Runs"))
            step(visit, "Start")
    return tuple(found[1:])


def _looks(server: Server, run: str) -> tuple[float, ...]:
    found: list[float] = []

    async def look() -> None:
        async with opened(server.url, "train", f"run={run}", ticks=False) as client:
            await client.load()
            for _ in range(LOOKS):
                found.append(await client.look())

    thread = threading.Thread(target=lambda: asyncio.run(look()))
    thread.start()
    thread.join()
    return tuple(found)


def figures(found: Sequence[Opened]) -> list[Figure]:
    """The list's opening, and a look at a live run, with few runs and with many."""
    few, many = found
    lists, looks = median(many.lists), median(many.looks)
    return [
        Figure(f"the runs page, {few.runs} runs", milliseconds(median(few.lists))),
        Figure(
            f"the runs page, {many.runs:,} runs",
            milliseconds(lists),
            f"< {milliseconds(WANTED)}",
            lists < WANTED,
        ),
        Figure(f"a look at a live run, {few.runs} runs", milliseconds(median(few.looks))),
        Figure(
            f"a look at a live run, {many.runs:,} runs",
            milliseconds(looks),
            "no more",
            looks <= NOTICED * median(few.looks),
        ),
    ]


def as_json(found: Sequence[Opened]) -> Mapping[str, Any]:
    """Every opening and the looks' median, in seconds."""
    return {
        str(each.runs): {
            "lists": [round(seconds, 4) for seconds in each.lists],
            "look": round(median(each.looks), 5),
        }
        for each in found
    }
