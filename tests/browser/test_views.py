"""Evaluate, Model and Beyond pairs in a real browser: charts stand, are dragged, can be sent."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chart import Chart
from tests.browser.server import Server
from tests.browser.visitor import Visitor, visiting


@pytest.fixture
def colleague(chromium: Browser, server: Server) -> Iterator[Visitor]:
    """Somebody with a browser of their own, who is sent a link."""
    with visiting(chromium, server, "dark") as person:
        yield person


def link_of(visitor: Visitor) -> str:
    """The address without the server."""
    return visitor.page.url.removeprefix(visitor.server.url)


def test_a_threshold_moved_by_keyboard_is_there_for_whoever_gets_the_link(
    visitor: Visitor, colleague: Visitor
) -> None:
    visitor.open("/evaluate?run=demo&view=Threshold")
    Chart(visitor.page, "Clicked rows found, against others").wait()
    range_ = visitor.page.locator(".dfm-plot .dfm-range").first
    said = visitor.page.locator(".dfm-plot .dfm-readout").first
    before = said.inner_text()
    range_.focus()
    visitor.page.keyboard.press("PageDown")
    visitor.wait_for(lambda: "threshold=" in visitor.page.url, "the address follows")
    visitor.settle()
    assert said.inner_text() != before
    colleague.open(link_of(visitor))
    Chart(colleague.page, "What the mistakes of each threshold cost").wait()
    there = colleague.page.locator(".dfm-plot .dfm-readout").first
    colleague.wait_for(lambda: there.inner_text() == said.inner_text(), "the same threshold")


def test_a_box_drawn_over_the_branches_is_there_for_whoever_gets_the_link(
    visitor: Visitor, colleague: Visitor
) -> None:
    visitor.open("/model?run=demo&view=Where%20they%20disagree")
    Chart(visitor.page, "What each branch ranks and predicts alone").wait()
    Chart(visitor.page, "Where the two branches agree").wait().zoom()
    visitor.wait_for(lambda: "box=" in visitor.page.url, "the address follows")
    visitor.settle()
    words = visitor.page.get_by_text("of 500 impressions").first
    colleague.open(link_of(visitor))
    Chart(colleague.page, "Where the two branches agree").wait()
    there = colleague.page.get_by_text("of 500 impressions").first
    assert there.inner_text() == words.inner_text()


def test_what_the_network_adds_beyond_pairs_is_drawn_for_model_and_impression(
    visitor: Visitor,
) -> None:
    visitor.open("/model?run=demo&view=Beyond%20pairs")
    Chart(visitor.page, "What the network").wait()
    visitor.open("/impression?run=demo&row=3")
    visitor.page.get_by_role("tab", name="Beyond pairs", exact=True).click()
    Chart(visitor.page, "What the network says of this impression").wait()
