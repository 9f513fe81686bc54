"""JSON objects, one a line or in one array, to pieces: each key a column, each object a row."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from deepfm.data.reader.blocks import Block, BlockRows, parse_in_order
from deepfm.data.reader.names import unique_names
from deepfm.data.reader.pieces import MAX_EXAMPLES, BadRows, Late, Piece, text_batch
from deepfm.data.reader.plain import broken_reason
from deepfm.data.reader.source import Source
from deepfm.data.reader.text import MAX_COLUMNS
from deepfm.data.reader.utf8 import Utf8Stream
from deepfm.data.schema.declared import FileFormat, SkippedRow
from deepfm.errors import DataError

HEAD_BYTES: Final = 1 << 20
"""The keys of the objects in so much text are the columns."""
ARRAY_MB: Final = 32
"""An array is read as a whole, which takes some twenty times its size of memory."""
NOT_JSON: Final = "is not JSON"
NO_OBJECT: Final = "is no JSON object"
TOO_DEEP: Final = "is nested too deeply"
HALF_CHARACTER: Final = "holds half a character"
_BATCH_ROWS: Final = 32_768
_MARKS_BEFORE: Final = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

Cells = dict[str, str | None]


def first_sign(head: bytes) -> bytes:
    """The first byte of a text that is no blank and no byte order mark."""
    return head.lstrip(_MARKS_BEFORE)[:1]


def begins_object(head: bytes) -> bool:
    """Whether a text begins as a JSON object with a key, or an array of such, does."""
    return re.match(rb'\[?\s*\{\s*"[^"\n]*"\s*:', head.lstrip(_MARKS_BEFORE)) is not None


class _Number(str):
    """A number as it is written in the file."""


def _no_number(written: str) -> None:
    """NaN and Infinity are empty cells."""


def _parsed(text: str) -> Any:
    return json.loads(
        text, parse_int=_Number, parse_float=_Number, parse_constant=_no_number, strict=True
    )


def cells_of(record: Mapping[str, Any]) -> Cells:
    """One object's cells: {"device": {"os": "ios"}} has the cell "device.os".

    Numbers stay as they are written, true and false are these words, null and "" are None, lists
    are JSON.
    """
    cells: Cells = {}
    _add_cells(cells, "", record)
    return cells


def _add_cells(cells: Cells, before: str, record: Mapping[str, Any]) -> None:
    for key, value in record.items():
        if isinstance(value, dict):
            _add_cells(cells, f"{before}{key}.", value)
        else:
            cells[before + key] = _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return str(value) or None
    return None if value is None else _written(value)


def _written(value: Any) -> str:
    """A value as compact JSON, its numbers as they were."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        parts = (f"{json.dumps(key, ensure_ascii=False)}:{_written(value[key])}" for key in value)
        return f"{{{','.join(parts)}}}"
    return json.dumps(value, ensure_ascii=False)


def _cells_or_reason(record: Any) -> Cells | str:
    if not isinstance(record, dict):
        return NO_OBJECT
    try:
        return cells_of(record)
    except RecursionError:
        return TOO_DEEP


def line_cells(line: bytes, encoding: str = "utf-8") -> Cells | str:
    """The cells of the object on a line, or why it is no row."""
    try:
        found = _cells_or_reason(_parsed(line.decode()))
    except UnicodeDecodeError:
        return broken_reason(encoding)
    except RecursionError:
        return TOO_DEEP
    except ValueError:
        return NOT_JSON
    if _SURROGATE.search(line) and isinstance(found, dict) and not _is_whole(found):
        return HALF_CHARACTER
    return found


def _is_whole(cells: Cells) -> bool:
    try:
        for key, cell in cells.items():
            (key + (cell or "")).encode()
    except UnicodeEncodeError:
        return False
    return True


def keys_of(found: Sequence[Cells | str]) -> list[str]:
    """All keys, in the order in which they first stand there."""
    return list(dict.fromkeys(key for cells in found if isinstance(cells, dict) for key in cells))


def _columns(found: list[str], agreed: Sequence[str], name: str) -> list[str]:
    """The columns of a file whose objects have these keys; DataError where there are too many.

    agreed   names of a schema: where the file has most of them it is of that kind, and what it
             lacks is empty, as a key may be that is left out where there is nothing to say
    """
    known = set(unique_names(found))
    lacking = [column for column in agreed if column not in known]
    keys = [*found, *lacking] if len(lacking) * 2 < len(agreed) else found
    if len(keys) > MAX_COLUMNS:
        raise DataError(
            f"The objects of {name!r} have {len(keys):,} different keys; at most {MAX_COLUMNS:,} "
            "columns can be read. Give each object the same keys."
        )
    return keys


@dataclass
class _Gathering:
    """Rows of one piece, as they come."""

    keys: list[str]
    rows: list[Cells] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    bad: BadRows = field(default_factory=BadRows)
    bad_rows: list[int] = field(default_factory=list)
    late: Late = field(default_factory=Late)

    def __post_init__(self) -> None:
        self._known = frozenset(self.keys)

    def add(self, place: int, found: Cells | str) -> None:
        """The next row, good or bad; `place` is its line within the piece."""
        if isinstance(found, str):
            self.bad_rows.append(len(self.places))
            self.bad.reasons[found] += 1
            if len(self.bad.examples) < MAX_EXAMPLES:
                self.bad.examples.append(SkippedRow(place, found))
        else:
            self.late.add(found.keys() - self._known)
            self.rows.append(found)
        self.places.append(place)

    def piece(self, names: tuple[str, ...], first_line: int) -> Piece:
        """The piece that they make."""
        columns = [pa.array([row.get(key) for row in self.rows], pa.string()) for key in self.keys]
        lines = np.array(self.places, np.int64)
        self.bad.rows = np.array(self.bad_rows, np.int64)
        batch = text_batch(columns, names)
        return Piece(batch, len(lines), self.bad, first_line, lines, self.late)


class JsonLines(BlockRows):
    """A file with one JSON object a line; the keys of its head are the columns."""

    def __init__(
        self,
        source: Source,
        format: FileFormat,
        names: tuple[tuple[str, ...], ...],
        limit_bytes: int | None,
    ) -> None:
        self._encoding = format.encoding
        as_text = FileFormat("text", "\t", quote=False, encoding=format.encoding)
        super().__init__(source, as_text, limit_bytes)
        head = self._stream.head_bytes(HEAD_BYTES)
        if len(head) == HEAD_BYTES:
            head = head[: head.rfind(b"\n") + 1]
        lines = head.split(b"\n")
        found = keys_of([line_cells(line) for line in lines if line.strip()])
        if not found:
            raise DataError(
                f"{source.path.name!r} has no line that is a JSON object with keys. Save it with "
                "one object a line, or as CSV."
            )
        self._keys = _columns(found, names[-1] if names else (), source.path.name)
        self.names = unique_names(self._keys)

    def pieces(self) -> Iterator[Piece]:
        """The file's blocks in order."""
        return parse_in_order(self._stream.blocks(len(self.names)), self._parse)

    def _parse(self, block: Block) -> Piece:
        gathering = _Gathering(self._keys)
        for number, line in enumerate(block.data.split(b"\n")):
            if line.strip():
                gathering.add(number, line_cells(line, self._encoding))
        return gathering.piece(self.names, block.first_line)


class JsonArray:
    """A file that is one JSON array of objects, read as a whole."""

    row_word = "row"

    def __init__(
        self,
        source: Source,
        format: FileFormat,
        names: tuple[tuple[str, ...], ...],
        limit_bytes: int | None,
    ) -> None:
        self._source = source
        self._done = 0
        self._rows = [self._checked(record) for record in self._read(format.encoding)]
        found = keys_of(self._rows)
        if not found:
            raise DataError(
                f"{source.path.name!r} is a JSON array without one object with keys. Save it with "
                "one object a row, or as CSV."
            )
        self._keys = _columns(found, names[-1] if names else (), source.path.name)
        self.names = unique_names(self._keys)

    def _read(self, encoding: str) -> list[Any]:
        name, stream = self._source.path.name, Utf8Stream(self._source, encoding, None)
        text = stream.read(ARRAY_MB << 20)
        if not stream.ended and stream.read(1):
            raise DataError(
                f"{name!r} is one JSON array of more than {ARRAY_MB} MB; save it with one object "
                "a line (JSON Lines), as `jq -c '.[]'` writes it."
            )
        try:
            found = _parsed(text.decode())
        except (ValueError, RecursionError) as error:
            line = f" on line {error.lineno:,}" if isinstance(error, json.JSONDecodeError) else ""
            raise DataError(
                f"{name!r} is a JSON array that is damaged or cut off{line}. Save it again, best "
                "with one object a line (JSON Lines)."
            ) from error
        return found if isinstance(found, list) else [found]

    def _checked(self, record: Any) -> Cells | str:
        found = _cells_or_reason(record)
        return found if isinstance(found, str) or _is_whole(found) else HALF_CHARACTER

    @property
    def bytes_done(self) -> int:
        return round(self.bytes_total * self._done / max(1, len(self._rows)))

    @property
    def bytes_total(self) -> int:
        return self._source.bytes_total

    @property
    def complete(self) -> bool:
        return self._done >= len(self._rows)

    def rows_estimated(self, rows_read: int) -> int | None:
        """Rows of the whole file, which was read to its end."""
        return len(self._rows)

    def close(self) -> None:
        self._source.close()

    def pieces(self) -> Iterator[Piece]:
        """Some tens of thousands of rows at a time."""
        for start in range(0, len(self._rows), _BATCH_ROWS):
            gathering = _Gathering(self._keys)
            for number, found in enumerate(self._rows[start : start + _BATCH_ROWS]):
                gathering.add(number, found)
            self._done = min(len(self._rows), start + _BATCH_ROWS)
            yield gathering.piece(self.names, start + 1)
