"""Whose turn it is, who joins whom, and what is too much: the queue, with threads and processes."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import Settings
from deepfm.errors import LimitError, StoreError
from deepfm.runs.store import NewRun, RunRow, Store, disk
from deepfm.runs.store.people import shown_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def wanted(name: str = "a run", *, seed: int = 0, owner: str = "", **model: Any) -> NewRun:
    return NewRun(
        name, Path("/data/demo"), "demo", {"k": 10, **model}, {"seed": seed, "device": "auto"},
        owner=owner, fingerprint="f00",
    )  # fmt: skip


def on_all_gpus(owner: str) -> NewRun:
    return NewRun("all", Path("/data/demo"), "demo", {"k": 10}, {"device": "cuda:all"}, owner=owner)


def queue(store: Store, owner: str, count: int = 1) -> list[str]:
    runs = [wanted(f"{owner} {k}", owner=owner) for k in range(count)]
    return [store.submit_run(run, anew=True).run for run in runs]


def finish(store: Store, run_id: str, state: Any = "finished") -> None:
    store.run_folder(run_id).mkdir(parents=True, exist_ok=True)
    store.finish_run(run_id, state)


def claim(store: Store) -> str:
    claimed = store.claim_run("w")
    assert claimed is not None
    return claimed.id


# --- fair between people --------------------------------------------------------------------


def test_forty_queued_runs_make_a_second_person_wait_for_the_one_in_progress(store: Store) -> None:
    ann = queue(store, "ann", 40)
    assert claim(store) == ann[0]
    (ben,) = queue(store, "ben")
    assert store.queue_position(ben) == 1
    assert store.queue_position(ann[1]) == 2
    finish(store, ann[0])
    assert claim(store) == ben


def test_people_take_turns_and_each_one_s_runs_go_in_their_order(store: Store) -> None:
    ann, ben, cat = queue(store, "ann", 3), queue(store, "ben", 2), queue(store, "cat", 1)
    order = [ann[0], ben[0], cat[0], ann[1], ben[1], ann[2]]
    assert [store.queue_position(run) for run in order] == [1, 2, 3, 4, 5, 6]
    for run in order:
        assert claim(store) == run
        finish(store, run)


def test_who_has_fewest_trainings_running_is_next_where_several_run_at_once(store: Store) -> None:
    ann = queue(store, "ann", 3)
    assert [claim(store), claim(store)] == ann[:2]
    (ben,) = queue(store, "ben")
    assert claim(store) == ben
    finish(store, ann[0])
    ben_again = queue(store, "ben", 1)
    # One each is running; ann's last turn was longer ago.
    assert claim(store) == ann[2]
    assert claim(store) == ben_again[0]


def test_deleting_runs_does_not_bring_a_turn_back(store: Store) -> None:
    ann = queue(store, "ann", 2)
    finish(store, claim(store))
    store.delete_run(ann[0])
    (ben,) = queue(store, "ben")
    assert claim(store) == ben


def test_a_resumed_run_waits_for_its_person_s_turn(store: Store) -> None:
    (ann,), ben = queue(store, "ann"), queue(store, "ben", 2)
    assert claim(store) == ann
    finish(store, ann, "stopped")
    (store.run_folder(ann) / "checkpoint.json").write_text("{}")
    assert claim(store) == ben[0]
    finish(store, ben[0])
    store.resume_run(ann)
    assert (store.run(ann).state, store.run(ann).attempt) == ("queued", 2)
    assert (store.queue_position(ann), store.queue_position(ben[1])) == (1, 2)


def test_only_an_interrupted_or_stopped_run_with_a_checkpoint_is_resumed(store: Store) -> None:
    (run,) = queue(store, "ann")
    with pytest.raises(StoreError, match="is queued; only one that was interrupted or stopped"):
        store.resume_run(run)
    claim(store)
    finish(store, run, "interrupted")
    with pytest.raises(StoreError, match="left no checkpoint"):
        store.resume_run(run)
    (store.run_folder(run) / "checkpoint.json").write_text("{}")
    store.resume_run(run)
    store.request_stop(run)
    assert store.run(run).message == "Stopped before it went on."


@pytest.mark.parametrize("seed", range(8))
def test_positions_foretell_the_order_of_claiming(store: Store, seed: int) -> None:
    """With one or two trainings at a time, each claim is the run that was said to be next."""
    chance = random.Random(seed)
    running: list[str] = []
    for _ in range(25):
        queue(store, chance.choice("abcd"))
    for _ in range(chance.choice((1, 2))):
        running.append(claim(store))
    waiting = [run.id for run in store.runs(states=["queued"])]
    positions = {store.queue_position(run): run for run in waiting}
    assert sorted(positions) == list(range(1, len(waiting) + 1))
    for place in sorted(positions):
        finish(store, running.pop(0))
        running.append(claim(store))
        assert running[-1] == positions[place]
    assert store.claim_run("w") is None


def test_a_run_on_all_gpus_waits_for_the_trainings_before_it_and_none_overtakes_it(
    store: Store,
) -> None:
    (first,) = queue(store, "ann")
    everywhere = store.submit_run(on_all_gpus("ben")).run
    (last,) = queue(store, "ann")
    assert claim(store) == first
    assert store.claim_run("w", all_free=False) is None
    assert store.queue_position(everywhere) == 1
    finish(store, first)
    taken = store.claim_run("w", all_free=True)
    assert taken is not None and taken.id == everywhere and taken.alone
    finish(store, everywhere)
    assert claim(store) == last and not store.run(last).alone


@pytest.mark.parametrize("seed", range(3))
def test_runs_on_all_gpus_make_nobody_wait_for_more_than_a_turn_of_each_other(
    store: Store, seed: int
) -> None:
    """With three GPUs: who has a run waiting and none training, sees each other begin one at most.

    A run on all GPUs trains alone.
    """
    chance = random.Random(seed)
    for number in range(60):
        owner = chance.choice("abcd")
        run = on_all_gpus(owner) if chance.random() < 0.3 else wanted(owner=owner)
        store.submit_run(NewRun(**{**vars(run), "name": str(number)}), anew=True)
    running: list[RunRow] = []
    overtaken: dict[str, list[str]] = {owner: [] for owner in "abcd"}
    begun = 0
    while begun < 60:
        while len(running) < 3 and (taken := store.claim_run("w", all_free=not running)):
            begun += 1
            assert not running or not (taken.alone or any(run.alone for run in running))
            running.append(taken)
            queued = {run.owner for run in store.runs(states=("queued",))}
            trained = {run.owner for run in running}
            for owner, others in overtaken.items():
                others.append(taken.owner)
                if owner in trained or owner not in queued:
                    others.clear()
                assert len(set(others)) == len(others)
            if taken.alone:
                break
        if len(running) == 1 or chance.random() < 0.8:
            ended = running.pop(chance.randrange(len(running)))
            finish(store, ended.id)


def test_each_claim_is_fair_by_a_slower_writing_of_the_rule(store: Store) -> None:
    chance = random.Random(5)
    turns: dict[str, int] = {}
    running: list[str] = []
    for step in range(120):
        if chance.random() < 0.5:
            queue(store, chance.choice("abc"))
        if running and chance.random() < 0.4:
            finish(store, running.pop(chance.randrange(len(running))))
        waiting = store.runs(states=["queued"], descending=False)
        if not waiting or len(running) == 3:
            continue
        owners = [store.run(run).owner for run in running]
        best = waiting[0]
        for run in waiting[1:]:
            mine = (owners.count(run.owner), turns.get(run.owner, -1))
            if mine < (owners.count(best.owner), turns.get(best.owner, -1)):
                best = run
        assert claim(store) == best.id
        turns[best.owner] = step
        running.append(best.id)


# --- names ----------------------------------------------------------------------------------


def test_everybody_has_a_name_until_they_choose_another(store: Store) -> None:
    person = "browser:0123456789abcdef"
    (run,) = queue(store, person)
    first = store.person_name(person)
    assert first == shown_name(person) == store.run(run).owner_name and len(first.split()) == 2
    store.name_person(person, "  Ann\n Smith ")
    assert store.person_name(person) == store.run(run).owner_name == "Ann Smith"
    store.name_person(person, "")
    assert store.person_name(person) == first
    assert store.person_name("shell:root") == "root"
    assert store.person_name("") == "" == store.run(queue(store, "")[0]).owner_name
    with pytest.raises(StoreError, match="at most 40 signs"):
        store.name_person(person, "x" * 41)
    with pytest.raises(StoreError, match="Nobody is known"):
        store.name_person("", "x")


def test_a_name_that_was_chosen_outlives_turns(store: Store) -> None:
    store.name_person("browser:a", "Ann")
    queue(store, "browser:a")
    claim(store)
    assert store.person_name("browser:a") == "Ann"


# --- same again is the same run -------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "training", "finished"])
def test_the_same_again_joins_the_run_that_is_there(store: Store, state: str) -> None:
    first = store.submit_run(wanted("mine", owner="ann"))
    assert not first.joined
    if state != "queued":
        claim(store)
    if state == "finished":
        finish(store, first.run)
    again = store.submit_run(wanted("another name", owner="ben"))
    assert (again.run, again.joined) == (first.run, True)
    anew = store.submit_run(wanted("mine", owner="ben"), anew=True)
    assert not anew.joined and anew.run != first.run
    assert store.run(anew.run).name == "mine 2"


@pytest.mark.parametrize("state", ["stopped", "failed", "interrupted"])
def test_a_run_that_ended_otherwise_is_not_joined(store: Store, state: str) -> None:
    first = store.submit_run(wanted())
    claim(store)
    finish(store, first.run, state)
    assert not store.submit_run(wanted()).joined


def test_a_run_that_is_being_stopped_or_lost_its_folder_is_not_joined(store: Store) -> None:
    first = store.submit_run(wanted())
    claim(store)
    store.request_stop(first.run)
    second = store.submit_run(wanted())
    assert not second.joined
    claim(store)
    finish(store, second.run)
    store.run_folder(second.run).rmdir()
    assert not store.submit_run(wanted()).joined


def test_another_seed_device_setting_or_dataset_is_another_run(store: Store) -> None:
    store.submit_run(wanted())
    others = [
        wanted(seed=1),
        wanted(k=11),
        NewRun("x", Path("/data/demo"), "demo", {"k": 10}, {"seed": 0, "device": "cpu"},
               fingerprint="f00"),
        NewRun("x", Path("/data/demo"), "demo", {"k": 10}, {"seed": 0, "device": "auto"},
               fingerprint="f01"),
    ]  # fmt: skip
    assert not any(store.submit_run(run).joined for run in others)
    assert len(store.runs()) == 5


def test_a_group_is_joined_as_a_whole(store: Store) -> None:
    five = [wanted(str(k), k=k) for k in range(5)]
    first = store.submit_group("All five", five)
    again = store.submit_group("All five", five)
    assert (again.group, again.runs, again.joined) == (first.group, first.runs, True)
    assert not store.submit_group("All five", five[:4]).joined
    assert not store.submit_group("All five", five, kind="sweep").joined
    anew = store.submit_group("All five", five, anew=True)
    assert store.group(anew.group).name == "All five 4" and not anew.joined
    # The newest one is joined, unless one of its runs ended otherwise.
    assert store.submit_group("All five", five).group == anew.group
    store.request_stop(anew.runs[2])
    assert store.submit_group("All five", five).group == first.group
    with pytest.raises(StoreError, match="at least one"):
        store.submit_group("none", [])


def test_of_thirty_threads_that_ask_at_once_one_queues_and_all_watch_it(store: Store) -> None:
    five = [wanted(str(k), k=k) for k in range(5)]
    with ThreadPoolExecutor(30) as threads:
        asked = list(threads.map(lambda _: store.submit_run(wanted()), range(30)))
        groups = list(threads.map(lambda _: store.submit_group("five", five), range(30)))
    assert len({each.run for each in asked}) == 1
    assert sorted(each.joined for each in asked) == [False] + [True] * 29
    assert len({each.group for each in groups}) == 1
    assert sum(not each.joined for each in groups) == 1
    assert len(store.runs()) == 6


def test_of_many_processes_that_ask_at_once_one_queues(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    code = (
        "from tests.unit.test_store_queue import *\n"
        f"with Store.open({str(tmp_path)!r}) as store:\n"
        "    asked = [store.submit_run(wanted()) for _ in range(5)]\n"
        "print(json.dumps([(each.run, each.joined) for each in asked]))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(6)
    ]
    asked = [pair for each in processes for pair in json.loads(each.communicate(timeout=60)[0])]
    assert len({run for run, _ in asked}) == 1
    assert [joined for _, joined in asked].count(False) == 1


def test_names_are_numbered_where_another_run_has_them(store: Store) -> None:
    names = ["DeepFM", "DeepFM", "DeepFM", "DeepFM, quick", "DeepFM 2", "a%b_c", "a%b_c"]
    runs = [store.submit_run(wanted(name), anew=True).run for name in names]
    assert [store.run(run).name for run in runs] == [
        "DeepFM", "DeepFM 2", "DeepFM 3", "DeepFM, quick", "DeepFM 2 2", "a%b_c", "a%b_c 2",
    ]  # fmt: skip


# --- limits ---------------------------------------------------------------------------------


def test_one_person_may_queue_so_many_and_joining_costs_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path, settings=Settings(max_queued=5, max_queued_per_person=2)) as store:
        store.submit_run(wanted(owner="ann"))
        queue(store, "ann")
        with pytest.raises(LimitError, match=r"2 of your .*\(DEEPFM_MAX_QUEUED_PER_PERSON"):
            queue(store, "ann")
        with pytest.raises(LimitError, match="DEEPFM_MAX_QUEUED_PER_PERSON"):
            store.submit_group("two", [wanted(owner="cat", seed=k) for k in range(3)])
        assert store.submit_run(wanted(owner="ann")).joined
        queue(store, "ben", 2)
        queue(store, "cat")
        with pytest.raises(LimitError, match=r"lets 5 wait \(DEEPFM_MAX_QUEUED\)"):
            queue(store, "dan")
        claim(store)
        queue(store, "dan")


def test_nothing_new_begins_where_the_disk_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "FRESH_SECONDS", 0.0)
    settings = Settings(max_disk_mb=1)
    (tmp_path / "datasets" / "x").mkdir(parents=True)
    with Store.open(tmp_path, settings=settings) as store:
        first = store.submit_run(wanted())
        ids = tmp_path / "datasets" / "x" / "ids.npy"
        ids.write_bytes(b"0" * 1_000_000)
        pattern = r"DEEPFM_MAX_DISK_MB\). Delete runs on the Runs page .* or datasets"
        for ask in (
            lambda: store.submit_run(wanted(), anew=True),
            lambda: store.submit_group("g", [wanted()]),
            lambda: store.queue_run("x", "/d", "d", {}, {}),
            lambda: store.queue_job("prepare", {}),
        ):
            with pytest.raises(LimitError, match=pattern):
                ask()
        assert store.submit_run(wanted()).run == first.run
        store.queue_job("inspect", {})
        monkeypatch.setattr(disk, "FRESH_SECONDS", 60.0)
        ids.unlink()
        assert not store.submit_run(wanted(), anew=True).joined


def test_a_disk_that_is_nearly_full_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SPARE_BYTES", 2**60)
    with pytest.raises(LimitError, match="too little to begin something new"):
        store.submit_run(wanted())


def test_the_size_of_a_home_is_that_of_its_files_by_part(tmp_path: Path) -> None:
    for name, size in (("runs/a/x", 10), ("datasets/b/c/y", 200), ("uploads/z", 3_000), ("w", 4)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "datasets")
    use = disk.disk_use(tmp_path)
    link = (tmp_path / "runs" / "link").lstat().st_size
    assert (use.runs, use.datasets, use.uploads, use.other) == (10 + link, 200, 3_000, 4)
    assert disk.disk_use(tmp_path / "none").total == 0
