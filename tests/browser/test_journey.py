"""The main job, whole, as a newcomer does it: from an empty home to one explained impression.

The tests of this file share one server and run in their order: first the demo, then a file.
"""

import csv
import random
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.chart import Chart
from tests.browser.visitor import Visitor

LEARNING = "How well it predicts, as it learns"
PERCENT = re.compile(r"(\d+) ?%")


def test_the_first_minute_on_the_demo_to_one_impression(visitor: Visitor):
    visitor.open()
    start_explains_a_score_before_any_click(visitor)
    one_changed_word_changes_the_score(visitor)
    visitor.button("Train it yourself").click()
    curves_climb_in_place(visitor)
    visitor.shoot("demo-trained")
    roc_follows_the_threshold(visitor)
    visitor.shoot("demo-evaluated")
    an_impression_is_explained(visitor)
    visitor.shoot("demo-explained")


def start_explains_a_score_before_any_click(visitor: Visitor) -> None:
    Chart(visitor.page, "What moves this score").wait()
    for term in ("Linear", "Pairwise", "Deep"):
        assert term in visitor.main_text()
    assert len(PERCENT.findall(figures(visitor))) >= 2, "the model's answer and the truth"


def one_changed_word_changes_the_score(visitor: Visitor) -> None:
    before = figures(visitor)
    visitor.page.get_by_label("Device").select_option("phone")
    visitor.wait_for(lambda: figures(visitor) != before, "the score follows the word")
    was, now = (int(number) for number in PERCENT.findall(figures(visitor))[:2])
    assert now - was > 40, "a long video at the weekend is watched on a phone"


def figures(visitor: Visitor) -> str:
    """What the model says, and the truth."""
    return visitor.page.locator(".dfm-figures").inner_text().replace("\xa0", " ")


def curves_climb_in_place(visitor: Visitor) -> None:
    """At least 20 points, on one drawing, with the zoom of the hand kept and no blank frame."""
    chart = Chart(visitor.page, LEARNING)
    chart.watch()
    visitor.wait_for(lambda: chart.points() >= 3, "live curves")
    chart.zoom()
    zoomed = chart.ranges()
    expect(visitor.button("Evaluate")).to_be_visible(timeout=300_000)
    visitor.settle()
    seen = chart.seen()
    assert seen["same"], "the chart was replaced"
    assert seen["blank"] == 0, f"{seen['blank']} of {seen['frames']} frames were blank"
    assert seen["most"] >= 20
    assert chart.ranges() == zoomed, "the zoom was lost"


def roc_follows_the_threshold(visitor: Visitor) -> None:
    visitor.button("Evaluate").click()
    roc = Chart(visitor.page, re.compile(r"\(ROC\)")).wait()
    visitor.settle()
    confusion = Chart(visitor.page, re.compile("confusion matrix")).wait()
    before = confusion.node.inner_text()
    threshold = visitor.page.get_by_label("Threshold").first
    threshold.focus()
    for _ in range(10):
        threshold.press("ArrowRight")
    visitor.wait_for(lambda: confusion.node.inner_text() != before, "the matrix follows")
    assert roc.points() > 20


def an_impression_is_explained(visitor: Visitor) -> None:
    visitor.go("Impression")
    Chart(visitor.page, "From a typical impression to this one").wait()
    place = visitor.page.get_by_text(re.compile(r"^Row \d+ of ")).first
    first = place.inner_text()
    visitor.button("Next impression").click()
    visitor.wait_for(lambda: place.inner_text() != first, "the next impression")
    assert "for a typical impression" in visitor.main_text(), "the sentence in words"
    visitor.settle()
    Chart(visitor.page, "Which fields moved this impression").wait()


def test_the_same_with_an_uploaded_file(visitor: Visitor, tmp_path: Path):
    log = write_click_log(tmp_path / "my *clicks*.csv")
    visitor.open("/data")
    visitor.page.locator("input[type=file]").first.set_input_files(log)
    visitor.page.get_by_role("heading", name=re.compile("^What was understood of my")).wait_for()
    visitor.settle()
    visitor.shoot("file-understood")
    visitor.button("Prepare").click()
    visitor.button("Train on this").wait_for(timeout=60_000)
    visitor.settle()
    visitor.shoot("file-profiled")
    visitor.button("Train on this").click()
    epochs = visitor.page.get_by_label("Epochs", exact=True)
    epochs.wait_for()
    visitor.settle()
    # A compiled step is done with this file before anyone has seen it learn: give it more to do.
    visitor.page.get_by_text("Quick", exact=True).first.click()
    visitor.settle()
    visitor.wait_for(lambda: epochs.count() == 1, "the fields of the other preset alone")
    epochs.fill("100")
    epochs.press("Enter")
    visitor.settle()
    visitor.page.get_by_role("button", name="Train", exact=True).last.click()
    curves_climb_in_place(visitor)
    visitor.shoot("file-trained")
    roc_follows_the_threshold(visitor)
    visitor.shoot("file-evaluated")
    an_impression_is_explained(visitor)
    visitor.shoot("file-explained")


def write_click_log(path: Path, rows: int = 40_000) -> Path:
    """A click log whose ad wants its own site, with a price, a row number and odd names."""
    chance = random.Random(7)
    sites = ["news", "recipes", "=1+1", "<b>sport</b>", "*travel*"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", "site", "ad", "device", "price", "clicked"])
        for row in range(rows):
            site, ad = chance.choice(sites), chance.choice(sites)
            price = round(chance.uniform(1, 100), 2)
            odds = 0.1 + 0.6 * (site == ad) + 0.2 * (price < 20)
            device = chance.choice(["phone", "laptop"])
            writer.writerow([row, site, ad, device, price, int(chance.random() < odds)])
    return path
