"""Model: every model, tab and size opens; its runs beside it are the right ones."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.explanation.overall import pair_values
from deepfm.runs.store import NewRun, Store
from deepfm.trained import open_run
from deepfm.ui import model_trained, state
from deepfm.ui.model_kept import Shelf
from deepfm.ui.model_pairs import meetings_table
from tests.unit.run_folders import ALL_MODELS, RunSpec, write_run

TABS = ("Where they disagree", "Shares", "Fields", "Pairs", "Embedding map", "Rare or unseen")
FINGERPRINT = "abc123"


def put_run(home: Path, name: str, spec: RunSpec, group: str | None = None, **train) -> str:
    """A finished run whose folder is a synthetic one; its id."""
    settings = TrainConfig(**train).to_dict()
    with Store.open(home) as store:
        new = NewRun(
            name, home, "Small words", spec.model.to_dict(), settings, fingerprint=FINGERPRINT
        )
        run_id = store.submit_run(new, anew=True).run
        store.claim_run("test")
        folder = store.run_folder(run_id)
        shutil.rmtree(folder, ignore_errors=True)
        write_run(folder, spec)
        store.finish_run(run_id, "finished", result={"part": "test", "auc": 0.7})
    return run_id


def boxes(page) -> list[str]:
    """What must not stand on a page."""
    return [box.value for box in [*page.exception, *page.error, *page.warning]]


def words(page) -> str:
    """All captions and paragraphs, without the backslashes that keep them from being Markdown."""
    return " ".join(e.value for e in [*page.caption, *page.markdown]).replace("\\", "")


def open_every_tab(open_page, run_id: str) -> str:
    """The words of all tabs, one after the other, with nothing wrong on any of them."""
    found = []
    page = open_page("model", run=run_id)
    for tab in TABS:
        page.session_state["view"] = tab
        page.run()
        assert boxes(page) == [], tab
        found.append(words(page))
    return " ".join(found)


@pytest.mark.parametrize("name", list(ALL_MODELS))
def test_every_model_opens_on_every_tab_and_says_what_it_lacks(name, home, open_page):
    model = ModelConfig(**ALL_MODELS[name])
    said = open_every_tab(open_page, put_run(home, name, RunSpec(model=model)))
    assert ("no network" in said) == ("deep" not in model.terms)
    assert ("no pairwise term" in said) == ("pairwise" not in model.terms)
    assert ("no embeddings" in said) == (model.terms == ("linear",))
    assert ("term is the whole score" in said) == (len(model.terms) == 1)


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(categorical=(3, 2), numeric=False),
        RunSpec(categorical=(3,), numeric=False),
        RunSpec(categorical=(3, 2) * 50, numeric=False, rows={"test": 25}, weight_scale=0.1),
        RunSpec(rows={"test": 1}),
        RunSpec(rows={"test": 50}, kept=0),
        RunSpec(rows={"test": 50}, kept=7),
        RunSpec(rows={"train": 30}),
    ],
    ids=["two fields", "one field", "hundred fields", "one row", "none kept", "few kept", "train"],
)
def test_no_size_breaks_a_tab(spec, home, open_page):
    open_every_tab(open_page, put_run(home, "odd", spec))


def test_meetings_tell_their_clicks_in_percent_each_with_as_many_digits(tmp_path):
    model = open_run(write_run(tmp_path / "run", RunSpec(categorical=(4, 3))))
    found = pair_values(model, "word_0", "word_1")
    assert "clicked" not in meetings_table(found), "nobody has counted"
    counted = [dataclasses.replace(each, rows=8, clicks=5) for each in found.strongest]
    table = meetings_table(dataclasses.replace(found, strongest=counted))
    assert set(table["clicked"]) == {62.5}


def test_a_box_in_the_address_is_the_region_that_is_told_about(home, open_page):
    run_id = put_run(home, "box", RunSpec(rows={"test": 200}))
    page = open_page("model", run=run_id, view="Where they disagree", box="-0.5,9,-9,0.2")
    model = open_run(state.run_folder(run_id))
    terms, mean = model.scores().terms, model.reference.mean
    fm, deep = terms.fm - mean.fm, terms.deep - mean.deep
    inside = int(((fm >= -0.5) & (fm <= 9) & (deep >= -9) & (deep <= 0.2)).sum())
    assert f"{inside} of 200 impressions" in words(page)
    assert page.selectbox(key="model_region").value == "Drawn by hand"


@pytest.mark.parametrize("box", ["", "1,2,3", "a,b,c,d", "2,1,0,1", "nan,1,0,1"])
def test_a_box_that_is_none_is_left_out(box, home, open_page):
    run_id = put_run(home, "box", RunSpec(rows={"test": 200}))
    page = open_page("model", run=run_id, view="Where they disagree", box=box)
    assert page.selectbox(key="model_region").value == "FM raises, deep lowers"


def put_scores(run_id: str, **columns: np.ndarray) -> None:
    """Other scores or labels in a run's folder."""
    path = state.run_folder(run_id) / "scores.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table, path)


def test_the_region_that_is_asked_about_at_first_is_not_empty(home, open_page):
    run_id = put_run(home, "alike", RunSpec(rows={"test": 200}))
    mean = open_run(state.run_folder(run_id)).reference.mean
    both = np.linspace(-2, 2, 200)
    put_scores(run_id, linear=both + mean.linear, pairwise=np.full(200, mean.pairwise))
    put_scores(run_id, deep=both + mean.deep)
    page = open_page("model", run=run_id, view="Where they disagree")
    box = page.selectbox(key="model_region")
    assert box.value == "Both raise" and "0.5" in box.label
    assert box.options[0] == "FM raises, deep lowers · 0 impressions"
    assert "75 of 200 impressions" in words(page)


@pytest.mark.parametrize(
    ("fm_knows", "answer"),
    [(False, "The network earns its place"), (True, "Without the network it ranks better")],
)
def test_whether_the_network_earns_its_place_is_asked_of_fm_trained_alone(
    fm_knows, answer, home, open_page
):
    rows = RunSpec(rows={"test": 300})
    deepfm = put_run(home, "DeepFM", rows)
    assert "is not known yet" in words(open_page("model", run=deepfm))
    model = ModelConfig(terms=TERM_SETS["FM"])
    fm = put_run(home, "FM", RunSpec(model=model, rows=rows.rows))
    labels = state.trained(deepfm).scores().labels
    noise = np.random.default_rng(0).normal(size=300)
    put_scores(fm, label=labels, pairwise=8.0 * labels + noise if fm_knows else noise)
    found = words(open_page("model", run=deepfm))
    assert answer in found and "DeLong's paired test" in found


@pytest.mark.parametrize(
    ("name", "dnn_knows", "answer"),
    [
        ("DeepFM", False, "The factorization machine earns its place"),
        ("DeepFM", True, "Without the factorization machine it ranks better"),
        ("Wide & Deep", False, "The linear term earns its place"),
    ],
)
def test_whether_what_stands_beside_the_network_earns_its_place_is_asked_of_dnn(
    name, dnn_knows, answer, home, open_page
):
    rows = {"test": 300}
    whole = put_run(home, name, RunSpec(model=ModelConfig(terms=TERM_SETS[name]), rows=rows))
    assert "factorization machine earns" not in words(open_page("model", run=whole))
    dnn = put_run(home, "DNN", RunSpec(model=ModelConfig(terms=TERM_SETS["DNN"]), rows=rows))
    labels = state.trained(whole).scores().labels
    noise = np.random.default_rng(0).normal(size=300)
    put_scores(dnn, label=labels, deep=8.0 * labels + noise if dnn_knows else noise)
    assert answer in words(open_page("model", run=whole))


# --- the runs beside it ----------------------------------------------------------------------


def test_runs_that_differ_in_terms_alone_stand_beside(home, open_page):
    deepfm = put_run(home, "DeepFM", RunSpec())
    fm = put_run(home, "FM", RunSpec(model=ModelConfig(terms=TERM_SETS["FM"])))
    put_run(home, "other size", RunSpec(model=ModelConfig(terms=TERM_SETS["DNN"], num_factors=4)))
    put_run(home, "other seed", RunSpec(model=ModelConfig(terms=TERM_SETS["LR"])), seed=3)
    found = model_trained.counterparts(deepfm, state.trained(deepfm))
    assert found.trained == {"FM": fm}
    assert found.missing == ("LR", "DNN") and found.group == ""
    page = open_page("model", run=deepfm)
    assert [b.label for b in page.button if b.label == "Compare all five"]
    assert "LR and DNN" in words(page)


def test_the_newest_run_is_taken_and_another_device_is_the_same(home):
    deepfm = put_run(home, "DeepFM", RunSpec())
    put_run(home, "old", RunSpec(model=ModelConfig(terms=TERM_SETS["DNN"])))
    new = put_run(home, "new", RunSpec(model=ModelConfig(terms=TERM_SETS["DNN"])), device="cpu")
    assert model_trained.counterparts(deepfm, state.trained(deepfm)).trained["DNN"] == new
    st.cache_resource.clear()


def test_a_run_of_other_rows_is_not_compared(home):
    deepfm = put_run(home, "DeepFM", RunSpec())
    same = put_run(home, "FM", RunSpec(model=ModelConfig(terms=TERM_SETS["FM"])))
    fewer = RunSpec(model=ModelConfig(terms=TERM_SETS["DNN"]), rows={"test": 20})
    other = put_run(home, "DNN", fewer)
    scores = state.trained(deepfm).scores()
    found = model_trained.judge_counterpart(other, scores, "test")
    assert found is None
    labels = state.trained(same).scores().labels
    beside = model_trained.judge_counterpart(same, scores, "test")
    assert (beside is not None) == bool(np.array_equal(labels, scores.labels))


def test_a_model_of_one_branch_needs_none_beside(home):
    run_id = put_run(home, "LR", RunSpec(model=ModelConfig(terms=TERM_SETS["LR"])))
    found = model_trained.counterparts(run_id, state.trained(run_id))
    assert not found.trained and not found.missing


def test_compare_all_five_queues_them_with_the_runs_own_settings(home, open_page):
    page = open_page("model")
    next(b for b in page.button if b.label == "Compare all five").click().run()
    assert [box.value for box in [*page.exception, *page.error]] == []
    own = state.trained(state.DEMO)
    with Store.open(home) as store:
        rows = store.runs()
    assert {tuple(row.model["terms"]) for row in rows} == set(TERM_SETS.values())
    assert all(row.train == own.train.to_dict() for row in rows)
    assert {row.fingerprint for row in rows} == {own.dataset_fingerprint}


# --- what is kept ----------------------------------------------------------------------------


def test_a_result_is_made_once_and_a_mistake_is_not_kept():
    shelf, made = Shelf(), []

    def make() -> str:
        made.append(1)
        if len(made) == 1:
            raise ValueError("not yet")
        return "it"

    with pytest.raises(ValueError, match="not yet"):
        shelf.get("name", make)
    assert shelf.get("name", make) == shelf.get("name", make) == "it"
    assert len(made) == 2


def test_a_shelf_is_bounded_and_lets_go_of_what_was_not_asked_for_longest():
    shelf = Shelf()
    for number in range(200):
        shelf.get(number, lambda number=number: number)
        shelf.get(0, lambda: -1)
    assert shelf.get(0, lambda: -1) == 0, "always asked for, so never let go"
    assert shelf.get(1, lambda: -1) == -1, "let go, so made again"
