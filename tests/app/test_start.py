"""Start: the first minute, drawn alone from an empty home."""

import pytest

from deepfm.charts.palette import format_probability
from deepfm.data.synthetic import PINNED, true_probability
from deepfm.explanation import explain
from deepfm.runs.store import Store
from deepfm.ui import state


@pytest.fixture
def start(open_page):
    return open_page("start")


def html_of(page) -> str:
    return "".join(str(getattr(item, "proto", "")) for item in page.get("html"))


def test_the_first_score_is_the_models_beside_the_truth(start):
    values = dict(PINNED[2].values)
    model = state.trained(state.DEMO)
    shown = html_of(start)
    assert format_probability(explain(model, values).probability, 0) in shown
    assert format_probability(true_probability(values), 0) in shown


def test_a_chosen_word_shows_before_and_after(start):
    before = dict(PINNED[2].values)
    after = {**before, "device": "phone"}
    start.session_state["start_history"] = [before, after]
    start.run()
    model = state.trained(state.DEMO)
    shown = html_of(start)
    for values in (before, after):
        assert format_probability(explain(model, values).probability, 0) in shown
    assert not start.exception


def test_one_click_queues_the_demo_run_with_its_pinned_impressions(start, home):
    start.button[0].click().run()
    assert not start.exception
    (row,) = Store.open(home).runs()
    assert row.state == "queued" and row.dataset_name == "demo"
    assert len(row.pinned) == len(PINNED)
    assert row.dataset_folder.is_dir()
