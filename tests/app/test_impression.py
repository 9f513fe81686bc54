"""Impression: which one is shown, what changing a value does, and that the numbers add up."""

from pathlib import Path

import numpy as np
import pytest
import streamlit as st

from deepfm.charts.palette import format_probability
from deepfm.evaluation import disagreement
from deepfm.explanation import arithmetic, explain
from deepfm.trained import open_run
from deepfm.ui import choosing, impression_arithmetic, impression_table, state
from tests.unit.run_folders import ALL_MODELS, ModelConfig, RunSpec, write_run


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> "Address":
    """The page's address, without a browser."""
    found = Address(run="demo")
    monkeypatch.setattr(st, "query_params", found)
    return found


class Address(dict):
    """st.query_params as far as it is used here: repeated names are lists."""

    def get_all(self, name: str) -> list[str]:
        value = self.get(name, [])
        return [value] if isinstance(value, str) else list(value)

    def from_dict(self, values: dict) -> None:
        self.clear()
        self.update(values)


@pytest.fixture
def model(tmp_path: Path):
    yield open_run(write_run(tmp_path / "run"))
    st.cache_resource.clear()


def captions(page) -> str:
    """All captions, without the backslashes that keep their text from being Markdown."""
    return " ".join(item.value for item in page.caption).replace("\\", "")


def test_next_and_previous_go_through_the_rows_and_round_the_end(open_page):
    page = open_page("impression")
    assert "Row 0 of the test part" in captions(page)
    _button(page, "Next impression").click().run()
    assert page.query_params["row"] == "1"
    assert page.query_params["run"], "tomorrow the newest run may be another one"
    assert "Row 1 of the test part" in captions(page)
    _button(page, "Previous").click().run()
    _button(page, "Previous").click().run()
    last = len(state.trained(state.DEMO).impression_ids()) - 1
    assert page.query_params["row"] == str(last)
    assert not page.exception


def test_a_changed_value_is_scored_at_once_and_put_back(open_page):
    page = open_page("impression", row="3", change="device=phone")
    assert "1 of 10 values changed" in captions(page)
    assert not page.exception
    _button(page, "Put back").click().run()
    assert "change" not in page.query_params
    assert "changed" not in captions(page)


@pytest.mark.parametrize("tab", ["Fields", "Pairs", "What if", "Beyond pairs", "Arithmetic"])
def test_every_tab_opens_without_a_word_of_trouble(tab, open_page):
    page = open_page("impression")
    page.session_state["impression_tabs"] = tab
    page.run()
    assert [box.value for box in [*page.exception, *page.error, *page.warning]] == []


def test_a_pinned_impression_opens_from_its_link(open_page):
    page = open_page("impression", pinned="1")
    assert "2 of 4 pinned impressions" in captions(page)
    titles = [item.value for item in page.markdown]
    assert "#### Coffee in the evening, a composed impression" in titles
    assert "changed" not in captions(page)
    assert "clicked" not in captions(page), "nobody saw a composed impression"


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": "x"},
        {"row": "-1"},
        {"row": "999999"},
        {"part": "../.."},
        {"list": "nope"},
        {"change": "no_such_field=1"},
        {"change": "device"},
        {"pinned": "99"},
    ],
)
def test_what_the_address_names_wrongly_falls_back(wrong, open_page):
    page = open_page("impression", **wrong)
    assert "of the test part" in captions(page) or "pinned impressions" in captions(page)


def test_lists_by_score_are_not_called_mistakes_which_only_a_threshold_makes(open_page):
    page = open_page("impression", list="others")
    (box,) = [each for each in page.selectbox if "All rows, in file order" in each.options]
    assert {"Clicked, lowest score first", "Not clicked, highest score first"} <= {*box.options}
    assert not [each for each in box.options if "alarm" in each or "issed" in each]


def test_clicks_and_others_come_in_the_order_of_their_score(model):
    scores = model.scores()
    logit = scores.terms.logit
    clicks = choosing.rows_of(model, model.part, "clicks")
    others = choosing.rows_of(model, model.part, "others")
    assert set(clicks) == set(np.flatnonzero(scores.labels == 1))
    assert set(others) == set(np.flatnonzero(scores.labels == 0))
    assert (np.diff(logit[clicks]) >= 0).all()
    assert (np.diff(logit[others]) <= 0).all()


def test_the_strongest_disagreement_comes_first_and_only_disagreements(model):
    strength = disagreement(model.scores().terms, model.reference.mean)
    rows = choosing.rows_of(model, model.part, "apart")
    assert set(rows) == set(np.flatnonzero(strength > 0))
    assert (np.diff(strength[rows]) <= 0).all()
    assert rows[0] == strength.argmax()


def test_a_rows_own_value_is_no_change(model, address):
    choice = choosing.choice_in_address(model)
    own = choosing.original_of(model, choice).values
    field = model.fields[0].name
    choosing.change_value(choice, own, field, "something = else")
    changed = choosing.choice_in_address(model)
    assert changed.changes == {field: "something = else"}
    choosing.change_value(changed, own, field, own[field])
    assert choosing.choice_in_address(model).changes == {}


def test_going_to_another_row_puts_the_changes_back(model, address):
    choice = choosing.choice_in_address(model)
    own = choosing.original_of(model, choice).values
    choosing.change_value(choice, own, model.fields[0].name, "other")
    choosing.step(choice, 1)
    after = choosing.choice_in_address(model)
    assert after.row == 1 and after.changes == {}


def test_random_never_stays_where_it_is(model, address):
    for _ in range(20):
        choice = choosing.choice_in_address(model)
        choosing.random_step(choice)
        assert choosing.choice_in_address(model).row != choice.row


def test_the_table_has_the_raw_values_of_its_rows(model):
    rows = np.array([5, 2])
    table = impression_table.table_of(model, model.part, rows)
    raw = model.impressions(model.part).take(rows)
    assert table["row"].tolist() == [5, 2]
    for field in model.fields:
        assert table[field.name].tolist() == raw[field.name].to_pylist()
    shown = model.scores().terms[rows].probability * 100
    assert table["model %"].to_numpy() == pytest.approx(shown, abs=0.006)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_the_arithmetic_adds_up_for_every_model(name, tmp_path):
    run = write_run(tmp_path / "run", RunSpec(model=ModelConfig(**ALL_MODELS[name])))
    model = open_run(run)
    for row in range(10):
        why = explain(model, row=row)
        raw = model.score(why.ids[None, :])
        numbers = arithmetic(model, why.ids)
        steps = impression_arithmetic.steps_table(why)
        changes = steps["change"].dropna().sum()
        assert steps["logit"].iloc[0] + changes == pytest.approx(why.logit, abs=1e-9)
        assert steps["logit"].iloc[-2] == pytest.approx(steps["logit"].iloc[-1], abs=1e-9)
        if "linear" in why.terms:
            linear = impression_arithmetic.linear_table(why, numbers.linear)["a·w"].sum()
            assert linear == pytest.approx(float(raw.linear[0]), abs=1e-6)
        if "pairwise" in why.terms:
            half = impression_arithmetic.pairwise_table(numbers.pairwise)[
                "half the difference"
            ].sum()
            assert half == pytest.approx(float(raw.pairwise[0]), abs=1e-5)
        table = impression_arithmetic.centred_table(why).set_index("term")
        parts, total = table.iloc[:-1], table.iloc[-1]
        for term in why.terms:
            shown = table.loc[term, "this impression"]
            assert shown == pytest.approx(float(getattr(raw, term)[0]), abs=1e-4)
        for column in table:
            assert parts[column].sum() == pytest.approx(total[column], abs=1e-5)


def test_shown_numbers_add_up_or_say_that_they_were_rounded(tmp_path):
    model = open_run(write_run(tmp_path / "run"))
    for row in range(40):
        words = impression_arithmetic.sum_in_words(explain(model, row=row))
        shown = words.split(" = ")[0].replace("(and ", "").replace(" from rounding", "")
        numbers = [float(word.replace("−", "-")) for word in shown.split() if _is_number(word)]
        total = float(words.split("**")[1].replace("−", "-"))
        assert sum(numbers) == pytest.approx(total, abs=1e-9)


def _is_number(word: str) -> bool:
    return word.lstrip("+−").replace(".", "").isdigit()


def test_what_happened_and_the_truth_stand_beside_the_row(open_page):
    page = open_page("impression", row="0")
    kept = state.trained(state.DEMO).impression(row=0)
    assert f"true probability {format_probability(kept.truth)}" in captions(page)
    assert ("not clicked" in captions(page)) == (kept.label == 0)


def _button(page, label: str):
    return next(button for button in page.button if button.label == label)


def test_that_another_training_divides_the_score_otherwise_is_said(open_page):
    said = [box.value for box in open_page("impression").caption]
    assert any("another share of pairs and network" in each for each in said)
