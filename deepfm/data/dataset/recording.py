"""Record batches of text to codes, numbers and kept text in temporary files, block by block.

The text of a file is read once. Values that repeat (label, categorical columns, the groups of a
split by group) become codes by a dictionary of each block, and the dictionaries of all blocks one
at the end; numeric columns become float64; only the text of the other columns is kept, and only
where raw rows or a time are needed later. Blocks are encoded side by side on all cores. Memory
grows with the number of different values, never with the number of rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.config import Settings
from deepfm.data.dataset.merging import Column, merge
from deepfm.data.labelled import clicked, with_label, without_label
from deepfm.data.reader import ROW, Skipped
from deepfm.data.reporting import Reporter
from deepfm.data.schema import Schema, SkippedRow
from deepfm.data.side_by_side import in_order
from deepfm.data.vocabulary import parse_numbers
from deepfm.errors import LimitError, SchemaError

_MOST_EXAMPLES: Final = 100
_Number = TypeVar("_Number", np.int32, np.float64)

FindLine = Callable[[int], int]
"""ROW of a batch -> line in the file (row, where there are no lines)."""


@dataclass(frozen=True)
class Source:
    """One file's rows on their way into parts.

    part      the part they all belong to; None: they are split as the settings say
    batches   columns pa.string() (null = empty cell) and ROW, as RowReader yields them
    lines     finds lines of the batch last yielded, also when further ones were
    row_word  "line" or "row": what is found
    skipped   rows that could not be read; grows while batches are taken
    position  how many bytes were read, and of how many
    truth     float32, the true click probability of each row, where it is known
    """

    file: str
    part: str | None
    batches: Iterable[pa.RecordBatch]
    lines: Callable[[], FindLine]
    row_word: str = "line"
    skipped: Skipped = field(default_factory=Skipped)
    position: Callable[[], tuple[int, int]] = lambda: (0, 0)
    truth: NDArray[np.float32] | None = None

    @property
    def keeps_text(self) -> bool:
        """Whether the text of its rows will be needed: for raw rows, or for a split by time."""
        return self.part != "train"


@dataclass(frozen=True)
class Block:
    """Some rows in a row of one source.

    number    of the block, from 0, over all sources
    source    number of its source
    rows      where they stand among the rows of that source
    labels    uint8[n]
    codes     int32[coded columns, n], places in the block's own dictionaries
    numbers   float64[numeric columns, n]; NaN is missing
    kept      text of the other columns, and ROW; None where text is not kept
    """

    number: int
    source: int
    rows: slice
    labels: NDArray[np.uint8]
    codes: NDArray[np.int32]
    numbers: NDArray[np.float64]
    kept: pa.RecordBatch | None


@dataclass(frozen=True)
class _Arrived:
    """A batch whose rows all have a label, 1 or 0 in uint8[n]."""

    rows: pa.RecordBatch
    labels: NDArray[np.uint8]
    find_line: FindLine


@dataclass(frozen=True)
class _Encoded:
    """A batch as it is written; `unread` marks the cells of numeric columns that hold text."""

    arrived: _Arrived
    codes: NDArray[np.int32]
    dictionaries: list[pa.StringArray]
    numbers: NDArray[np.float64]
    unread: NDArray[np.bool_]


class Recording:
    """Takes in sources, then hands their rows out again as often as needed, block by block.

    coded     names of the columns with codes, the label first
    numeric   names of the numeric columns
    kept      names of the columns whose text is kept (the numeric ones too)
    """

    def __init__(self, folder: Path, schema: Schema, *, group: str | None, settings: Settings):
        self.schema = schema
        self.coded = _unique(
            schema.label.name, *(c.name for c in schema.with_roles("categorical")), group
        )
        self.numeric = tuple(column.name for column in schema.with_roles("numeric"))
        self.kept = tuple(name for name in schema.names if name not in self.coded)
        self.sources: list[Source] = []
        self.skipped = Skipped()
        self.notices: list[str] = []
        self._settings = settings
        self._folder = folder
        self._blocks: list[tuple[int, int, int]] = []
        self._rows = Counter[int]()
        self._files: list[BinaryIO] = []
        self._kept_schema = pa.schema(
            [*((name, pa.string()) for name in self.kept), (ROW, pa.int64())]
        )
        # One row a block: the values of each coded column.
        self._dictionary_schema = pa.schema([(name, pa.list_(pa.string())) for name in self.coded])

    def __enter__(self) -> Self:
        names = ("labels", "codes", "numbers")
        self._files = [(self._folder / name).open("wb") for name in names]
        self._kept_writer = pa.ipc.new_stream(
            str(self._folder / "kept"),
            self._kept_schema,
            options=pa.ipc.IpcWriteOptions(compression="lz4"),
        )
        self._dictionary_writer = pa.ipc.new_file(
            str(self._folder / "dictionaries"), self._dictionary_schema
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kept_writer.close()
        self._dictionary_writer.close()
        for file in self._files:
            file.close()

    def add(self, source: Source, reporter: Reporter) -> None:
        """Read a source to its end.

        Raises SchemaError for a label with a third value and for a file without usable rows;
        LimitError past the server's rows; Cancelled.
        """
        number, before = len(self.sources), self.total_rows
        self.sources.append(source)
        unread = {name: _Unread(name) for name in self.numeric}
        reporter.step(f"Reading {source.file}", *source.position(), "bytes")
        with closing(in_order(self._encode, self._arriving(source))) as batches:
            for encoded in batches:
                self._write(number, encoded, unread)
                self._check_limit()
                rows = self.total_rows - before
                done, total = source.position()
                reporter.step(f"Reading {source.file}", done, total, "bytes", f"{rows:,} rows")
        self._skip(source, source.skipped)
        if self.total_rows == before:
            raise SchemaError(
                f"{source.file} holds no row with a label in column {self.schema.label.name!r}. "
                "Look at what was skipped, or choose another label column."
            )
        self.notices += [each.sentence(source) for each in unread.values() if each.count]

    @property
    def total_rows(self) -> int:
        """Usable rows of all sources so far."""
        return self._rows.total()

    def rows_of(self, source: int) -> int:
        """Usable rows of one source."""
        return self._rows[source]

    def labels_of(self, source: int) -> NDArray[np.uint8]:
        """uint8[rows of the source], memory-mapped."""
        first = sum(self.rows_of(number) for number in range(source))
        return np.memmap(self._folder / "labels", np.uint8, "r")[first:][: self.rows_of(source)]

    def blocks(self, *, with_text: bool = False) -> Iterator[Block]:
        """All rows in the order they came.

        with_text   read the kept text too
        """
        labels = np.memmap(self._folder / "labels", np.uint8, "r")
        codes = np.memmap(self._folder / "codes", np.int32, "r")
        numbers = (
            np.memmap(self._folder / "numbers", np.float64, "r") if self.numeric else np.empty(0)
        )
        kept = self._kept_batches() if with_text else None
        at = 0
        for number, (source, start, rows) in enumerate(self._blocks):
            keeps = kept is not None and self.sources[source].keeps_text
            yield Block(
                number,
                source,
                slice(start, start + rows),
                labels[at : at + rows],
                _columns(codes, len(self.coded), at, rows),
                _columns(numbers, len(self.numeric), at, rows),
                next(kept) if kept is not None and keeps else None,
            )
            at += rows

    def text(self, block: Block, name: str, rows: slice | NDArray[np.bool_]) -> pa.Array:
        """The text of some rows of one column, in a block that keeps it; null = empty cell."""
        if block.kept is None:
            raise ValueError("this block was read without its text")
        if name in self.coded:
            texts = self._dictionary(block.number, name)
            texts = pc.if_else(pc.equal(texts, ""), None, texts)
            codes = block.codes[self.coded.index(name)][rows]
            return texts.take(pa.array(codes))
        column = block.kept.column(name)
        return column if isinstance(rows, slice) else column.filter(pa.array(rows))

    def column(self, name: str) -> Column:
        """A coded column of all blocks, once all sources are in; null is the value ""."""
        return self._merged[name]

    @cached_property
    def _merged(self) -> dict[str, Column]:
        """All coded columns but the label, whose values are two."""
        return dict(zip(self.coded[1:], in_order(self._merge, self.coded[1:]), strict=True))

    def _merge(self, name: str) -> Column:
        number = self.coded.index(name)
        blocks = range(len(self._blocks))
        dictionaries = (self._dictionary(block, name) for block in blocks)
        return merge(dictionaries, self._folder / f"column-{number}")

    def _dictionary(self, block: int, name: str) -> pa.StringArray:
        return self._dictionaries.get_batch(block).column(self.coded.index(name)).values

    @cached_property
    def _dictionaries(self) -> pa.ipc.RecordBatchFileReader:
        return pa.ipc.open_file(pa.memory_map(str(self._folder / "dictionaries")))

    def _kept_batches(self) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self._folder / "kept")) as file:
            yield from pa.ipc.open_stream(file)

    def _arriving(self, source: Source) -> Iterator[_Arrived]:
        """The batches of a source, without rows that have no label."""
        for batch in source.batches:
            find_line = source.lines()
            rows, labels = self._with_labels(source, batch, find_line)
            if rows.num_rows:
                yield _Arrived(rows, labels, find_line)

    def _encode(self, arrived: _Arrived) -> _Encoded:
        """Codes and numbers; runs on several threads at once."""
        texts = (pc.fill_null(arrived.rows.column(name), "") for name in self.coded)
        found = [column.dictionary_encode() for column in texts]
        numbers = [parse_numbers(arrived.rows.column(name)) for name in self.numeric]
        rows = arrived.rows.num_rows
        return _Encoded(
            arrived,
            np.stack([each.indices.to_numpy() for each in found]),
            [each.dictionary for each in found],
            np.array([each for each, _ in numbers], np.float64).reshape(-1, rows),
            np.array([unread for _, unread in numbers], np.bool_).reshape(-1, rows),
        )

    def _write(self, source: int, encoded: _Encoded, unread: dict[str, "_Unread"]) -> None:
        arrived, label_file, code_file, number_file = encoded.arrived, *self._files
        arrived.labels.tofile(label_file)
        encoded.codes.tofile(code_file)
        encoded.numbers.tofile(number_file)
        values = (pa.ListArray.from_arrays([0, len(each)], each) for each in encoded.dictionaries)
        self._dictionary_writer.write_batch(
            pa.record_batch(list(values), schema=self._dictionary_schema)
        )
        if self.sources[source].keeps_text:
            self._kept_writer.write_batch(arrived.rows.select([*self.kept, ROW]))
        for name, cells in zip(self.numeric, encoded.unread, strict=True):
            if cells.any():
                unread[name].see(arrived, cells)
        self._blocks.append((source, self.rows_of(source), len(arrived.labels)))
        self._rows[source] += len(arrived.labels)

    def _with_labels(
        self, source: Source, batch: pa.RecordBatch, find_line: FindLine
    ) -> tuple[pa.RecordBatch, NDArray[np.uint8]]:
        """The rows that have a label, and it as 1 or 0, uint8; the others are skipped."""
        for reason, rows in without_label(self.schema, batch):
            self._skip_rows(source, rows, reason, find_line)
        labelled = with_label(self.schema, batch)
        if labelled.true_count < batch.num_rows:
            batch = batch.filter(labelled)
        labels = clicked(self.schema, batch.column(self.schema.label.name))
        if labels.null_count:
            self._refuse_label(source, batch.filter(pc.is_null(labels)), find_line)
        return batch, labels.to_numpy(zero_copy_only=False).astype(np.uint8)

    def _skip_rows(
        self, source: Source, rows: pa.RecordBatch, reason: str, find_line: FindLine
    ) -> None:
        first = rows.column(ROW).slice(0, _MOST_EXAMPLES).to_pylist()
        examples = [SkippedRow(find_line(row), reason) for row in first]
        self._skip(source, Skipped(rows.num_rows, {reason: rows.num_rows}, examples))

    def _skip(self, source: Source, skipped: Skipped) -> None:
        """Count rows that cannot be used; the file is named where it is not the train file."""
        prefix = "" if source is self.sources[0] else f"{source.file}: "
        self.skipped.count += skipped.count
        for reason, count in skipped.reasons.items():
            reason = prefix + reason
            self.skipped.reasons[reason] = self.skipped.reasons.get(reason, 0) + count
        space = max(_MOST_EXAMPLES - len(self.skipped.examples), 0)
        self.skipped.examples += [
            SkippedRow(row.line, prefix + row.reason) for row in skipped.examples[:space]
        ]

    def _refuse_label(self, source: Source, rows: pa.RecordBatch, find_line: FindLine) -> None:
        value = rows.column(self.schema.label.name)[0].as_py()
        line = find_line(rows.column(ROW)[0].as_py())
        meant = " or ".join(map(repr, (*self.schema.positive, *self.schema.negative)))
        raise SchemaError(
            f"{source.file}: column {self.schema.label.name!r} holds {value!r} on "
            f"{source.row_word} {line}; a label is {meant}. Say whether {value!r} means a click "
            "or no click, have its rows left out, or choose another label column."
        )

    def _check_limit(self) -> None:
        if self.total_rows > self._settings.max_rows:
            raise LimitError(
                f"The data have more than {self._settings.max_rows:,} rows, the most this server "
                "takes (DEEPFM_MAX_ROWS). Give a part of the file."
            )


class _Unread:
    """Cells of one numeric column that hold text: how many, and the first."""

    def __init__(self, column: str):
        self.column = column
        self.count = 0
        self._first = ("", 0)

    def see(self, arrived: _Arrived, cells: NDArray[np.bool_]) -> None:
        """Count some cells, bool[n] of a batch; at least one."""
        if not self.count:
            first = int(np.argmax(cells))
            row = arrived.rows.column(ROW)[first].as_py()
            text = arrived.rows.column(self.column)[first].as_py()
            self._first = (text, arrived.find_line(row))
        self.count += int(cells.sum())

    def sentence(self, source: Source) -> str:
        text, line = self._first
        cells = "1 cell is" if self.count == 1 else f"{self.count:,} cells are"
        return (
            f"{source.file}: in the numeric column {self.column!r} {cells} not a number and "
            f"counted as missing; the first is {text!r} on {source.row_word} {line}."
        )


def _columns(flat: NDArray[_Number], columns: int, at: int, rows: int) -> NDArray[_Number]:
    return flat[at * columns : (at + rows) * columns].reshape(columns, rows)


def _unique(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))
