"""One plotly chart on the page: what it draws, and whether it ever flashes."""

import re
from dataclasses import dataclass
from typing import Any, Self

from playwright.sync_api import Locator, Page

_WATCH = """
(node) => {
  const watch = window.chartWatch = { node, frames: 0, blank: 0, drawn: false, most: 0 };
  const look = () => {
    if (window.chartWatch !== watch) return;
    const traces = node.isConnected ? node.querySelectorAll('.trace path, .trace rect').length : 0;
    if (watch.drawn && !document.hidden) { watch.frames += 1; watch.blank += traces === 0; }
    watch.drawn ||= traces > 0;
    watch.most = Math.max(watch.most, ...(node.calcdata ?? []).map((line) => line.length), 0);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


@dataclass
class Chart:
    """The drawing whose heading is `title`."""

    page: Page
    title: str | re.Pattern[str]

    @property
    def node(self) -> Locator:
        """The element that plotly draws into."""
        return (
            self.page.locator("figure.dfm-plot")
            .filter(has=self.page.get_by_role("heading", name=self.title))
            .first.locator(".dfm-chart")
        )

    def wait(self) -> Self:
        """Wait until something is drawn."""
        self.node.locator(".main-svg .xy, .main-svg .infolayer text").first.wait_for(
            state="attached", timeout=60_000
        )
        return self

    def watch(self) -> None:
        """From now on look at every frame the browser paints."""
        self.node.wait_for()
        self.node.evaluate(_WATCH)

    def seen(self) -> dict[str, Any]:
        """What was seen since `watch`: frames, blank frames, most points of a line, same node."""
        return self.page.evaluate(
            "() => { const { frames, blank, most, node } = window.chartWatch;"
            "  return { frames, blank, most, same: node.isConnected } }"
        )

    def points(self) -> int:
        """Points of the longest line now."""
        return self.node.evaluate(
            "(node) => Math.max(0, ...(node.calcdata ?? []).map((line) => line.length))"
        )

    def zoom(self) -> None:
        """Drag a rectangle in the middle of the drawing, as a hand does."""
        self.node.scroll_into_view_if_needed()
        box = self.node.locator(".nsewdrag").first.bounding_box()
        assert box is not None
        left, top = box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.2
        self.page.mouse.move(left, top)
        self.page.mouse.down()
        self.page.mouse.move(left + box["width"] * 0.5, top + box["height"] * 0.6, steps=8)
        self.page.mouse.up()

    def ranges(self) -> list[list[float]]:
        """What the two axes show."""
        return self.node.evaluate(
            "(node) => [node._fullLayout.xaxis.range, node._fullLayout.yaxis.range]"
        )
