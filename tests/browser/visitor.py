"""A person at a real browser, and what every page must keep to.

No test here lets a page put an error, a warning or an exception on screen or into the console,
or ask another host for anything: `Watch` collects these, and `visiting` judges them at the end.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response

from tests.browser.server import ROOT, Server

SCREENSHOTS = ROOT / "tests" / "screenshots"
BOXES = (
    "[data-testid=stException], [data-testid=stAlertContentError], "
    "[data-testid=stAlertContentWarning], .dfm-failure:not([hidden]), .dfm-drop-error"
)
PROBE = re.compile(r"/[^/]+/_stcore/(health|host-config)$")
"""On a deep link Streamlit looks for its server below the page's path first: a 404 by design."""
WIDTHS = (1440, 800)
SCHEMES = ("light", "dark")
HEIGHT = 900


@dataclass
class Watch:
    """What a page did that it must not."""

    found: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        """Listen to a page from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not PROBE.search(message.location["url"]):
            self.found.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not re.match(r"(https?|wss?)://127\.0\.0\.1:|data:|blob:", request.url):
            self.found.append(f"asked another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not PROBE.search(response.url):
            self.found.append(f"{response.status} for {response.url}")


@dataclass
class Visitor:
    """One person at one browser window."""

    page: Page
    server: Server
    watch: Watch

    def open(self, path: str = "/") -> None:
        """Go to an address of the app and wait until the page is drawn."""
        self.page.goto(self.server.url + path)
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run, then look for boxes that must not be there."""
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        self.page.wait_for_function(
            "() => !document.querySelector('[data-testid=stAppSkeleton], [data-stale=true]')"
        )
        self.assert_no_box()

    def assert_no_box(self) -> None:
        """No error, warning or exception stands on the page."""
        boxes = self.page.locator(BOXES).all()
        shown = [text for box in boxes if box.is_visible() and (text := box.inner_text().strip())]
        assert not shown, "\n".join(shown)

    def go(self, title: str) -> None:
        """Follow a page's link in the navigation, as a click does: the session stays."""
        self.page.get_by_role("link", name=title, exact=True).first.click()
        self.settle()

    def button(self, name: str | re.Pattern[str]) -> Locator:
        """A button by what it says."""
        return self.page.get_by_role("button", name=name)

    def text(self, text: str | re.Pattern[str]) -> Locator:
        """The first place where a text stands."""
        return self.page.get_by_text(text).first

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something holds; meanwhile no bad box may appear."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            self.page.wait_for_timeout(100)
        self.assert_no_box()

    def main_text(self) -> str:
        """All words of the page, without its frame."""
        return self.page.locator("[data-testid=stMain]").inner_text()

    def shoot(self, name: str) -> None:
        """Pictures of the whole page, light and dark, wide and narrow, into tests/screenshots."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self._grow_to_content(width)
            for scheme in SCHEMES:
                self.page.emulate_media(color_scheme=scheme)
                self.page.wait_for_timeout(400)  # charts redraw in the other colours
                self.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png")
                self.assert_no_box()
                self.assert_fits(name, width)
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
        self.settle()

    def _grow_to_content(self, width: int) -> None:
        self.page.wait_for_timeout(300)
        content = "document.querySelector('[data-testid=stMain]').scrollHeight"
        height = min(max(self.page.evaluate(content), HEIGHT), 6000)
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_timeout(300)

    def assert_fits(self, name: str, width: int) -> None:
        """Nothing reaches past the right edge."""
        wider = self.page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]');"
            "  return m.scrollWidth - m.clientWidth }"
        )
        assert wider <= 1, f"{name} is {wider} px too wide at {width} px"


@contextmanager
def visiting(browser: Browser, server: Server, scheme: str = "light") -> Iterator[Visitor]:
    """A person with an empty browser profile; on leaving, what the pages did is judged."""
    SCREENSHOTS.mkdir(exist_ok=True)
    context = browser.new_context(
        viewport={"width": WIDTHS[0], "height": HEIGHT},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    watch = Watch()
    watch.attach(page)
    try:
        yield Visitor(page, server, watch)
    finally:
        context.close()
    assert not watch.found, "\n".join(watch.found)
