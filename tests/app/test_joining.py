"""The same again is the same run: on the Train page, between people, with a way round it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.runs.store import RunRow, Store
from deepfm.ui.joined import ago
from deepfm.ui.train_form import MORE_OPEN
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


def words(page: AppTest) -> str:
    boxes = [*page.markdown, *page.caption]
    return "\n".join(str(box.value).replace("\\", "").replace("\u2060", "") for box in boxes)


def has(page: AppTest, key: str) -> bool:
    return any(button.key == key for button in page.button)


def as_person(page: AppTest, email: str) -> AppTest:
    page.user = {"email": email}
    return page


def test_a_second_click_watches_the_run_that_is_there(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    first = open_page("train")
    first.button(key="train_one").click().run()
    assert not has(first, "train_anyway")
    (row,) = runs_of(home)
    assert (row.owner, row.owner_name) == ("user:test@example.com", "test@example.com")
    second = as_person(open_page("train"), "ben@example.com")
    second.button(key="train_one").click().run()
    assert_nothing_wrong(second)
    assert len(runs_of(home)) == 1 and second.query_params["run"] == row.id
    assert "ago by test@example.com: you are watching it." in words(second)
    assert has(second, "train_anyway")
    first.button(key="train_one").click().run()
    assert "Queued" in words(first) and " ago: you are watching it." in words(first)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("training", "Started 1 s ago: you are watching it."),
        ("finished", "Trained 1 s ago: here it is. Press ▶ under the curves to see it learn."),
    ],
)
def test_the_words_say_how_far_it_is(
    open_page: Opener, demo: Dataset, home: Path, state: str, sentence: str
) -> None:
    page = open_page("train")
    page.button(key="train_one").click().run()
    (row,) = runs_of(home)
    runs_in_store.begin(home, row.id)
    if state == "finished":
        runs_in_store.finish(home, row.id)
    page.button(key="train_one").click().run()
    assert_nothing_wrong(page)
    said = next(line for line in words(page).splitlines() if ":material/group:" in line)
    # How long it took to get here is the machine's affair.
    unit = said.split(" s ago")[0].split()[-1]
    assert said.replace(f" {unit} s", " 1 s") == f":material/group: {sentence}"


def test_train_anyway_queues_it_again_and_watches_that(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    page.button(key="train_one").click().run()
    page.button(key="train_one").click().run()
    page.button(key="train_anyway").click().run()
    assert_nothing_wrong(page)
    second, first = runs_of(home)
    assert (second.config_key, second.pinned) == (first.config_key, first.pinned)
    assert (first.name, second.name) == ("DeepFM, quick", "DeepFM, quick 2")
    assert page.query_params["run"] == second.id and not has(page, "train_anyway")


def test_five_models_are_joined_and_trained_anyway_as_a_group(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    page.button(key="train_five").click().run()
    group = page.query_params["group"]
    page.button(key="train_five").click().run()
    assert len(runs_of(home)) == 5 and page.query_params["group"] == group
    assert "ago: you are watching them." in words(page)
    page.button(key="train_anyway").click().run()
    assert_nothing_wrong(page)
    assert len(runs_of(home)) == 10 and page.query_params["group"] != group


def test_another_seed_is_another_run(open_page: Opener, demo: Dataset, home: Path) -> None:
    page = open_page("train")
    page.button(key="train_one").click().run()
    other = open_page("train", seed="1")
    other.button(key="train_one").click().run()
    assert len(runs_of(home)) == 2 and not has(other, "train_anyway")


def test_what_is_too_much_of_one_person_is_said_with_its_limit(
    open_page: Opener, demo: Dataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_QUEUED_PER_PERSON", "1")
    page = open_page("train")
    page.button(key="train_one").click().run()
    page.button(key="train_five").click().run()
    (error,) = page.error
    assert "DEEPFM" in error.value and "of one person wait" in error.value


def test_the_name_on_one_s_runs_can_be_changed(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    page = open_page("train")
    page.button(key="train_one").click().run()
    box = next(box for box in page.text_input if box.label.startswith("Your name"))
    assert box.value == "test@example.com"
    box.set_value("Ann")
    next(button for button in page.button if button.label == "Change").click().run()
    assert_nothing_wrong(page)
    (row,) = runs_of(home)
    assert (row.owner, row.owner_name) == ("user:test@example.com", "Ann")


EVERY: dict[str, Any] = {
    "num_factors": 7, "mlp_dims": (9, 8), "drop_rate": 0.25, "terms": ("linear", "deep"),
    "shared_embedding": False, "activation": "tanh", "embedding_drop_rate": 0.05,
    "learning_rate": 0.003, "epochs": 7, "batch_size": 512, "patience": 3, "monitor": "log_loss",
    "weight_decay": 0.001, "embedding_l2": 0.0001, "optimizer": "adam", "drop_last": True,
    "seed": 11, "device": "cpu", "mlp_precision": "bfloat16",
}  # fmt: skip


def test_train_again_with_changes_fills_in_every_setting(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    names = {setting.name for c in (ModelConfig, TrainConfig) for setting in c.settings()}
    assert set(EVERY) == names, "a new setting belongs here too"
    run_id = runs_in_store.queue(home, demo, **EVERY)
    runs_in_store.begin(home, run_id)
    runs_in_store.finish(home, run_id)
    page = open_page("train", run=run_id)
    page.button(key="train_fill").click().run()
    page.button(key="train_one").click().run()
    assert_nothing_wrong(page)
    assert [row.id for row in runs_of(home)] == [run_id], "the very same is joined"
    page.session_state[MORE_OPEN] = True
    page.run()
    seed = next(box for box in page.text_input if str(box.key).startswith("train_seed"))
    seed.set_value("12").run()
    page.button(key="train_one").click().run()
    row = runs_of(home)[0]
    expected: dict[str, Any] = {**EVERY, "seed": 12}
    assert {**row.model, **row.train} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()
    }


def test_what_it_takes_to_repeat_a_run_is_shown(
    open_page: Opener, demo: Dataset, home: Path
) -> None:
    run_id = runs_in_store.queue(home, demo, **EVERY)
    with Store.open(home) as store:
        store.claim_run("test", {"python": "3.11.7", "packages": {"torch": "2.9", "numpy": "2.4"}})
        store.append(run_id, runs_in_store.events())
    runs_in_store.finish(home, run_id)
    page = open_page("train", run=run_id)
    page.session_state["recipe_open"] = True
    page.run()
    assert_nothing_wrong(page)
    assert f"train --like {run_id}" in page.code[0].value
    (table,) = (each.value for each in page.dataframe if list(each.value) == ["What", "Value"])
    said = dict(zip(table["What"], table["Value"], strict=True))
    assert {"Seed": "11", "Drop last": "True", "torch": "2.9", "Python": "3.11.7"}.items() <= (
        said.items()
    )
    assert said["Dataset's fingerprint"] == demo.fingerprint
    assert said["Device"] == "CPU, 2 threads" and said["Training time"] and said["Speed"]
    labels = {setting.label for c in (ModelConfig, TrainConfig) for setting in c.settings()}
    assert labels <= set(said)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (3.4, "3 s"), (59.4, "59 s"), (119, "1 min"), (3_599, "59 min"), (3_600, "1 h"),
     (40 * 3_600, "40 h"), (3 * 86_400, "3 days")],
)  # fmt: skip
def test_a_time_that_has_passed_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert ago(seconds).replace("\u202f", " ").replace("\u00a0", " ") == text
