"""The list in which a group is one row, against the same list made by hand in Python."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.errors import StoreError
from deepfm.events import Finished
from deepfm.runs.store import OVERVIEW_ORDERS, Item, NewRun, Overview, RunRow, Store
from tests.unit.sweeps_in_store import epoch

FIGURES = {"auc": 0.7, "log_loss": 0.5, "log_loss_calibrated": 0.49, "accuracy": 0.8}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "home") as opened:
        yield opened


def new(name: str, seed: int = 0, **values: object) -> NewRun:
    return NewRun(
        name,
        Path("/data/demo"),
        str(values.get("dataset", "demo")),
        ModelConfig(num_factors=int(str(values.get("factors", 10)))).to_dict(),
        TrainConfig(seed=seed).to_dict(),
        owner=str(values.get("owner", "")),
        fingerprint=str(values.get("dataset", "demo")),
    )


def finish(store: Store, run_id: str, auc: float | None, log_loss: float, seconds: float) -> None:
    """queued → finished, with these figures."""
    while (row := store.claim_run("test")) is not None and row.id != run_id:
        raise AssertionError("runs are finished in the order they train")
    result = Finished(2, 2, seconds, 1e5, 2e5, "test", 10, auc, log_loss, log_loss, 0.8, 0.2)
    store.finish_run(run_id, "finished", result=vars(result), events=[result])


@pytest.fixture
def filled(store: Store) -> Store:
    """Two groups and four runs for themselves, some of them trained."""
    one = store.submit_run(new("zebra", 1)).run
    five = store.submit_group(
        "All five", [new(name, place + 10) for place, name in enumerate(TERM_SETS)]
    )
    two = store.submit_run(new("Ärger", 2, dataset="other", factors=64)).run
    sweep = store.submit_group("Sweep", [new("s1", 20), new("s2", 21)], kind="sweep", spec={"a": 1})
    three = store.submit_run(new("amber", 3)).run
    figures = {
        one: (0.75, 0.45, 9.0),
        **{run: (0.6 + place / 50, 0.6, 2.0) for place, run in enumerate(five.runs)},
        two: (None, 0.2, 1.0),
        sweep.runs[0]: (0.9, 0.3, 30.0),
    }
    for run_id, (auc, loss, seconds) in figures.items():
        finish(store, run_id, auc, loss, seconds)
    store.tag_run(three, ["good"])
    store.note_run(five.runs[3], "remember me")
    return store


def names(items: tuple[Item, ...]) -> list[str]:
    return [item.group.name if item.group else item.run.name for item in items]


# --- a second, slower writing -----------------------------------------------------------------


def by_hand(store: Store, order: str, descending: bool) -> list[str]:
    """The list, from all runs read in full."""
    blocks: dict[str, list[RunRow]] = {}
    newest = {row.id: place for place, row in enumerate(reversed(store.runs()))}
    for row in store.runs():
        blocks.setdefault(row.group or row.id, []).append(row)

    def rank(rows: list[RunRow]) -> Any:
        name = rows[0].group_name or rows[0].name
        values: dict[str, list[Any]] = {
            "created": [newest[row.id] for row in rows],
            "name": [name.casefold()],
            "state": [row.state for row in rows],
            "dataset": [row.dataset_name.casefold() for row in rows],
            "person": [row.owner.casefold() for row in rows],
            "auc": [row.auc for row in rows],
            "loss": [(row.result or {}).get("log_loss") for row in rows],
            "seconds": [row.seconds for row in rows],
        }
        known = [value for value in values[order] if value is not None]
        if not known:
            return None
        if order == "seconds":
            return sum(known)
        return max(known) if order in ("created", "auc") else min(known)

    lists = sorted(blocks.values(), key=lambda rows: -max(newest[row.id] for row in rows))
    known = [rows for rows in lists if rank(rows) is not None]
    known.sort(key=rank, reverse=descending)
    if order == "auc":  # those that stand for themselves were all judged by their test rows
        known.sort(key=lambda rows: rows[0].group is not None)
    unknown = [rows for rows in lists if rank(rows) is None]
    return [rows[0].group_name or rows[0].name for rows in [*known, *unknown]]


@pytest.mark.parametrize(
    ("order", "descending"), list(itertools.product(OVERVIEW_ORDERS, [True, False]))
)
def test_the_order_is_that_of_the_list_made_by_hand(
    filled: Store, order: str, descending: bool
) -> None:
    found = filled.overview(order=order, descending=descending)  # type: ignore[arg-type]
    assert names(found.items) == by_hand(filled, order, descending)


def test_what_has_no_figure_of_the_test_rows_comes_after_all_that_have(store: Store) -> None:
    """Test rows 0.75 and 0.65, a group shown by 0.7 of its test rows; validation rows; so far."""
    runs = {name: store.submit_run(new(name, seed)).run for seed, name in enumerate("abcd")}
    group = store.submit_group("five", [new("e", 10), new("f", 11)])
    for name, part, auc in (("a", "test", 0.65), ("b", "validation", 0.9), ("c", "test", 0.75)):
        assert store.claim_run("test").id == runs[name]  # type: ignore[union-attr]
        result = Finished(2, 2, 1.0, 1e5, 2e5, part, 10, auc, 0.4, 0.4, 0.8, 0.2)
        store.finish_run(runs[name], "finished", result=vars(result), events=[result])
    store.claim_run("test")
    store.append(runs["d"], [epoch(1, 0.99)])
    for run_id in group.runs:
        finish(store, run_id, 0.8, 0.4, 1.0)

    def order(way: bool, shown: dict[str, float]) -> list[str]:
        return names(store.overview(order="auc", descending=way, test_aucs=shown).items)

    assert order(True, {group.group: 0.7}) == ["c", "five", "a", "d", "b"]
    assert order(False, {group.group: 0.7}) == ["a", "five", "c", "b", "d"]
    assert order(True, {}) == ["c", "a", "d", "b", "five"]


# --- groups -----------------------------------------------------------------------------------


def test_a_group_s_standing_changes_with_its_runs_and_with_nothing_else(filled: Store) -> None:
    before = {group: (kind, moved) for group, kind, moved in filled.group_moves()}
    assert sorted(kind for kind, _ in before.values()) == ["compare", "sweep"]
    (amber,) = filled.runs(search="amber")
    filled.rename_run(amber.id, "other")
    assert {group: (kind, moved) for group, kind, moved in filled.group_moves()} == before
    (second,) = filled.runs(search="s2")
    finish(filled, second.id, 0.8, 0.4, 1.0)
    after = {group: (kind, moved) for group, kind, moved in filled.group_moves()}
    assert {group for group in before if before[group] != after[group]} == {second.group}


def test_a_group_is_one_row_with_its_best_run_and_what_it_took(filled: Store) -> None:
    found = filled.overview()
    assert (found.rows, found.runs) == (5, 10)
    groups = {item.group.name: item for item in found.items if item.group}
    five, sweep = groups["All five"], groups["Sweep"]
    assert five.group and (five.group.runs, five.group.ended) == (5, 5)
    assert five.group.seconds == pytest.approx(10.0)
    assert five.run.auc == pytest.approx(0.68), "the highest of its five"
    assert sweep.group and (sweep.group.kind, sweep.group.ended) == ("sweep", 1)
    assert sweep.run.name == "s1"


def test_a_filter_counts_only_the_runs_that_fit(filled: Store) -> None:
    found = filled.overview(search="remember")
    (item,) = found.items
    assert item.group and (item.group.name, item.group.runs) == ("All five", 1)
    assert (found.rows, found.runs) == (1, 1)
    assert item.run.notes == "remember me"


def test_every_filter_leaves_what_fits(filled: Store) -> None:
    assert names(filled.overview(tag="good").items) == ["amber"]
    assert names(filled.overview(fingerprint="other").items) == ["Ärger"]
    assert names(filled.overview(search="ärger").items) == ["Ärger"]
    assert names(filled.overview(search="factor size 64").items) == ["Ärger"]
    assert names(filled.overview(states=["queued"]).items) == ["amber", "Sweep"]
    assert filled.overview(search="no such thing") == Overview((), 0, 0)


def test_pages_hold_every_row_once(filled: Store) -> None:
    whole = names(filled.overview(order="name", descending=False).items)
    pages = [
        names(filled.overview(order="name", descending=False, limit=2, offset=start).items)
        for start in (0, 2, 4, 6)
    ]
    assert [name for page in pages for name in page] == whole
    assert pages[-1] == []


def test_an_unknown_order_is_refused_in_words(store: Store) -> None:
    with pytest.raises(StoreError, match="sorted by created"):
        store.overview(order="luck")  # type: ignore[arg-type]


def test_an_empty_store_has_an_empty_list(store: Store) -> None:
    found = store.overview()
    assert (found.items, found.rows, found.runs) == ((), 0, 0)


def test_people_are_listed_by_name_the_last_to_start_a_run_first(store: Store) -> None:
    for place, owner in enumerate(("user:ada", "browser:x", "user:ada", "")):
        store.submit_run(new(f"run {place}", place, owner=owner))
    store.name_person("browser:x", "Grace")
    assert store.run_people() == [("user:ada", "ada"), ("browser:x", "Grace")]
    assert len(store.overview(owner="browser:x").items) == 1


def test_the_list_sees_one_moment_while_others_write(filled: Store) -> None:
    """Counts and rows agree, however a writer comes between the questions."""
    import threading

    stop = threading.Event()

    def write() -> None:
        number = 1_000
        while not stop.is_set():
            run = filled.submit_run(new(f"run {number}", number)).run
            filled.delete_runs([run])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            found = filled.overview(limit=1_000)
            assert len(found.items) == found.rows
            assert sum(item.group.runs if item.group else 1 for item in found.items) == found.runs
    finally:
        stop.set()
        writer.join()
