"""Parquet, Feather and Arrow streams to pieces: every column as text."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfm.data.reader.names import unique_names
from deepfm.data.reader.pieces import Piece, text_batch
from deepfm.errors import DataError

PARQUET_MAGIC: Final = b"PAR1"
ARROW_MAGIC: Final = b"ARROW1\0\0"
STREAM_MAGIC: Final = b"\xff\xff\xff\xff"
BATCH_ROWS: Final = 32_768


class ParquetRows:
    """A Parquet file, read row group by row group."""

    row_word = "row"

    def __init__(self, path: Path) -> None:
        # Without pre-buffering a row group is read page by page, in bounded memory.
        self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        self._rows = self._file.metadata.num_rows
        self.names = unique_names(self._file.schema_arrow.names)
        self.bytes_total = path.stat().st_size
        self._done = 0

    @property
    def bytes_done(self) -> int:
        return round(self.bytes_total * self._done / max(1, self._rows))

    @property
    def complete(self) -> bool:
        return self._done >= self._rows

    def rows_estimated(self, rows_read: int) -> int | None:
        """Rows of the whole file, as its footer says."""
        return self._rows

    def close(self) -> None:
        self._file.close()

    def pieces(self) -> Iterator[Piece]:
        """Some tens of thousands of rows at a time."""
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, use_threads=True):
            yield _piece(batch, self.names, self._done)
            self._done += batch.num_rows


class ArrowRows:
    """A Feather or Arrow file, or an Arrow stream; each batch is validated before it is used."""

    row_word = "row"

    def __init__(self, path: Path, *, stream: bool) -> None:
        self._map = pa.memory_map(str(path))
        self.bytes_total = path.stat().st_size
        self._reader: Any = (pa.ipc.open_stream if stream else pa.ipc.open_file)(self._map)
        self.names = unique_names(self._reader.schema.names)
        self._batches = None if stream else self._reader.num_record_batches
        self._batches_done = 0
        self._ended = False

    @property
    def bytes_done(self) -> int:
        if self._ended:
            return self.bytes_total
        if self._batches is None:
            return int(self._map.tell())
        return round(self.bytes_total * self._batches_done / max(1, self._batches))

    @property
    def complete(self) -> bool:
        return self._ended

    def rows_estimated(self, rows_read: int) -> int | None:
        """Rows of the whole file, if all batches are like those read so far."""
        if self._ended:
            return rows_read
        if not self._batches or not self._batches_done:
            return None
        return round(rows_read * self._batches / self._batches_done)

    def close(self) -> None:
        self._map.close()

    def pieces(self) -> Iterator[Piece]:
        """The file's batches, cut to some tens of thousands of rows."""
        row = 0
        for batch in self._raw_batches():
            batch.validate(full=True)
            self._batches_done += 1
            self._ended = self._batches is not None and self._batches_done >= self._batches
            for start in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(start, BATCH_ROWS)
                yield _piece(part, self.names, row)
                row += part.num_rows
        self._ended = True

    def _raw_batches(self) -> Iterator[pa.RecordBatch]:
        if self._batches is None:
            yield from self._reader
        else:
            yield from (self._reader.get_batch(number) for number in range(self._batches))


def _piece(batch: pa.RecordBatch, names: tuple[str, ...], row: int) -> Piece:
    columns = [as_text(column) for column in batch.columns]
    return Piece(text_batch(columns, names), batch.num_rows, first_line=row + 1)


def as_text(column: pa.Array) -> pa.Array:
    """Any column as string[N]: 7.0 is "7", true is "true", NaN and "" are null.

    What has no text of its own (lists, records, bytes that are no text) is written as JSON.
    """
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        return _float_text(column)
    if pa.types.is_fixed_size_binary(column.type):
        return pa.array([_written(value) for value in column.to_pylist()], pa.string())
    try:
        text = pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        text = pa.array([_written(value) for value in column.to_pylist()], pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _float_text(column: pa.Array) -> pa.Array:
    """Floats as text; whole numbers without a point, never as 1e+06."""
    text = pc.cast(column, pa.string())
    wide = pc.cast(column, pa.float64())
    whole = pc.and_(pc.equal(wide, pc.floor(wide)), pc.less(pc.abs(wide), 2.0**53))
    if not pc.any(whole).as_py():
        return text
    integers = pc.cast(pc.if_else(whole, wide, pa.scalar(None, pa.float64())), pa.int64())
    return pc.if_else(whole, pc.cast(integers, pa.string()), text)


def _written(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, ensure_ascii=False, default=str)


def open_columnar(path: Path, kind: str) -> ParquetRows | ArrowRows:
    """A Parquet ("parquet") or Arrow ("arrow") file, by its own first bytes."""
    with path.open("rb") as file:
        head = file.read(8)
    opened: dict[str, Callable[[], ParquetRows | ArrowRows]] = {
        "parquet": lambda: ParquetRows(path),
        "arrow": lambda: ArrowRows(path, stream=not head.startswith(ARROW_MAGIC[:6])),
    }
    rows = opened[kind]()
    if not rows.names:
        rows.close()
        raise DataError(f"{path.name!r} has no columns.")
    return rows
