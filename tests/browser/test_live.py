"""How a reader looks at the curves of a run: logarithms, smoothing and replay, in the browser."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from deepfm.charts.smoothing import smoothed
from tests.browser.chart import Chart
from tests.browser.server import Server
from tests.browser.visitor import Visitor, visiting

LEARNING = "How well it predicts, as it learns"
SHARES = "How the score's variance divides between the terms"
BRANCHES = "What each branch ranks alone, as it learns"

AXES = """chart => Object.fromEntries(['xaxis', 'yaxis', 'xaxis2', 'yaxis2'].map((name) =>
  [name, { type: chart._fullLayout[name]?.type, range: chart._fullLayout[name]?.range }]))"""
TRAIN = """chart => {
  const [trace] = chart.data, full = chart._fullData[0], means = trace.meta.means;
  const numbers = means?.bdata && Array.from(new Float32Array(
    Uint8Array.from(atob(means.bdata), (letter) => letter.charCodeAt(0)).buffer));
  return { x: Array.from(full.x), y: Array.from(full.y), means: numbers ?? means ?? null,
    lines: chart.data.length };
}"""


@pytest.fixture(scope="module")
def run_address(server: Server, chromium: Browser) -> str:
    """The address of a run of the demo that is over."""
    with visiting(chromium, server) as person:
        person.open("/train?dataset=demo&epochs=8")
        person.page.get_by_role("button", name="Train", exact=True).last.click()
        expect(person.button("Evaluate")).to_be_visible(timeout=300_000)
        person.settle()
        run = re.search(r"run=([^&]+)", person.page.url)
        assert run is not None
        return f"/train?run={run[1]}"


@pytest.fixture
def watcher(visitor: Visitor, run_address: str) -> Iterator[Visitor]:
    """A person who looks at that run."""
    visitor.open(run_address)
    Chart(visitor.page, LEARNING).wait()
    yield visitor


def axes(chart: Chart) -> dict[str, Any]:
    return chart.node.evaluate(AXES)


def check(watcher: Visitor, name: str) -> None:
    watcher.page.get_by_label(name).click()


def test_the_curves_take_over_the_drawing_that_was_made_ahead(visitor: Visitor) -> None:
    visitor.open("/train?dataset=demo&epochs=6&seed=11")
    ahead = "window.deepfmSpares?.get('train_curves')"
    visitor.page.wait_for_function(f"() => {ahead}?.text === 'rehearsal 0' && {ahead}.shown")
    visitor.page.evaluate(
        f"() => {ahead}.chart.querySelectorAll('.main-svg')[0].classList.add('ahead')"
    )
    assert not visitor.page.locator(".dfm-chart").is_visible()
    visitor.page.get_by_role("button", name="Train", exact=True).last.click()
    curves = Chart(visitor.page, LEARNING).wait()
    visitor.wait_for(lambda: curves.points() > 1, "points on the curve")
    assert curves.node.locator(".main-svg.ahead").count() == 1
    assert visitor.page.evaluate("() => window.deepfmSpares.size") == 0


def test_a_runs_settings_come_into_the_form_and_the_first_change_holds(watcher: Visitor) -> None:
    epochs = watcher.page.get_by_role("textbox", name="Epochs")
    epochs.fill("5")
    epochs.press("Enter")
    watcher.wait_for(lambda: "epochs=5" in watcher.page.url, "what was typed")
    watcher.button("Train again with changes").click()
    watcher.wait_for(lambda: epochs.input_value() == "8", "the run's epochs in the form")
    watcher.settle()
    epochs.fill("3")
    epochs.press("Enter")
    watcher.wait_for(lambda: "epochs=3" in watcher.page.url, "the first change")
    watcher.settle()
    assert epochs.input_value() == "3"


def test_loss_and_epochs_become_logarithmic_at_a_click_and_back(watcher: Visitor) -> None:
    curves = Chart(watcher.page, LEARNING)
    before = axes(curves)
    check(watcher, "Log loss")
    watcher.wait_for(lambda: axes(curves)["yaxis"]["type"] == "log", "a logarithmic loss")
    assert axes(curves)["yaxis2"]["type"] == "linear", "an AUC is never logarithmic"
    check(watcher, "Log epochs")
    others = [Chart(watcher.page, title).wait() for title in (SHARES, BRANCHES)]
    for chart in (curves, *others):
        watcher.wait_for(lambda c=chart: axes(c)["xaxis"]["type"] == "log", "logarithmic epochs")
    watcher.settle()
    watcher.wait_for(lambda: "log=loss" in watcher.page.url, "the address follows")
    check(watcher, "Log loss")
    check(watcher, "Log epochs")
    watcher.wait_for(lambda: axes(curves) == before, "the axes as they were")


def test_on_a_phone_the_run_stands_above_the_form_and_beside_it_on_a_desktop(
    watcher: Visitor,
) -> None:
    head, form = watcher.page.locator(".st-key-run_head"), watcher.page.get_by_label("Factor size")

    def tops() -> list[float]:
        return [each.first.bounding_box()["y"] for each in (head, form)]  # type: ignore[index]

    left = form.first.bounding_box()
    right = head.bounding_box()
    assert left is not None and right is not None and left["x"] < right["x"]
    watcher.page.set_viewport_size({"width": 390, "height": 844})
    watcher.wait_for(lambda: tops()[0] < tops()[1], "the run first", 10)


def test_a_zoom_is_kept_when_its_axis_becomes_logarithmic(watcher: Visitor) -> None:
    curves = Chart(watcher.page, LEARNING)
    curves.zoom()
    low, high = axes(curves)["yaxis"]["range"]
    check(watcher, "Log loss")
    watcher.wait_for(lambda: axes(curves)["yaxis"]["type"] == "log", "a logarithmic loss")
    assert [10**end for end in axes(curves)["yaxis"]["range"]] == pytest.approx([low, high])
    check(watcher, "Log loss")
    watcher.wait_for(lambda: axes(curves)["yaxis"]["type"] == "linear", "a linear loss")
    assert axes(curves)["yaxis"]["range"] == pytest.approx([low, high])
    watcher.page.get_by_text("Accuracy", exact=True).first.click()
    watcher.settle()
    assert axes(curves)["yaxis"]["range"] == pytest.approx([low, high]), "kept beside another"


def smooth(watcher: Visitor, key: str) -> Locator:
    slider = watcher.page.get_by_label("Smoothing", exact=True).last
    slider.focus()
    watcher.page.keyboard.press(key)
    return slider


def test_the_browser_smooths_as_the_formula_says(watcher: Visitor) -> None:
    curves = Chart(watcher.page, LEARNING)
    measured = curves.node.evaluate(TRAIN)
    slider = smooth(watcher, "ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "0.2 epochs")
    watcher.wait_for(lambda: curves.node.evaluate(TRAIN)["y"] != measured["y"], "a smooth curve")
    drawn = curves.node.evaluate(TRAIN)
    means = drawn["means"] or measured["y"]
    assert drawn["y"] == pytest.approx(smoothed(drawn["x"], means, 0.2), abs=1e-6)
    assert drawn["lines"] > measured["lines"], "what was measured stays, faintly"
    watcher.settle()
    watcher.wait_for(lambda: "smooth=0.2" in watcher.page.url, "the address follows")
    smooth(watcher, "Home")
    watcher.wait_for(lambda: curves.node.evaluate(TRAIN) == measured, "the curve as it was")


def test_a_link_shows_the_curves_as_they_were_looked_at(
    server: Server, chromium: Browser, run_address: str
) -> None:
    with visiting(chromium, server) as person:
        person.open(f"{run_address}&smooth=1&log=epochs")
        curves = Chart(person.page, LEARNING).wait()
        watched = person.page.get_by_label("Log epochs")
        expect(watched).to_be_checked()
        expect(person.page.get_by_label("Log loss")).not_to_be_checked()
        person.wait_for(lambda: axes(curves)["xaxis"]["type"] == "log", "logarithmic epochs")


def test_the_replay_goes_by_keyboard_through_every_chart(watcher: Visitor) -> None:
    watcher.settle()
    slider = watcher.page.get_by_label("Replay").first
    charts = [Chart(watcher.page, title).wait() for title in (LEARNING, SHARES, BRANCHES)]
    # Only the text that stands beside the panels changes there.
    at_end = [chart.node.inner_text() for chart in charts[1:]]
    slider.focus()
    watcher.page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "Before the first step")
    for chart, text in zip(charts[1:], at_end, strict=True):
        chart.node.scroll_into_view_if_needed()
        watcher.wait_for(lambda c=chart, t=text: c.node.inner_text() != t, "the chart goes back")
    slider.focus()
    watcher.page.keyboard.press(" ")
    expect(slider).not_to_have_attribute("aria-valuetext", "Before the first step")
    watcher.page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("kept"))
    for chart, text in zip(charts[1:], at_end, strict=True):
        chart.node.scroll_into_view_if_needed()
        watcher.wait_for(lambda c=chart, t=text: c.node.inner_text() == t, "the chart at its end")
