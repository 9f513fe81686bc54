"""One impression in a real browser: values typed and chosen by keyboard, cells clicked."""

from playwright.sync_api import Locator

from tests.browser.visitor import Visitor


def field(visitor: Visitor, name: str) -> Locator:
    """The box of one field on the card."""
    line = visitor.page.locator(".dfm-line", has=visitor.page.locator(f".dfm-name[title='{name}']"))
    return line.locator("input")


def first_option(visitor: Visitor) -> str:
    options = visitor.page.locator(".dfm-option .dfm-text")
    return options.first.inner_text() if options.count() else ""


def test_a_value_is_typed_searched_and_chosen_by_keyboard(visitor: Visitor) -> None:
    visitor.open("/impression?row=3")
    said = visitor.page.locator(".dfm-said").first
    visitor.wait_for(lambda: "against" in said.inner_text(), "the sentence")
    before = said.inner_text()
    field(visitor, "ad").focus()
    visitor.page.keyboard.press("ArrowDown")
    visitor.wait_for(lambda: first_option(visitor) != "", "the commonest values")
    visitor.page.keyboard.type("COFF")
    visitor.wait_for(lambda: first_option(visitor) == "coffee", "what holds the text")
    visitor.page.keyboard.press("Enter")
    visitor.wait_for(lambda: said.inner_text() != before, "the changed score")
    visitor.settle()
    visitor.wait_for(lambda: "change=ad%3Dcoffee" in visitor.page.url, "the address follows")
    assert "was insurance" in visitor.main_text()


def test_a_changed_value_moves_the_waterfalls_own_drawing(visitor: Visitor) -> None:
    visitor.open("/impression?row=3")
    drawing = visitor.page.locator(".dfm-plot", has_text="to this one").locator(".main-svg").first
    drawing.wait_for()
    visitor.settle()
    drawing.evaluate("(drawing) => drawing.classList.add('kept')")
    field(visitor, "ad").click()
    visitor.page.locator(".dfm-option[aria-selected=false]").nth(1).click()
    visitor.wait_for(lambda: "was " in drawing.text_content(), "what the terms were")
    assert "kept" in str(drawing.get_attribute("class"))


def test_an_open_list_goes_with_its_field_and_away_with_it(visitor: Visitor) -> None:
    visitor.open("/impression?row=3")
    visitor.settle()
    box, options = field(visitor, "ad"), visitor.page.locator(".dfm-options")
    box.click()
    visitor.wait_for(lambda: first_option(visitor) != "", "the commonest values")

    def apart() -> float:
        above, below = box.bounding_box(), options.bounding_box()
        assert above is not None and below is not None
        return below["y"] - above["y"]

    before, at = apart(), box.bounding_box()
    scroll = "(pixels) => { document.querySelector('[data-testid=stMain]').scrollTop += pixels }"
    visitor.page.evaluate(scroll, 40)
    visitor.wait_for(lambda: box.bounding_box() != at, "the page to move")
    assert options.is_visible()
    assert abs(apart() - before) < 2
    visitor.page.evaluate(scroll, 900)
    visitor.wait_for(lambda: not options.is_visible(), "the list to go with its field")


def test_a_search_that_is_left_changes_nothing(visitor: Visitor) -> None:
    visitor.open("/impression?row=3")
    box = field(visitor, "site")
    visitor.wait_for(lambda: box.input_value() != "", "the card")
    own = box.input_value()
    box.click()
    visitor.page.keyboard.type("zzz")
    visitor.wait_for(lambda: "never seen" in first_option(visitor), "no value holds it")
    visitor.page.keyboard.press("Escape")
    assert box.input_value() == own
    assert not visitor.page.locator(".dfm-options").is_visible()
    visitor.wait_for(lambda: "change" not in visitor.page.url, "the address follows")


def test_a_clicked_cell_tells_about_its_pair(visitor: Visitor) -> None:
    visitor.open("/impression?row=3")
    visitor.page.get_by_role("tab", name="Pairs", exact=True).click()
    about = visitor.page.locator(".st-key-impression_pair_about")
    visitor.wait_for(lambda: "both together" in about.inner_text(), "the strongest pair")
    before = about.inner_text()
    drawing = visitor.page.locator(".dfm-plot", has_text="Which pairs of values")
    area = drawing.locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    visitor.page.mouse.click(box["x"] + 0.16 * box["width"], box["y"] + 0.72 * box["height"])
    visitor.wait_for(lambda: about.inner_text() != before, "the clicked pair")


def test_on_a_phone_the_answer_stands_above_what_chooses_another(visitor: Visitor) -> None:
    page = visitor.page
    page.set_viewport_size({"width": 390, "height": 844})
    visitor.open("/impression?row=3")
    change = page.locator(".st-key-impression_change .dfm-said")
    visitor.wait_for(lambda: "instead of" in change.inner_text(), "the suggested change")
    for element, deepest in ((change, 600), (field(visitor, "device"), 760)):
        box = element.bounding_box()
        assert box is not None and box["y"] + box["height"] < deepest
    steps = [visitor.button(name) for name in ("Previous", "Next impression", "Random")]
    heights = {box["y"] for step in steps if (box := step.bounding_box())}
    more = page.locator(".st-key-impression_more label")
    below = more.bounding_box()
    assert len(heights) == 1 and below is not None and below["y"] < max(heights) + 40
    folded = [visitor.button(name) for name in ("Same values…", "Table…", "Report (HTML)")]
    assert not any(each.is_visible() for each in folded)
    more.click()
    visitor.wait_for(lambda: all(each.is_visible() for each in folded), "what was folded")
    visitor.settle()
    visitor.button("Next impression").click()
    visitor.wait_for(lambda: "row=4" in page.url, "the next row")
    visitor.settle()
    assert all(each.is_visible() for each in folded), "it stays open from row to row"
    visitor.assert_fits("impression", 390)
    page.set_viewport_size({"width": 1440, "height": 900})
    assert not more.is_visible()
    assert all(each.is_visible() for each in folded)
