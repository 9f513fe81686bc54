"""What a page that watches a run sends to its reader's tab, by Streamlit's own protocol."""

import json
import time
from collections.abc import Iterator

import pytest

from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset
from deepfm.events import Notice
from deepfm.locks import FileLock
from deepfm.runs.store import Store
from deepfm.runs.worker.service import worker_lock
from deepfm.ui.feed import SHARED
from deepfm.ui.frame import BUSY_SECONDS, WAITING_SECONDS
from deepfm.ui.watching import LIVE, PACE, SOON
from tests.app import runs_in_store
from tests.app.tab import Answer, Tab, open_tab
from tests.browser.server import Server, assert_clean_log, serving

QUIET = 9_000
"""Most bytes of a look at a run of which nothing is new: the page's frame, and names."""
CURVES = "How well it predicts, as it learns"
SHARES = "How the score's variance divides between the terms"
BRANCHES = "What each branch ranks alone, as it learns"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An app whose worker's place is taken, so that runs stay as the tests leave them."""
    home = tmp_path_factory.mktemp("wire") / "home"
    worker_lock(home).parent.mkdir(parents=True)
    lock = FileLock(worker_lock(home))
    assert lock.acquire()
    with serving(home) as running:
        yield running
        # Who serves stops the process that holds the lock: that must not be this one.
        lock.release()
    assert_clean_log(running)


@pytest.fixture(scope="module")
def demo(server: Server) -> Dataset:
    return open_demo(server.home)


@pytest.fixture
def run_id(server: Server, demo: Dataset) -> Iterator[str]:
    """A run that has trained three of its nine epochs, and says no more for now."""
    run_id = runs_in_store.queue(server.home, demo, epochs=9)
    runs_in_store.begin(server.home, run_id, epochs=3)
    yield run_id
    with Store.open(server.home) as store:
        if not store.run(run_id).ended:
            store.finish_run(run_id, "failed", "The test is over.")


def watching(tab: Tab, seconds: float) -> str:
    """The fragment that looks at the run so often; the chip round the page looks more seldom."""
    (fragment,) = [name for name, every in tab.timers.items() if every == pytest.approx(seconds)]
    return fragment


def titles(answer: Answer) -> list[str]:
    """Of the figures that were sent whole; a pinned impression's has none."""
    figures = [json.loads(json.loads(data)["figure"]) for data in answer.components("deepfm_plot")]
    return [figure["layout"]["title"].get("text", "") for figure in figures]


def say_more(server: Server, run_id: str, epochs: int) -> None:
    """The run's next epoch: one point, then its end."""
    with Store.open(server.home) as store:
        store.append(run_id, runs_in_store.events(epochs)[-2:])
    time.sleep(SHARED)  # what was read before is old by now


def test_what_is_unchanged_is_not_sent_again(server: Server, run_id: str) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        loaded = tab.load()
        assert {CURVES, SHARES, BRANCHES} <= set(titles(loaded))
        fragment = watching(tab, LIVE)
        for _ in range(3):
            tab.ask(fragment)
            assert tab.silent(LIVE), "the page stays as it is"
        answer = tab.click(fragment)
        assert not answer.components("deepfm_plot"), "no figure"
        assert answer.references >= 10, "names of what the tab has"
        assert answer.size < QUIET, answer.largest()
        assert not answer.navigated


def test_the_chip_looks_often_until_the_turn_of_what_waits(server: Server, demo: Dataset) -> None:
    run_id = runs_in_store.queue(server.home, demo, epochs=9)
    with Store.open(server.home) as store, open_tab(server.url, "start") as tab:
        try:
            tab.load()
            chip = watching(tab, WAITING_SECONDS)
            store.claim_run("test")
            tab.tick(chip)
            assert tab.timers[chip] == pytest.approx(BUSY_SECONDS)
        finally:
            store.finish_run(run_id, "failed", "The test is over.")


def test_what_has_changed_is_sent_and_nothing_else(server: Server, run_id: str) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        tab.load()
        fragment = watching(tab, LIVE)
        say_more(server, run_id, 4)
        answer = tab.tick(fragment)
        # The bars of the pinned impressions stand as they stood.
        assert titles(answer) == [CURVES, SHARES, BRANCHES]
        tab.ask(fragment)
        assert tab.silent(LIVE)


def test_the_script_of_the_charts_comes_by_its_own_address(server: Server, run_id: str) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        loaded = tab.load()
        codes = loaded.codes("deepfm_plot")
        assert len(codes) >= 7
        assert all("import(" in code and len(code) < 1_500 for code in codes)


def test_two_people_who_watch_get_the_same_and_each_only_what_is_new(
    server: Server, run_id: str
) -> None:
    query = f"run={run_id}"
    with open_tab(server.url, "train", query) as one, open_tab(server.url, "train", query) as two:
        assert titles(one.load()) == titles(two.load())
        say_more(server, run_id, 4)
        answers = [tab.tick(watching(tab, LIVE)) for tab in (one, two)]
        assert answers[0].components("deepfm_plot") == answers[1].components("deepfm_plot")
        assert all(tab.click(watching(tab, LIVE)).size < QUIET for tab in (one, two))


def test_all_that_a_run_says_comes_at_the_pace_of_the_page_and_no_faster(
    server: Server, run_id: str
) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        tab.load()
        fragment = watching(tab, LIVE)
        began = time.monotonic()
        for epochs in range(4, 8):
            say_more(server, run_id, epochs)
            assert CURVES in titles(tab.tick(fragment))
        assert time.monotonic() - began >= 2 * PACE


def test_what_is_said_beside_the_events_comes_too(server: Server, run_id: str) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        tab.load()
        with Store.open(server.home) as store:
            store.request_stop(run_id)
        assert any("Stopping" in str(each) for each in tab.tick(watching(tab, LIVE)).messages)


def test_a_run_is_looked_at_ten_times_a_second_until_its_first_point(
    server: Server, demo: Dataset
) -> None:
    run_id = runs_in_store.queue(server.home, demo, epochs=9)
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        tab.load()
        fragment = watching(tab, SOON)
        runs_in_store.begin(server.home, run_id, epochs=1)
        tab.tick(fragment)
        watching(tab, LIVE)
    with Store.open(server.home) as store:
        store.finish_run(run_id, "failed", "The test is over.")


def test_who_waits_for_others_is_not_looked_at_so_often(
    server: Server, demo: Dataset, run_id: str
) -> None:
    waiting = runs_in_store.queue(server.home, demo, epochs=9)
    with open_tab(server.url, "train", f"run={waiting}") as tab:
        tab.load()
        watching(tab, LIVE)
    with Store.open(server.home) as store:
        store.request_stop(waiting)


def test_a_run_that_is_over_is_not_looked_at_again(server: Server, run_id: str) -> None:
    with open_tab(server.url, "train", f"run={run_id}") as tab:
        tab.load()
        fragment = watching(tab, LIVE)
        runs_in_store.finish(server.home, run_id, Notice("x", "It is over."), epochs=3)
        answer = tab.tick(fragment)
        assert CURVES in titles(answer), "with its replay"
        assert not any(every <= LIVE for every in tab.timers.values())
        assert tab.silent(1.5)
        # One who opens it now starts no timer either.
        tab.load()
        assert not any(every <= LIVE for every in tab.timers.values())
