"""A home with the tour's runs to pictures of the app's own charts, as a browser draws them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks.app.visit import PATIENCE, Visit, browsing
from tests.browser.chart import Chart
from tests.browser.server import serving

WIDTH: Final = 920
"""Of the browser's window: a chart fills it, and is as wide as a README's text."""
HEIGHT: Final = 1000
SCALE: Final = 2
"""Pixels of the picture for one of the page: sharp on a dense screen."""
COLOURS: Final = 128
"""Flat colours and edges of letters: more would only make the file larger."""
LARGEST: Final = 150_000
"""Bytes of one picture."""


@dataclass(frozen=True)
class Picture:
    """One chart: where it stands and what it is called in the folder."""

    name: str
    address: str
    title: str


def pictures_of(run: str, row: int) -> tuple[Picture, ...]:
    """The tour's three charts of a run."""
    return (
        Picture(
            "tour-branches.png",
            f"/model?run={run}",
            "What each branch ranks and predicts alone",
        ),
        Picture(
            "tour-beyond.png",
            f"/model?run={run}&view=Beyond+pairs",
            "What the network adds that no list of pairs could say",
        ),
        Picture(
            "tour-impression.png",
            f"/impression?run={run}&row={row}",
            "From a typical impression to this one",
        ),
    )


def take(home: Path, run: str, row: int, folder: Path) -> list[Path]:
    """Serve the home, draw the charts in a real browser, light theme, and write them."""
    folder.mkdir(parents=True, exist_ok=True)
    with serving(home) as server, browsing() as browser:
        context = drawing_context(browser, (WIDTH, HEIGHT), SCALE)
        visit = Visit(server, context.new_page())
        written = []
        for picture in pictures_of(run, row):
            visit.open(picture.address)
            file = folder / picture.name
            file.write_bytes(compact(shot(visit.page, picture.title)))
            written.append(file)
        context.close()
    return written


def drawing_context(browser: Browser, size: tuple[int, int], scale: float) -> BrowserContext:
    """A window in the light theme; `scale` pixels of the picture for one of the page."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        color_scheme="light",
        locale="en-GB",
    )
    context.set_default_timeout(PATIENCE * 1000)
    return context


def shot(page: Page, title: str) -> bytes:
    """One chart with its heading and how to read it, as PNG."""
    chart = Chart(page, title).wait().node
    page.wait_for_timeout(600)  # a chart that grows into its place has done so
    return chart.locator("xpath=ancestor::figure").screenshot(type="png")


def compact(png: bytes) -> bytes:
    """The same picture with few colours; SystemExit where it is still too large for a README."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    few = image.quantize(COLOURS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    if len(out.getvalue()) > LARGEST:
        raise SystemExit(f"A picture has {len(out.getvalue()):,} bytes, more than {LARGEST:,}.")
    return out.getvalue()
