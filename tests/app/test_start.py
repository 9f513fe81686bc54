"""Start: the first minute, drawn alone from an empty home."""

from urllib.parse import parse_qs, urlsplit

import pytest

from deepfm.charts.palette import format_probability
from deepfm.config import TERM_SETS
from deepfm.data.synthetic import PINNED, true_probability
from deepfm.explanation import explain
from deepfm.runs.store import Store
from deepfm.ui import state
from deepfm.ui.start_models import MODEL_WORDS
from deepfm.ui.text import plain
from tests.app.conftest import assert_nothing_wrong


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


def link_of(page, label: str) -> tuple[str, dict[str, list[str]]]:
    """The page and the address that a link leads to."""
    (url,) = [each.proto.url for each in page.get("link_button") if each.proto.label == label]
    parts = urlsplit(url)
    return parts.path, parse_qs(parts.query)


def test_the_two_numbers_are_called_a_chance_of_a_click(start):
    shown = html_of(start)
    assert "Chance of a click" in shown
    assert shown.index("Chance of a click") < shown.index("DeepFM says") < shown.index("Truth")


def test_the_very_sentence_can_be_explained_in_detail(start, open_page):
    values = {**PINNED[3].values, "hour": "20:00", "weekday": "Sunday"}
    start.session_state["start_history"] = [dict(PINNED[2].values), values]
    start.run()
    path, address = link_of(start, "Explain this impression in detail")
    assert path == "/impression"
    assert address["run"] == [state.DEMO] and address["list"] == ["pinned"]
    assert address["row"] == ["3"], "the pinned impression that is nearest"
    assert sorted(address["change"]) == ["hour=20:00", "weekday=Sunday"]
    page = open_page("impression", **address)
    score = explain(state.trained(state.DEMO), values).probability
    assert any(plain(f"→ {format_probability(score)}") in each.value for each in page.caption)


def test_an_unchanged_sentence_leads_to_its_pinned_impression(start):
    _, address = link_of(start, "Explain this impression in detail")
    assert address["row"] == ["2"] and "change" not in address


@pytest.mark.parametrize("name", TERM_SETS)
def test_terms_can_be_switched_off(name, open_page):
    page = open_page("start", model=name)
    says = explain(state.demo_model(name), dict(PINNED[2].values)).probability
    shown = html_of(page)
    assert f"{name.replace('&', '&amp;')} says" in shown
    assert format_probability(says, 0) in shown
    assert MODEL_WORDS[name] in [each.value for each in page.caption]
    if name != "DeepFM":
        path, address = link_of(page, plain(f"Train {name} yourself"))
        assert path == "/train" and address == {"dataset": [state.DEMO], "terms": [name]}


def test_the_switch_is_in_the_address(start):
    start.segmented_control(key="model").set_value("FM").run()
    assert_nothing_wrong(start)
    assert start.query_params["model"] == "FM"
    assert "FM says" in html_of(start)
