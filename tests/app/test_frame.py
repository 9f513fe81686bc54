"""The frame: what is looked at, what is running, and a person's text as it is."""

from pathlib import Path

import pandas as pd
import pytest
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests
from streamlit.testing.v1 import AppTest

from deepfm.config import ModelConfig, TrainConfig
from deepfm.errors import DeepFMError
from deepfm.events import Progress
from deepfm.runs.store import Store
from deepfm.runs.store.people import shell_owner
from deepfm.ui import frame, links, plot, state
from deepfm.ui.late import drop_late_reruns
from deepfm.ui.plot import csv_text
from deepfm.ui.text import plain
from tests.unit.run_folders import write_run

MAIN = Path(__file__).resolve().parents[2] / "deepfm" / "ui" / "main.py"


@pytest.fixture
def store(home: Path) -> Store:
    return Store.open(home)


def queue(store: Store, name: str = "a run", owner: str = "") -> str:
    model, train = ModelConfig().to_dict(), TrainConfig(epochs=10).to_dict()
    folder = store.home / "datasets" / "x"
    return store.queue_run(name, folder, "x", model, train, owner=owner)


def finish(store: Store, run_id: str) -> None:
    assert store.claim_run("test") is not None
    write_run(store.run(run_id).folder)
    store.finish_run(run_id, "finished")


def test_the_frame_opens_on_the_start_page(home):
    page = AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert not page.exception
    assert page.title[0].value == "Why did this person click?"


def test_every_page_of_the_navigation_has_its_file():
    assert [page.file.is_file() for page in links.PAGES] == [True] * len(links.PAGES)
    assert [page.name for page in links.PAGES][:2] == ["start", "data"]


def test_trained_runs_can_be_chosen_and_others_not(store):
    trained, waiting = queue(store, "trained"), queue(store, "waiting")
    finish(store, trained)
    ids = [choice.id for choice in state.run_choices()]
    assert trained in ids and waiting not in ids and state.DEMO in ids
    assert state.trained(trained).fields
    with pytest.raises(DeepFMError, match="queued"):
        state.trained(waiting)


def drawn(path: str, **address: str) -> AppTest:
    """A page with its frame; switch_page takes the way of a click in the navigation."""
    page = AppTest.from_file(str(MAIN), default_timeout=60).run()
    page.switch_page(str(links.page_named(path).file))
    for name, value in address.items():
        page.query_params[name] = value
    return page.run()


def test_runs_of_the_same_name_are_told_apart_in_the_menu(store):
    ids = [queue(store, "same") for _ in range(3)]
    for run_id in ids:
        finish(store, run_id)
    page = drawn("evaluate", run=ids[1])
    box = page.selectbox(key="context_run")
    assert box.value == ids[1] and page.query_params["run"] == ids[1]
    assert len(set(box.options)) == len(box.options) == 4


def test_what_somebody_else_trains_is_never_what_i_look_at_unasked(store, monkeypatch):
    monkeypatch.setattr("deepfm.ui.person.person", lambda: "browser:me")
    finish(store, queue(store, "theirs", "browser:you"))
    page = drawn("model")
    assert current(page) == state.DEMO, "until I have trained one, the bundled run"
    mine = queue(store, "mine", "browser:me")
    finish(store, mine)
    finish(store, queue(store, "theirs again", "browser:you"))
    assert current(drawn("model")) == mine
    shells = queue(store, "by the command line", shell_owner())
    finish(store, shells)
    assert current(drawn("model")) == shells, "on one's own machine that is oneself"


def current(page: AppTest) -> str:
    """The run in the frame's menu."""
    return str(page.selectbox(key="context_run").value)


def test_a_fresh_visit_looks_at_the_newest_trained_run_without_writing_it_down(store):
    first, second, waiting = (queue(store, name) for name in ("first", "second", "waiting"))
    finish(store, first)
    finish(store, second)
    page = drawn("evaluate")
    assert page.selectbox(key="context_run").value == second
    assert not page.query_params, "a default would be a step for the browser's Back"
    assert store.run(waiting).state == "queued"


@pytest.mark.parametrize(
    ("page", "name", "what"),
    [
        ("train", "run", "run"),
        ("train", "group", "group of runs"),
        ("impression", "run", "run"),
        ("data", "dataset", "dataset"),
    ],
)
def test_an_address_that_names_nothing_here_is_told_of_and_shown_without_it(
    page, name, what, store
):
    shown = drawn(page, **{name: "nope"})
    sentence = f"There is no {what} “nope” here; it may have been deleted."
    assert [box.value.replace("\\", "") for box in shown.error] == [sentence]
    assert name not in shown.query_params


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("impression", {"row": "9", "part": "test", "change": "device=phone", "against": "all"}),
        ("evaluate", {"field": "device", "value": "phone", "threshold": "0.1"}),
        ("model", {"view": "Embedding map", "map": "device", "box": "0,1,0,1"}),
    ],
)
def test_what_was_said_of_a_run_that_is_gone_is_not_taken_to_be_of_another(page, said, store):
    shown = drawn(page, run="nope", **said)
    assert set(shown.query_params) <= {"view"}


def test_a_run_in_the_address_is_shown_with_its_own_dataset(store):
    run_id = store.queue_run("mine", store.home / "gone", "x", {}, {}, fingerprint="its-own")
    page = drawn("train", run=run_id, dataset="demo")
    assert page.selectbox(key="context_dataset").value == "its-own"


@pytest.mark.parametrize("run_id", ["../../etc", "", "no such", "a" * 5000])
def test_a_run_id_that_is_no_id_is_refused_in_words(run_id, home):
    with pytest.raises(DeepFMError):
        state.trained(run_id)


@pytest.mark.parametrize("dataset_id", ["../runs", "/etc", "no such"])
def test_a_dataset_id_that_is_no_folder_of_ours_is_refused_in_words(dataset_id, home):
    with pytest.raises(DeepFMError):
        state.dataset(dataset_id)


def test_a_run_that_is_trained_again_elsewhere_is_read_again(store):
    import os

    run_id = queue(store)
    finish(store, run_id)
    first = state.trained(run_id)
    assert state.trained(run_id) is first
    file = store.run(run_id).folder / "model.safetensors"
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 5))
    assert state.trained(run_id) is not first


def test_the_chip_shows_what_trains_before_what_waits_and_jobs_last(store):
    first, second = queue(store, "first"), queue(store, "second")
    job = store.queue_job("prepare", {})
    store.queue_job("inspect", {})
    store.claim_run("test")
    store.claim_job("test", kinds=("prepare",))
    store.report_progress(job, Progress("rows", 25, 100, "rows"))
    found = frame.running()
    assert [item.words for item in found] == [
        "first · 0%",
        "second · waiting",
        "Preparing data · 25%",
    ]
    assert found[0].parameters == {"run": first} and found[1].parameters == {"run": second}
    assert found[2].done == 0.25
    store.report_progress(job, Progress("Writing", 25, 100, "rows", number=4, stages=5))
    assert frame.running()[2].words == "Preparing data · 65%", "of all its steps together"


def test_the_chip_looks_often_while_what_it_shows_waits_and_seldom_while_nothing_runs(store):
    assert frame.seconds_between_looks(None) == frame.IDLE_SECONDS
    queue(store)
    (waiting,) = frame.running()
    assert frame.seconds_between_looks(waiting) == frame.WAITING_SECONDS < frame.BUSY_SECONDS
    store.claim_run("test")
    (training,) = frame.running()
    assert frame.seconds_between_looks(training) == frame.BUSY_SECONDS < frame.IDLE_SECONDS


def test_a_chart_says_nothing_on_how_to_read_it_before_it_has_words():
    assert '<figcaption class="dfm-caption" hidden></figcaption>' in plot._HTML


def test_csv_keeps_numbers_and_neutralises_formulas():
    table = pd.DataFrame({"=cmd()": ["=1+1", "+SUM(A1)", "-5", "plain"], "x": [-5, 1, 2, 3]})
    lines = csv_text(table).splitlines()
    assert not lines[0].startswith("=")
    cells = [line.split(",") for line in lines[1:]]
    assert not any(cell[0].startswith(("=", "+")) for cell in cells)
    assert cells[2][0] == "-5" and [cell[1] for cell in cells] == ["-5", "1", "2", "3"]


@pytest.mark.parametrize(
    "text",
    [
        "**bold** _x_ `code` ~~s~~",
        "[a](http://b.c) ![i](x)",
        "$x^2$ :smile: :red[x] :material/home:",
        "<b>x</b> &amp; <script>",
        "# heading",
        "1. list",
        "a -> b <- c -- d",
    ],
)
def test_text_is_escaped_so_that_no_sign_of_markdown_is_left(text):
    escaped = plain(text)
    assert escaped.replace("\\", "").replace("\u2060", "") == text
    for place, sign in enumerate(escaped):
        if sign in "*_`[]()#$<>~&:":
            assert escaped[place - 1] == "\\"


def test_text_of_many_lines_becomes_one():
    assert "\n" not in plain("a\n\n# b")


class _Runner:
    """A script runner on the page "train" that notes what it runs."""

    class _pages_manager:  # noqa: N801
        current_page_script_hash = "train"

    def __init__(self) -> None:
        self.ran: list[RerunData] = []


@pytest.fixture
def dropping(monkeypatch) -> None:
    """What is late is dropped, in this test only."""
    monkeypatch.setattr(ScriptRunner, "_run_script", lambda runner, data: runner.ran.append(data))
    monkeypatch.setattr(
        ScriptRequests, "_request_rerun_locked", ScriptRequests._request_rerun_locked
    )
    drop_late_reruns()


def test_a_rerun_for_the_page_before_is_dropped(dropping):
    """A fragment's timer may fire, or its request wait, while the server leaves the page."""
    late = RerunData(fragment_id_queue=["chip"], page_script_hash="start")
    timely = RerunData(fragment_id_queue=["chip"], page_script_hash="train")
    moved = RerunData(page_script_hash="start")
    runner = _Runner()
    for asked in (late, timely, moved):
        ScriptRunner._run_script(runner, asked)
    assert runner.ran == [timely, moved]


def test_a_timer_does_not_lead_a_waiting_page_back(dropping):
    requests = ScriptRequests()
    requests.request_rerun(RerunData(page_script_hash="train", query_string="run=a"))
    timer = RerunData(fragment_id="chip", page_script_hash="start", is_auto_rerun=True)
    assert requests.request_rerun(timer)
    waiting = requests.on_scriptrunner_ready().rerun_data
    assert (waiting.page_script_hash, waiting.query_string) == ("train", "run=a")
    assert requests.request_rerun(timer), "with nothing waiting it is drawn"
    assert requests.on_scriptrunner_ready().rerun_data.fragment_id_queue == ["chip"]
