"""What an impression is measured against: from the address to the parts, and back."""

import pytest
import streamlit as st

from deepfm.explanation import explain
from deepfm.trained import open_run
from deepfm.ui import choosing, impression_population, state
from deepfm.ui.impression_against import most_alike
from tests.app.test_impression import _button, captions
from tests.unit.run_folders import write_run

KINDS = {
    "sample": {},
    "all": {"against": "all"},
    "slice": {"where": "device=phone"},
    "other": {"against": "test:12"},
}


@pytest.fixture
def model(tmp_path):
    yield open_run(write_run(tmp_path / "run"))
    st.cache_resource.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_every_population_can_be_linked_to_and_parts_add_up(kind, open_page, monkeypatch):
    page = open_page("impression", row="3", **KINDS[kind])
    assert [box.value for box in [*page.exception, *page.error, *page.warning]] == []
    monkeypatch.setattr(st, "query_params", _Address(KINDS[kind]))
    model = state.trained(state.DEMO)
    against = impression_population.against_in_address(model)
    assert against.reference.kind == kind and not against.trouble
    why = explain(model, row=3, reference=against.reference)
    assert why.base + why.linear + why.pairwise + why.deep == pytest.approx(why.logit, abs=1e-9)
    raw = model.score(why.ids[None])
    assert why.logit == pytest.approx(float(raw.logit[0]), abs=1e-4)


@pytest.mark.parametrize("tab", ["Fields", "Pairs", "What if", "Arithmetic"])
def test_every_tab_opens_against_another_impression(tab, open_page):
    page = open_page("impression", row="3", against="test:12", change="device=phone")
    page.session_state["impression_tabs"] = tab
    page.run()
    assert [box.value for box in [*page.exception, *page.error, *page.warning]] == []


def test_a_surface_says_in_one_line_how_to_read_it_and_folds_how_it_is_made(open_page):
    page = open_page("impression", row="3")
    page.session_state["impression_tabs"] = "What if"
    page.session_state["impression_question"] = "two"
    page.run()
    assert not page.exception
    (made,) = [each for each in page.expander if each.label.startswith("How it is made")]
    assert not made.proto.expanded
    (words,) = made.markdown
    assert "own order" in words.value and "Take away what each" in words.value
    outside = [each.value for each in page.main.markdown if each.value != words.value]
    assert not any("Take away what each" in each for each in outside)


@pytest.mark.parametrize("question", ["one", "two", "turn"])
def test_every_question_of_what_if_has_an_answer(question, open_page):
    page = open_page("impression", row="3")
    page.session_state["impression_tabs"] = "What if"
    page.session_state["impression_question"] = question
    page.run()
    assert [box.value for box in [*page.exception, *page.error, *page.warning]] == []


def test_all_training_rows_of_a_small_dataset_are_measured_on_the_spot(home, monkeypatch):
    monkeypatch.setattr(st, "query_params", _Address({"against": "all"}))
    model = state.trained(state.DEMO)
    against = impression_population.against_in_address(model)
    assert against.reference.name == "all 48,000 training rows"
    rows = state.dataset(state.DEMO).parts["train"].ids
    assert against.reference.base == pytest.approx(model.score(rows).logit.mean(), abs=1e-4)


def test_a_slice_without_rows_is_said_and_the_sample_taken(home, monkeypatch):
    address = {"where": ["device=phone", "ad=coffee", "site=nowhere at all"]}
    monkeypatch.setattr(st, "query_params", _Address(address))
    against = impression_population.against_in_address(state.trained(state.DEMO))
    assert "None of the" in against.trouble
    assert against.reference.kind == "sample"


@pytest.mark.parametrize(
    "wrong", [{"against": "nonsense"}, {"against": "test:x"}, {"where": "no_such=1"}]
)
def test_what_names_no_population_is_the_sample(wrong, home, monkeypatch):
    monkeypatch.setattr(st, "query_params", _Address(wrong))
    against = impression_population.against_in_address(state.trained(state.DEMO))
    assert against.reference.kind == "sample" and not against.trouble


def test_a_row_that_is_not_there_is_said_with_the_way_out(home, monkeypatch):
    monkeypatch.setattr(st, "query_params", _Address({"against": "test:999999"}))
    against = impression_population.against_in_address(state.trained(state.DEMO))
    assert "There is no row 999,999" in against.trouble


def test_the_population_stays_when_another_row_is_chosen(open_page):
    page = open_page("impression", row="3", where="device=phone")
    _button(page, "Next impression").click().run()
    assert page.query_params["where"] == "device=phone"
    assert page.query_params["row"] == "4"


def test_the_most_alike_row_shares_most_values_and_has_the_label(model):
    why = explain(model, row=5)
    labels = model.scores().labels
    ids = model.impression_ids()
    for label in (0, 1):
        row, shared = most_alike(model, model.part, why, label, leave_out=5)
        assert row != 5 and labels[row] == label
        others = [
            (ids[i] == why.ids).sum() for i in range(len(ids)) if i != 5 and labels[i] == label
        ]
        assert shared == (ids[row] == why.ids).sum() == max(others)


def test_rows_with_the_same_values_are_just_those(model):
    why = explain(model, row=5)
    wanted = {name: why.values[name] for name in ("word_0", "word_1")}
    rows = choosing.rows_with(model, model.part, wanted)
    decoded = [model.decode(ids) for ids in model.impression_ids()]
    slow = [
        i
        for i, values in enumerate(decoded)
        if all(values[name] == why.seen_as[name] for name in wanted)
    ]
    assert rows.tolist() == slow and 5 in rows


def test_the_list_of_same_values_is_gone_through_and_left_again(open_page):
    page = open_page("impression", row="3", list="alike", **{"with": "device=laptop"})
    assert "in this list" in captions(page)
    model = state.trained(state.DEMO)
    _button(page, "Next impression").click().run()
    row = int(page.query_params["row"])
    assert model.impression(row=row).fields["device"] == "laptop"


class _Address(dict):
    """st.query_params as far as it is used here."""

    def get_all(self, name: str) -> list[str]:
        value = self.get(name, [])
        return [value] if isinstance(value, str) else list(value)
