"""Lists of runs out of thousands: each filter by a slower writing, each query by its plan."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepfm.errors import StoreError
from deepfm.events import Event, Resumed, Started
from deepfm.runs.store import RUN_ORDERS, NewRun, RunRow, Store
from deepfm.runs.store.standing import CURVE_POINTS, curve_of
from tests.unit.many_runs import events_of, fill

Full = tuple[Store, list[RunRow]]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    """A store of 5,000 runs, and all of them as they are read without any filter."""
    home = tmp_path_factory.mktemp("full")
    ids = fill(home)
    with Store.open(home) as store:
        rows = store.runs()
        assert [row.id for row in rows] == ids[::-1]
        yield store, rows


def words_of(row: RunRow) -> str:
    return " ".join(
        (row.name, row.dataset_name, row.notes, *row.tags, row.state, row.owner_name)
    ).casefold()


FILTERS: list[tuple[dict[str, Any], Callable[[RunRow], bool]]] = [
    ({}, lambda row: True),
    ({"states": ["failed"]}, lambda row: row.state == "failed"),
    ({"states": ["training", "queued"]}, lambda row: not row.ended),
    ({"states": []}, lambda row: False),
    ({"fingerprint": "ctr"}, lambda row: row.fingerprint == "ctr"),
    ({"owner": "shell:cat"}, lambda row: row.owner == "shell:cat"),
    ({"tag": "best"}, lambda row: "best" in row.tags),
    ({"tag": "bes"}, lambda row: False),
    ({"search": "ÖKONOMIE"}, lambda row: "ökonomie" in words_of(row)),
    (
        {"search": " werbe  DeepFM"},
        lambda row: "werbe" in words_of(row) and "deepfm" in words_of(row),
    ),
    ({"search": "a note best"}, lambda row: bool(row.notes) and "best" in row.tags),
    ({"search": "%"}, lambda row: False),
    (
        {"search": "wide", "fingerprint": "demo", "states": ["finished"]},
        lambda row: "wide" in words_of(row) and row.dataset_name == "demo"
        and row.state == "finished",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("filters", "fits"), FILTERS)
def test_filters_find_what_a_slow_look_at_each_run_finds(
    full: Full, filters: dict[str, Any], fits: Callable[[RunRow], bool]
) -> None:
    store, rows = full
    expected = [row.id for row in rows if fits(row)]
    assert [row.id for row in store.runs(**filters)] == expected
    assert store.count_runs(**filters) == len(expected)
    page = store.runs(**filters, limit=7, offset=5)
    assert [row.id for row in page] == expected[5:12]


ORDER_VALUES: dict[str, Callable[[RunRow], Any]] = {
    "created": lambda row: row.created,
    "name": lambda row: row.name.casefold(),
    "state": lambda row: row.state,
    "dataset": lambda row: row.dataset_name.casefold(),
    "auc": lambda row: row.auc,
    "seconds": lambda row: row.seconds,
    "examples_per_second": lambda row: row.examples_per_second,
}


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("order", RUN_ORDERS)
def test_any_column_sorts_with_missing_values_last(
    full: Full, order: Any, descending: bool
) -> None:
    store, rows = full
    value = ORDER_VALUES[order]
    there = [row for row in rows if value(row) is not None]
    expected = sorted(there, key=value, reverse=descending)
    expected += [row for row in rows if value(row) is None]
    found = store.runs(order=order, descending=descending)
    assert [value(row) for row in found] == [value(row) for row in expected]
    ids = [row.id for row in found]
    assert [
        row.id
        for start in range(0, 300, 100)
        for row in store.runs(order=order, descending=descending, limit=100, offset=start)
    ] == ids[:300]


def test_an_unknown_order_is_refused(full: Full) -> None:
    with pytest.raises(StoreError, match="not by 'number; DROP TABLE runs'"):
        full[0].runs(order="number; DROP TABLE runs")  # type: ignore[arg-type]


def test_what_a_person_can_filter_by_is_listed(full: Full) -> None:
    store, rows = full
    datasets = store.run_datasets()
    assert sum(count for _, _, count in datasets) == len(rows)
    assert datasets[0][0] == rows[0].fingerprint and len(datasets) == 4
    assert store.run_tags() == [("best", sum("best" in row.tags for row in rows))]


def test_groups_come_newest_first_with_their_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        runs = [NewRun(str(k), Path("/d"), "d", {}, {}) for k in range(3)]
        first = store.queue_group("one", runs)
        second = store.queue_group("two", runs[:2], kind="sweep", spec={"a": [1, 2]})
        one, two = store.groups()[::-1]
        assert (one.name, one.runs, two.runs) == ("one", tuple(first), tuple(second))
        assert (two.kind, two.spec) == ("sweep", {"a": [1, 2]})
        assert store.groups(kind="sweep") == [two] == store.groups(limit=1)


# --- the cost, by the plan ------------------------------------------------------------------


def plans(store: Store, ask: Callable[[], Any]) -> list[str]:
    """How SQLite goes about each statement of a call: "SEARCH runs USING …"."""
    asked: list[str] = []
    # A connection of its own, so that it is traced from its first statement.
    store._database._idle.clear()
    connect = store._database.connect

    def traced() -> sqlite3.Connection:
        connection = connect()
        connection.set_trace_callback(asked.append)
        return connection

    store._database.connect = traced  # type: ignore[method-assign]
    try:
        ask()
    finally:
        store._database.connect = connect  # type: ignore[method-assign]
        store._database._idle.clear()
    with store._database.reading() as connection:
        return [
            str(step["detail"])
            for statement in asked
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH")
            for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]


def scans(steps: list[str]) -> list[str]:
    """Steps that look at every run or event."""
    return [
        step for step in steps if step.startswith("SCAN") and step.split()[1] in ("runs", "events")
    ]


def test_what_a_live_page_asks_never_looks_at_all_runs(full: Full) -> None:
    store, rows = full
    waits = next(row for row in rows if row.state == "queued")
    trains = next(row for row in rows if row.state == "training")
    asks: list[Callable[[], Any]] = [
        lambda: store.run(trains.id),
        lambda: store.events(trains.id, after=1),
        lambda: store.queue_position(waits.id),
        lambda: store.runs(states=("training",), limit=1),
        lambda: store.runs(states=("training", "queued"), limit=50),
        lambda: store.runs(fingerprint="demo", limit=3),
        lambda: store.runs(config_key=trains.config_key),
        lambda: store.jobs(active=True, limit=20),
        lambda: store.stop_requested(trains.id),
        lambda: store.waiting(),
        lambda: store.person_name("browser:ann"),
        lambda: store.submit_run(new_run(0)),
        lambda: store.submit_group("five", [new_run(k) for k in range(5)]),
        lambda: store.append(trains.id, events_of(1)),
        lambda: store.claim_run("w"),
    ]
    for ask in asks:
        steps = plans(store, ask)
        assert steps and scans(steps) == [], steps


def new_run(seed: int) -> NewRun:
    return NewRun("DeepFM", Path("/d"), "demo", {}, {"seed": seed}, fingerprint="of its own")


@pytest.mark.parametrize("order", RUN_ORDERS)
def test_a_page_is_chosen_in_the_narrow_index_and_only_its_runs_are_read(
    full: Full, order: Any
) -> None:
    steps = plans(full[0], lambda: full[0].runs(order=order, limit=50))
    assert all("COVERING INDEX" in step or "PRIMARY KEY" in step for step in scans(steps)), steps
    assert any(step.startswith("SEARCH runs USING INTEGER PRIMARY KEY") for step in steps), steps
    steps = plans(full[0], lambda: full[0].count_runs(states=("finished",), fingerprint="demo"))
    assert all("INDEX" in step for step in steps), steps


# --- the curve in a cell --------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [0, 1, 2, 39, 40, 41, 42, 79, 80, 81, 163, 1_000])
def test_a_curve_is_thinned_evenly_with_its_first_and_newest_point(epochs: int) -> None:
    curve = curve_of(events_of(epochs))
    assert len(curve) <= CURVE_POINTS
    assert len(curve) >= min(epochs, CURVE_POINTS // 2)
    assert all(auc == 0.5 + 0.001 * epoch for epoch, auc in curve)
    places = [int(epoch) for epoch, _ in curve]
    assert places == sorted(set(places))
    if epochs:
        assert (places[0], places[-1]) == (1, epochs)
    steps = {later - earlier for earlier, later in pairwise(places[:-1])}
    assert len(steps) <= 1 and steps <= {2**power for power in range(10)}


def test_points_of_a_curve_that_stay_never_move_as_it_grows() -> None:
    chance = random.Random(1)
    curve = curve_of(events_of(300))
    for epochs in sorted(chance.sample(range(301, 900), 20)):
        longer = curve_of(events_of(epochs))
        assert {epoch for epoch, _ in longer if epoch < 300} <= {epoch for epoch, _ in curve}


def test_resuming_drops_the_curve_after_the_checkpoint(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run_id = store.queue_run("x", "/d", "d", {}, {})
        store.claim_run("w", {"python": "3.11"})
        started: list[Event] = [Started("FM", 1, 1, 1, 1, 5, 9, "CPU, 2 threads", "plain")]
        store.append(run_id, started + list(events_of(4)))
        assert store.run(run_id).curve == (0.501, 0.502, 0.503, 0.504)
        store.append(run_id, [Resumed(2, 2.5, 20.0)])
        run = store.run(run_id)
        assert (run.curve, run.epoch, run.auc, run.seconds) == ((0.501, 0.502), 2.5, 0.502, 20.0)
        store.append(run_id, events_of(3)[2:])
        assert store.run(run_id).curve == (0.501, 0.502, 0.503)
        assert store.run(run_id).versions == {
            "python": "3.11", "device": "CPU, 2 threads", "step": "plain",
        }  # fmt: skip
