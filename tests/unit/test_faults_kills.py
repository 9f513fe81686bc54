"""kill -9 at random moments of a run's life; what must hold after each, and after one by design."""

import contextlib
import random
import sqlite3
import sys
from pathlib import Path

import pytest

from benchmarks.kills import MOMENTS, VICTIMS, Kill, draw_kills, kill_many, left_behind, table
from benchmarks.lab import lab, small_dataset
from deepfm.data.dataset import Dataset
from deepfm.events import Finished

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data"))


def test_ten_kills_at_random_moments(tmp_path: Path, dataset: Dataset) -> None:
    with lab(tmp_path, dataset) as opened:
        kills = kill_many(opened, 10, seed=1)
        assert left_behind(opened) == []
    assert len(kills) == 10
    assert [words for kill in kills for words in kill.violations] == []


def test_a_run_that_died_between_its_folder_and_its_last_word_has_finished(
    tmp_path: Path, dataset: Dataset
) -> None:
    with lab(tmp_path, dataset) as opened:
        row = opened.ended(opened.queue("Dies at its very end"))
        told = opened.store.events(row.id)
        opened.worker.kill()
        opened.worker.wait()
        (row.folder / "checkpoint.json").write_text("{}")
        (row.folder.parent / f"{row.id}.writing").mkdir()
        file = opened.home / "lab.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("DELETE FROM events WHERE seq > ?", (len(told) - 3,))
            connection.execute(
                "UPDATE runs SET state = 'training', result = NULL, last_event = ?",
                (len(told) - 3,),
            )
        opened.revive()
        again = opened.ended(row.id)
        assert (again.state, again.message, again.result) == ("finished", "", row.result)
        assert opened.store.events(row.id) == told
        assert isinstance(told[-1][1], Finished)
        assert left_behind(opened) == [] and not (row.folder / "checkpoint.json").exists()


def test_every_moment_and_every_victim_is_drawn_and_the_seed_decides() -> None:
    pairs = draw_kills(200, random.Random(0))
    assert len(pairs) == 200 and len(set(pairs)) == len(MOMENTS) * len(VICTIMS)
    assert pairs == draw_kills(200, random.Random(0)) != draw_kills(200, random.Random(1))
    ten = draw_kills(10, random.Random(1))
    assert {moment for moment, _ in ten} == set(MOMENTS)
    assert {victim for _, victim in ten} == set(VICTIMS)


def test_the_table_counts_by_moment_and_in_all() -> None:
    found = [
        Kill("queued", "worker", "queued", "queued", False, ()),
        Kill("training", "child", "training", "interrupted", True, ("lost",)),
    ]
    lines = table(found).splitlines()
    assert lines[2] == "| queued | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |"
    assert lines[4] == "| training | 1 | 0 | 0 | 1 | 0 | 0 | 1 | 1 |"
    assert lines[-1] == "| all | 2 | 1 | 0 | 1 | 0 | 0 | 1 | 1 |"
