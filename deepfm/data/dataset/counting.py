"""Codes and numbers of the train part to a vocabulary: counts, thresholds, bucket edges."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.dataset.division import Division, Rows
from deepfm.data.dataset.recording import Block, Recording
from deepfm.data.reporting import Reporter
from deepfm.data.vocabulary import (
    CategoricalValues,
    NumericBuckets,
    Vocabulary,
    quantile_edges,
    to_buckets,
)

_EDGE_SAMPLE: Final = 1_000_000
"""Quantiles are taken of at most about this many training rows, spread evenly."""


def count_vocabulary(
    recording: Recording, division: Division, config: PrepareConfig, reporter: Reporter
) -> Vocabulary:
    """The vocabulary of the train part, counted on it alone; the fields in file order."""
    edges = _numeric_edges(recording, division, config)
    counter = _Counter(recording, {name: found[0] for name, found in edges.items()})
    done = 0
    for block in recording.blocks():
        for part, rows in division.of_block(recording, block):
            if part == "train":
                counter.add(block, rows)
        done += len(block.labels)
        reporter.step("Counting values", done, recording.total_rows, "rows")
    return Vocabulary.of(
        [
            counter.numeric(column.name, edges[column.name][1])
            if column.role == "numeric"
            else counter.categorical(column.name, config.min_count)
            for column in recording.schema.fields
        ]
    )


def _numeric_edges(
    recording: Recording, division: Division, config: PrepareConfig
) -> dict[str, tuple[NDArray[np.float64], int]]:
    """Bucket edges of each numeric column, and how many different numbers were seen."""
    if not recording.numeric:
        return {}
    stride = -(-division.parts["train"].rows // _EDGE_SAMPLE)
    sampled, seen = [], 0
    for block in recording.blocks():
        for part, rows in division.of_block(recording, block):
            if part == "train":
                numbers = block.numbers[:, rows]
                sampled.append(np.array(numbers[:, -seen % stride :: stride]))
                seen += numbers.shape[1]
    sample = np.concatenate(sampled, axis=1)
    return {
        name: (
            quantile_edges(sample[i], config.numeric_buckets),
            len(np.unique(sample[i][~np.isnan(sample[i])])),
        )
        for i, name in enumerate(recording.numeric)
    }


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
            else np.zeros((len(recording.dictionaries[name]), 2), np.int64)
            for name, role in self._fields.items()
        }

    def add(self, block: Block, rows: Rows) -> None:
        """Count some rows of a block."""
        labels = block.labels[rows]
        for name, role in self._fields.items():
            if role == "numeric":
                numbers = block.numbers[self._recording.numeric.index(name)][rows]
                codes = to_buckets(numbers, self._edges[name])
            else:
                codes = block.codes[self._recording.coded.index(name)][rows]
            # One count tells clicks and the others apart: the label is the lowest bit.
            found = np.bincount(codes.astype(np.int64) * 2 + labels, minlength=2).astype(np.int64)
            found = np.append(found, np.zeros(len(found) % 2, np.int64)).reshape(-1, 2)
            self._counts[name][: len(found)] += found

    def numeric(self, name: str, distinct: int) -> NumericBuckets:
        """A numeric field with its counts."""
        counts = self._counts[name]
        return NumericBuckets(name, self._edges[name], counts.sum(axis=1), counts[:, 1], distinct)

    def categorical(self, name: str, min_count: int) -> CategoricalValues:
        """A categorical field: values seen often enough, in the order of their text."""
        both = self._counts[name]
        counts, clicks = both.sum(axis=1), both[:, 1]
        kept = np.flatnonzero(counts >= min_count)
        texts = self._recording.dictionaries[name].texts().take(pa.array(kept))
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
