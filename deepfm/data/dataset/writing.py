"""A recording to the files of a dataset folder: indices, labels, truth and raw rows by part."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.dataset.counting import count_vocabulary
from deepfm.data.dataset.division import Division, Rows, divide
from deepfm.data.dataset.folder import DATASET_FILE, SCHEMA_FILE, About
from deepfm.data.dataset.recording import Block, Recording
from deepfm.data.reader import ROW
from deepfm.data.reporting import Reporter
from deepfm.data.side_by_side import in_order
from deepfm.data.vocabulary import Vocabulary

_ROWS_IN_GROUP: Final = 16_384
"""Rows of a row group in {part}_rows.parquet: one impression is read without the others."""


def write_dataset(
    folder: Path,
    recording: Recording,
    *,
    name: str,
    fingerprint: str,
    config: PrepareConfig,
    reporter: Reporter,
) -> None:
    """Write everything a dataset folder holds; SchemaError where the rows cannot be trained on."""
    division = divide(recording, config)
    vocabulary = count_vocabulary(recording, division, config, reporter)
    vocabulary.save(folder)
    _write_parts(folder, recording, division, vocabulary, reporter)
    about = About(
        name=name,
        fingerprint=fingerprint,
        sources=_sources(recording, division),
        prepare=config,
        parts=division.parts,
        skipped=recording.skipped,
        notices=tuple(recording.notices),
    )
    _write_json(folder / SCHEMA_FILE, recording.schema.to_dict())
    _write_json(folder / DATASET_FILE, about.to_dict())


def _sources(recording: Recording, division: Division) -> dict[str, str]:
    """Part to the name of the file that its rows come from."""
    split = {part: s.file for s in recording.sources if s.part is None for part in division.parts}
    return {**split, **{s.part: s.file for s in recording.sources if s.part is not None}}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _write_parts(
    folder: Path,
    recording: Recording,
    division: Division,
    vocabulary: Vocabulary,
    reporter: Reporter,
) -> None:
    writers = {
        name: _PartWriter(folder, name, part.rows, recording, vocabulary)
        for name, part in division.parts.items()
    }
    blocks = recording.blocks(with_text=True)
    done = 0
    try:
        with closing(in_order(_Encoder(recording, vocabulary), blocks)) as encoded:
            for block, ids in encoded:
                for part, rows in division.of_block(recording, block):
                    writers[part].write(block, ids, rows)
                done += len(block.labels)
                reporter.step("Writing", done, recording.total_rows, "rows")
    finally:
        for writer in writers.values():
            writer.close()


class _Encoder:
    """Blocks of codes and numbers to feature indices."""

    def __init__(self, recording: Recording, vocabulary: Vocabulary):
        self._recording = recording
        self._vocabulary = vocabulary
        names = [field.name for field in vocabulary.fields if field.role == "categorical"]
        self._tables = dict(zip(names, in_order(self._table, names), strict=True))

    def _table(self, name: str) -> NDArray[np.int32]:
        """Place in a column's texts -> index."""
        return self._vocabulary.encode_column(name, self._recording.column(name).texts)

    def __call__(self, block: Block) -> tuple[Block, NDArray[np.int32]]:
        """The block itself, and its indices int32[n, F]; runs on several threads at once."""
        ids = np.empty((len(block.labels), len(self._vocabulary.fields)), np.int32)
        for i, field in enumerate(self._vocabulary.fields):
            if field.role == "numeric":
                numbers = block.numbers[self._recording.numeric.index(field.name)]
                ids[:, i] = self._vocabulary.bucket(field.name, numbers)
            else:
                codes = block.codes[self._recording.coded.index(field.name)]
                of_block = self._recording.column(field.name).codes(block.number)
                ids[:, i] = self._tables[field.name][of_block][codes]
        return block, ids


class _PartWriter:
    """One part's arrays and raw rows, filled from the first row to the last."""

    def __init__(
        self, folder: Path, name: str, rows: int, recording: Recording, vocabulary: Vocabulary
    ):
        self._recording = recording
        self._at = 0
        shape = (rows, len(vocabulary.fields))
        self._ids = open_memmap(folder / f"{name}_ids.npy", "w+", np.int32, shape)
        self._labels = open_memmap(folder / f"{name}_labels.npy", "w+", np.float32, (rows,))
        has_truth = any(s.truth is not None for s in recording.sources)
        self._truth = (
            open_memmap(folder / f"{name}_truth.npy", "w+", np.float32, (rows,))
            if has_truth
            else None
        )
        self._rows = (
            None if name == "train" else _RowsFile(folder / f"{name}_rows.parquet", recording)
        )

    def write(self, block: Block, ids: NDArray[np.int32], rows: Rows) -> None:
        """Append some rows of a block."""
        chosen = ids[rows]
        here = slice(self._at, self._at + len(chosen))
        self._ids[here] = chosen
        self._labels[here] = block.labels[rows]
        truth = self._recording.sources[block.source].truth
        if self._truth is not None and truth is not None:
            self._truth[here] = truth[block.rows][rows]
        if self._rows is not None:
            self._rows.write(block, rows)
        self._at += len(chosen)

    def close(self) -> None:
        """Write out what is buffered."""
        for array in (self._ids, self._labels, self._truth):
            if array is not None:
                array.flush()
        if self._rows is not None:
            self._rows.close()


class _RowsFile:
    """The raw text of all columns, and __row__, in row groups of a steady size."""

    def __init__(self, path: Path, recording: Recording):
        self._recording = recording
        names = recording.schema.names
        self._schema = pa.schema([*((name, pa.string()) for name in names), (ROW, pa.int64())])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write(self, block: Block, rows: Rows) -> None:
        """Append some rows of a block that keeps its text."""
        columns = [self._recording.text(block, name, rows) for name in self._schema.names]
        self._waiting.append(pa.record_batch(columns, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= _ROWS_IN_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting).combine_chunks()
            self._writer.write_table(table, row_group_size=_ROWS_IN_GROUP)
            self._waiting = []
