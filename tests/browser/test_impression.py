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
