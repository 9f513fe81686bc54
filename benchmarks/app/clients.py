"""Twenty tabs and one real browser watch one run: do all keep their pace, and at what cost?

The tabs speak Streamlit's own protocol (client.py). For a minute the run trains flat out and has
something new to say all the time; then, at an app without a worker, one that says nothing new.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser

from benchmarks.app.client import Client, Heard, opened
from benchmarks.app.figures import Figure
from benchmarks.app.pages import begin_training
from benchmarks.app.processor import own_seconds
from benchmarks.app.visit import PATIENCE, Visit, visiting, wait_until_warm
from deepfm.data.dataset import Dataset
from deepfm.events import Epoch, Point
from deepfm.runs.store import Store
from tests.app import runs_in_store
from tests.browser.server import Server

CLIENTS: Final = 20
SECONDS: Final = 60.0
STILL_SECONDS: Final = 15.0
UPDATES: Final = 2.0
CURVES: Final = "How well it predicts, as it learns"

COUNT: Final = """
(curves) => {
  const figures = [...document.querySelectorAll('figure.dfm-plot')];
  const chart = figures.find((each) => each.textContent.includes(curves))
    .querySelector('.dfm-chart');
  window.drawn = 0;
  chart.on('plotly_afterplot', () => { window.drawn += 1; });
}
"""


@dataclass(frozen=True)
class Span:
    """What so many seconds brought: messages by client, drawings in the browser, the app's work.

    processor   seconds that the app's process has computed
    said        half-seconds, a second, in which the run said anything: most updates there can be
    """

    seconds: float
    heard: tuple[tuple[Heard, ...], ...]
    drawn: int
    processor: float
    said: float

    def looks(self) -> list[float]:
        """Drawn, a second, client by client."""
        return [sum(each.look for each in heard) / self.seconds for heard in self.heard]

    def updates(self) -> list[float]:
        """Looks that brought something new, a second, client by client."""
        return [sum(each.update for each in heard) / self.seconds for heard in self.heard]

    def bytes_a_second(self) -> list[float]:
        """Client by client."""
        return [sum(each.size for each in heard) / self.seconds for heard in self.heard]


@dataclass(frozen=True)
class Watched:
    """Both spans, and what went wrong anywhere."""

    moving: Span
    still: Span
    errors: tuple[str, ...]


def measure_moving(
    browser: Browser, server: Server, dataset: Dataset, clients: int, seconds: float
) -> tuple[Span, list[str]]:
    """A run that trains flat out, watched by all."""
    wait_until_warm(server.home)
    run = begin_training(server.home, dataset)
    found = _watch(browser, server, run, clients, seconds)
    with Store.open(server.home) as store:
        store.request_stop(run)
    return found


def measure_still(
    browser: Browser, server: Server, dataset: Dataset, clients: int
) -> tuple[Span, list[str]]:
    """A run that trains but has nothing new to say: no worker serves this home."""
    run = runs_in_store.queue(server.home, dataset, epochs=9)
    runs_in_store.begin(server.home, run, epochs=4)
    return _watch(browser, server, run, clients, STILL_SECONDS)


def _watch(
    browser: Browser, server: Server, run: str, count: int, seconds: float
) -> tuple[Span, list[str]]:
    """Browser and clients open the run's page; then so many seconds count."""
    errors: list[str] = []
    with visiting(browser, server) as visit, crowd(server.url, f"run={run}", count) as clients:
        visit.page.on("pageerror", lambda error: errors.append(str(error)))
        visit.open(f"/train?run={run}")
        visit.page.wait_for_function("() => document.querySelector('.dfm-chart .main-svg')")
        visit.look(COUNT, CURVES)
        span = _span(server, visit, clients, seconds, run)
        errors += [error for client in clients for error in client.errors]
    return span, errors


@contextmanager
def crowd(url: str, query: str, count: int) -> Iterator[list[Client]]:
    """So many clients at the Train page, in a thread of their own (playwright has this one)."""
    clients: list[Client] = []
    there, over = threading.Event(), threading.Event()

    async def come_and_stay() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(count):
                clients.append(await stack.enter_async_context(opened(url, "train", query)))
                await clients[-1].load()
            there.set()
            while not over.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(come_and_stay()), daemon=True)
    thread.start()
    if not there.wait(PATIENCE):
        raise SystemExit(f"{len(clients)} of {count} clients came within {PATIENCE:g} s.")
    try:
        yield clients
    finally:
        over.set()
        thread.join()


def _span(
    server: Server, visit: Visit, clients: Sequence[Client], seconds: float, run: str
) -> Span:
    visit.page.wait_for_timeout(1_000)
    cursor = _newest(server, run)
    drawn, processor = _drawn(visit), own_seconds(server.process.pid)
    began = time.time()
    visit.page.wait_for_timeout(seconds * 1_000)
    ended = time.time()
    return Span(
        ended - began,
        tuple(
            tuple(each for each in list(client.heard) if began <= each.at < ended)
            for client in clients
        ),
        _drawn(visit) - drawn,
        own_seconds(server.process.pid) - processor,
        _said(server, run, cursor) / (ended - began),
    )


def _newest(server: Server, run: str) -> int:
    with Store.open(server.home) as store:
        return max((cursor for cursor, _ in store.events(run)), default=0)


def _said(server: Server, run: str, after: int) -> int:
    """In how many half-seconds the run has reported anything since that event."""
    with Store.open(server.home) as store:
        events = [event for _, event in store.events(run, after=after)]
    return len({int(each.seconds * UPDATES) for each in events if isinstance(each, Point | Epoch)})


def _drawn(visit: Visit) -> int:
    return int(visit.look("() => window.drawn"))


def figures(watched: Watched) -> list[Figure]:
    """Pace, bytes, processor and errors."""
    moving, still = watched.moving, watched.still
    count, edge = len(moving.heard), 1.5 / moving.seconds  # the minute's ends may cut one off
    updates, there_were = min(moving.updates()), round(min(UPDATES, moving.said), 1)
    in_vain = [all_ - new for all_, new in zip(moving.looks(), moving.updates(), strict=True)]
    return [
        Figure(
            f"{count} clients and a browser, {moving.seconds:.0f} s: updates a second, slowest",
            f"{updates:.2f}",
            f"≥ {there_were:g}",
            updates >= there_were - edge,
        ),
        Figure("drawn without anything new, a second, most", f"{max(in_vain):.2f}"),
        Figure("drawn in the browser, a second", f"{moving.drawn / moving.seconds:.2f}"),
        Figure("errors", str(len(watched.errors)), "0", not watched.errors),
        Figure("the app's processor, of one core", f"{moving.processor / moving.seconds:.0%}"),
        Figure("… while nothing moves", f"{still.processor / still.seconds:.0%}"),
        Figure("kB a second to each client", _kilobytes(moving)),
        Figure("… while nothing moves", _kilobytes(still)),
        Figure("drawn while nothing moves, a second, most", f"{max(still.looks()):.2f}"),
    ]


def _kilobytes(span: Span) -> str:
    return f"{median(span.bytes_a_second()) / 1000:.1f}"


def as_json(watched: Watched) -> dict[str, Any]:
    """The figures behind the table."""
    return {
        "errors": list(watched.errors),
        **{
            name: {
                "seconds": round(span.seconds, 2),
                "said": round(span.said, 3),
                "looks": [round(each, 3) for each in span.looks()],
                "updates": [round(each, 3) for each in span.updates()],
                "bytes_a_second": [round(each) for each in span.bytes_a_second()],
                "drawn": span.drawn,
                "processor_seconds": span.processor,
            }
            for name, span in (("moving", watched.moving), ("still", watched.still))
        },
    }
