"""The sections on what the network adds beyond pairs: one click, and shown when it is there."""

import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from deepfm.charts.beyond import beyond_figure, beyond_of_one_figure, network_pairs_figure
from deepfm.config import TERM_SETS, ModelConfig
from deepfm.data.synthetic import planted_logit
from deepfm.events import Progress
from deepfm.explanation.beyond import FIGURES, FIT, Beyond, beyond_of_one, find_beyond
from deepfm.runs.store import Store
from deepfm.trained import TrainedModel, open_run
from deepfm.ui.state import DEMO_RUN_FOLDER
from tests.app.conftest import assert_nothing_wrong
from tests.unit.run_folders import RunSpec, write_run


def model_section(folder: str) -> None:
    from deepfm.trained import open_run
    from deepfm.ui.beyond import show_beyond

    show_beyond(open_run(folder))


def impression_section(folder: str) -> None:
    from deepfm.explanation import explain
    from deepfm.trained import open_run
    from deepfm.ui.beyond import show_beyond_of_one

    model = open_run(folder)
    show_beyond_of_one(model, explain(model, row=0))


@pytest.fixture(params=[model_section, impression_section])
def section(request: pytest.FixtureRequest, home: Path):
    """`section(folder)`: either section, drawn for the run in that folder."""

    def draw(folder: Path) -> AppTest:
        page = AppTest.from_function(
            request.param, kwargs={"folder": str(folder)}, default_timeout=60
        )
        return page.run()

    return draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The bundled run, before anybody has asked."""
    copy = tmp_path / "run"
    shutil.copytree(DEMO_RUN_FOLDER, copy, ignore=shutil.ignore_patterns(FIGURES, FIT))
    return copy


@pytest.fixture
def demo() -> TrainedModel:
    return open_run(DEMO_RUN_FOLDER)


@pytest.fixture
def found(demo: TrainedModel) -> Beyond:
    known = find_beyond(demo)
    assert known is not None
    return known


def words(page: AppTest) -> str:
    items = (*page.markdown, *page.caption, *page.error)
    return " ".join(item.value for item in items).replace("\\", "")


def ask(page: AppTest) -> None:
    next(b for b in page.button if b.label == "What does the network add beyond pairs?").click()
    page.run()


def test_one_click_queues_the_job_once(section, folder: Path, home: Path) -> None:
    page = section(folder)
    assert_nothing_wrong(page)
    ask(page)
    with Store.open(home) as store:
        assert [(job.kind, job.payload) for job in store.jobs()] == [
            ("beyond", {"run": str(folder)})
        ]
    again = section(folder)
    assert [button.label for button in again.button] == ["Cancel"]


def test_a_page_opened_again_shows_how_far_the_job_is(section, folder: Path, home: Path) -> None:
    ask(section(folder))
    with Store.open(home) as store:
        job = store.claim_job("test")
        assert job is not None
        progress = Progress("Fitting single fields and pairs", 6, 27, "sweeps")
        store.report_progress(job.id, progress)
        for page in (section(folder), section(folder)):
            assert_nothing_wrong(page)
            assert [button.label for button in page.button] == ["Cancel"]
        page.button[0].click().run()
        assert store.job(job.id).wanted == "stop"


def test_a_job_that_failed_is_told_and_can_be_asked_for_again(
    section, folder: Path, home: Path
) -> None:
    ask(section(folder))
    with Store.open(home) as store:
        job = store.claim_job("test")
        assert job is not None
        store.finish_job(job.id, "failed", error="The disk is full. Free some space.")
    page = section(folder)
    assert "The disk is full" in words(page)
    ask(page)
    with Store.open(home) as store:
        assert [job.state for job in store.jobs()] == ["queued", "failed"]


def test_it_is_shown_when_it_is_there(section) -> None:
    page = section(DEMO_RUN_FOLDER)
    assert_nothing_wrong(page)
    assert not [button for button in page.button if "network add" in button.label]


def test_the_model_section_says_why_the_raw_split_misleads(home: Path) -> None:
    page = AppTest.from_function(model_section, kwargs={"folder": str(DEMO_RUN_FOLDER)})
    said = words(page.run(timeout=60))
    assert "That alone misleads" in said and "needs three fields or more" in said


def test_a_run_without_a_network_says_so(section, tmp_path: Path) -> None:
    spec = RunSpec(model=ModelConfig(terms=TERM_SETS["FM"]))
    page = section(write_run(tmp_path / "fm", spec))
    assert_nothing_wrong(page)
    assert "it has no network" in words(page) and not page.button


def test_damaged_files_are_told_in_words(section, folder: Path) -> None:
    (folder / FIGURES).write_text("{")
    page = section(folder)
    assert not page.exception and "Delete both, and ask again" in words(page)


def test_the_bars_hold_the_figures(found: Beyond) -> None:
    figure = beyond_figure(found, {"Planted": planted_logit()})
    by_row: dict[str, dict[str, float]] = {}
    for bar in figure.data:
        if bar.type == "bar":
            by_row.setdefault(bar.y[0], {})[bar.name] = bar.x[0] / 100
    assert by_row["Score, by term"] == pytest.approx(found.terms)
    network = by_row["Network, by what it takes"]
    assert network["three or more"] == pytest.approx(found.deep.beyond.value)
    assert by_row["Planted"]["pairs"] == pytest.approx(planted_logit().pairs)
    for shares in by_row.values():
        assert sum(shares.values()) == pytest.approx(1)
    whisker = next(trace for trace in figure.data if trace.type == "scatter")
    assert whisker.x[0] / 100 == pytest.approx(1 - found.deep.beyond.value)
    assert whisker.error_x.value / 200 == pytest.approx(found.deep.beyond.standard_error)


def test_the_pairs_stand_the_strongest_first(found: Beyond) -> None:
    bars = network_pairs_figure(found.pairs()).data[0]
    assert list(bars.x) == sorted(bars.x, reverse=True) and len(bars.x) == 12


def test_the_three_bars_of_an_impression_add_up_to_the_fourth(
    demo: TrainedModel, found: Beyond
) -> None:
    one = beyond_of_one(demo, found, demo.impression(row=0).ids)
    values = [bar.x[0] for bar in beyond_of_one_figure(one).data]
    assert sum(values[:3]) == pytest.approx(values[3])


@pytest.fixture(autouse=True)
def forget():
    yield
    st.cache_resource.clear()
