"""A click on Train to the first point on the curve, and where the time between them goes.

Each click is on a page that was opened a second before, which is less than it takes to find the
button, with a seed that was not trained before, when the worker's spare is warm. Both ends are
moments in the browser: the click is the event's own time stamp; the point is there in the frame
after plotly has drawn it. Between them stand the store's own times and what a thread that looks at
the store sees; the browser's clock is the machine's.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser

from benchmarks.app.figures import Figure, milliseconds
from benchmarks.app.visit import PATIENCE, Visit, visiting, wait_until_warm
from deepfm.events import Point, Started
from deepfm.runs.store import Store
from tests.browser.server import Server

CLICKS: Final = 10
WANTED: Final = 0.5
REST: Final = 1.0
"""Seconds between a page that is there and the click; the browser has come to rest by then."""
CURVES: Final = "How well it predicts, as it learns"

STEPS: Final[Mapping[str, str]] = {
    "sent": "the browser tells the server",
    "queued": "the run is in the store",
    "claimed": "the worker has taken it",
    "started": "its child is ready to train",
    "point": "the first point is in the store",
    "heard": "the browser is told",
    "drawn": "the point is on the curve",
}
"""What happens between the click and the point, in this order."""

LISTEN: Final = """
(() => {
  const seen = (window.seen = { clicked: 0, sent: 0, heard: [], drawn: 0 });
  const wall = (moment) => performance.timeOrigin + moment;
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', ({ data }) => {
        const size = data.byteLength ?? data.size ?? data.length;
        if (seen.clicked && !seen.drawn) seen.heard.push([wall(performance.now()), size]);
      });
    }
    send(data) {
      if (seen.clicked && !seen.sent) seen.sent = wall(performance.now());
      super.send(data);
    }
  };
  const has = (chart) => (chart?.calcdata ?? []).some((line) =>
    (line ?? []).some((point) => Number.isFinite(point.x) && Number.isFinite(point.y)));
  const look = () => {
    const figures = [...document.querySelectorAll('figure.dfm-plot')];
    const figure = figures.find((each) => each.textContent.includes(window.curves));
    if (figure && has(figure.querySelector('.dfm-chart'))) seen.drawn = wall(performance.now());
    else requestAnimationFrame(look);
  };
  window.listen = (curves) => {
    window.curves = curves;
    document.addEventListener('click', (event) => {
      seen.clicked = wall(event.timeStamp);
      requestAnimationFrame(look);
    }, { capture: true, once: true });
  };
})();
"""


@dataclass
class Click:
    """The moments of one click, in seconds of the machine's clock."""

    clicked: float
    moments: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the click to the point on the curve."""
        return self.moments["drawn"] - self.clicked

    def shares(self) -> dict[str, float]:
        """Seconds that passed before each moment since the one before it."""
        times = [self.clicked, *(self.moments[name] for name in STEPS)]
        return {name: times[k + 1] - times[k] for k, name in enumerate(STEPS)}


class StoreWatch:
    """A thread that notes when the events of the newest run appear in the store."""

    def __init__(self, home: Path) -> None:
        self._store = Store.open(home, read_only=True)
        self._before = {row.id for row in self._store.runs(limit=1)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.moments: dict[str, float] = {}
        self._thread.start()

    def end(self) -> dict[str, float]:
        """What was seen: when the run was queued, taken, started, and its first point written."""
        self._thread.join(PATIENCE)
        self._over.set()
        self._store.close()
        return self.moments

    def _look(self) -> None:
        watcher = self._store.watch()
        while "point" not in self.moments and not self._over.is_set():
            if watcher.changed():
                self._note(time.time())
            time.sleep(0.005)
        watcher.close()

    def _note(self, now: float) -> None:
        row = next(iter(self._store.runs(limit=1)), None)
        if row is None or row.id in self._before:
            return
        self.moments["queued"] = row.created
        if row.started is not None:
            self.moments["claimed"] = row.started
        for _, event in self._store.events(row.id, limit=4):
            if isinstance(event, Started):
                self.moments.setdefault("started", now)
            if isinstance(event, Point):
                self.moments.setdefault("point", now)


def measure(browser: Browser, server: Server, clicks: int = CLICKS) -> list[Click]:
    """So many clicks after one that does not count."""
    with visiting(browser, server, LISTEN) as visit:
        return [one_click(visit, int(time.time()) % 100_000 + k) for k in range(clicks + 1)][1:]


def one_click(visit: Visit, seed: int) -> Click:
    """Open the page, wait until all is calm, click, wait for the point."""
    visit.open(f"/train?dataset=demo&preset=quick&seed={seed}")
    wait_until_warm(visit.server.home)
    visit.page.wait_for_timeout(REST * 1000)
    watch = StoreWatch(visit.server.home)
    visit.look("(curves) => window.listen(curves)", CURVES)
    visit.page.get_by_role("button", name="Train", exact=True).click()
    visit.page.wait_for_function("() => window.seen.drawn")
    moments = watch.end()
    seen: dict[str, Any] = visit.look("() => window.seen")
    visit.page.get_by_role("button", name="Evaluate").wait_for()
    heard = [at for at, size in seen["heard"] if size > 2_000]
    browser_side = {"sent": seen["sent"], "heard": heard[-1], "drawn": seen["drawn"]}
    moments |= {name: at / 1000 for name, at in browser_side.items()}
    return Click(seen["clicked"] / 1000, moments)


def figures(clicks: Sequence[Click]) -> list[Figure]:
    """The median and the worst, then the median of each step on the way."""
    seconds = [click.seconds for click in clicks]
    shares = [click.shares() for click in clicks]
    found = [
        Figure(
            f"click on Train → first point, median of {len(clicks)}",
            milliseconds(median(seconds)),
            f"< {milliseconds(WANTED)}",
            median(seconds) < WANTED,
        ),
        Figure("the slowest of them", milliseconds(max(seconds))),
    ]
    return found + [
        Figure(f"of that, until {words}", milliseconds(median(share[name] for share in shares)))
        for name, words in STEPS.items()
    ]


def as_json(clicks: Sequence[Click]) -> dict[str, Any]:
    """Every click in seconds, whole and step by step."""
    return {
        "seconds": [round(click.seconds, 4) for click in clicks],
        "steps": [
            {name: round(seconds, 4) for name, seconds in click.shares().items()}
            for click in clicks
        ],
    }
