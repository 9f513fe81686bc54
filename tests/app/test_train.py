"""The Train page: mistakes stand at their field, the address holds the form, runs are watched."""

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from deepfm.charts.palette import NO_VALUE
from deepfm.config import PRESETS, TERM_SETS, ModelConfig, PrepareConfig, TrainConfig
from deepfm.data.catalog import PINNED, open_demo
from deepfm.data.dataset import Dataset, open_dataset, prepare
from deepfm.events import Finished, Notice, Resumed
from deepfm.runs.store import FILE_NAME, RunRow, Store
from deepfm.ui.expected import Size, expected, measured_rates, size_of
from deepfm.ui.queue_words import group_waits_in_words
from deepfm.ui.run_words import when_in_words
from deepfm.ui.text import plain
from deepfm.ui.train_form import MORE_OPEN, all_settings, run_name
from tests.app import runs_in_store
from tests.app.conftest import assert_nothing_wrong

Opener = Callable[..., AppTest]


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's dataset folder, made once."""
    return open_demo(tmp_path_factory.mktemp("demo")).folder


@pytest.fixture
def demo(home: Path, made_demo: Path) -> Dataset:
    """The demo in this test's home."""
    folder = home / "datasets" / made_demo.name
    shutil.copytree(made_demo, folder)
    return open_dataset(folder)


def runs_of(home: Path) -> list[RunRow]:
    with Store.open(home) as store:
        return store.runs()


def field(page: AppTest, setting: str):  # type: ignore[no-untyped-def]
    """A setting's text field; its key is numbered once it was filled from outside."""
    key = re.compile(rf"train_{setting}(_[0-9]+)?")
    return next(box for box in page.text_input if key.fullmatch(str(box.key)))


def with_more(page: AppTest) -> AppTest:
    """The page with its other settings open."""
    page.session_state[MORE_OPEN] = True
    return page.run()


def words(page: AppTest) -> str:
    """All text on the page, Markdown's escapes taken away."""
    boxes = [*page.markdown, *page.caption, *page.error, *page.info]
    return "\n".join(str(box.value).replace("\\", "").replace("\u2060", "") for box in boxes)


def mistakes(page: AppTest) -> list[str]:
    return [
        str(box.value).replace("\\", "").replace("\u2060", "")
        for box in page.caption
        if str(box.value).startswith(":red[")
    ]


def costs(page: AppTest) -> list[str]:
    """The values of parameters, memory and time."""
    (cost,) = [box.proto.body for box in page.get("html") if "Parameters" in box.proto.body]
    return re.findall("<b>(.*?)</b>", cost)


# --- the form --------------------------------------------------------------------------------


def test_train_queues_the_demo_with_the_settings_of_its_preset(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    page.button(key="train_one").click().run()
    assert_nothing_wrong(page)
    (row,) = runs_of(home)
    assert (row.state, row.dataset_name, row.train["epochs"]) == ("queued", "demo", 20)
    assert row.name == "DeepFM, quick"
    assert [dict(values) for values in row.pinned] == [dict(each.values) for each in PINNED]
    assert page.query_params["run"] == row.id
    assert "next in the queue" in words(page)


@pytest.mark.parametrize(
    ("setting", "text", "sentence"),
    [
        ("learning_rate", "0", "Learning rate is 0.0. It must be above 0 and at most 10."),
        ("learning_rate", "-1", "Learning rate is -1.0."),
        ("learning_rate", "nan", "Learning rate is nan."),
        ("learning_rate", "inf", "Learning rate is inf."),
        ("learning_rate", "fast", "Learning rate: 'fast' is not a number."),
        ("learning_rate", "", "Learning rate is empty. It must be above 0 and at most 10."),
        ("num_factors", " ", "Factor size is empty. It must be at least 1 and at most 1,024."),
        ("mlp_dims", "30,,10", "MLP dims: '30,,10' is not a list of whole numbers"),
        ("mlp_dims", ",".join(["8"] * 17), "MLP dims: give 1 to 16 layers."),
        ("epochs", "1000000000", "Epochs is 1000000000. It must be at least 1"),
        ("num_factors", "<b>8</b>", "Factor size: '<b>8</b>' is not a whole number."),
        ("num_factors", "0", "Factor size is 0. It must be at least 1 and at most 1,024."),
        ("drop_rate", "1", "Drop rate is 1.0."),
    ],
)
def test_a_mistake_stands_at_its_field_and_what_was_typed_is_kept(
    open_page: Opener, demo: Dataset, home: Path, setting: str, text: str, sentence: str
) -> None:
    page = with_more(open_page("train"))
    field(page, setting).set_value(text).run()
    assert any(sentence in each for each in mistakes(page)), mistakes(page)
    page.button(key="train_one").click().run()
    assert_nothing_wrong(page)
    assert field(page, setting).value == text
    assert any("Mend first" in each for each in mistakes(page))
    assert costs(page) == [NO_VALUE] * 3, "their place stays, so that nothing below moves"
    assert runs_of(home) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "DeepFM, quick"),
        (
            {"num_factors": 16, "mlp_dims": (400, 400, 400), "learning_rate": 0.002},
            "DeepFM, K 16, MLP 400-400-400, lr 0.002",
        ),
        (
            {"num_factors": 16, "mlp_dims": (400,) * 12, "learning_rate": 0.002, "seed": 3},
            "DeepFM, K 16, lr 0.002, seed 3 …",
        ),
        (
            {"shared_embedding": False, "embedding_drop_rate": 0.25, "batch_size": 512,
             "optimizer": "lazy-adam", "mlp_precision": "bfloat16", "epochs": 60},
            "DeepFM, epochs 60, batch 512, optimizer lazy-adam …",
        ),
        ({"mlp_dims": (1024,) * 16}, "DeepFM, quick …"),
    ],
)  # fmt: skip
def test_a_run_is_named_by_what_tells_it_from_others(changes: dict[str, Any], name: str) -> None:
    preset = PRESETS["quick"]
    names = {setting.name for setting in ModelConfig.settings()}
    values = {**preset.model, **preset.train, **changes}
    model = ModelConfig(**{k: v for k, v in values.items() if k in names})
    train = TrainConfig(**{k: v for k, v in values.items() if k not in names})
    assert run_name(preset, model, train) == name
    assert len(name) <= 60


def test_a_mistake_in_the_other_settings_is_said_at_the_button_which_opens_them(
    open_page: Opener, demo: Dataset
) -> None:
    page = with_more(open_page("train"))
    field(page, "seed").set_value("x").run()
    page.session_state[MORE_OPEN] = False
    page.run()
    page.button(key="train_one").click().run()
    assert page.session_state[MORE_OPEN]
    assert_nothing_wrong(page)
    page = open_page("train", seed="x")
    assert page.session_state[MORE_OPEN], "a link to a mistake shows it"


def test_other_settings_count_while_they_are_folded_away(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = with_more(open_page("train"))
    field(page, "seed").set_value("7").run()
    page.session_state[MORE_OPEN] = False
    page.run()
    assert not [box for box in page.text_input if str(box.key).startswith("train_seed")]
    page.button(key="train_one").click().run()
    assert_nothing_wrong(page)
    assert [row.train["seed"] for row in runs_of(home)] == [7]


def test_a_model_larger_than_allowed_is_a_mistake_of_its_factor_size(
    open_page: Opener, demo: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_PARAMETERS", "20000")
    page = open_page("train")
    field(page, "num_factors").set_value("500").run()
    assert any("at most 20,000 parameters are allowed" in each for each in mistakes(page))


def test_settings_that_do_not_go_together_are_a_mistake_of_one_of_them(
    open_page: Opener, demo: Dataset
) -> None:
    page = open_page("train", optimizer="lazy-adam", weight_decay="0.1")
    assert any("does not go with lazy-adam" in each for each in mistakes(page))


def test_a_link_opens_the_same_form(open_page: Opener, demo: Dataset) -> None:
    page = open_page("train", preset="d2l", num_factors="7", mlp_dims="64,,", seed="3")
    assert field(page, "num_factors").value == "7"
    assert field(page, "mlp_dims").value == "64,,"
    assert field(page, "epochs").value == "30"
    assert page.query_params["seed"] == "3"
    assert mistakes(page)


def test_the_address_holds_what_differs_from_the_preset_and_nothing_else(
    open_page: Opener, demo: Dataset
) -> None:
    page = open_page("train")
    field(page, "epochs").set_value("4").run()
    assert page.query_params["epochs"] == "4"
    field(page, "epochs").set_value("20").run()
    assert "epochs" not in page.query_params


def test_every_setting_has_its_help_with_bounds_and_default(
    open_page: Opener, demo: Dataset
) -> None:
    page = with_more(open_page("train"))
    fields = {each.key: each for each in (*page.text_input, *page.selectbox, *page.toggle)}
    for setting in all_settings().values():
        shown = fields[f"train_{setting.name}"].help.replace("\\", "").replace("\u2060", "")
        assert shown.startswith(setting.help), setting.name
        assert setting.bounds in shown and "Default: " in shown
    for name, words in {
        "epochs": "Default: 30, in this preset 20.",
        "shared_embedding": "Default: on.",
        "terms": "Default: DeepFM.",
    }.items():
        assert plain(words) in fields[f"train_{name}"].help


def test_another_preset_brings_its_values_and_leaves_the_model(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = with_more(open_page("train"))
    page.selectbox(key="train_terms").set_value("FM").run()
    page.segmented_control(key="train_preset").set_value("real-data").run()
    assert field(page, "num_factors").value == "128"
    assert field(page, "patience").value == "3"
    page.button(key="train_one").click().run()
    (row,) = runs_of(home)
    assert row.model["terms"] == ["linear", "pairwise"]
    assert row.train["embedding_l2"] == 0.001
    assert page.query_params["preset"] == "real-data"


def test_a_preset_says_what_was_changed_in_it(open_page: Opener, demo: Dataset) -> None:
    page = open_page("train")
    assert "changed:" not in words(page)
    field(page, "epochs").set_value("3000").run()
    assert "Quick, changed: epochs 3000." in words(page)
    field(page, "epochs").set_value("20").run()
    assert "changed:" not in words(page)
    page = open_page(
        "train", preset="your-data", terms="FM", patience="300", shared_embedding="False", seed="7"
    )
    said = "Your data, changed: model FM, shared embedding off, patience 300, seed 7."
    assert said in words(page)
    page = open_page("train", mlp_dims="400,400,400", learning_rate="0.002", num_factors="16",
                     monitor="log_loss", optimizer="lazy-adam")  # fmt: skip
    said = "Quick, changed: factor size 16, MLP dims 400,400,400, learning rate 0.002 …"
    assert said in words(page)


def test_a_run_beside_the_form_says_whether_its_settings_stand_there(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    assert "the run shown" not in words(page)
    page.button(key="train_one").click().run()
    assert "With the settings of the run shown." in words(page)
    field(page, "mlp_dims").set_value("8,4").run()
    assert "Next run; the one shown has other settings." in words(page)
    (line,) = [box for box in page.caption if "the one shown" in box.value]
    assert "Train again with changes" in line.help
    (row,) = runs_of(home)
    runs_in_store.begin(home, row.id)
    runs_in_store.finish(home, row.id)
    page.run()
    page.button(key="train_fill").click().run()
    assert_nothing_wrong(page)
    assert "With the settings of the run shown." in words(page)


def test_a_preset_that_is_none_gives_that_of_the_dataset(open_page: Opener, demo: Dataset) -> None:
    page = open_page("train", preset="<script>")
    assert page.segmented_control(key="train_preset").value == "quick"


def test_a_dataset_of_ones_own_starts_with_small_batches_and_is_told_where_steps_are_few(
    open_page: Opener, own: Dataset
) -> None:
    page = with_more(open_page("train", dataset=own.fingerprint))
    assert page.segmented_control(key="train_preset").value == "your-data"
    assert field(page, "batch_size").value == "256"
    page.segmented_control(key="train_preset").set_value("quick").run()
    assert any("steps, too few to learn much" in each.value for each in page.caption)


def test_a_training_that_would_be_stopped_at_the_limit_is_told_before(
    open_page: Opener, demo: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_TRAIN_MINUTES", "1000")
    page = open_page("train", epochs="2000", mlp_dims="512,512", patience="4")
    assert "that a training may take here" not in words(page)
    monkeypatch.setenv("DEEPFM_MAX_TRAIN_MINUTES", "1")
    field(page, "epochs").set_value("2001").run()
    (said,) = [line for line in words(page).splitlines() if "Longer than" in line]
    epoch = re.fullmatch(
        r"Longer than the 1 minute that a training may take here: it would be stopped then, at "
        r"about epoch (\d+), unless its patience ends it before\.",
        said,
    )
    assert epoch is not None and 1 <= int(epoch[1]) < 2001


def test_a_long_training_is_told_of_those_who_wait(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    runs_in_store.queue(home, demo, owner="user:test@example.com")
    long = {"epochs": "500", "mlp_dims": "512,512", "batch_size": "256"}
    assert "Runs of others" not in words(open_page("train", **long))
    runs_in_store.queue(home, demo, owner="user:ben")
    st.cache_resource.clear()  # what was seen a moment ago
    assert "Runs of others wait in the queue" in words(open_page("train", **long))
    assert "Runs of others" not in words(open_page("train"))


def test_compare_all_five_queues_them_as_one_group_with_the_same_settings(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train", seed="5")
    page.button(key="train_five").click().run()
    assert_nothing_wrong(page)
    rows = runs_of(home)[::-1]
    assert [row.name for row in rows] == list(TERM_SETS)
    assert len({row.group for row in rows}) == 1
    assert {row.train["seed"] for row in rows} == {5}
    assert page.query_params["group"] == rows[0].group
    assert "0 of 5 done" in words(page)


def test_a_full_queue_is_said_at_the_button(
    open_page: Opener, demo: Dataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_QUEUED", "1")
    runs_in_store.queue(home, demo)
    page = open_page("train")
    page.button(key="train_one").click().run()
    assert "1 runs wait already" in words(page)
    assert not page.exception


# --- watching --------------------------------------------------------------------------------


def test_a_run_in_the_address_is_watched_from_anywhere(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, "My <b>run</b> *", epochs=9)
    runs_in_store.begin(home, run_id)
    page = open_page("train", run=run_id)
    assert "My <b>run</b> *" in words(page)
    page.button(key="train_stop").click().run()
    assert page.button(key="train_stop").label == "Stopping…"
    assert page.button(key="train_stop").disabled
    with Store.open(home) as store:
        assert store.run(run_id).wanted == "stop"


@pytest.mark.parametrize("begun", [True, False])
def test_another_person_s_run_is_stopped_after_a_question_and_says_by_whom(
    open_page: Opener, demo: Dataset, home: Path, begun: bool
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9, owner="user:ben")
    if begun:
        runs_in_store.begin(home, run_id)
    page = open_page("train", run=run_id)
    assert "**A run** by ben" in words(page)
    page.button(key="train_stop").click().run()
    assert "Stop ben's run?" in words(page.run()), "it goes on asking"
    page.button(key="train_stop_no").click().run()
    assert "Stop ben's run?" not in words(page)
    assert runs_of(home)[0].wanted == "train"
    page.button(key="train_stop").click().run()
    page.button(key="train_stop_yes").click().run()
    (row,) = runs_of(home)
    assert (row.wanted, row.stopped_by) == ("stop", "user:test@example.com")
    if begun:
        assert "Stopping, asked by test@example.com; what was learned is kept" in words(page)
        assert page.button(key="train_stop").disabled
        end = Finished(2, 2, 2.0, 1e5, 2e5, "test", 10, 0.68, 0.5, 0.49, 0.8, 0.225)
        with Store.open(home) as store:
            store.finish_run(run_id, "stopped", result=vars(end), events=[end])
        page.run()
    where = " in epoch 2" if begun else ""
    assert f"Stopped{where} by test@example.com" in words(page)
    assert_nothing_wrong(page)


def test_one_s_own_run_is_stopped_at_once_without_naming_anybody(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9, owner="user:test@example.com")
    page = open_page("train", run=run_id)
    page.button(key="train_stop").click().run()
    assert runs_of(home)[0].state == "stopped"
    assert "test@example.com" not in words(page)


def test_a_stop_that_cannot_be_written_is_told_in_a_sentence(
    open_page: Opener, demo: Dataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepfm.runs.store.database.BUSY_SECONDS", 0.1)
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id)
    page = open_page("train", run=run_id)
    with contextlib.closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        page.button(key="train_stop").click().run()
    assert not page.exception
    assert "locked by another process" in page.toast[0].value.replace("\\", "")
    assert page.button(key="train_stop").label == "Stop"


def test_a_finished_run_offers_the_ways_on_and_its_notices(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, num_factors=6, epochs=2)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id, Notice("memorising", "It is *memorising*."))
    page = open_page("train", run=run_id)
    labels = {button.label for button in page.button}
    ways = {"Evaluate", "Explain an impression", "Compare all five", "Train again with changes"}
    assert ways <= {label.replace("\\", "") for label in labels}
    assert "It is *memorising*." in words(page)
    page.button(key="train_fill").click().run()
    assert_nothing_wrong(page)
    assert field(page, "num_factors").value == "6"
    assert field(page, "epochs").value == "2"


def test_a_pinned_card_opens_the_impression_that_the_run_watched(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=2)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id)
    page = open_page("train", run=run_id)
    # A page that runs alone links by address.
    ways = [parse_qs(urlsplit(link.proto.url).query) for link in page.get("link_button")]
    cards = [way for way in ways if "pinned" in way]
    assert cards == [{"run": [run_id], "pinned": [str(k)]} for k in range(len(PINNED))]
    assert "at rest: epoch 2, kept" in words(page)


def test_nothing_stands_between_a_newcomer_and_the_earlier_runs(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    runs_in_store.queue(home, demo, "An earlier run")
    page = open_page("train", dataset="demo")
    assert "4 impressions are watched" in words(page)
    assert "truth" not in words(page)
    (ahead,) = page.get("bidi_component")
    assert "ahead_of_train_curves" in ahead.proto.id, "no chart of zeros in sight"


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_run_that_ended_badly_says_why(
    open_page: Opener, demo: Dataset, home: Path, state: str
) -> None:
    run_id = runs_in_store.queue(home, demo)
    runs_in_store.begin(home, run_id)
    runs_in_store.fail(home, run_id, "The machine ran out of memory.", state)
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    assert [box.value.replace("\\", "") for box in page.error] == ["The machine ran out of memory."]
    assert not page.exception


def test_a_run_that_waits_says_its_place_and_can_be_stopped(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    runs_in_store.queue(home, demo)
    second = runs_in_store.queue(home, demo)
    page = open_page("train", run=second)
    assert "number 2 in the queue" in words(page)
    page.button(key="train_stop").click().run()
    assert_nothing_wrong(page)
    assert "Stopped before it began." in words(page)


@pytest.mark.parametrize("run_id", ["0000000000000", "../../etc/passwd", "<b>x</b>", "a" * 500])
def test_a_run_that_is_not_there_is_one_sentence(demo: Dataset, run_id: str) -> None:
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    assert not page.exception
    assert len(page.error) == 1


def test_a_run_whose_dataset_is_gone_can_still_be_watched(demo: Dataset, home: Path) -> None:
    with Store.open(home) as store:
        run_id = store.queue_run("An old run", home / "gone", "mine", {}, {}, fingerprint="gone")
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    assert not page.exception
    assert "it may have been deleted" in words(page)
    assert "An old run" in words(page)


def test_a_group_is_one_chart_and_one_table(open_page: Opener, demo: Dataset, home: Path) -> None:
    page = open_page("train")
    page.button(key="train_five").click().run()
    first = runs_of(home)[-1]
    runs_in_store.begin(home, first.id)
    runs_in_store.finish(home, first.id)
    page.run()
    assert_nothing_wrong(page)
    table = page.dataframe[0].value
    assert list(table["terms"]) == ["L", "L P", "D", "L D", "L P D"]
    assert table["test AUC"][0] == pytest.approx(0.68)
    page.button(key="group_stop").click().run()
    assert {row.state for row in runs_of(home)} == {"finished", "stopped"}


def test_a_group_that_has_ended_leads_on_to_its_runs_together_and_to_its_best(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    page.button(key="train_five").click().run()
    assert not ways_on(page)
    for row in runs_of(home)[::-1]:
        runs_in_store.begin(home, row.id, epochs=3 if row.name == "DNN" else 2)
        runs_in_store.finish(home, row.id)
    page.run()
    assert_nothing_wrong(page)
    best = next(row for row in runs_of(home) if row.name == "DNN")
    together, model = ways_on(page)
    assert f"run={best.id}" in together and "view=Other+runs" in together
    assert f"run={best.id}" in model
    assert "All done" in words(page)


def test_earlier_runs_are_named_with_their_auc_and_time_and_lead_to_all(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    for number in range(3):
        run_id = runs_in_store.queue(home, demo, f"Run {number}")
        runs_in_store.begin(home, run_id)
        runs_in_store.finish(home, run_id)
    page = open_page("train")
    buttons = [each.proto for each in page.get("link_button")]
    labels = [each.label.replace("\\", "").replace("\u2060", "") for each in buttons]
    time_ = when_in_words(runs_of(home)[0].created)
    assert f"Run 2 · test AUC 0.6800 · {time_}" in labels
    assert "All runs on this dataset" not in labels
    runs_in_store.queue(home, demo, "Run 3")
    page = open_page("train")
    buttons = [each.proto for each in page.get("link_button")]
    labels = [each.label.replace("\\", "").replace("\u2060", "") for each in buttons]
    assert any(label.startswith("Run 3 · waiting · ") for label in labels)
    assert buttons[labels.index("All runs on this dataset")].url.endswith(demo.fingerprint)


def ways_on(page: AppTest) -> list[str]:
    """Where the links to Evaluate and Model lead."""
    return [
        each.proto.url
        for each in page.get("link_button")
        if each.proto.url.startswith(("/evaluate?", "/model?"))
    ]


# --- data of one's own -----------------------------------------------------------------------


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    file = tmp_path / "my clicks.csv"
    lines = [f"{row % 3 // 2},<b>{row % 5}</b>,{row % 7}" for row in range(400)]
    file.write_text("\n".join(("click,*site*,hour", *lines)) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def own(home: Path, own_file: Path) -> Dataset:
    """A dataset of a file, prepared by a job as the Data page queues it."""
    payload = {"train": str(own_file), "test": None, "schema": None, "config": {}}
    with Store.open(home) as store:
        job_id = store.queue_job("prepare", payload)
        store.claim_job("test")
        dataset = prepare(own_file, config=PrepareConfig(), name="<i>mine</i>")
        result = {"folder": str(dataset.folder), "fingerprint": dataset.fingerprint}
        store.finish_job(job_id, "finished", result=result)
    return dataset


def test_one_field_is_one_field(open_page: Opener, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    rows = [f"{row % 3 // 2},s{row % 5}" for row in range(400)]
    file.write_text("\n".join(("click,site", *rows)) + "\n", encoding="utf-8")
    dataset = prepare(file, config=PrepareConfig(), name="one")
    assert " clicked, 1 field, " in words(open_page("train", dataset=dataset.fingerprint))


def test_a_preset_that_wants_other_data_offers_to_prepare_them_again(
    open_page: Opener, own: Dataset, home: Path
) -> None:
    page = open_page("train", dataset=own.fingerprint, preset="d2l")
    assert "prepares the data with validation 0 (this dataset has 0.1)" in words(page)
    page.button(key="train_again").click().run()
    assert_nothing_wrong(page)
    with Store.open(home) as store:
        job = store.jobs()[0]
        assert job.kind == "prepare"
        assert job.payload["config"]["validation"] == 0.0
        assert job.payload["config"]["min_count"] == 4
        assert job.payload["train"].endswith("my clicks.csv")
        assert page.button(key="train_prepare_cancel").label == "Cancel"
        store.claim_job("test")
        again = prepare(job.payload["train"], config=PrepareConfig(validation=0.0), name="again")
        store.finish_job(job.id, "finished", result={"fingerprint": again.fingerprint})
    page.run()
    assert_nothing_wrong(page)
    assert page.query_params["dataset"] == again.fingerprint
    assert page.segmented_control(key="train_preset").value == "d2l"
    assert "prepares the data with" not in words(page)


def test_preparing_again_that_fails_says_why_and_keeps_the_dataset(
    open_page: Opener, own: Dataset, home: Path
) -> None:
    page = open_page("train", dataset=own.fingerprint, preset="real-data")
    page.button(key="train_again").click().run()
    with Store.open(home) as store:
        job = store.claim_job("test")
        assert job is not None
        store.finish_job(job.id, "failed", error="The file is gone.")
    page.run()
    assert [box.value.replace("\\", "") for box in page.error] == [
        "Preparing again failed. The file is gone."
    ]
    assert page.query_params["dataset"] == own.fingerprint


def test_names_and_values_of_ones_own_data_are_shown_as_they_are(
    open_page: Opener, own: Dataset, home: Path
) -> None:
    page = open_page("train", dataset=own.fingerprint)
    assert "<i>mine</i>: 360 training rows" in words(page)
    page.button(key="train_one").click().run()
    (row,) = runs_of(home)
    assert len(row.pinned) == 3
    assert all(set(values) == {"*site*", "hour"} for values in row.pinned)
    assert any(str(values["*site*"]).startswith("<b>") for values in row.pinned)


def test_a_dataset_that_is_not_there_is_one_sentence(home: Path) -> None:
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["dataset"] = "../../etc"
    page.run(timeout=60)
    assert not page.exception
    assert len(page.error) == 1


# --- what it will cost -----------------------------------------------------------------------


def test_the_expected_time_grows_with_rows_epochs_and_factor_size() -> None:
    size, model, train = Size(48_000, 12_000, 200, 10), ModelConfig(), TrainConfig()
    seconds = expected(size, model, train).seconds
    assert expected(size, model, train.with_values(epochs=60)).seconds == pytest.approx(2 * seconds)
    assert expected(size, model.with_values(num_factors=64), train).seconds > 2 * seconds
    twice = Size(96_000, 24_000, 200, 10)
    assert expected(twice, model, train).seconds == pytest.approx(2 * seconds)
    assert not expected(size, model, train).measured
    assert expected(size, model, train, [1e9]).measured


def test_the_expected_time_is_measured_on_runs_that_are_alike(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id)
    size, model, train = size_of(demo), ModelConfig(), TrainConfig()
    (rate,) = measured_rates(size, model, train)
    rows = 30 * (48_000 + 0.4 * 12_000)
    assert expected(size, model, train, [rate]).seconds == pytest.approx(rows / 1e5)
    assert measured_rates(size, model.with_values(num_factors=512), train) == []
    assert measured_rates(size, model, train.with_values(device="cpu")) == []


# --- how a run is watched ----------------------------------------------------------------------


def tiles(page: AppTest) -> str:
    """The row of figures as plain text."""
    (row,) = [str(box.proto.body) for box in page.get("html") if "dfm-tiles" in box.proto.body]
    return " ".join(re.sub("<[^>]+>", " ", row).split())


def interrupt(home: Path, run_id: str, *, at: float | None) -> None:
    """training → interrupted, with a checkpoint at a position, or none."""
    with Store.open(home) as store:
        folder = store.run_folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        if at is not None:
            (folder / "checkpoint.json").write_text(json.dumps({"epoch": at}))
        store.finish_run(run_id, "interrupted", "The worker stopped while this run was training.")


def test_an_interrupted_run_says_where_it_goes_on_and_resumes_on_a_click(
    demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=3)
    interrupt(home, run_id, at=2.25)
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    assert "kept: Resume goes on from there" in words(page)
    assert "epoch 2.2 of 9" in words(page)
    page.button(key="train_resume").click().run(timeout=60)
    assert_nothing_wrong(page)
    (row,) = runs_of(home)
    assert (row.state, row.attempt) == ("queued", 2)
    assert "Queue next" in tiles(page)


@pytest.mark.parametrize("left", [None, "{}", "[1]", '{"epoch": "x"}'])
def test_an_interrupted_run_without_a_checkpoint_offers_to_train_it_again(
    demo: Dataset, home: Path, left: str | None
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=1)
    interrupt(home, run_id, at=None)
    with Store.open(home) as store:
        if left is not None:
            (store.run_folder(run_id) / "checkpoint.json").write_text(left)
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    assert not page.exception
    assert "Train again with the same settings" in words(page)
    assert not [button for button in page.button if button.key == "train_resume"]


def test_a_run_that_somebody_else_was_quicker_to_resume_is_watched(
    demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=3)
    interrupt(home, run_id, at=2.25)
    page = AppTest.from_file(str(Path(__file__).parents[2] / "pages" / "train.py"))
    page.query_params["run"] = run_id
    page.run(timeout=60)
    with Store.open(home) as store:
        store.resume_run(run_id)
    page.button(key="train_resume").click().run(timeout=60)
    assert_nothing_wrong(page)
    assert "Waiting: next in the queue" in words(page)
    assert runs_of(home)[0].attempt == 2


def test_a_run_that_was_resumed_says_from_where(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=3)
    with Store.open(home) as store:
        store.append(run_id, [Resumed(2, 2.0, 2.0)])
    page = open_page("train", run=run_id)
    assert "Training, resumed at epoch 2" in words(page)
    assert "went on from its last checkpoint" in captions_of_figures(page)


def captions_of_figures(page: AppTest) -> str:
    """How every figure on the page is read."""
    return " ".join(json.loads(data)["caption"] for data in figures_on(page))


def figures_on(page: AppTest) -> list[str]:
    """The data of the page's figures."""
    found = [box.proto for box in page.get("bidi_component")]
    plots = [each for each in found if each.component_name == "deepfm_plot"]
    return [each.json or each.mixed.json for each in plots]


def test_a_run_that_waits_says_what_it_waits_for(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    first = runs_in_store.queue(home, demo, "The first one", epochs=7)
    runs_in_store.begin(home, first, epochs=2)
    waiting = runs_in_store.queue(home, demo)
    page = open_page("train", run=waiting)
    wanted = "next in the queue; “The first one” trains now, epoch 2 of 7; then this one"
    assert wanted in words(page)
    assert "Queue next after 1 other" in tiles(page)


def test_who_waits_is_told_whose_runs_come_first(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    first = runs_in_store.queue(home, demo, "Long", epochs=2_000, patience=5, owner="user:ben")
    with Store.open(home) as store:
        store.claim_run("test")
        store.append(first, runs_in_store.events(2_000)[:41])
    runs_in_store.queue(home, demo, "Before", owner="user:ann")
    mine = runs_in_store.queue(home, demo, "Mine", owner="user:test@example.com")
    page = open_page("train", run=mine)
    assert (
        "Waiting: number 2 in the queue, where people take turns; ben's “Long” trains now, "
        "epoch 20 of 2000, at most 33 min left; then 1 other, then yours"
    ) in words(page)
    assert "Queue 2 after 2 others" in tiles(page)


def test_a_group_that_waits_has_words_for_it(demo: Dataset, home: Path) -> None:
    first = runs_in_store.queue(home, demo, "First", owner="user:ben")
    runs_in_store.begin(home, first, epochs=1)
    waiting = runs_in_store.queue(home, demo, "Waiting", owner="user:ben")
    with Store.open(home) as store:
        training, waits = store.run(first), store.run(waiting)
        assert group_waits_in_words([training, waits], "user:ben") == ""
        said = group_waits_in_words([waits], "user:ben")
        assert said.startswith("waiting: next in the queue; your “First” trains now, epoch 1 of ")
        store.request_stop(waiting)
        assert group_waits_in_words([store.run(waiting)], "user:ben") == ""


def test_the_tiles_say_whose_figures_they_are(open_page: Opener, demo: Dataset, home: Path) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=3)
    live = tiles(open_page("train", run=run_id))
    assert "Validation AUC 0.7200 after epoch 3" in live
    assert "Epoch 3 of 9" in live and "Time left – finishing…" in live
    runs_in_store.finish(home, run_id, epochs=3)
    assert "epoch 3, kept" in tiles(open_page("train", run=run_id))


def test_a_long_time_left_is_told_without_seconds(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=2_000)
    with Store.open(home) as store:
        store.claim_run("test")
        store.append(run_id, runs_in_store.events(2_000)[:26])  # until 12.5 of 2,000 seconds
    left = tiles(open_page("train", run=run_id))
    assert "Time left 33 min about" in left, left


def test_how_curves_are_looked_at_stands_in_the_address(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=3)
    page = open_page("train", run=run_id, smooth="0.5", log="loss,epochs", metric="Accuracy")
    (controls,) = [
        box.proto for box in page.get("bidi_component") if box.proto.component_name == "deepfm_look"
    ]
    start = json.loads(controls.json or controls.mixed.json)["start"]
    assert start == {"smoothing": 0.5, "logLoss": True, "logEpochs": True}
    assert page.query_params["smooth"] == "0.5"


@pytest.mark.parametrize("address", [{"smooth": "7"}, {"smooth": "<b>"}, {"log": "x,,loss2"}])
def test_an_address_that_asks_for_a_look_that_is_none_is_put_right(
    open_page: Opener, demo: Dataset, home: Path, address: dict[str, str]
) -> None:
    run_id = runs_in_store.queue(home, demo, epochs=9)
    runs_in_store.begin(home, run_id, epochs=1)
    page = open_page("train", run=run_id, **address)
    assert "smooth" not in page.query_params and "log" not in page.query_params
