"""The list of runs at a real browser: two are ticked and compared, one is named, moved, deleted."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from deepfm.runs.store import Store
from deepfm.ui.state import DEMO_RUN_FOLDER
from tests.browser.chart import Chart
from tests.browser.server import Server, assert_clean_log, serving
from tests.browser.visitor import Visitor, visiting

CURVES = "AUC by epoch, run by run"
ROC = re.compile(r"\(ROC\), run by run")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose home has three trained runs: the bundled one, under three names."""
    home = tmp_path_factory.mktemp("runs") / "home"
    for number, name in enumerate(("first", "second", "third")):
        add_trained_run(home, name, seed=number)
    with serving(home) as running:
        yield running
    assert_clean_log(running)


def add_trained_run(home: Path, name: str, seed: int) -> None:
    """The bundled run as one of this home, with its events, its folder and its result."""
    from deepfm.trained import open_run

    bundled = open_run(DEMO_RUN_FOLDER)
    with Store.open(home) as store:
        run_id = store.queue_run(
            name,
            home / "datasets" / "gone",
            "demo",
            bundled.model.to_dict(),
            {**bundled.train.to_dict(), "seed": seed},
            fingerprint=bundled.dataset_fingerprint,
        )
        store.claim_run("test")
        shutil.copytree(DEMO_RUN_FOLDER, store.run_folder(run_id))
        result = vars(bundled.result)
        store.finish_run(run_id, "finished", result=result, events=list(bundled.events()))


@pytest.fixture
def visitor(chromium: Browser, server: Server) -> Iterator[Visitor]:
    with visiting(chromium, server) as person:
        person.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield person


def row(page: Page, name: str) -> Locator:
    """The line of a run in the table."""
    return page.locator(".dfm-grid tbody tr").filter(has=page.get_by_text(name, exact=True))


def names(page: Page) -> list[str]:
    return page.locator(".dfm-grid tbody .dfm-grid-text").all_inner_texts()


def tick(visitor: Visitor, name: str) -> None:
    """Tick a run as a hand does, and wait until the page has taken it in."""
    row(visitor.page, name).get_by_role("checkbox").click()
    expect(row(visitor.page, name)).to_have_class(re.compile("dfm-grid-ticked"))
    visitor.settle()


def submit(visitor: Visitor, popover: str, label: str, button: str, text: str) -> None:
    """Open a popover, type into its field, and press its button."""
    visitor.button(popover).click()
    field = visitor.page.get_by_label(label, exact=True)
    field.fill(text)
    visitor.page.get_by_role("button", name=button, exact=True).last.click()
    visitor.settle()


def test_two_ticked_runs_are_seen_over_each_other_and_by_link_elsewhere(
    visitor: Visitor, chromium: Browser, server: Server
) -> None:
    visitor.open("/runs")
    expect(visitor.page.locator(".dfm-grid svg polyline")).to_have_count(3)
    tick(visitor, "first")
    tick(visitor, "third")
    overlaid(visitor)
    visitor.page.get_by_text("by time", exact=True).click()
    Chart(visitor.page, "AUC by time, run by run").wait()
    visitor.settle()
    visitor.shoot("runs-compared")
    visitor.button("Copy link").click()
    expect(visitor.page.get_by_text("Copied")).to_be_visible()
    link = visitor.page.evaluate("navigator.clipboard.readText()")
    with visiting(chromium, server) as other:
        other.open(link.removeprefix(server.url))
        Chart(other.page, "AUC by time, run by run").wait()
        expect(other.page.locator("tr.dfm-grid-ticked")).to_have_count(2)


def overlaid(visitor: Visitor) -> None:
    """Both curves, both ROCs, and a table in which only the seed differs."""
    curves, roc = Chart(visitor.page, CURVES).wait(), Chart(visitor.page, ROC).wait()
    assert curves.node.locator(".scatterlayer .trace").count() == 2
    assert roc.points() > 20
    table = visitor.page.locator(".dfm-differences")
    expect(table.get_by_role("row").nth(1)).to_contain_text("Seed")
    assert re.findall(r"Factor size|MLP dims", table.inner_text()) == []


def test_the_list_is_sorted_searched_and_walked_through_by_keyboard_alone(
    visitor: Visitor,
) -> None:
    visitor.open("/runs")
    page = visitor.page
    page.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("^Run"))
    visitor.settle()
    assert names(page) == ["first", "second", "third"]
    row(page, "second").get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    expect(row(page, "second")).to_have_class(re.compile("dfm-grid-ticked"))
    visitor.settle()
    expect(row(page, "second").get_by_role("checkbox")).to_be_focused()
    page.get_by_label("Search", exact=True).fill("nothing like it")
    page.get_by_label("Search", exact=True).press("Enter")
    page.get_by_text("No run fits these filters.").wait_for()
    visitor.button("Show all runs").click()
    expect(page.locator(".dfm-grid tbody tr")).to_have_count(3)
    visitor.settle()
    expect(row(page, "first").get_by_role("link")).to_have_css("text-decoration-line", "underline")
    row(page, "first").get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/train\?run="))


@pytest.mark.parametrize("width", [1920, 1440, 1200, 800, 390])
def test_the_table_fits_and_says_what_it_leaves_out_for_it(visitor: Visitor, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 900})
    visitor.open("/runs")
    page = visitor.page
    heads = page.locator(".dfm-grid th[data-column]:visible")
    expect(heads.first).to_be_visible()
    assert not moves_sideways(page), "nothing is cut"
    assert {"Run", "AUC"} <= {text.strip(" ▼▲") for text in heads.all_inner_texts()}
    more = page.locator(".dfm-grid-more")
    if width >= 1440:
        assert heads.count() >= 10 and not more.is_visible()
        return
    if width >= 1200:
        return
    expect(more).to_contain_text("Left out for want of room:")
    more.get_by_role("button", name="Show all columns").click()
    expect(heads).to_have_count(10)
    assert moves_sideways(page)
    shadow = page.locator(".dfm-grid-fade")
    expect(shadow).to_have_css("opacity", "1")
    page.locator(".dfm-grid").evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    expect(shadow).to_have_css("opacity", "0")
    more.get_by_role("button", name="Only what fits").click()
    expect(more).to_contain_text("Left out for want of room:")
    assert not moves_sideways(page)


def moves_sideways(page: Page) -> bool:
    """Whether the table is wider than its place."""
    return bool(page.locator(".dfm-grid").evaluate("box => box.scrollWidth > box.clientWidth + 1"))


def test_a_run_is_named_tagged_exported_deleted_and_brought_back(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.open("/runs")
    page = visitor.page
    tick(visitor, "second")
    assert_hint_below_what_is_typed(visitor)
    submit(visitor, "Rename", "Name", "Rename", "best of *all*")
    expect(row(page, "best of *all*")).to_be_visible()
    visitor.button("Tags").click()
    box = page.get_by_label("Tags", exact=True).last
    box.fill("paper")
    box.press("Enter")
    expect(row(page, "best of *all*").locator(".dfm-grid-tag")).to_have_text("paper")
    visitor.settle()
    close_popover(page)
    with page.expect_download() as waiting:
        visitor.button("Export").click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    assert file.name == "best of _all_.zip" and file.stat().st_size > 10_000
    delete(visitor, "best of *all*")
    bring_back(visitor, file)
    tick_is_alone(visitor, "best of *all*")
    visitor.page.get_by_role("link", name="Evaluate", exact=True).last.click()
    Chart(page, re.compile(r"\(ROC\)")).wait()


def assert_hint_below_what_is_typed(visitor: Visitor) -> None:
    """What is said of a name that is typed covers none of it."""
    visitor.button("Rename").click()
    field = visitor.page.get_by_label("Name", exact=True)
    field.fill("a name as long as names are, with all of its settings, 0.001")
    hint = visitor.page.get_by_test_id("InputInstructions").get_by_text("60/80")
    above, below = field.bounding_box(), hint.bounding_box()
    assert above and below and above["y"] + above["height"] <= below["y"]
    visitor.page.keyboard.press("Escape")
    expect(field).to_have_count(0)


def close_popover(page: Page) -> None:
    """Leave a popover by keyboard: first its list of choices, then itself."""
    export = page.get_by_role("button", name="Export")
    for _ in range(3):
        if export.count():
            return
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)


def delete(visitor: Visitor, name: str) -> None:
    """Delete the run that is ticked, after it was named."""
    visitor.button("Delete").click()
    visitor.page.get_by_text("This cannot be undone.").wait_for()
    expect(visitor.page.locator(".st-key-delete_box")).to_contain_text(name)
    visitor.button("Delete for good").click()
    expect(row(visitor.page, name)).to_have_count(0)
    visitor.settle()
    assert len(names(visitor.page)) == 2


def bring_back(visitor: Visitor, file: Path) -> None:
    """Import an exported run."""
    visitor.button("Import a run").click()
    visitor.page.locator("input[type=file]").last.set_input_files(file)
    expect(row(visitor.page, "best of *all*")).to_be_visible()
    visitor.settle()


def tick_is_alone(visitor: Visitor, name: str) -> None:
    """What was brought in is ticked, with its tag."""
    expect(row(visitor.page, name)).to_have_class(re.compile("dfm-grid-ticked"))
    expect(row(visitor.page, name).locator(".dfm-grid-tag")).to_have_text("paper")
    assert visitor.page.locator("tr.dfm-grid-ticked").count() == 1
