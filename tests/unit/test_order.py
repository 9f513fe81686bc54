"""The order of rows: every row once, a pure function of seed and step, well mixed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepfm.data.dataset import Part
from deepfm.training import order as order_module
from deepfm.training import rows as rows_module
from deepfm.training.notices import order_notice
from deepfm.training.order import (
    BufferedOrder,
    FullOrder,
    Order,
    gather,
    order_of,
)
from deepfm.training.rows import Rows

FIELDS = 3
BLOCK, BLOCKS = 20, 5


def part_of(rows: int) -> Part:
    """Row r holds 10·r, 10·r + 1, 10·r + 2, and r as its label."""
    numbers = np.arange(rows)
    ids = (10 * numbers[:, None] + np.arange(FIELDS)).astype(np.int32)
    return Part("train", ids, numbers.astype(np.float32), None, Path())


def buffered(part: Part) -> BufferedOrder:
    """Buffers of 5 blocks of 20 rows."""
    row_bytes = 4 * FIELDS
    return BufferedOrder(part, BLOCKS * BLOCK * row_bytes, BLOCK * row_bytes)


def orders(part: Part) -> list[Order]:
    return [FullOrder(part), buffered(part)]


def taken(order: Order, cuts: list[int], seed: int = 0) -> list[NDArray[np.float32]]:
    """The row numbers of each batch, from both arrays."""
    found = []
    for batch, size in zip(order.batches(cuts, seed), np.diff(cuts), strict=True):
        ids = np.zeros((size, FIELDS), np.int32)
        labels = np.zeros(size, np.float32)
        assert gather(batch, ids, labels) == size
        assert (ids == 10 * labels[:, None] + np.arange(FIELDS)).all()
        found.append(labels)
    return found


def cuts_of(rows: int, batch: int, first: int = 0) -> list[int]:
    return [min(step * batch, rows) for step in range(first, -(-rows // batch) + 1)]


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("rows", [1, 7, 99, 100, 101, 1_003])
@pytest.mark.parametrize("batch", [1, 13, 64, 250, 2_000])
def test_every_row_comes_once(kind: int, rows: int, batch: int) -> None:
    found = taken(orders(part_of(rows))[kind], cuts_of(rows, batch))
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(rows))
    assert all(len(each) == batch for each in found[:-1])


@pytest.mark.parametrize("kind", [0, 1])
def test_the_order_is_a_function_of_the_seed(kind: int) -> None:
    first, again, other = (
        np.concatenate(taken(orders(part_of(1_003))[kind], cuts_of(1_003, 64), seed))
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", [0, 1])
def test_an_order_begun_at_any_step_goes_on_as_the_whole_one(kind: int) -> None:
    whole = taken(orders(part_of(1_003))[kind], cuts_of(1_003, 64))
    for step in range(len(whole) + 1):
        rest = taken(orders(part_of(1_003))[kind], cuts_of(1_003, 64, step))
        assert len(rest) == len(whole) - step
        for there, here in zip(whole[step:], rest, strict=True):
            assert np.array_equal(there, here)


def test_a_buffer_holds_whole_blocks_from_all_over_the_part() -> None:
    rows = 40 * BLOCK
    buffers = taken(buffered(part_of(rows)), cuts_of(rows, BLOCKS * BLOCK))
    for buffer in buffers:
        blocks, counts = np.unique(buffer // BLOCK, return_counts=True)
        assert len(blocks) == BLOCKS and set(counts) == {BLOCK}
    firsts = [set(buffer // BLOCK) for buffer in buffers]
    assert any(max(blocks) - min(blocks) > 2 * BLOCKS for blocks in firsts)


def test_rows_of_a_buffer_are_permuted() -> None:
    rows = 40 * BLOCK
    batches = taken(buffered(part_of(rows)), cuts_of(rows, 25))
    mixed = [len(np.unique(batch // BLOCK)) for batch in batches]
    assert np.mean(mixed) > BLOCKS - 1, "a batch has rows of nearly all blocks of its buffer"
    assert all((np.diff(batch) != 1).any() for batch in batches)


def test_who_stops_in_the_middle_of_an_epoch_may_begin_another() -> None:
    order = buffered(part_of(1_003))
    begun = order.batches(cuts_of(1_003, 64), 0)
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert len(taken(order, cuts_of(1_003, 64))) == 16


def test_a_part_larger_than_half_the_memory_is_read_in_blocks() -> None:
    part = part_of(1_000)
    size = part.ids.nbytes + part.labels.nbytes
    assert isinstance(order_of(part, 2 * size), FullOrder)
    streamed = order_of(part, 2 * size - 1)
    assert isinstance(streamed, BufferedOrder)
    assert "shuffle buffer" in streamed.words


def test_rows_of_both_orders_train_from_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(1_003)
    for memory in (1 << 40, 1):
        monkeypatch.setattr(rows_module, "machine_memory", lambda memory=memory: memory)
        rows = Rows(part, torch.device("cpu"))
        assert ("full" in rows.order) == (memory > 1)
        for drop_last, steps in ((False, 16), (True, 15)):
            whole = list(rows.batches(64, 3, 2, drop_last))
            rest = list(rows.batches(64, 3, 2, drop_last, first=10))
            assert (len(whole), len(rest)) == (steps, steps - 10)
            for (ids, labels), (same_ids, same_labels) in zip(whole[10:], rest, strict=True):
                assert torch.equal(ids, same_ids) and torch.equal(labels, same_labels)
            assert not list(rows.batches(64, 3, 2, drop_last, first=steps))


def test_a_mapped_part_is_read_ahead_and_comes_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of(1_003)
    np.save(tmp_path / "ids.npy", part.ids)
    mapped = Part(
        "train", np.load(tmp_path / "ids.npy", mmap_mode="r"), part.labels, None, tmp_path
    )
    monkeypatch.setattr(order_module, "LEAST_READ_AHEAD", 0)
    for found, expected in zip(
        taken(FullOrder(mapped), cuts_of(1_003, 64)),
        taken(FullOrder(part), cuts_of(1_003, 64)),
        strict=True,
    ):
        assert np.array_equal(found, expected)


def test_who_trains_is_told_when_rows_are_read_in_blocks() -> None:
    part = part_of(1_000)
    assert order_notice(FullOrder(part).words) is None
    notice = order_notice(buffered(part).words)
    assert notice is not None
    assert "blocks of 20 rows in a shuffle buffer of 100" in notice.text
