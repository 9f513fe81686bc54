"""A home folder to an app that serves it, its worker warm, and a real Chromium that visits it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.app.processor import busy_seconds, descendants
from deepfm.locks import holder
from deepfm.runs.worker.service import worker_lock
from tests.browser.server import Server
from tests.chromium import find_chromium

SWITCHES: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
QUIET_SECONDS: Final = 0.6
"""So long the worker must have computed nothing to count as warm."""
QUIET_SHARE: Final = 0.05
"""Of that time, which its waiting loop uses."""
PATIENCE: Final = 120.0
"""Seconds that anything may take before the benchmark gives up."""

SETTLED: Final = """() =>
  document.querySelector('[data-testid=stApp][data-test-script-state=notRunning]') &&
  !document.querySelector('[data-testid=stAppSkeleton], [data-stale=true]')
"""
"""Whether the script has run and what stands on the page is of its last run."""


@dataclass(frozen=True)
class Visit:
    """One browser tab at a running app."""

    server: Server
    page: Page

    def open(self, address: str) -> None:
        """Load an address of the app from the beginning and wait until it is drawn."""
        self.page.goto(self.server.url + address)
        self.settle()

    def settle(self) -> None:
        """Wait until the page is drawn and nothing runs."""
        self.page.wait_for_function(SETTLED)

    def look(self, script: str, argument: Any = None) -> Any:
        """What a script sees in the page."""
        return self.page.evaluate(script, argument)


@contextmanager
def browsing() -> Iterator[Browser]:
    """The machine's own Chromium, headless."""
    program = find_chromium()
    if program is None:
        raise SystemExit("There is no Chromium or Chrome here; DEEPFM_CHROMIUM names one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, server: Server, script: str = "") -> Iterator[Visit]:
    """A tab of its own; `script` runs in each page before anything of the app does."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, locale="en-GB")
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    if script:
        page.add_init_script(script)
    try:
        yield Visit(server, page)
    finally:
        context.close()


def wait_until_warm(home: Path) -> None:
    """Until the worker's spares have warmed up: all of its processes do nothing but wait."""
    until(lambda: _waits(holder(worker_lock(home))), "the worker to be warm")


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {PATIENCE:g} s for {what}.")
        time.sleep(0.05)


def _waits(worker: int | None) -> bool:
    if worker is None or len(descendants(worker)) < 2:
        return False
    before = busy_seconds(worker)
    time.sleep(QUIET_SECONDS)
    return busy_seconds(worker) - before < QUIET_SHARE * QUIET_SECONDS
