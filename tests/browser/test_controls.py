"""What only a hand at the real page shows: marks, the way of Tab, axes that make room."""

import re

from playwright.sync_api import expect

from tests.browser.chart import Chart
from tests.browser.visitor import Visitor

SCORE = "What moves this score"


def test_a_word_that_is_picked_again_is_no_change(visitor: Visitor):
    visitor.open()
    Chart(visitor.page, SCORE).wait()
    changed = visitor.page.locator(".dfm-choice.dfm-changed")
    visitor.button("Coffee in the morning").click()
    expect(changed).to_have_count(6)
    visitor.page.get_by_label("Device").select_option("tablet")
    visitor.settle()
    expect(changed).to_have_count(1)
    visitor.page.get_by_label("Device").select_option("tablet")
    visitor.page.wait_for_timeout(500)
    expect(changed).to_have_count(1)


LONGEST_BAR = "chart => Math.max(...chart.calcdata.flat().map((bar) => Math.abs(bar.s ?? 0)))"


def test_the_axis_makes_room_for_longer_bars_again_and_again(visitor: Visitor):
    visitor.open()
    score = Chart(visitor.page, SCORE).wait()
    for story in ("Coffee in the morning", "Kitchenware on a phone", "Coffee in the evening"):
        visitor.button(story).click()
        visitor.settle()
        visitor.wait_for(
            lambda: score.ranges()[0][1] > score.node.evaluate(LONGEST_BAR), "room for every bar"
        )
    assert not visitor.page.locator(".dfm-plot", has_text=SCORE).locator(".dfm-zoomed").is_visible()


def test_a_zoom_by_hand_is_told_in_the_chart_until_it_is_undone(visitor: Visitor):
    visitor.open()
    score = Chart(visitor.page, SCORE).wait()
    told = visitor.page.locator(".dfm-plot", has_text=SCORE).locator(".dfm-zoomed")
    score.zoom()
    expect(told).to_be_visible()
    score.node.locator(".nsewdrag").first.dblclick()
    expect(told).to_be_hidden()
    assert visitor.page.locator(".plotly-notifier").count() == 0


def test_tab_goes_from_field_to_field(visitor: Visitor):
    visitor.open("/train?dataset=demo")
    visitor.page.get_by_role("textbox", name="Factor size").focus()
    for label in ("MLP dims", "Learning rate", "Epochs"):
        visitor.page.keyboard.press("Tab")
        expect(visitor.page.get_by_role("textbox", name=label)).to_be_focused()


def test_what_was_changed_in_a_preset_takes_the_place_of_its_words(visitor: Visitor):
    visitor.open("/train?dataset=demo&preset=your-data")
    train = visitor.page.get_by_role("button", name="Train", exact=True)
    promise = visitor.text(re.compile("until validation AUC has not risen for 5 epochs"))
    expect(promise).to_be_visible()
    before = train.bounding_box()
    epochs = visitor.page.get_by_role("textbox", name="Epochs")
    epochs.fill("61")
    epochs.press("Tab")
    expect(visitor.text("Your data, changed: epochs 61.")).to_be_visible()
    expect(promise).to_be_hidden()
    assert train.bounding_box() == before, "nothing below moves"
