"""A seed to the rows of each batch: a full permutation, or blocks and a shuffle buffer.

A full permutation needs the rows at hand, in memory or in the system's cache of a mapped file. Of
larger parts, blocks of neighbouring rows are read in a random order into a buffer, and the rows of
the buffer are permuted: the rows of one batch come from up to BUFFER_BYTES / BLOCK_BYTES places
all over the file, and any two rows that lie in different blocks may meet; but a row meets its
neighbours of the file more often than others. Where the file is sorted (by time, by user) that is
a little less random than a permutation.

Both are pure functions of the seed, and can begin at any step.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from deepfm.data.dataset import Part

BUFFER_BYTES: Final = 128 << 20
BLOCK_BYTES: Final = 512 << 10
LEAST_READ_AHEAD: Final = 256 << 20
"""Smaller files are read soon enough as they are."""


@dataclass(frozen=True)
class Piece:
    """Rows of two arrays, by index: ids int32[N, F], labels float32[N]; rows int[n]."""

    ids: NDArray[np.int32]
    labels: NDArray[np.float32]
    rows: NDArray[Any]


Batch = Sequence[Piece]
"""The rows of one batch: its pieces one after the other."""


class Order(Protocol):
    """Which rows each batch of an epoch has."""

    @property
    def words(self) -> str:
        """How well rows are mixed, as a person reads it."""

    def batches(self, cuts: Sequence[int], seed: int) -> Iterator[Batch]:
        """Batch i has the rows cuts[i] … cuts[i + 1] − 1 of the order that the seed gives."""


class FullOrder:
    """A permutation of all rows, 4 bytes a row."""

    words: Final = "a full permutation"

    def __init__(self, part: Part) -> None:
        self._part = part
        for array in (part.ids, part.labels):
            _read_ahead(array)

    def batches(self, cuts: Sequence[int], seed: int) -> Iterator[Batch]:
        """Rows at random places of the part."""
        numbers = np.arange(len(self._part), dtype=np.int32)
        order = np.random.default_rng(seed).permutation(numbers)
        for start, stop in pairwise(cuts):
            yield [Piece(self._part.ids, self._part.labels, order[start:stop])]


def _read_ahead(array: NDArray[Any]) -> None:
    """Have the system read a large mapped file into its cache, aside and from front to back.

    Without it the first steps of a permutation wait for the disk at thousands of random places.
    """
    name = array.filename if isinstance(array, np.memmap) else None
    if name is None or array.nbytes < LEAST_READ_AHEAD or not hasattr(os, "posix_fadvise"):
        return

    def read() -> None:
        with Path(name).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    threading.Thread(target=read, daemon=True).start()


class BufferedOrder:
    """Blocks in a random order, read into a buffer whose rows are permuted.

    Two buffers are in memory: one is read on a thread of its own while the other is used. Which
    rows a buffer has, and their order, depends on the seed and on the buffer's number alone.
    """

    def __init__(
        self, part: Part, buffer_bytes: int = BUFFER_BYTES, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._part = part
        row_bytes = max(1, part.ids.itemsize * part.ids.shape[1])
        self._block = max(1, block_bytes // row_bytes)
        self._blocks_at_once = max(2, buffer_bytes // (self._block * row_bytes))

    @property
    def words(self) -> str:
        """Rows of a buffer, and the blocks that they come from."""
        rows = self._block * self._blocks_at_once
        return f"blocks of {self._block:,} rows in a shuffle buffer of {rows:,}"

    def batches(self, cuts: Sequence[int], seed: int) -> Iterator[Batch]:
        """Rows of one buffer, or where it ends of two and more."""
        plan = _Plan(len(self._part), self._block, self._blocks_at_once, seed)
        with ThreadPoolExecutor(1) as reader:
            buffers = _Buffers(self._part, plan, reader)
            for start, stop in pairwise(cuts):
                yield [buffers.piece(*span) for span in plan.spans(start, stop)]


class _Plan:
    """Which blocks each buffer holds: `starts[b]` is where buffer b begins in the order."""

    def __init__(self, rows: int, block: int, blocks_at_once: int, seed: int) -> None:
        self.seed = seed
        first_rows = np.arange(0, rows, block)
        order = np.random.default_rng(seed).permutation(len(first_rows))
        firsts = first_rows[order]
        groups = range(0, len(order), blocks_at_once)
        self.blocks = [
            [slice(first, min(first + block, rows)) for first in firsts[at : at + blocks_at_once]]
            for at in groups
        ]
        sizes = [sum(part.stop - part.start for part in blocks) for blocks in self.blocks]
        self.starts = np.cumsum([0, *sizes])

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The rows start … stop − 1 of the order: buffer, and first and last + 1 within it."""
        number = int(np.searchsorted(self.starts, start, side="right")) - 1
        while start < stop:
            begin, end = self.starts[number], min(stop, int(self.starts[number + 1]))
            yield number, int(start - begin), int(end - begin)
            start, number = end, number + 1


class _Buffers:
    """The buffer in use and the one that comes after it."""

    def __init__(self, part: Part, plan: _Plan, reader: ThreadPoolExecutor) -> None:
        self._part = part
        self._plan = plan
        self._reader = reader
        self._number = -1
        self._current: Piece
        self._next: Future[Piece] | None = None

    def piece(self, number: int, first: int, last: int) -> Piece:
        """Some rows of a buffer, in its own order; buffers are asked for in turn."""
        if number != self._number:
            reading = self._next or self._reader.submit(self._read, number)
            self._current, self._number = reading.result(), number
            more = number + 1 < len(self._plan.blocks)
            self._next = self._reader.submit(self._read, number + 1) if more else None
        return Piece(self._current.ids, self._current.labels, self._current.rows[first:last])

    def _read(self, number: int) -> Piece:
        blocks = self._plan.blocks[number]
        ids = np.concatenate([self._part.ids[block] for block in blocks])
        labels = np.concatenate([self._part.labels[block] for block in blocks])
        numbers = np.arange(len(labels), dtype=np.int32)
        return Piece(
            ids, labels, np.random.default_rng([self._plan.seed, number]).permutation(numbers)
        )


def order_of(part: Part, memory: int) -> Order:
    """A full permutation for a part that takes at most half of this memory, in bytes.

    The memory is to be that of the machine, not what is free just now: the same run on the same
    machine then has the same order.
    """
    fits = part.ids.nbytes + part.labels.nbytes <= memory // 2
    return FullOrder(part) if fits else BufferedOrder(part)


def gather(batch: Batch, ids: NDArray[np.int32], labels: NDArray[np.float32]) -> int:
    """The rows of a batch into the head of two arrays; returns how many they are."""
    at = 0
    for piece in batch:
        here = slice(at, at + len(piece.rows))
        # With "raise", its default, numpy would gather into a buffer of its own first.
        np.take(piece.ids, piece.rows, axis=0, out=ids[here], mode="clip")
        np.take(piece.labels, piece.rows, out=labels[here], mode="clip")
        at = here.stop
    return at
