"""What all who watch a run are shown together, and what nobody waits for."""

from pathlib import Path

from deepfm.data.catalog import open_demo
from deepfm.runs.store import Store
from deepfm.ui.feed import SHARED, Feed
from tests.app import runs_in_store


def test_all_who_look_in_the_same_moment_are_shown_the_same(tmp_path: Path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("deepfm.ui.shared.time.monotonic", lambda: clock[0])
    run_id = runs_in_store.queue(tmp_path, open_demo(tmp_path), epochs=9)
    runs_in_store.begin(tmp_path, run_id, epochs=1)
    with Store.open(tmp_path) as store:
        feed = Feed(run_id)
        first = feed.read(store, whole=False)
        store.append(run_id, runs_in_store.events(2)[-2:])
        assert feed.read(store, whole=False) == first
        assert feed.read(store, whole=True)[0] == first[0] + 2, "the end of a run is never late"
        store.append(run_id, runs_in_store.events(3)[-2:])
        clock[0] += 1.01 * SHARED
        assert feed.read(store, whole=False)[0] == first[0] + 4


def test_nobody_waits_for_the_first_point(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("deepfm.ui.shared.time.monotonic", lambda: 100.0)
    run_id = runs_in_store.queue(tmp_path, open_demo(tmp_path), epochs=9)
    with Store.open(tmp_path) as store:
        feed = Feed(run_id)
        assert not feed.read(store, whole=False)[1].latest
        runs_in_store.begin(tmp_path, run_id, epochs=1)
        assert feed.read(store, whole=False)[1].latest
