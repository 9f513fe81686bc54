"""What a chart gives away: its picture as the browser draws it, and its numbers."""

import csv
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Download, Locator

from tests.browser.chart import Chart
from tests.browser.visitor import Visitor

SVG = "{http://www.w3.org/2000/svg}"
TITLE = "From a typical impression to this one"
STEM = "from-a-typical-impression-to-this-one-run-demo-row-7"


def saved(visitor: Visitor, button: Locator, folder: Path) -> Path:
    with visitor.page.expect_download() as waited:
        button.click()
    download: Download = waited.value
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


@pytest.fixture
def menu(visitor: Visitor) -> Locator:
    """The menu of the waterfall of row 7, opened."""
    visitor.open("/impression?run=demo&row=7")
    Chart(visitor.page, TITLE).wait()
    visitor.page.locator(".st-key-impression_waterfall_data button").first.click()
    visitor.settle()
    opened = visitor.page.locator("[data-testid=stPopoverBody]")
    opened.get_by_role("button", name="Picture (PNG)").wait_for()
    return opened


def test_the_png_is_the_chart_with_its_title_above(visitor: Visitor, menu: Locator, tmp_path: Path):
    path = saved(visitor, menu.get_by_role("button", name="PNG"), tmp_path)
    assert path.name == f"{STEM}.png"
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    shown = Chart(visitor.page, TITLE).node.bounding_box()
    assert shown is not None
    assert width == pytest.approx(2 * (shown["width"] + 24), abs=2)
    assert height > 2 * shown["height"], "there is room for the title"
    assert menu.get_by_role("status").inner_text() == "Saved"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_svg_holds_text_bars_and_the_ground_of_the_theme(
    visitor: Visitor, menu: Locator, tmp_path: Path, scheme: str
):
    visitor.page.emulate_media(color_scheme=scheme)
    visitor.page.wait_for_timeout(600)
    path = saved(visitor, menu.get_by_role("button", name="SVG"), tmp_path)
    assert path.name == f"{STEM}.svg"
    text = path.read_text("utf-8")
    drawing = ElementTree.fromstring(text)
    words = " ".join("".join(each.itertext()) for each in drawing.iter(f"{SVG}text"))
    assert TITLE in words and "Pairwise" in words and "score (logit)" in words
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}[scheme]
    assert ground in text
    assert not re.search(r"""(href|src)=["']https?:""", text), "it asks nobody for anything"


def test_a_title_of_two_lines_stands_whole_in_the_picture(
    visitor: Visitor, menu: Locator, tmp_path: Path
):
    visitor.page.set_viewport_size({"width": 320, "height": 900})
    visitor.page.wait_for_timeout(600)
    path = tmp_path / "narrow.svg"
    with visitor.page.expect_download() as waited:
        menu.get_by_role("button", name="SVG").dispatch_event("click")
    waited.value.save_as(path)
    drawing = ElementTree.fromstring(path.read_text("utf-8"))
    (title,) = (each for each in drawing.iter(f"{SVG}text") if each.get("class") == "gtitle")
    lines = [each for each in title.iter(f"{SVG}tspan") if each.get("class") == "line"]
    assert len(lines) == 2
    assert float(lines[0].get("y") or 0) > 0.9 * 16, "a letter is that high above its foot"


def test_the_csv_has_the_numbers_and_the_same_name(visitor: Visitor, menu: Locator, tmp_path: Path):
    path = saved(visitor, menu.get_by_role("button", name="Numbers (CSV)"), tmp_path)
    assert path.name == f"{STEM}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) >= 4


def test_a_chart_that_was_zoomed_is_saved_as_it_is_shown(visitor: Visitor, tmp_path: Path):
    visitor.open("/evaluate?run=demo")
    chart = Chart(visitor.page, re.compile("ROC")).wait()
    chart.zoom()
    visitor.page.locator(".st-key-roc_data button").first.click()
    visitor.settle()
    path = saved(visitor, visitor.page.get_by_role("button", name="Drawing (SVG)"), tmp_path)
    saved_ticks = [
        "".join(text.itertext())
        for group in ElementTree.fromstring(path.read_text("utf-8")).iter(f"{SVG}g")
        if group.get("class") == "xtick"
        for text in group.iter(f"{SVG}text")
    ]
    drawn = chart.node.evaluate(
        "node => [...node.querySelectorAll('.xtick text')].map((each) => each.textContent)"
    )
    assert saved_ticks and saved_ticks == drawn
    assert "100%" not in saved_ticks, "the part that was zoomed into"
