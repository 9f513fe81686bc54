"""The first bytes of a file to its format: by content, never by its name."""

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deepfm.config import Settings
from deepfm.data.reader.columnar import ARROW_MAGIC, PARQUET_MAGIC, STREAM_MAGIC
from deepfm.data.reader.encodings import encoding_of, to_utf8
from deepfm.data.reader.entries import line_pattern, tidy
from deepfm.data.reader.header import fitted_names, has_header, rows_above
from deepfm.data.reader.quoted import TANGLED, UNCLOSED, SlowReader, SlowRows
from deepfm.data.reader.records import line_cells
from deepfm.data.reader.source import check_is_data, compression_of, open_source
from deepfm.data.reader.utf8 import mark_of, marked, unescaped
from deepfm.data.schema.declared import FileFormat, Kind
from deepfm.errors import DataError

HEAD_BYTES: Final = 4 << 20
BINARY_KINDS: Final[tuple[Kind, ...]] = ("parquet", "arrow")
_LINES_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 500
_CELLS: Final = 200_000
_ORDER: Final = ("\t", ",", ";", "|", "\x01", "~", "^", "::", "||", " ")
_UNREADABLE: Final = ":"
"""What separates cells in some files and is not read."""


@dataclass(frozen=True)
class Sniffed:
    """A format, and what is worth saying about how it was found."""

    format: FileFormat
    remarks: tuple[str, ...] = ()


def binary_kind(head: bytes) -> Kind | None:
    """Parquet or Arrow by the first bytes, None for anything else."""
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    return "arrow" if head.startswith((ARROW_MAGIC[:6], STREAM_MAGIC)) else None


def sniff(path: Path, settings: Settings) -> Sniffed:
    """The format of a file by its first 4 MB; DataError where it is no table."""
    with closing(open_source(path, settings)) as source:
        head = source.read(HEAD_BYTES)
        whole, packed = source.ended, source.compression
    found = sniff_bytes(path, head, whole=whole)
    return replace(found, format=replace(found.format, compression=packed))


def sniff_encoding(path: Path, settings: Settings) -> str | None:
    """The encoding of a text file by its first 4 MB; None where ASCII says nothing, or no text."""
    with closing(open_source(path, settings)) as source:
        head = source.read(HEAD_BYTES)
        if head.isascii() or binary_kind(head):
            return None
        return encoding_of(path, head, source.ended)[0]


def sniff_bytes(path: Path, head: bytes, *, whole: bool) -> Sniffed:
    """The format of unpacked bytes; `whole` if they are the whole file."""
    kind = binary_kind(head)
    if kind:
        return Sniffed(FileFormat(kind))
    if compression_of(head):
        raise DataError(f"{path.name!r} is packed twice; unpack it once.")
    check_is_data(path, head)
    encoding, remarks = encoding_of(path, head, whole)
    text = to_utf8(head, encoding)
    if not whole:
        text = text[: text.rfind(b"\n") + 1] or text
    _check_not_markup(path, text)
    if _is_json(path, text):
        return Sniffed(FileFormat("json", encoding=encoding), remarks)
    text = text[:_LINES_BYTES]
    if not text.strip():
        raise DataError(f"{path.name!r} holds nothing but blank lines. Choose another file.")
    entries = _entries_kind(text)
    if entries:
        numbers = _number_positions(text, entries)
        return Sniffed(FileFormat(entries, encoding=encoding, numbers=numbers), remarks)
    format, above = _text_format(path, text, encoding)
    return Sniffed(format, (*remarks, *above))


def _check_not_markup(path: Path, text: bytes) -> None:
    start = _beginning(text).lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{path.name!r} is a web page or XML, perhaps of a download that failed.")


def _beginning(text: bytes) -> bytes:
    return text[:512].lstrip(b"\xef\xbb\xbf \t\r\n")


def _is_json(path: Path, text: bytes) -> bool:
    """Whether a text holds JSON objects, one a line or in an array; DataError for other JSON."""
    start = _beginning(text)
    if re.match(rb"\[\s*\{", start):
        return True
    if start.startswith(b"{"):
        lines = [line for line in text.split(b"\n", _MOST_ROWS)[:_MOST_ROWS] if line.strip()]
        objects = sum(isinstance(line_cells(line), dict) for line in lines)
        if objects >= 0.5 * len(lines):
            return True
    if re.match(rb"\[\s*\[", start) or (re.match(rb'\{\s*["\[{]', start) and b":" in start):
        raise DataError(
            f"{path.name!r} is JSON, but neither one object a line nor an array of objects; save "
            "it so, or as CSV or Parquet."
        )
    return False


def _entries_kind(text: bytes) -> Kind | None:
    """libsvm or libffm, if nine in ten of the first lines are label and entries."""
    first = b"\n".join(text.split(b"\n", 200)[:200])
    lines = [line for line in tidy(first).split(b"\n") if line.strip()]
    kinds: tuple[Kind, ...] = ("libsvm", "libffm")
    for kind in kinds:
        pattern = line_pattern(kind)
        fitting = [line for line in lines if (found := pattern.fullmatch(line)) and found[1]]
        if len(fitting) >= 0.9 * len(lines):
            return kind
    return None


def _number_positions(text: bytes, kind: Kind) -> tuple[int, ...]:
    """Positions whose index is the same on all lines while its value is not always 1."""
    pattern = line_pattern(kind)
    lines = tidy(b"\n".join(text.split(b"\n", _MOST_ROWS)[:_MOST_ROWS])).split(b"\n")
    rows = [found[1].split() for line in lines if (found := pattern.fullmatch(line))]
    most = Counter(len(row) for row in rows).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == most]
    if len(rows) < 2:
        return ()
    positions = []
    for position, entries in enumerate(zip(*rows, strict=True)):
        keys, values = zip(*(entry.rsplit(b":", 1) for entry in entries), strict=True)
        if len(set(keys)) == 1 and {float(value) for value in values} != {1.0}:
            positions.append(position)
    return tuple(positions)


@dataclass(frozen=True)
class _Reading:
    """The first rows by one separator and one way of quoting, and how well that fits."""

    rank: tuple[float, bool, int]
    format: FileFormat
    rows: SlowRows

    @property
    def good(self) -> int:
        """How many of the rows have the width that most have."""
        return sum(len(row) == self.rank[2] for row in self.rows.cells)


def _text_format(path: Path, text: bytes, encoding: str) -> tuple[FileFormat, tuple[str, ...]]:
    """Separator, quoting, header and what stands above it, of separated text; and a remark."""
    best = _best_reading(text, encoding)
    if b'\\"' in text:
        other = _best_reading(unescaped(text), encoding)
        if other and other.format.quote and _reads_more(other, best):
            best, text = replace(other, format=replace(other.format, escape=True)), unescaped(text)
    if best is None:
        _refuse_other_separator(path, text)
        header = has_header(_first_rows(text, "\0", True).cells)
        return FileFormat("text", ",", header=header, encoding=encoding), ()
    return _with_header(text, best.format, best.rows, best.rank[2])


def _reads_more(escaped: _Reading, plain: _Reading | None) -> bool:
    if plain is None or not plain.format.quote:
        return plain is None or escaped.good >= plain.good
    return escaped.good > plain.good


def _best_reading(text: bytes, encoding: str) -> _Reading | None:
    best: _Reading | None = None
    quoting = (True, False) if b'"' in text else (True,)
    doubled = _pipes_are_doubled(text)
    for separator in _ORDER:
        if separator == ("|" if doubled else "||"):
            continue
        for quote in quoting:
            rows = _first_rows(text, separator, quote)
            width, share = _modal_width(rows)
            if width < 2 or share < 0.5:
                continue
            # A separator inside quotes or numbers may be as regular, but makes fewer columns.
            rank = (round(share, 1 if quote else 2) + quote * 0.01, separator != " ", width)
            if best is None or rank > best.rank:
                format = FileFormat("text", separator, encoding=encoding, quote=quote)
                best = _Reading(rank, format, rows)
    return best


def _pipes_are_doubled(text: bytes) -> bool:
    """Whether nearly all of the first lines have pipes, and these two by two only.

    Where one pipe separates cells, that is so only if every second cell is empty.
    """
    lines = [line for line in text.split(b"\n", _MOST_ROWS)[:_MOST_ROWS] if line.strip()]
    doubled = sum(line.count(b"|") == 2 * line.count(b"||") > 0 for line in lines)
    return doubled >= 0.9 * len(lines)


def _with_header(
    text: bytes, format: FileFormat, rows: SlowRows, width: int
) -> tuple[FileFormat, tuple[str, ...]]:
    """The format with its header, below the lines that are not of the table."""
    above = rows_above(rows.cells, width)
    table = rows.cells[above:]
    header = has_header([fitted_names(table[0], table[1:]), *table[1:]])
    if not above:
        return replace(format, header=header), ()
    bad = set(rows.bad.rows.tolist())
    lines = [line for number, line in enumerate(rows.lines) if number not in bad]
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    some = "line is" if lines[above] == 1 else f"{lines[above]} lines are"
    return replace(format, header=header, skip=lines[above]), (
        f"The first {some} not of the table and passed over; the file begins {first[:80]!r}.",
    )


def _refuse_other_separator(path: Path, text: bytes) -> None:
    """DataError for cells that are separated, but by a sign that is not read."""
    sign = _UNREADABLE.encode()
    widths = [line.count(sign) for line in text.split(b"\n", 50)[:50] if line.strip()]
    if min(widths) == max(widths) > 0:
        raise DataError(
            f"The cells of {path.name!r} are separated by {_UNREADABLE!r}, which cannot be read; "
            "replace it by a tab or a comma."
        )


def _first_rows(text: bytes, separator: str, quote: bool) -> SlowRows:
    first = text[: text.find(b"\n") + 1 or None]
    most = max(20, min(_MOST_ROWS, _CELLS // (first.count(separator.encode()) + 1)))
    reader = SlowReader(mark_of(separator), None, quote=quote)
    return reader.read(marked(text, separator), final=True, most=most)


def _modal_width(rows: SlowRows) -> tuple[int, float]:
    """The commonest width, and the share of rows that have it; the first row weighs a tenth.

    Rows whose quotes do not fit count too where they are the most.
    """
    if not rows.cells:
        return 0, 0.0
    width, count = Counter(map(len, rows.cells)).most_common(1)[0]
    misquoted = rows.bad.reasons[UNCLOSED] + rows.bad.reasons[TANGLED]
    share = count / (len(rows.cells) + misquoted * (misquoted > len(rows.cells)))
    return width, share if len(rows.cells[0]) == width else share - 0.1
