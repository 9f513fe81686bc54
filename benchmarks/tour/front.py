"""The README's first picture: the Start page after “laptop” was changed to “phone”.

python -m benchmarks.tour.front assets/screenshot.png    (needs a Chromium, and no data)
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.app.visit import Visit, browsing
from benchmarks.tour.pictures import compact, drawing_context
from tests.browser.chart import Chart
from tests.browser.server import serving

SIZE = (1280, 720)


def main() -> None:
    """Serve an app with an empty home, make the change, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    with (
        tempfile.TemporaryDirectory() as home,
        serving(Path(home) / "home") as server,
        browsing() as browser,
    ):
        context = drawing_context(browser, SIZE, scale=1)
        visit = Visit(server, context.new_page())
        visit.open("/")
        chart = Chart(visit.page, "What moves this score").wait()
        visit.page.get_by_role("button", name="phone").first.click()
        visit.settle()
        visit.page.get_by_role("button", name="Undo").wait_for()
        chart.wait()
        visit.page.mouse.move(SIZE[0] - 5, 5)  # off the buttons, which light up under it
        visit.page.wait_for_timeout(1000)  # bars and numbers have moved to their places
        file.write_bytes(compact(visit.page.screenshot(type="png")))
        context.close()
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
