"""The run store, with real SQLite files and real processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import Settings
from deepfm.errors import LimitError, StoreBusy, StoreError
from deepfm.events import Epoch, Event, Failed, Finished, Metrics, Notice, Point, Progress
from deepfm.runs.store import JOB_ENDS, RUN_ENDS, NewRun, Store, database
from deepfm.runs.store.rows import new_id

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "1m86kga1pdke/",
    "1m86kga1pdkem\n",
    "é" * 13,
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def queue(store: Store, name: str = "a run", **options: Any) -> str:
    return store.queue_run(name, "/data/demo", "demo", {"k": 10}, {"seed": 0}, **options)


def trained(store: Store, *events: Event) -> str:
    """A run that trains and has reported some events."""
    run_id = queue(store)
    while (claimed := store.claim_run("worker")) is None or claimed.id != run_id:
        assert claimed is not None
    store.append(run_id, events)
    return run_id


def metrics(auc: float | None) -> Metrics:
    return Metrics(loss=0.5, accuracy=0.8, auc=auc, rows=10)


def point(epoch: float) -> Point:
    return Point(epoch, epoch, 1000.0, metrics(0.5), None, None, ())


def epoch(number: int, validation: Metrics | None, test: Metrics | None = None) -> Epoch:
    return Epoch(number, 1.0, 10.0, 20.0, metrics(0.9), validation, test, True, None, ())


# --- runs ---------------------------------------------------------------------------------


def test_a_queued_run_comes_back_as_it_was_given(store: Store) -> None:
    model, train = {"num_factors": 10, "terms": ["deep"]}, {"learning_rate": 0.01}
    pinned = [{"site": "news", "hour": None}]
    before = time.time()
    run_id = store.queue_run(
        "<b>“name”</b>", Path("/d"), "clicks", model, train, pinned=pinned, owner="ann",
        fingerprint="f00",
    )  # fmt: skip
    run = store.run(run_id)
    assert (run.id, run.name, run.state, run.wanted) == (run_id, "<b>“name”</b>", "queued", "train")
    assert (run.dataset_folder, run.dataset_name, run.fingerprint) == (Path("/d"), "clicks", "f00")
    assert (run.model, run.train, run.pinned) == (model, train, tuple(pinned))
    assert (run.owner, run.group, run.group_name, run.message) == ("ann", None, "", "")
    assert (run.started, run.finished, run.result, run.auc) == (None, None, None, None)
    assert (run.epoch, run.last_event) == (0, 0) and not run.ended
    assert before <= run.created <= time.time()
    assert run.folder == store.home / "runs" / run_id


def test_runs_are_claimed_in_the_order_of_queueing_and_once(store: Store) -> None:
    ids = [queue(store) for _ in range(4)]
    assert [store.queue_position(i) for i in ids] == [1, 2, 3, 4]
    store.request_stop(ids[1])
    claimed = [store.claim_run("w") for _ in range(4)]
    assert [run.id for run in claimed if run] == [ids[0], ids[2], ids[3]]
    assert claimed[3] is None
    assert [store.queue_position(i) for i in ids] == [0, 0, 0, 0]
    assert store.run(ids[0]).worker == "w"
    assert [run.id for run in store.runs()] == ids[::-1]
    assert [run.id for run in store.runs(states=["stopped"])] == [ids[1]]
    assert [run.id for run in store.runs(limit=2)] == ids[:1:-1]


def test_of_many_who_claim_at_once_each_gets_another(store: Store) -> None:
    ids = [queue(store) for _ in range(30)]
    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda _: store.claim_run("w"), range(40)))
    assert sorted(run.id for run in claimed if run) == ids
    assert claimed.count(None) == 10


def test_ids_are_short_unique_and_sort_by_age() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert ids == sorted(set(ids))
    assert all(len(i) == 13 and i.isalnum() and i.islower() for i in ids if not i.isdigit())


def test_a_group_holds_its_runs_in_order(store: Store) -> None:
    ids = store.queue_group(
        "Compare all five", [NewRun(str(k), Path("/d"), "d", {}, {}) for k in range(5)]
    )
    group_id = store.run(ids[0]).group
    assert group_id is not None
    group = store.group(group_id)
    assert (group.name, group.runs) == ("Compare all five", tuple(ids))
    sixth = queue(store, group=group_id)
    assert store.run(sixth).group_name == "Compare all five"
    assert {run.id for run in store.runs(group=group_id)} == {*ids, sixth}
    seventh = store.run(queue(store, group_name="Another"))
    assert seventh.group not in (None, group_id) and seventh.group_name == "Another"
    with pytest.raises(StoreError, match="no group"):
        queue(store, group=new_id())
    with pytest.raises(StoreError, match="at least one"):
        store.queue_group("none", [])


def test_the_same_run_has_the_same_key_and_another_has_another(store: Store) -> None:
    def key(model: dict[str, Any], train: dict[str, Any], fingerprint: str) -> str:
        run_id = store.queue_run("x", "/d", "d", model, train, fingerprint=fingerprint)
        return store.run(run_id).config_key

    same = key({"a": 1, "b": [2]}, {"seed": 0}, "f")
    assert same == key({"b": [2], "a": 1}, {"seed": 0}, "f")
    assert len(store.runs(config_key=same)) == 2
    others = {key({"a": 2, "b": [2]}, {"seed": 0}, "f"), key({"a": 1, "b": [2]}, {"seed": 1}, "f"),
              key({"a": 1, "b": [2]}, {"seed": 0}, "g")}  # fmt: skip
    assert len(others | {same}) == 4


def test_the_queue_has_a_limit_and_a_group_is_all_or_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path, settings=Settings(max_queued=3)) as store:
        first = queue(store)
        four = [NewRun(str(k), Path("/d"), "d", {}, {}) for k in range(3)]
        with pytest.raises(LimitError, match=r"lets 3 wait \(DEEPFM_MAX_QUEUED\)"):
            store.queue_group("too many", four)
        assert len(store.runs()) == 1
        queue(store), queue(store)
        with pytest.raises(LimitError):
            queue(store)
        store.request_stop(first)
        queue(store)


@pytest.mark.parametrize("state", RUN_ENDS)
def test_a_run_ends_once_with_its_last_events(store: Store, state: Any) -> None:
    run_id = trained(store, point(0.5))
    store.finish_run(run_id, state, "why", {"auc": 0.7}, events=[point(1.0)])
    run = store.run(run_id)
    assert (run.state, run.message, run.result, run.auc) == (state, "why", {"auc": 0.7}, 0.7)
    assert run.ended and run.finished is not None
    assert store.events(run_id) == [(1, point(0.5)), (2, point(1.0))]
    for change in (
        lambda: store.finish_run(run_id, "finished"),
        lambda: store.append(run_id, [point(2)]),
    ):
        with pytest.raises(StoreError, match=f"is {state}, not training"):
            change()
    store.request_stop(run_id)
    assert store.run(run_id).state == state and store.run(run_id).wanted == "train"


def test_a_run_does_not_end_as_something_else(store: Store) -> None:
    run_id = trained(store)
    with pytest.raises(StoreError, match="cannot end as 'queued'"):
        store.finish_run(run_id, "queued")
    with pytest.raises(StoreError, match="is queued, not training"):
        store.finish_run(queue(store), "finished")


def test_stop_is_a_wish_until_the_worker_fulfils_it(store: Store) -> None:
    run_id = trained(store)
    assert not store.stop_requested(run_id)
    store.request_stop(run_id)
    assert store.stop_requested(run_id)
    assert (store.run(run_id).state, store.run(run_id).wanted) == ("training", "stop")
    assert store.stop_requested(new_id())


def test_who_asked_first_for_a_stop_is_known_until_the_run_goes_on(store: Store) -> None:
    run_id, waiting = trained(store), queue(store)
    store.name_person("browser:b", "Quick Seal")
    store.request_stop(run_id, by="browser:b")
    store.request_stop(run_id, by="browser:c")
    store.request_stop(waiting, by="user:ann")
    assert store.run(waiting).stopped_by_name == "ann"
    run = store.run(run_id)
    assert (run.stopped_by, run.stopped_by_name) == ("browser:b", "Quick Seal")
    store.finish_run(run_id, "stopped")
    store.run_folder(run_id).mkdir(parents=True)
    (store.run_folder(run_id) / "checkpoint.json").write_text("{}")
    store.resume_run(run_id)
    assert (store.run(run_id).stopped_by, store.run(run_id).stopped_by_name) == ("", "")


def test_the_list_shows_the_newest_epoch_and_validation_else_test_auc(store: Store) -> None:
    run_id = trained(store, point(0.25))
    assert (store.run(run_id).epoch, store.run(run_id).auc) == (0.25, None)
    store.append(run_id, [epoch(1, metrics(0.7), metrics(0.6))])
    assert (store.run(run_id).epoch, store.run(run_id).auc) == (1, 0.7)
    store.append(run_id, [point(1.5)])
    assert (store.run(run_id).epoch, store.run(run_id).auc) == (1.5, 0.7)
    store.append(run_id, [epoch(2, None, metrics(0.65))])
    assert store.run(run_id).auc == 0.65
    store.finish_run(run_id, "finished", result={"auc": None})
    assert store.run(run_id).auc == 0.65


def test_a_run_is_renamed(store: Store) -> None:
    run_id = queue(store)
    store.rename_run(run_id, "better")
    assert store.run(run_id).name == "better"


@pytest.mark.parametrize("text", HOSTILE)
def test_an_id_that_is_a_path_is_refused(store: Store, text: str) -> None:
    (store.home / "runs" / "x").mkdir(parents=True)
    for use in (store.run, store.delete_run, store.request_stop, store.events, store.run_folder,
                store.job, store.request_cancel, store.group, store.queue_position):  # fmt: skip
        with pytest.raises(StoreError, match="is not the id"):
            use(text)
    assert (store.home / "runs" / "x").is_dir()


def test_an_unknown_id_is_an_error_in_words(store: Store) -> None:
    for use in (store.run, store.delete_run, store.request_stop, store.queue_position):
        with pytest.raises(StoreError, match="There is no run"):
            use(new_id())
    for use in (store.job, store.request_cancel):
        with pytest.raises(StoreError, match="There is no job"):
            use(new_id())


# --- deleting -----------------------------------------------------------------------------


def test_delete_removes_row_events_folder_and_the_empty_group(store: Store) -> None:
    first, second = store.queue_group(
        "two", [NewRun(str(k), Path("/d"), "d", {}, {}) for k in range(2)]
    )
    group = store.run(first).group
    assert group is not None
    store.claim_run("w")
    store.append(first, [point(1)])
    store.run_folder(first).mkdir(parents=True)
    (store.run_folder(first) / "model.safetensors").write_text("weights")
    with pytest.raises(StoreError, match="is training and cannot be deleted"):
        store.delete_run(first)
    assert store.run_folder(first).is_dir() and store.events(first)
    store.finish_run(first, "finished")
    store.delete_run(first)
    assert store.events(first) == []
    assert store.group(group).runs == (second,)
    store.delete_run(second)
    with pytest.raises(StoreError, match="no group"):
        store.group(group)
    assert store.runs() == [] and list((store.home / "runs").iterdir()) == []


def test_delete_works_where_the_folder_is_gone_and_leaves_a_link_s_target(store: Store) -> None:
    store.delete_run(queue(store))
    run_id = queue(store)
    target = store.home / "elsewhere"
    target.mkdir()
    (target / "kept").write_text("")
    (store.home / "runs").mkdir(exist_ok=True)
    store.run_folder(run_id).symlink_to(target)
    store.delete_run(run_id)
    assert (target / "kept").exists() and not store.run_folder(run_id).exists()


# --- events -------------------------------------------------------------------------------


def test_events_are_read_by_cursor(store: Store) -> None:
    run_id = trained(store)
    assert store.append(run_id, [point(k) for k in range(5)]) == 5
    assert store.append(run_id, []) == 5
    assert store.events(run_id, after=3) == [(4, point(3)), (5, point(4))]
    assert store.events(run_id, after=1, limit=2) == [(2, point(1)), (3, point(2))]
    assert store.events(run_id, after=5) == []
    assert store.run(run_id).last_event == 5
    assert store.events(new_id()) == []


def test_every_kind_of_event_comes_back_as_it_was(store: Store) -> None:
    events: list[Event] = [
        Progress("Reading", 1.0, None, "rows"),
        Notice("memorising", "validation got worse"),
        point(0.5),
        epoch(1, metrics(None)),
        Finished(
            epochs=1,
            best_epoch=1,
            seconds=1.0,
            examples_per_second=2.0,
            step_examples_per_second=3.0,
            part="test",
            rows=9,
            auc=None,
            log_loss=0.5,
            log_loss_calibrated=None,
            accuracy=0.5,
            base_rate=0.5,
        ),
        Failed("why"),
    ]
    run_id = trained(store, *events)
    assert [event for _, event in store.events(run_id)] == events


def test_a_damaged_event_is_told_in_its_place_and_hides_no_other(store: Store) -> None:
    run_id = trained(store, point(1), point(2), point(3))
    with sqlite3.connect(store.home / "lab.sqlite") as raw:
        raw.execute("UPDATE events SET body = '{\"ki' WHERE seq = 2")
    raw.close()
    first, damaged, third = store.events(run_id)
    assert (first, third) == ((1, point(1)), (3, point(3)))
    assert damaged[0] == 2 and isinstance(damaged[1], Notice) and "damaged" in damaged[1].text


def test_a_reader_sees_all_events_in_order_while_another_process_writes(store: Store) -> None:
    run_id = trained(store)
    writer = python(
        "from tests.unit.test_store import *\n"
        f"with Store.open({str(store.home)!r}) as s:\n"
        "    for k in range(150):\n"
        f"        s.append({run_id!r}, [point(3 * k), point(3 * k + 1), point(3 * k + 2)])\n"
        f"    s.finish_run({run_id!r}, 'finished', events=[point(450)])\n"
    )
    seen: list[tuple[int, Event]] = []
    sizes = set()
    with Store.open(store.home, read_only=True) as reader:
        while True:
            ended = reader.run(run_id).ended
            new = reader.events(run_id, after=seen[-1][0] if seen else 0)
            sizes.add(len(new))
            seen += new
            if ended:
                break
    assert writer.wait(10) == 0
    assert seen == [(k + 1, point(k)) for k in range(451)]
    assert len(sizes) > 1


# --- jobs ---------------------------------------------------------------------------------


def test_a_job_goes_its_way(store: Store) -> None:
    job_id = store.queue_job("prepare", {"train": "/a.csv"}, owner="ann")
    job = store.job(job_id)
    assert (job.kind, job.payload, job.state, job.owner) == (
        "prepare",
        {"train": "/a.csv"},
        "queued",
        "ann",
    )
    claimed = store.claim_job("w")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.attempts) == (job_id, "working", 1)
    store.report_progress(job_id, Progress("Reading", 1.0, 4.0, "rows"))
    assert store.job(job_id).progress == Progress("Reading", 1.0, 4.0, "rows")
    assert [j.id for j in store.jobs(active=True)] == [job_id]
    store.finish_job(job_id, "finished", result={"folder": "/d"})
    assert store.job(job_id).result == {"folder": "/d"} and store.job(job_id).ended
    assert store.jobs(active=True) == [] and [j.id for j in store.jobs()] == [job_id]
    with pytest.raises(StoreError, match="is finished, not working"):
        store.report_progress(job_id, Progress("Reading", 1.0, 4.0, "rows"))


def test_only_some_kinds_can_be_claimed(store: Store) -> None:
    slow, quick = store.queue_job("prepare", {}), store.queue_job("inspect", {})
    first, none, second = (store.claim_job("w", k) for k in (["inspect"], ["inspect"], None))
    assert first is not None and first.id == quick
    assert none is None
    assert second is not None and second.id == slow


def test_cancelling_a_job(store: Store) -> None:
    waiting = store.queue_job("prepare", {})
    store.request_cancel(waiting)
    assert store.job(waiting).state == "stopped" and store.claim_job("w") is None
    working = store.queue_job("prepare", {})
    store.claim_job("w")
    assert not store.cancel_requested(working)
    store.request_cancel(working)
    assert store.cancel_requested(working) and store.job(working).state == "working"
    store.give_back_job(working)
    assert store.job(working).state == "stopped"
    assert store.cancel_requested(new_id())


def test_a_job_whose_worker_died_twice_is_not_begun_again(store: Store) -> None:
    job_id = store.queue_job("prepare", {})
    store.claim_job("w")
    store.give_back_job(job_id)
    assert store.job(job_id).state == "queued"
    store.claim_job("w")
    store.give_back_job(job_id)
    assert store.job(job_id).state == "failed" and "twice" in store.job(job_id).error


def test_a_job_ends_only_as_a_job_can(store: Store) -> None:
    job_id = store.queue_job("prepare", {})
    store.claim_job("w")
    with pytest.raises(StoreError, match="cannot end as 'interrupted'"):
        store.finish_job(job_id, "interrupted")  # type: ignore[arg-type]
    assert set(JOB_ENDS) == {"finished", "stopped", "failed"}


def test_a_thousand_jobs_wait_and_are_claimed_in_order(store: Store) -> None:
    ids = [store.queue_job("inspect", {"n": n}) for n in range(1_000)]
    start = time.perf_counter()
    claimed = [store.claim_job("w") for _ in range(1_000)]
    assert time.perf_counter() - start < 5
    assert [job.id for job in claimed if job] == ids
    for job_id in ids[:20]:
        store.finish_job(job_id, "finished")
    store.forget_jobs(keep=5)
    assert [job.id for job in store.jobs()] == [*ids[:19:-1], *ids[19:14:-1]]


# --- the file -----------------------------------------------------------------------------


def python(code: str) -> subprocess.Popen[bytes]:
    """Another process that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_a_watcher_tells_of_what_others_wrote_and_of_nothing_else(store: Store) -> None:
    watcher = store.watch()
    assert watcher.changed() and not watcher.changed()
    queue(store)
    assert watcher.changed() and not watcher.changed()
    store.runs()
    assert not watcher.changed()
    watcher.close()


def test_whether_anything_waits(store: Store) -> None:
    assert not store.waiting()
    queue(store)
    assert store.waiting()
    store.claim_run("w")
    assert not store.waiting()
    store.queue_job("inspect", {})
    assert store.waiting()


def test_a_reader_changes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run store"):
        Store.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()
    with Store.open(tmp_path) as writer:
        queue(writer)
    with Store.open(tmp_path, read_only=True) as reader:
        assert len(reader.runs()) == 1
        with pytest.raises(StoreError, match="for reading only"):
            queue(reader)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.runs()


def test_many_processes_may_open_a_new_home_at_once(tmp_path: Path) -> None:
    code = (
        f"from tests.unit.test_store import *\nwith Store.open({str(tmp_path)!r}) as s: queue(s)\n"
    )
    processes = [python(code) for _ in range(5)]
    assert [process.wait(30) for process in processes] == [0] * 5
    with Store.open(tmp_path) as store:
        assert len(store.runs()) == 5


def test_what_a_killed_process_committed_is_there_and_nothing_half(tmp_path: Path) -> None:
    code = (
        "from tests.unit.test_store import *\n"
        f"s = Store.open({str(tmp_path)!r})\n"
        "r = trained(s, point(1), point(2))\n"
        "with s._database.writing() as c:\n"
        "    c.execute('INSERT INTO events VALUES (?, 3, ?)', (r, 'half'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert python(code).wait(10) == -signal.SIGKILL
    assert (tmp_path / "lab.sqlite-wal").stat().st_size > 0
    with Store.open(tmp_path, read_only=True) as reader:
        (run,) = reader.runs()
        assert [event for _, event in reader.events(run.id)] == [point(1), point(2)]
    with Store.open(tmp_path) as store:
        assert store.append(run.id, [point(3)]) == 3


def test_the_log_of_a_store_that_was_deleted_by_hand_is_not_read(tmp_path: Path) -> None:
    code = (
        "from tests.unit.test_store import *\n"
        f"s = Store.open({str(tmp_path)!r})\n"
        "queue(s)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    python(code).wait(10)
    (tmp_path / "lab.sqlite").unlink()
    assert (tmp_path / "lab.sqlite-wal").stat().st_size > 0
    with Store.open(tmp_path) as store:
        assert store.runs() == []
        queue(store)
    with Store.open(tmp_path, read_only=True) as reader:
        assert len(reader.runs()) == 1


@pytest.mark.parametrize("size", [100, 5_000])
def test_random_bytes_are_called_damaged_and_left_alone(tmp_path: Path, size: int) -> None:
    content = bytes(k * 7919 % 251 for k in range(size))
    (tmp_path / "lab.sqlite").write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"is damaged .* Move it aside"):
            Store.open(tmp_path, read_only=read_only)
    assert (tmp_path / "lab.sqlite").read_bytes() == content


def test_damage_in_the_middle_is_an_error_in_words(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for _ in range(40):
            queue(store, "x" * 1_000)
    file = tmp_path / "lab.sqlite"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="is damaged"):
        store.runs()


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "lab.sqlite") as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    before = (tmp_path / "lab.sqlite").read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="another program"):
            Store.open(tmp_path, read_only=read_only)
    assert (tmp_path / "lab.sqlite").read_bytes() == before


def test_an_older_store_is_migrated_once_with_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path) as store:
        run_id = queue(store)
    more = (*database.MIGRATIONS, ("ALTER TABLE runs ADD COLUMN later TEXT DEFAULT 'none'",))
    monkeypatch.setattr(database, "MIGRATIONS", more)
    with pytest.raises(StoreError, match="older version"):
        Store.open(tmp_path, read_only=True)
    for _ in range(2):
        with Store.open(tmp_path) as store, store._database.reading() as connection:
            row = connection.execute("SELECT id, later FROM runs").fetchone()
            assert tuple(row) == (run_id, "none")


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path) as store:
        queue(store)
    with monkeypatch.context() as patched:
        bad = ("ALTER TABLE runs ADD COLUMN later TEXT", "no SQL at all")
        patched.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, bad))
        with pytest.raises(StoreError):
            Store.open(tmp_path)
    with Store.open(tmp_path) as store, store._database.reading() as connection:
        columns = [row["name"] for row in connection.execute("PRAGMA table_info(runs)")]
        assert "later" not in columns and len(store.runs()) == 1


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "lab.sqlite") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="newer DeepFM Lab"):
            Store.open(tmp_path, read_only=read_only)


def test_a_locked_store_is_read_on_and_says_that_it_is_busy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = trained(store, point(1))
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with Store.open(store.home) as other, store._database.writing():
        assert other.events(run_id) == [(1, point(1))]
        with pytest.raises(StoreBusy, match="locked by another process"):
            other.append(run_id, [point(2)])
    assert store.append(run_id, [point(2)]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_no_space_left_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    code = (
        "from tests.unit.test_store import *\n"
        "import resource\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"s = Store.open({str(tmp_path)!r})\n"
        "r = trained(s, point(1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    for _ in range(100): s.append(r, [Notice('x', 'y' * 10_000)])\n"
        "except StoreBusy as error:\n"
        "    assert 'Free some space' in str(error), error\n"
        "    sys.exit(44)\n"
    )
    assert python(code).wait(20) == 44
    with Store.open(tmp_path) as store:
        (run,) = store.runs()
        events = store.events(run.id)
        assert len(events) == run.last_event > 1
        assert store.append(run.id, [point(2)]) == run.last_event + 1


def test_threads_share_a_store(store: Store) -> None:
    run_id = trained(store)
    errors: list[Exception] = []

    def write_and_read() -> None:
        try:
            for _ in range(20):
                store.append(run_id, [point(1)])
                store.events(run_id, after=5)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write_and_read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [cursor for cursor, _ in store.events(run_id)] == list(range(1, 161))


def test_opening_the_store_loads_no_library(tmp_path: Path) -> None:
    code = (
        "import sys, json\n"
        f"from deepfm.runs.store import Store; Store.open({str(tmp_path)!r}).close()\n"
        "import deepfm.runs.worker\n"
        "print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert not {"torch", "numpy", "pyarrow", "pandas", "streamlit"} & set(json.loads(output.stdout))


def test_a_job_is_amended_when_it_has_ended_and_not_before(store: Store) -> None:
    job = store.queue_job("inspect", {"path": "a.csv"})
    with pytest.raises(StoreError, match="is queued; it is amended when it has ended"):
        store.amend_job(job, {"draft": {"name": "mine"}})
    store.claim_job("test")
    store.finish_job(job, "finished", result={})
    store.amend_job(job, {"draft": {"name": "mine"}})
    assert store.job(job).payload == {"path": "a.csv", "draft": {"name": "mine"}}
