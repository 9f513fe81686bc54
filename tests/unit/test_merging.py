"""Dictionaries of blocks merged to one: every value once, and each block finds its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepfm.data.dataset import merging
from deepfm.data.dataset.merging import merge
from deepfm.data.side_by_side import in_order


def dictionaries(blocks: int, values: int, seed: int = 0) -> list[pa.StringArray]:
    """Blocks of one to nine different values of so many, "" among them."""
    rng = np.random.default_rng(seed)
    names = np.array(["", *(f"value {i}" for i in range(1, values))])
    sizes = rng.integers(1, min(values, 9) + 1, blocks)
    return [pa.array(rng.choice(names, size, replace=False), pa.string()) for size in sizes]


@pytest.mark.parametrize("least", [1, 7, 10_000])
@pytest.mark.parametrize(("blocks", "values"), [(1, 1), (1, 20), (40, 5), (40, 300)])
def test_codes_lead_to_the_values(
    blocks: int, values: int, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_LEAST_WAITING", least)
    given = dictionaries(blocks, values)
    column = merge(iter(given), tmp_path / "codes")
    texts = column.texts.to_pylist()
    in_order_of_first = list(dict.fromkeys(text for each in given for text in each.to_pylist()))
    assert texts == in_order_of_first
    for number, each in enumerate(given):
        codes = column.codes(number)
        assert [texts[code] for code in codes] == each.to_pylist()
        assert len(set(codes.tolist())) == len(codes)


def test_results_come_in_the_items_order_and_only_a_few_are_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(200):
            taken.append(number)
            yield number

    for number, result in enumerate(in_order(lambda item: item * item, items())):
        assert result == number * number
        assert len(taken) - number <= 12


def test_an_error_of_the_work_reaches_who_takes_the_results() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("item 3")
        return item

    found: list[int] = []
    with pytest.raises(ValueError, match="item 3"):
        found.extend(in_order(work, range(100)))
    with pytest.raises(ValueError, match="the items"):
        list(in_order(work, _failing()))


def _failing() -> Iterator[int]:
    yield 1
    raise ValueError("the items")
