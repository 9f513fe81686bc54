"""On a phone: what runs stands first, what floats hides what is under it, a menu makes way."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset
from deepfm.runs.store import NewRun, Store
from deepfm.sweeps import Axis, begin, source_of, sweep_of
from tests.browser.server import Server
from tests.browser.visitor import Visitor, Watch, visiting

Queue = Callable[[Server, Dataset], str]

PHONE = {"width": 390, "height": 844}
OPAQUE = """chip => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = getComputedStyle(chip).backgroundColor;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data[3] === 255;
}"""


@pytest.fixture(scope="module")
def demo(server: Server) -> Dataset:
    """The demo in the server's home."""
    return open_demo(server.home)


def queued(server: Server, demo: Dataset, epochs: int = 1) -> str:
    """A comparison of one model that waits; its group."""
    model, train = ModelConfig().to_dict(), TrainConfig(epochs=epochs).to_dict()
    run = NewRun("DeepFM", demo.folder, demo.name, model, train, fingerprint=demo.fingerprint)
    with Store.open(server.home) as store:
        return store.submit_group("One", [run]).group


def swept(server: Server, demo: Dataset) -> str:
    """A sweep that waits; its group."""
    axis = Axis("num_factors", (2, 4))
    with Store.open(server.home) as store:
        source = source_of(demo, [], server.home)
        train = TrainConfig(epochs=1)
        return begin(store, sweep_of([axis], source, demo.prepare, ModelConfig(), train, seeds=1))


@pytest.fixture(params=["light", "dark"])
def phone(request: pytest.FixtureRequest, chromium: Browser, server: Server) -> Iterator[Visitor]:
    """A person at a narrow page, by day and by night."""
    with visiting(chromium, server, request.param) as person:
        person.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        yield person


@pytest.mark.parametrize(("head", "asked"), [("group_head", queued), ("sweep_head", swept)])
def test_a_group_stands_above_the_form_on_a_phone_and_beside_it_on_a_desktop(
    visitor: Visitor, server: Server, demo: Dataset, head: str, asked: Queue
) -> None:
    visitor.open(f"/train?group={asked(server, demo)}")
    page = visitor.page
    title, form = page.locator(f".st-key-{head}"), page.get_by_label("Factor size").first

    def place(of: Locator) -> dict[str, float]:
        box = of.bounding_box()
        assert box is not None
        return dict(box)

    assert place(form)["x"] < place(title)["x"]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    visitor.wait_for(lambda: place(title)["y"] < place(form)["y"], "the group first", 10)


def test_what_is_running_hides_the_words_under_it(
    phone: Visitor, server: Server, demo: Dataset
) -> None:
    group = queued(server, demo, 1000)
    try:
        phone.open("/runs")
        chip = phone.page.locator(".st-key-chip:has(.stProgress)")
        chip.wait_for()
        assert chip.evaluate(OPAQUE)
    finally:
        with Store.open(server.home) as store:
            for run in store.group(group).runs:
                store.request_stop(run)


OPENED = "menu => menu.getBoundingClientRect().right > 0"
PIXEL = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize("agent", [PIXEL, None], ids=["phone", "narrow window"])
def test_the_menu_makes_way_for_the_page_that_was_chosen_from_it(
    chromium: Browser, server: Server, agent: str | None
) -> None:
    context = chromium.new_context(
        viewport=PHONE,  # type: ignore[arg-type]
        user_agent=agent,
        has_touch=True,
        is_mobile=agent is not None,
    )
    person = Visitor(context.new_page(), server, Watch())
    person.open("/runs")
    menu = person.page.get_by_test_id("stSidebar")
    for title in ("Train", "Data"):
        person.page.get_by_test_id("stExpandSidebarButton").tap()
        person.wait_for(lambda: menu.evaluate(OPENED), "the menu", 10)
        menu.get_by_role("link", name=title, exact=True).tap()
        person.page.wait_for_url(f"**/{title.lower()}*")
        person.wait_for(lambda: not menu.evaluate(OPENED), "the page without the menu", 10)
        person.settle()
        assert not menu.evaluate(OPENED), "it stays closed"
    context.close()
