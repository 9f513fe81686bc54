"""The frame round every page: health, deep links, and no page without it."""

import json
import urllib.request

import pytest
from playwright.sync_api import Browser

from deepfm.ui.links import PAGES
from tests.browser.server import Server
from tests.browser.visitor import Visitor, visiting

THERE = [page for page in PAGES if page.file.exists()]


def test_health_is_answered_without_a_page(server: Server):
    with urllib.request.urlopen(f"{server.url}/healthz") as answer:
        assert json.load(answer)["status"] == "ok"


@pytest.mark.parametrize("page", THERE, ids=lambda page: page.name)
def test_a_deep_link_to_a_fresh_server_shows_the_whole_frame(page, fresh_server, chromium: Browser):
    with visiting(chromium, fresh_server) as person:
        person.open(page.url)
        assert person.page.title().endswith("DeepFM Lab")
        for other in THERE:
            assert person.page.get_by_role("link", name=other.title, exact=True).first.is_visible()
        assert len(person.main_text()) > 100, "a page is never an empty frame"


@pytest.mark.parametrize("page", THERE, ids=lambda page: page.name)
def test_a_page_is_whole_in_both_schemes_and_widths(page, visitor: Visitor):
    visitor.open(page.url)
    visitor.shoot(page.name)


def test_an_unknown_address_leads_to_a_page_not_to_an_error(visitor: Visitor):
    visitor.page.goto(f"{visitor.server.url}/no-such-page")
    visitor.page.get_by_role("link", name="Start", exact=True).first.wait_for()
    visitor.watch.found = [it for it in visitor.watch.found if "does not seem to exist" not in it]


@pytest.mark.parametrize("kind", ["stTopNavLink", "stPageLink-NavLink"])
def test_the_keyboards_place_on_a_link_is_plain_to_see(kind, visitor: Visitor):
    visitor.open("")
    visitor.page.keyboard.press("Tab")
    link = visitor.page.get_by_test_id(kind).last
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "none"
    link.focus()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"


@pytest.mark.parametrize("path", ["/", "/train", "/runs"])
def test_a_page_begins_right_under_the_header(visitor: Visitor, path: str) -> None:
    visitor.open(path)
    visitor.settle()
    header = visitor.page.get_by_test_id("stHeader").bounding_box()
    tops = visitor.page.evaluate(
        """() => [...document.querySelectorAll('.stMainBlockContainer :is(h1, .stSelectbox)')]
          .map((each) => each.getBoundingClientRect().top)"""
    )
    assert header is not None
    assert 0 <= min(tops) - header["height"] <= 24, "what has no room of its own takes none"
