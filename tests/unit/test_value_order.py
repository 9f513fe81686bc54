"""Values that mean an order stand in it, in every chart."""

import random
from pathlib import Path

import pytest

from deepfm.data.value_order import meant_order
from deepfm.data.vocabulary import RARE
from deepfm.evaluation import slices
from deepfm.explanation import explain, surface
from deepfm.trained import open_run
from tests.unit import run_folders
from tests.unit.run_folders import RunSpec, write_run

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@pytest.mark.parametrize(
    "meant",
    [
        [str(hour) for hour in range(24)],
        WEEKDAYS,
        [day[:3] for day in WEEKDAYS],
        ["-2.5", "0", "7", "10", "", RARE],
    ],
)
def test_numbers_and_weekdays_stand_in_their_own_order(meant: list[str]) -> None:
    shuffled = random.Random(1).sample(meant, len(meant))
    order = meant_order(shuffled)
    assert order is not None
    found = [shuffled[place] for place in order]
    assert [value for value in found if value not in ("", RARE)] == [
        value for value in meant if value not in ("", RARE)
    ]
    assert all(value in ("", RARE) for value in found[len(found) - meant.count("") * 2 :])


@pytest.mark.parametrize("values", [["coffee", "books"], ["1", "2", "coffee"], ["", RARE], []])
def test_names_mean_no_order(values: list[str]) -> None:
    assert meant_order(values) is None


def test_hours_stand_in_their_own_order_in_surfaces_and_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folders, "WORDS", ("9", "10", "2", "1"))
    spec = RunSpec(categorical=(4, 3), rows={"test": 600, "validation": 50})
    model = open_run(write_run(tmp_path / "run", spec))
    why = explain(model, row=1)
    found = surface(model, why.ids, "word_0", "word_1")
    assert found.values.value == ("1", "2", "9", "10", RARE)
    assert found.other_values.value == ("2", "9", "10", RARE)
    assert found.values.index[found.current[0]] == why.ids[0]
    named = [one.value for one in slices(model, "word_0", "test")]
    assert named[:4] == ["1", "2", "9", "10"]
