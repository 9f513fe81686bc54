"""Codes and numbers of the train part to a vocabulary: counts, thresholds, bucket edges."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.dataset.division import Division, Rows
from deepfm.data.dataset.recording import Block, Recording
from deepfm.data.reporting import Reporter
from deepfm.data.side_by_side import in_order
from deepfm.data.vocabulary import (
    CategoricalValues,
    NumericBuckets,
    Vocabulary,
    edges_of_sorted,
    to_buckets,
)

_EDGE_SAMPLE: Final = 250_000
"""Quantiles are taken of at most about this many training rows, spread evenly."""


def count_vocabulary(
    recording: Recording, division: Division, config: PrepareConfig, reporter: Reporter
) -> Vocabulary:
    """The vocabulary of the train part, counted on it alone; the fields in file order."""
    edges = _numeric_edges(recording, division, config)
    counter = _Counter(recording, {name: found.edges for name, found in edges.items()})
    done = 0
    with closing(in_order(counter.of_rows, _train_rows(recording, division))) as counted:
        for rows in counted:
            counter.add(rows)
            done += rows.seen
            reporter.step("Counting values", done, division.parts["train"].rows, "rows")
    return Vocabulary.of(
        [
            counter.numeric(column.name, edges[column.name].distinct)
            if column.role == "numeric"
            else counter.categorical(column.name, config.min_count)
            for column in recording.schema.fields
        ]
    )


def _train_rows(recording: Recording, division: Division) -> Iterator[tuple[Block, Rows]]:
    for block in recording.blocks():
        for part, rows in division.of_block(recording, block):
            if part == "train":
                yield block, rows


@dataclass(frozen=True)
class _Numeric:
    """The bucket edges of a numeric column, and how many different numbers were seen."""

    edges: NDArray[np.float64]
    distinct: int


def _numeric_edges(
    recording: Recording, division: Division, config: PrepareConfig
) -> dict[str, _Numeric]:
    """Of each numeric column, from numbers of one row in so many of the train part."""
    if not recording.numeric:
        return {}
    stride = -(-division.parts["train"].rows // _EDGE_SAMPLE)
    chosen, seen = [], 0
    for block, rows in _train_rows(recording, division):
        numbers = np.arange(len(block.labels))[rows]
        # A copy, since a view would hold on to the numbers of all rows.
        chosen.append((block, numbers[-seen % stride :: stride].astype(np.int32)))
        seen += len(numbers)

    def of_column(number: int) -> _Numeric:
        sample = np.concatenate([block.numbers[number, rows] for block, rows in chosen])
        present = np.sort(sample[~np.isnan(sample)])
        distinct = int(np.count_nonzero(np.diff(present))) + bool(len(present))
        return _Numeric(edges_of_sorted(present, config.numeric_buckets), distinct)

    columns = in_order(of_column, range(len(recording.numeric)))
    return dict(zip(recording.numeric, columns, strict=True))


@dataclass(frozen=True)
class _Counted:
    """Some rows of a block by value: for each field int64[values of the block, 2]."""

    block: int
    seen: int
    fields: list[NDArray[np.int64]]


class _Counter:
    """Rows and clicks of every value over the training rows.

    Of each column one array int64[values, 2]: rows without a click, rows with one.
    """

    def __init__(self, recording: Recording, edges: dict[str, NDArray[np.float64]]):
        self._recording = recording
        self._edges = edges
        self._fields = {column.name: column.role for column in recording.schema.fields}
        self._counts = {
            name: np.zeros((len(edges[name]) + 3, 2), np.int64)
            if role == "numeric"
            else np.zeros((len(recording.column(name).texts), 2), np.int64)
            for name, role in self._fields.items()
        }

    def of_rows(self, block_and_rows: tuple[Block, Rows]) -> _Counted:
        """Count some rows of a block by its own codes; runs on several threads at once."""
        block, rows = block_and_rows
        labels = block.labels[rows]
        fields = []
        for name, role in self._fields.items():
            if role == "numeric":
                numbers = block.numbers[self._recording.numeric.index(name)][rows]
                codes, values = to_buckets(numbers, self._edges[name]), len(self._counts[name])
            else:
                codes = block.codes[self._recording.coded.index(name)][rows]
                values = len(self._recording.column(name).codes(block.number))
            # One count tells clicks and the others apart: the label is the lowest bit.
            both = np.bincount(codes * 2 + labels, minlength=2 * values)
            fields.append(both.astype(np.int64).reshape(-1, 2))
        return _Counted(block.number, len(labels), fields)

    def add(self, counted: _Counted) -> None:
        """Add what was counted to the counts of all rows."""
        for (name, role), found in zip(self._fields.items(), counted.fields, strict=True):
            if role == "numeric":
                self._counts[name] += found
            else:
                self._counts[name][self._recording.column(name).codes(counted.block)] += found

    def numeric(self, name: str, distinct: int) -> NumericBuckets:
        """A numeric field with its counts."""
        counts = self._counts[name]
        return NumericBuckets(name, self._edges[name], counts.sum(axis=1), counts[:, 1], distinct)

    def categorical(self, name: str, min_count: int) -> CategoricalValues:
        """A categorical field: values seen often enough, in the order of their text."""
        both = self._counts[name]
        counts, clicks = both.sum(axis=1), both[:, 1]
        kept = np.flatnonzero(counts >= min_count)
        texts = self._recording.column(name).texts.take(pa.array(kept))
        order = pc.array_sort_indices(texts)
        kept = kept[order.to_numpy()]
        rest = np.ones(len(counts), np.bool_)
        rest[kept] = False
        return CategoricalValues(
            name,
            texts.take(order),
            np.append(counts[kept], counts[rest].sum()),
            np.append(clicks[kept], clicks[rest].sum()),
            int((counts > 0).sum()),
        )
