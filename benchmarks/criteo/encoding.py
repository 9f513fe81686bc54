"""Rows of Criteo's shape to a dataset folder, block by block in bounded memory."""

import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from benchmarks.criteo.rows import (
    BLOCK_ROWS,
    FIELDS,
    FULL_ROWS,
    MIN_COUNT,
    SCHEMA,
    VERSION,
    Block,
    CriteoField,
    blocks,
    count_blocks,
    draw_block,
    text_table,
)
from deepfm.config import PrepareConfig
from deepfm.data.dataset import Dataset, PartSummary, open_dataset
from deepfm.data.dataset.folder import DATASET_FILE, ROW, SCHEMA_FILE, About
from deepfm.data.reader import Skipped
from deepfm.data.vocabulary import (
    CategoricalValues,
    NumericBuckets,
    Vocabulary,
    quantile_edges,
    to_buckets,
)

_BUCKETS: Final = 10


def write_encoded(
    folder: Path,
    rows: int,
    *,
    test_rows: int = 0,
    validation_rows: int = 0,
    seed: int = 0,
    log_rows: int = FULL_ROWS,
    threads: int | None = None,
) -> Dataset:
    """Write a dataset folder, block by block in bounded memory, and open it.

    rows, test_rows, validation_rows   of the three parts; no part with 0
    log_rows   the features are those of a log of so many rows: 45.8 million gives about a million
               of them, fewer give a smaller table
    The folder is written aside and renamed into place; one that is there already is opened.
    """
    if folder.exists():
        return open_dataset(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
        aside = Path(scratch) / "dataset"
        aside.mkdir()
        encoder = Encoder(seed, log_rows)
        clicks = {"train": encoder.write_train(aside, rows, threads or os.cpu_count() or 1)}
        sizes = {"train": rows, "validation": validation_rows, "test": test_rows}
        for part in ("validation", "test"):
            if sizes[part]:
                clicks[part] = encoder.write_held_out(aside, part, sizes[part])
        encoder.vocabulary().save(aside)
        parts = {part: PartSummary(sizes[part], clicks[part]) for part in clicks}
        _write_about(aside, parts, [seed, log_rows])
        aside.rename(folder)
    return open_dataset(folder)


def _write_about(folder: Path, parts: dict[str, PartSummary], recipe: list[int]) -> None:
    rows = parts["train"].rows
    meaning = json.dumps(["criteo", VERSION, *recipe, [part.rows for part in parts.values()]])
    about = About(
        name=f"Criteo's shape, {rows:,} rows",
        fingerprint=hashlib.blake2b(meaning.encode(), digest_size=10).hexdigest(),
        sources={part: f"{part}.txt" for part in parts},
        prepare=PrepareConfig(min_count=MIN_COUNT, validation=0.0, numeric_buckets=_BUCKETS),
        parts=parts,
        skipped=Skipped(),
        notices=(),
    )
    (folder / DATASET_FILE).write_text(json.dumps(about.to_dict()), "utf-8")
    (folder / SCHEMA_FILE).write_text(json.dumps(SCHEMA.to_dict()), "utf-8")


class Encoder:
    """Ranks to feature indices as `deepfm.data.vocabulary` lays them out, counting as it goes."""

    def __init__(self, seed: int, log_rows: int) -> None:
        self._seed = seed
        sample = draw_block(0, part="edges", seed=seed).ranks
        self._fields = [
            _NumericCodec(field, sample[field.number])
            if field.numeric
            else _HashCodec(field, field.kept(log_rows))
            for field in FIELDS
        ]
        sizes = [codec.size for codec in self._fields]
        self._offsets = np.cumsum([0, *sizes[:-1]])
        self._counts = np.zeros(sum(sizes), np.int64)
        self._clicks = np.zeros(sum(sizes), np.int64)
        self._lock = Lock()

    def encode(self, block: Block) -> NDArray[np.int32]:
        """int32[n, 39]."""
        ids = np.empty((len(block), len(FIELDS)), np.int32)
        for i, codec in enumerate(self._fields):
            ids[:, i] = codec.places(block.ranks[i])
            ids[:, i] += self._offsets[i]
        return ids

    def write_train(self, folder: Path, rows: int, threads: int) -> int:
        """Write ids and labels of the train part, blocks at once on several threads; its clicks."""
        ids = open_memmap(folder / "train_ids.npy", "w+", np.int32, (rows, len(FIELDS)))
        labels = open_memmap(folder / "train_labels.npy", "w+", np.float32, (rows,))

        def write(number: int) -> int:
            start = number * BLOCK_ROWS
            block = draw_block(number, seed=self._seed).first(rows - start)
            encoded = self.encode(block)
            ids[start : start + len(block)] = encoded
            labels[start : start + len(block)] = block.labels
            self._count(encoded, block.labels)
            return int(block.labels.sum())

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(write, range(count_blocks(rows))))

    def _count(self, ids: NDArray[np.int32], labels: NDArray[np.uint8]) -> None:
        counts = np.bincount(ids.ravel(), minlength=len(self._counts))
        clicks = np.bincount(ids[labels == 1].ravel(), minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._clicks += clicks

    def write_held_out(self, folder: Path, part: str, rows: int) -> int:
        """Write ids, labels, truth and raw rows of test or validation; returns its clicks."""
        ids = open_memmap(folder / f"{part}_ids.npy", "w+", np.int32, (rows, len(FIELDS)))
        labels = open_memmap(folder / f"{part}_labels.npy", "w+", np.float32, (rows,))
        truth = open_memmap(folder / f"{part}_truth.npy", "w+", np.float32, (rows,))
        schema = pa.schema([*((name, pa.string()) for name in SCHEMA.names), (ROW, pa.int64())])
        start = clicks = 0
        with pq.ParquetWriter(folder / f"{part}_rows.parquet", schema, compression="zstd") as raw:
            for block in blocks(rows, part=part, seed=self._seed):
                here = slice(start, start + len(block))
                ids[here], labels[here] = self.encode(block), block.labels
                truth[here] = block.truth
                numbers = pa.array(np.arange(start, start + len(block)), pa.int64())
                table = text_table(block).append_column(ROW, numbers)
                raw.write_table(table, row_group_size=16_384)
                start += len(block)
                clicks += int(block.labels.sum())
        return clicks

    def vocabulary(self) -> Vocabulary:
        """The features, with the counts of the train rows written so far."""
        ends = [*self._offsets[1:], len(self._counts)]
        return Vocabulary.of(
            [
                codec.features(self._counts[start:end], self._clicks[start:end])
                for codec, start, end in zip(self._fields, self._offsets, ends, strict=True)
            ]
        )


class _HashCodec:
    """Ranks of a column of hashes to places within its field, in the order of their text."""

    def __init__(self, field: CriteoField, kept: int) -> None:
        self._field = field
        ranks = np.arange(1, kept + 1, dtype=np.int32)
        order = np.argsort(field.codes(ranks))
        self._empty = int(field.missing > 0)
        self._ranks = ranks[order]
        self.size = self._empty + kept + 1
        # The empty text comes before any other; place[0] is its own, or never used.
        self._place = np.full(kept + 2, self.size - 1, np.int32)
        self._place[0] = 0
        self._place[self._ranks] = np.arange(self._empty, self._empty + kept)

    def places(self, ranks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Ranks not kept have the field's last place."""
        return self._place[np.minimum(ranks, len(self._place) - 1)]

    def features(self, counts: NDArray[np.int64], clicks: NDArray[np.int64]) -> CategoricalValues:
        texts = self._field.texts(self._ranks)
        if self._empty:
            texts = pa.concat_arrays([pa.array([""]), texts])
        return CategoricalValues(self._field.name, texts, counts, clicks, self._field.values)


class _NumericCodec:
    """Ranks of a column of whole numbers to buckets; the edges come from a sample of ranks."""

    def __init__(self, field: CriteoField, sample: NDArray[np.int32]) -> None:
        self._field = field
        self._edges = quantile_edges(_to_numbers(sample), _BUCKETS)
        self.size = len(self._edges) + 3

    def places(self, ranks: NDArray[np.int32]) -> NDArray[np.int64]:
        """Empty cells have the place after the buckets."""
        return to_buckets(_to_numbers(ranks), self._edges)

    def features(self, counts: NDArray[np.int64], clicks: NDArray[np.int64]) -> NumericBuckets:
        return NumericBuckets(self._field.name, self._edges, counts, clicks, self._field.values)


def _to_numbers(ranks: NDArray[np.int32]) -> NDArray[np.float64]:
    """Rank r is the number r − 1; an empty cell NaN."""
    return np.where(ranks == 0, np.nan, ranks - 1.0)
