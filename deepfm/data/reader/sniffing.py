"""The first bytes of a file to its format: by content, never by its name."""

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deepfm.config import Settings
from deepfm.data.reader.columnar import ARROW_MAGIC, PARQUET_MAGIC, STREAM_MAGIC
from deepfm.data.reader.entries import line_pattern, tidy
from deepfm.data.reader.quoted import SlowReader
from deepfm.data.reader.source import check_is_data, compression_of, open_source
from deepfm.data.reader.utf8 import to_utf8
from deepfm.data.schema.declared import FileFormat, Kind
from deepfm.data.schema.words import is_label_name
from deepfm.errors import DataError

HEAD_BYTES: Final = 4 << 20
BINARY_KINDS: Final[tuple[Kind, ...]] = ("parquet", "arrow")
_LINES_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 500
_CELLS: Final = 200_000
_PLAIN_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NO_VALUE: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "?"})
_ORDER: Final = ("\t", ",", ";", "|", " ")


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


def sniff_bytes(path: Path, head: bytes, *, whole: bool) -> Sniffed:
    """The format of unpacked bytes; `whole` if they are the whole file."""
    kind = binary_kind(head)
    if kind:
        return Sniffed(FileFormat(kind))
    if compression_of(head):
        raise DataError(f"{path.name!r} is packed twice; unpack it once.")
    check_is_data(path, head)
    encoding, remarks = _encoding(path, head, whole)
    text = to_utf8(head, encoding)
    if not whole:
        text = text[: text.rfind(b"\n") + 1] or text
    _check_not_markup(path, text)
    text = text[:_LINES_BYTES]
    if not text.strip():
        raise DataError(f"{path.name!r} holds nothing but blank lines. Choose another file.")
    entries = _entries_kind(text)
    if entries:
        numbers = _number_positions(text, entries)
        return Sniffed(FileFormat(entries, encoding=encoding, numbers=numbers), remarks)
    return Sniffed(_text_format(text, encoding, whole), remarks)


def _encoding(path: Path, head: bytes, whole: bool) -> tuple[str, tuple[str, ...]]:
    """The encoding and a remark about it; DataError for what is not text."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError(f"{path.name!r} is UTF-32 text; save it as UTF-8.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    wide = _utf16_by_zeros(head)
    if wide:
        return wide, (f"The file has no byte order mark and was taken for {wide.upper()}.",)
    _check_text(path, head)
    wrong, right = _utf8_faults(head, whole)
    if not wrong or right > wrong or _control_characters(head) or 0 in head:
        return "utf-8", ()
    return "windows-1252", (
        "The file is not UTF-8 and was read as Windows-1252; look at letters with accents.",
    )


def _utf16_by_zeros(head: bytes) -> str:
    """UTF-16 without mark, by the zero that every second byte of plain letters is."""
    sample = head[: 1 << 16]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return ""


_CONTROL: Final = bytes(set(range(32)) - {0, 9, 10, 12, 13}) + b"\x7f"


def _control_characters(head: bytes) -> int:
    return len(head) - len(head.translate(None, _CONTROL))


def _check_text(path: Path, head: bytes) -> None:
    """DataError for bytes that are no text in any encoding."""
    strange = _control_characters(head) + head.count(0)
    if strange > 0.1 * len(head):
        raise DataError(
            f"{path.name!r} is not text: {strange / len(head):.0%} of its first bytes are control "
            "characters. Give separated text, libsvm, Parquet or Feather."
        )


def _utf8_faults(head: bytes, whole: bool) -> tuple[int, int]:
    """Bytes that break UTF-8, and characters past ASCII that are right."""
    try:
        text = codecs.utf_8_decode(head, "strict", whole)[0]
        return 0, 0 if text.isascii() else 1
    except UnicodeDecodeError:
        text = head[:_LINES_BYTES].decode("utf-8", "replace")
    wrong = max(1, text.count("\ufffd"))
    return wrong, sum(character > "\x7f" for character in text) - wrong


def _check_not_markup(path: Path, text: bytes) -> None:
    start = text[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{path.name!r} is a web page or XML, perhaps of a download that failed.")
    if re.match(rb'[\[{]\s*["\[{]', start) and b":" in start:
        raise DataError(f"{path.name!r} is JSON; save it as CSV or Parquet.")


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


def _text_format(text: bytes, encoding: str, whole: bool) -> FileFormat:
    """Separator, quoting and header of separated text."""
    best: tuple[tuple[float, bool, int], FileFormat, list[list[str]]] | None = None
    quoting = (True, False) if b'"' in text else (True,)
    for separator in _ORDER:
        for quote in quoting:
            rows = _first_rows(text, separator, quote, whole)
            width, share = _modal_width(rows)
            if width < 2 or share < 0.5:
                continue
            # A separator inside quotes or numbers may be as regular, but makes fewer columns.
            rank = (round(share, 1 if quote else 2) + quote * 0.01, separator != " ", width)
            if best is None or rank > best[0]:
                format = FileFormat("text", separator, encoding=encoding, quote=quote)
                best = (rank, format, [row for row in rows if row])
    if best is None:
        rows = _first_rows(text, "\0", True, whole)
        return FileFormat("text", ",", header=has_header(rows), encoding=encoding)
    return replace(best[1], header=has_header(best[2]))


def _first_rows(text: bytes, separator: str, quote: bool, whole: bool) -> list[list[str]]:
    first = text[: text.find(b"\n") + 1 or None]
    most = max(20, min(_MOST_ROWS, _CELLS // (first.count(separator.encode()) + 1)))
    reader = SlowReader(separator, None, quote=quote)
    return reader.read(text, final=True, most=most).cells


def _modal_width(rows: Sequence[Sequence[str]]) -> tuple[int, float]:
    """The commonest width, and the share of rows that have it; the first row weighs a tenth."""
    if not rows:
        return 0, 0.0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    share = count / len(rows)
    return width, share if len(rows[0]) == width else share - 0.1


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns, judged against the rows below it."""
    if not rows:
        return False
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    if _counts_columns(first):
        return True
    if any(_is_number(cell) for cell in first) or not any(first):
        return False
    columns = list(zip(*(row for row in below if len(row) == len(first)), strict=True))
    if not columns:
        return any(is_label_name(cell) for cell in first) or not below
    votes = [
        _names_column(name, [cell.strip() for cell in column])
        for name, column in zip(first, columns, strict=True)
    ]
    return sum(votes) > 0


def _counts_columns(first: Sequence[str]) -> bool:
    """0,1,2,… as pandas writes for columns without names, perhaps with an index before."""
    numbers = [cell for cell in first if cell]
    counted = [[str(n + start) for n in range(len(numbers))] for start in (0, 1)]
    return len(numbers) >= 3 and numbers in counted and first[-1] != ""


def _names_column(name: str, values: Sequence[str]) -> float:
    """How much the first cell looks like the name of what stands below: above 0 if it does."""
    held = [value for value in values if value.lower() not in _NO_VALUE]
    if not name or not held:
        return 0.0
    if name in held:
        return -1.0
    if is_label_name(name):
        return 3.0
    if sum(map(_is_number, held)) >= 0.8 * len(held):
        return 2.0
    same_length = len({len(value) for value in held}) == 1
    if same_length and len(held) >= 5:
        return 1.0 if len(name) != len(held[0]) else -1.0
    return 0.5 if len(set(held)) <= len(held) / 2 else 0.0


def _is_number(text: str) -> bool:
    return _PLAIN_NUMBER.fullmatch(text) is not None
