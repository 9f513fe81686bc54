"""Runs that are named, noted, tagged, deleted and pruned, and uploads that nothing uses."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.errors import LimitError, StoreError
from deepfm.runs.store import RUN_ENDS, NewRun, Store
from deepfm.runs.store.keeping import DAY_SECONDS
from deepfm.runs.worker.housekeeping import keep_house


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def ended(store: Store, name: str, days: float, state: Any = "finished", **options: Any) -> str:
    """A run with a folder that ended so many days ago."""
    run_id = store.queue_run(name, "/d", "d", {}, {}, **options)
    store.claim_run("w")
    store.finish_run(run_id, state)
    store.run_folder(run_id).mkdir(parents=True)
    (store.run_folder(run_id) / "model.safetensors").write_text("weights")
    with store._database.writing() as connection:
        connection.execute(
            "UPDATE runs SET created = created - ?, finished = finished - ? WHERE id = ?",
            (days * DAY_SECONDS, days * DAY_SECONDS, run_id),
        )
    return run_id


def names(store: Store) -> set[str]:
    return {run.name for run in store.runs()}


# --- what a person says of a run ------------------------------------------------------------


def test_a_run_is_named_noted_and_tagged(store: Store) -> None:
    run_id = store.queue_run("first", "/d", "d", {}, {})
    store.rename_run(run_id, "  a  better\nname ")
    store.note_run(run_id, " why <b>it</b> won\n\nsecond line ")
    store.tag_run(run_id, ["best", " for  the talk ", "", "best", "größe"])
    store.tag_run(run_id, [*store.run(run_id).tags, "march,baseline , best,"])
    assert store.run(run_id).tags == ("best", "for the talk", "größe", "march", "baseline")
    store.tag_run(run_id, ["best", "for the talk", "größe"])
    run = store.run(run_id)
    assert (run.name, run.notes) == ("a better name", "why <b>it</b> won\n\nsecond line")
    assert run.tags == ("best", "for the talk", "größe")
    store.tag_run(run_id, [])
    store.note_run(run_id, "")
    assert (store.run(run_id).tags, store.run(run_id).notes) == ((), "")


def test_what_is_too_long_is_refused_and_changes_nothing(store: Store) -> None:
    run_id = store.queue_run("first", "/d", "d", {}, {})
    for change, sentence in (
        (lambda: store.rename_run(run_id, " \n"), "1 to 200 signs; this has 0"),
        (lambda: store.rename_run(run_id, "x" * 201), "this has 201"),
        (lambda: store.note_run(run_id, "x" * 20_001), "at most 20,000 signs; this has 20,001"),
        (lambda: store.tag_run(run_id, ["x" * 41]), "at most 20 tags of at most 40"),
        (lambda: store.tag_run(run_id, map(str, range(21))), "at most 20 tags"),
    ):
        with pytest.raises(StoreError, match=sentence):
            change()
    run = store.run(run_id)
    assert (run.name, run.notes, run.tags) == ("first", "", ())


# --- deleting several -----------------------------------------------------------------------


def test_several_runs_are_deleted_at_once_or_none_of_them(store: Store) -> None:
    old = [ended(store, f"old {k}", 0) for k in range(3)]
    trains = store.queue_run("in progress", "/d", "d", {}, {})
    store.claim_run("w")
    waits = store.queue_run("waits", "/d", "d", {}, {})
    with pytest.raises(StoreError, match="'in progress' is training and cannot be deleted"):
        store.delete_runs([*old, trains])
    assert len(store.runs()) == 5 and all(store.run_folder(run).is_dir() for run in old)
    store.delete_runs([*old[:2], old[0], waits])
    assert names(store) == {"old 2", "in progress"}
    assert [path.name for path in (store.home / "runs").iterdir()] == [old[2]]
    with pytest.raises(StoreError, match="There is no run"):
        store.delete_runs([old[2], old[0]])
    assert names(store) == {"old 2", "in progress"}
    store.delete_runs([])


# --- pruning --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", RUN_ENDS)
def test_a_run_is_pruned_when_its_days_are_over(store: Store, state: Any) -> None:
    old = ended(store, "old", 31, state)
    ended(store, "young", 29, state)
    assert store.prune(30) == ["old"]
    assert names(store) == {"young"}
    assert not store.run_folder(old).exists() and store.prune(30) == []


def test_what_waits_trains_or_was_marked_by_a_person_is_not_pruned(store: Store) -> None:
    noted, tagged = ended(store, "noted", 99), ended(store, "tagged", 99)
    store.note_run(noted, "keep")
    store.tag_run(tagged, ["keep"])
    store.queue_run("trains", "/d", "d", {}, {})
    store.claim_run("w")
    store.queue_run("waits", "/d", "d", {}, {})
    with store._database.writing() as connection:
        connection.execute("UPDATE runs SET created = 1.0, started = 1.0 WHERE finished IS NULL")
    assert store.prune(1) == [] and len(store.runs()) == 4
    assert sorted(store.prune(1, noted=True)) == ["noted", "tagged"]
    assert names(store) == {"trains", "waits"}


def test_nothing_is_pruned_without_a_number_of_days(store: Store) -> None:
    ended(store, "very old", 10_000)
    assert store.prune(0) == [] and names(store) == {"very old"}


def test_many_are_pruned_and_an_empty_group_goes_with_its_last_run(store: Store) -> None:
    group = store.submit_group("g", [NewRun("member", Path("/d"), "d", {}, {})])
    store.claim_run("w")
    store.finish_run(group.runs[0], "finished")
    with store._database.writing() as connection:
        connection.execute("UPDATE runs SET created = 1.0, finished = 1.0")
    for k in range(230):
        ended(store, f"old {k}", 5)
    assert len(store.prune(2)) == 231
    assert store.runs() == [] == store.groups()


# --- uploads --------------------------------------------------------------------------------


def upload(store: Store, name: str, days: float) -> Path:
    """An uploaded file that was dropped so many days ago."""
    folder = store.home / "uploads" / f"{name:0>32}"
    folder.mkdir(parents=True)
    (folder / f"{name}.csv").write_text("click,site\n1,a\n")
    past = time.time() - days * DAY_SECONDS
    os.utime(folder, (past, past))
    return folder / f"{name}.csv"


def age_jobs(store: Store, days: float) -> None:
    with store._database.writing() as connection:
        connection.execute("UPDATE jobs SET created = ?, finished = ? WHERE state <> 'queued'",
                           (time.time() - days * DAY_SECONDS,) * 2)  # fmt: skip


def test_uploads_that_nothing_used_for_long_are_deleted(store: Store) -> None:
    unused, young, waits, long_ago = (
        upload(store, name, days) for name, days in (("a", 9), ("b", 2), ("c", 9), ("d", 9))
    )
    lately = upload(store, "e", 9)
    for path in (long_ago, lately):
        store.queue_job("prepare", {"train": str(path)})
        job = store.claim_job("w")
        assert job is not None
        store.finish_job(job.id, "finished")
        if path is long_ago:
            age_jobs(store, 8)
    store.queue_job("inspect", {"path": str(waits)})
    assert sorted(store.prune_uploads(7)) == ["a.csv", "d.csv"]
    kept = [path.exists() for path in (unused, young, waits, long_ago, lately)]
    assert kept == [False, True, True, False, True]
    assert store.prune_uploads(0) == []


def prepared(store: Store, file: Path, fingerprint: str) -> None:
    """As if a dataset had been made of an uploaded file."""
    store.queue_job("prepare", {"train": str(file), "test": None})
    job = store.claim_job("w")
    assert job is not None
    store.finish_job(job.id, "finished", result={"fingerprint": fingerprint})


def test_a_dataset_s_uploads_are_known_and_deleted_when_nothing_needs_them(store: Store) -> None:
    first, second = upload(store, "a", 0), upload(store, "b", 0)
    for fingerprint in ("one", "two"):
        prepared(store, first, fingerprint)
    prepared(store, second, "other")
    (found,) = store.uploads_of("one")
    assert (found.names, found.bytes) == (("a.csv",), first.stat().st_size)
    assert (found.datasets, found.busy) == ({"one", "two"}, False)
    assert store.uploads_of("nothing") == []
    store.queue_job("inspect", {"path": str(first)})
    assert store.uploads_of("one")[0].busy
    with pytest.raises(LimitError, match=r"a\.csv is still needed"):
        store.delete_upload(found)
    job = store.claim_job("w")
    assert job is not None
    store.finish_job(job.id, "finished")
    store.delete_upload(found)
    store.delete_upload(found)
    assert store.uploads_of("one") == [] and not first.exists() and second.exists()


def test_an_upload_that_an_open_sweep_may_prepare_anew_is_not_deleted(store: Store) -> None:
    file = upload(store, "a", 0)
    prepared(store, file, "one")
    run = NewRun("r", Path("/d"), "d", {}, {}, fingerprint="one")
    spec = {"sweep": {"seeds": [0], "source": {"payload": {"train": str(file)}}}, "open": True}
    group = store.queue_sweep("s", [run], spec)
    (found,) = store.uploads_of("one")
    assert found.busy
    with pytest.raises(LimitError, match="still needed"):
        store.delete_upload(found)
    store.close_sweep(group)
    store.delete_upload(found)
    assert not file.exists()


def test_what_broke_off_on_its_way_here_goes_after_a_day_and_the_key_stays(store: Store) -> None:
    folder = store.home / "uploads"
    folder.mkdir()
    for name, days in (("old.part", 2), ("new.part", 0.5), (".key", 9)):
        (folder / name).write_text("x")
        past = time.time() - days * DAY_SECONDS
        os.utime(folder / name, (past, past))
    assert store.prune_uploads(0) == []
    assert sorted(path.name for path in folder.iterdir()) == [".key", "new.part"]


def test_housekeeping_prunes_runs_and_uploads(store: Store) -> None:
    ended(store, "old", 9)
    file = upload(store, "a", 9)
    keep_house(store, 0)
    assert names(store) == {"old"} and file.exists()
    keep_house(store, 7)
    assert names(store) == set() and not file.exists()
