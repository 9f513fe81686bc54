"""The Runs page as a test sees it: its table, its words, what differs."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.runs.store import NewRun, RunRow, Store
from tests.app import runs_in_store
from tests.app.conftest import assert_nothing_wrong

PAGE = Path(__file__).resolve().parents[2] / "pages" / "runs.py"


def run_named(home: Path, run_id: str) -> RunRow:
    """One run as it is in the store."""
    with Store.open(home) as store:
        return store.run(run_id)


def trained(home: Path, demo: Dataset, name: str, **settings: object) -> str:
    """A finished run, as far as the store knows."""
    run_id = runs_in_store.queue(home, demo, name, **settings)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id)
    return run_id


def five(home: Path, demo: Dataset) -> str:
    """A group of the five models that wait; its id."""
    runs = [
        NewRun(
            name,
            demo.folder,
            demo.name,
            ModelConfig(terms=terms).to_dict(),
            TrainConfig().to_dict(),
            fingerprint=demo.fingerprint,
        )
        for name, terms in TERM_SETS.items()
    ]
    with Store.open(home) as store:
        return store.submit_group("All five on demo", runs).group


def open_runs(*selected: str, **address: Any) -> AppTest:
    """The page with some runs ticked."""
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    if selected:
        page.query_params["selected"] = list(selected)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert_nothing_wrong(page)
    return page


def table(page: AppTest) -> dict[str, Any]:
    """What the table's component was given: columns, order, rows."""
    found = [each.proto for each in page.get("bidi_component")]
    (proto,) = [each for each in found if each.component_name == "deepfm_runs"]
    data: dict[str, Any] = json.loads(proto.json)
    return data


def column(page: AppTest, name: str) -> list[Any]:
    """One column of the table, top to bottom."""
    return [row[name] for row in table(page)["rows"]]


def words(page: AppTest) -> str:
    """All sentences of the page, as a reader sees them."""
    boxes = [*page.markdown, *page.caption, *page.subheader]
    return "\n".join(str(box.value).replace("\\", "").replace("\u2060", "") for box in boxes)


class _Cells(HTMLParser):
    """The rows of an HTML table as lists of text."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A row or a cell begins."""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        """Text of a cell."""
        if self._cell:
            self.rows[-1][-1] += data


def differing(page: AppTest) -> list[dict[str, str]]:
    """What differs, one dictionary a run: heading to cell."""
    (body,) = [box.proto.body for box in page.get("html") if "dfm-differences" in box.proto.body]
    cells = _Cells()
    cells.feed(body)
    _, headings, *lines = cells.rows
    return [dict(zip(headings, line, strict=True)) for line in lines]
