"""The report from a page: made on the click alone, of what is shown, and never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st

from deepfm.data.catalog import open_demo
from deepfm.errors import RunError
from deepfm.ui import report_button
from deepfm.ui.report_button import LABEL
from tests.app.runs_page import open_runs, trained


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], bytes]]:
    """The name of each report that is offered, and what a click on it makes."""
    found: dict[str, Callable[[], bytes]] = {}
    shown = st.download_button

    def remember(label: str, **given):
        if label == LABEL:
            found[given["file_name"]] = given["data"]
        return shown(label, **given)

    monkeypatch.setattr(st, "download_button", remember)
    return found


def test_evaluate_offers_the_report_of_the_rows_it_shows(files, open_page):
    open_page("evaluate")
    (name,) = files
    assert name == "report-bundled-demo-run-test.html"
    whole = files.pop(name)().decode("utf-8")
    assert "<h1>Bundled demo run</h1>" in whole and "How good it is: 500 test rows" in whole
    open_page("evaluate", field="device", value="phone")
    (name,) = files
    assert name == "report-bundled-demo-run-test-device-is-phone.html"
    assert "device is phone" in files[name]().decode("utf-8")


def test_an_impression_s_report_has_its_changed_values(files, open_page):
    open_page("impression", row="3", change="device=phone")
    (name,) = files
    assert name == "why-bundled-demo-run-row-3-changed.html"
    text = files[name]().decode("utf-8")
    assert "Row 3 of the test part with changed values: device from" in text
    assert "200 random orders" in text, "as many as the page draws"


def test_a_trained_run_s_report_stands_beside_its_export(files, home: Path):
    run_id = trained(home, open_demo(home), "a <b>first</b> try")
    open_runs(run_id)
    (name,) = files
    assert name == "report-a-b-first-b-try.html"


def test_what_cannot_be_made_is_a_page_that_says_why(files, open_page, monkeypatch):
    def refuse(*_, **__):
        raise RunError("The run's scores are damaged; export it <again>.")

    open_page("evaluate")
    monkeypatch.setattr(report_button, "run_report", refuse)
    (make,) = files.values()
    text = make().decode("utf-8")
    assert "This report could not be made" in text and "export it &lt;again&gt;." in text
