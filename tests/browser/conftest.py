"""A server with an empty home, a real Chromium, and a person who visits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.server import Server, assert_clean_log, serving
from tests.browser.visitor import Visitor, visiting
from tests.chromium import find_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with an empty home, for the tests of one file in their order."""
    with serving(tmp_path_factory.mktemp("journey") / "home") as running:
        yield running
    assert_clean_log(running)


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody has visited yet."""
    with serving(tmp_path / "home") as running:
        yield running
    assert_clean_log(running)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium, headless, with no wish to talk to the network."""
    program = find_chromium()
    if program is None:
        if os.environ.get("DEEPFM_REQUIRE_BROWSER") == "1":
            pytest.fail("There is no Chromium or Chrome here, and the browser tests are required.")
        pytest.skip("no Chromium or Chrome here")
    switches = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Browser, server: Server) -> Iterator[Visitor]:
    """A newcomer at the server of this file."""
    with visiting(chromium, server) as person:
        yield person
