"""A seed to click data of Criteo Kaggle's shape, at any size: encoded dataset folder or raw text.

python -m benchmarks.criteo encoded FOLDER --rows 45840617 --test-rows 1000000
python -m benchmarks.criteo text FILE --rows 1000000

13 columns of whole numbers and 26 of hashes, as many different values in each as the real log
has, drawn by a truncated power law; clicks follow single values and six pairs of columns, so that
there is something to learn. A value has a feature of its own if a log of 45.8 million rows is
expected to hold it eight times: about a million features, however few rows are made. The first rows
are the same for any number of rows, and text and encoded form hold the same impressions.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.dataset import Dataset, PartSummary, open_dataset
from deepfm.data.dataset.folder import DATASET_FILE, ROW, SCHEMA_FILE, About
from deepfm.data.reader import Skipped
from deepfm.data.schema import Column, FileFormat, Schema
from deepfm.data.vocabulary import (
    CategoricalValues,
    NumericBuckets,
    Vocabulary,
    quantile_edges,
    to_buckets,
)
from deepfm.terms import sigmoid

FULL_ROWS: Final = 45_840_617
"""Rows of the real log."""
MIN_COUNT: Final = 8
BLOCK_ROWS: Final = 65_536
VERSION: Final = 1
"""Goes up with any change of the rows."""

_BUCKETS: Final = 10
_STEEPNESS: Final = 6
"""k of the law: the share of rank r falls as r^(−1 − 1/k). With 6 a million features are kept."""
_EFFECTS: Final = 4_096
"""Different effects of a field; value number r has effect number r modulo this."""
_PARTS: Final = ("train", "test", "edges")
_BASE: Final = -1.5
_EFFECT_SPREAD: Final = 0.13
_TRAIT_SPREAD: Final = 0.75
_PAIRS: Final = ((13, 28), (14, 33), (15, 21), (22, 26), (17, 38), (5, 29))
"""Columns, counted from 0, whose values meet."""

_NUMBERS: Final = (5775, 257675, 65535, 969, 23159456, 431037, 56311)
_NUMBERS_REST: Final = (6047, 29019, 11, 231, 4008, 7393)
_NUMBERS_MISSING: Final = (45, 0, 21, 22, 3, 22, 4, 0, 4, 45, 4, 77, 22)
_HASHES: Final = (1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194)
_HASHES_REST: Final = (27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572)
_HASHES_MISSING: Final = (0, 0, 3, 3, 0, 12, 0, 0, 0, 0, 0, 3, 0)
_HASHES_MISSING_REST: Final = (0, 0, 3, 0, 0, 44, 44, 3, 76, 0, 3, 44, 44)


@dataclass(frozen=True)
class CriteoField:
    """One column: how many different values it has, and the share of its cells that is empty."""

    number: int
    name: str
    numeric: bool
    values: int
    missing: float

    @property
    def least(self) -> float:
        """The smallest v of the law: rank = v^−k for v even between this and 1."""
        return float((self.values + 1) ** (-1 / _STEEPNESS))

    def kept(self, log_rows: int) -> int:
        """Values that a log of so many rows is expected to hold MIN_COUNT times; at least one.

        The share of rank r is about r^(−1 − 1/k) / k / (1 − least).
        """
        ratio = log_rows * (1 - self.missing) / (MIN_COUNT * _STEEPNESS * (1 - self.least))
        return max(1, min(self.values, int(ratio ** (_STEEPNESS / (_STEEPNESS + 1)))))

    def draw(self, rng: np.random.Generator, rows: int) -> NDArray[np.int32]:
        """Ranks, int32[rows]: 1 is the commonest value, 0 an empty cell.

        Products and a division only, so that every machine draws the same.
        """
        v = rng.random(rows)
        v *= 1 - self.least
        v += self.least
        v *= v
        ranks = (1 / (v * v * v)).astype(np.int32)
        np.minimum(ranks, self.values, out=ranks)
        if self.missing:
            ranks[rng.random(rows, dtype=np.float32) < self.missing] = 0
        return ranks

    def codes(self, ranks: NDArray[np.int32]) -> NDArray[np.uint32]:
        """Ranks to hashes, one to one within the field."""
        mixed = ranks.astype(np.uint32)
        mixed *= np.uint32(0x9E3779B1)
        mixed += np.uint32(self.number * 0x632BE5AB & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
        return mixed

    def texts(self, ranks: NDArray[np.int32]) -> pa.StringArray:
        """Ranks to cells: whole numbers from 0 or 8 hex digits; null is an empty cell."""
        empty = pa.array(ranks == 0)
        if self.numeric:
            return pa.array(ranks - 1, mask=ranks == 0).cast(pa.string())
        return pc.if_else(empty, pa.scalar(None, pa.string()), _hex(self.codes(ranks)))


def _fields() -> tuple[CriteoField, ...]:
    columns = [
        *zip((*_NUMBERS, *_NUMBERS_REST), _NUMBERS_MISSING, strict=True),
        *zip((*_HASHES, *_HASHES_REST), (*_HASHES_MISSING, *_HASHES_MISSING_REST), strict=True),
    ]
    return tuple(
        CriteoField(i, f"I{i + 1}" if i < 13 else f"C{i - 12}", i < 13, values, percent / 100)
        for i, (values, percent) in enumerate(columns)
    )


FIELDS: Final = _fields()
SCHEMA: Final = Schema(
    FileFormat("text"),
    (
        Column("label", "label"),
        *(Column(f.name, "numeric" if f.numeric else "categorical") for f in FIELDS),
    ),
    positive=("1",),
    negative=("0",),
)


@dataclass(frozen=True)
class Block:
    """Some rows in a row.

    ranks    int32[39, n]; 0 is an empty cell
    truth    float32[n], the true click probability
    labels   uint8[n]
    """

    ranks: NDArray[np.int32]
    truth: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, rows: int) -> "Block":
        """The first rows only."""
        return Block(self.ranks[:, :rows], self.truth[:rows], self.labels[:rows])


def draw_block(number: int, *, part: str = "train", seed: int = 0) -> Block:
    """Block number 0, 1, … of a part: BLOCK_ROWS rows, a pure function of its arguments."""
    rng = np.random.default_rng([VERSION, seed, _PARTS.index(part), number])
    ranks = np.stack([field.draw(rng, BLOCK_ROWS) for field in FIELDS])
    truth = sigmoid(_logit(ranks, seed)).astype(np.float32)
    labels = (rng.random(BLOCK_ROWS, dtype=np.float32) < truth).astype(np.uint8)
    return Block(ranks, truth, labels)


def blocks(rows: int, *, part: str = "train", seed: int = 0) -> Iterator[Block]:
    """The first rows of a part, block by block."""
    for number in range(_count_blocks(rows)):
        yield draw_block(number, part=part, seed=seed).first(rows - number * BLOCK_ROWS)


def _count_blocks(rows: int) -> int:
    return -(-rows // BLOCK_ROWS)


def _logit(ranks: NDArray[np.int32], seed: int) -> NDArray[np.float32]:
    """int32[39, n] to the true logit, float32[n]: single values, and pairs of columns."""
    effects, traits = _effects(seed)
    places = ranks & (_EFFECTS - 1)
    logit = np.full(ranks.shape[1], _BASE, np.float32)
    for field in FIELDS:
        logit += effects[field.number][places[field.number]]
    for a, b in _PAIRS:
        logit += traits[a][places[a]] * traits[b][places[b]]
    return logit


@cache
def _effects(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Effect of each value alone, and what it brings to a pair: float32[39, _EFFECTS] each."""
    rng = np.random.default_rng([VERSION, seed, len(_PARTS)])
    shape = (2, len(FIELDS), _EFFECTS)
    single, pair = rng.standard_normal(shape, dtype=np.float32)
    return _EFFECT_SPREAD * single, _TRAIT_SPREAD * pair


def _hex(codes: NDArray[np.uint32]) -> pa.StringArray:
    """uint32[n] to texts of 8 hex digits."""
    octets = codes.astype(">u4").view(np.uint8).reshape(-1, 4)
    digits = _hex_pairs()[octets]
    offsets = np.arange(0, 8 * len(codes) + 1, 8, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(codes), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(digits))
    )


@cache
def _hex_pairs() -> NDArray[np.uint16]:
    """The two digits of each octet, as they lie in memory."""
    return np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), np.uint16)


def write_text(path: Path, rows: int, *, part: str = "train", seed: int = 0) -> None:
    """Write tab-separated text as the real log has it: no header, the label first."""
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as file:
        for block in blocks(rows, part=part, seed=seed):
            pyarrow.csv.write_csv(text_table(block), file, options)


def text_table(block: Block) -> pa.Table:
    """A block as it stands in the text: the label and 39 columns, pa.string()."""
    labels = pa.array(("0", "1")).take(pa.array(block.labels))
    cells = [field.texts(ranks) for field, ranks in zip(FIELDS, block.ranks, strict=True)]
    return pa.table([labels, *cells], list(SCHEMA.names))


def write_encoded(
    folder: Path,
    rows: int,
    *,
    test_rows: int = 0,
    seed: int = 0,
    log_rows: int = FULL_ROWS,
    threads: int | None = None,
) -> Dataset:
    """Write a dataset folder, block by block in bounded memory, and open it.

    rows, test_rows   of the parts train and test; no test part with 0
    log_rows          the features are those of a log of so many rows: 45.8 million gives about a
                      million of them, fewer give a smaller table
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
        if test_rows:
            clicks["test"] = encoder.write_test(aside, test_rows)
        encoder.vocabulary().save(aside)
        sizes = {"train": rows, "test": test_rows}
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
            return sum(pool.map(write, range(_count_blocks(rows))))

    def _count(self, ids: NDArray[np.int32], labels: NDArray[np.uint8]) -> None:
        counts = np.bincount(ids.ravel(), minlength=len(self._counts))
        clicks = np.bincount(ids[labels == 1].ravel(), minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._clicks += clicks

    def write_test(self, folder: Path, rows: int) -> int:
        """Write ids, labels, truth and raw rows of the test part; returns its clicks."""
        ids = open_memmap(folder / "test_ids.npy", "w+", np.int32, (rows, len(FIELDS)))
        labels = open_memmap(folder / "test_labels.npy", "w+", np.float32, (rows,))
        truth = open_memmap(folder / "test_truth.npy", "w+", np.float32, (rows,))
        schema = pa.schema([*((name, pa.string()) for name in SCHEMA.names), (ROW, pa.int64())])
        start = clicks = 0
        with pq.ParquetWriter(folder / "test_rows.parquet", schema, compression="zstd") as raw:
            for block in blocks(rows, part="test", seed=self._seed):
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


def main() -> None:
    """Write one of the two forms and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=("encoded", "text"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test-rows", type=int, default=0, help="of the encoded form")
    parser.add_argument("--log-rows", type=int, default=FULL_ROWS, help="decides the features")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    about: dict[str, Any] = {"form": given.form, "path": str(given.path), "rows": given.rows}
    if given.form == "text":
        write_text(given.path, given.rows, seed=given.seed)
        about["bytes"] = given.path.stat().st_size
    else:
        dataset = write_encoded(
            given.path,
            given.rows,
            test_rows=given.test_rows,
            seed=given.seed,
            log_rows=given.log_rows,
        )
        about["features"] = dataset.vocabulary.num_features
    print(json.dumps({**about, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
