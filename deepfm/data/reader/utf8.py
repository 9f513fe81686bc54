"""Unpacked bytes in any known encoding to UTF-8 with line feeds at the line ends."""

import codecs
import re
from collections.abc import Callable
from typing import Final

from deepfm.data.reader.encodings import utf8_maker
from deepfm.data.reader.source import Source
from deepfm.errors import DataError

_ESCAPED: Final = re.compile(rb'\\(["\\])')


def unescaped(data: bytes) -> bytes:
    """A quote or backslash with a backslash before it, as text with doubled quotes writes them."""
    return _ESCAPED.sub(lambda found: b'""' if found[1] == b'"' else b"\\", data)


MARK: Final = "\x1f"
"""Stands for a separator of two signs, so that what reads the rows knows separators of one only."""


def mark_of(separator: str) -> str:
    """The one sign that separates cells once `marked` has been over the text."""
    return separator if len(separator) == 1 else MARK


def marked(data: bytes, separator: str) -> bytes:
    """Text with one sign in place of a separator of two; what stands in quotes too."""
    return data.replace(separator.encode(), MARK.encode()) if len(separator) > 1 else data


class _Pairs:
    """Rewrites pairs that begin with one sign, never across a border between two chunks."""

    def __init__(self, sign: bytes, rewrite: Callable[[bytes], bytes]) -> None:
        self._sign = sign
        self._rewrite = rewrite
        self._held = b""

    def rewritten(self, data: bytes, final: bool) -> bytes:
        """The text, but for a sign at the end that may pair with what comes next."""
        data = self._held + data
        trailing = len(data) - len(data.rstrip(self._sign))
        cut = len(data) - (trailing % 2 if not final else 0)
        self._held = data[cut:]
        return self._rewrite(data[:cut])


class Utf8Stream:
    """The text of a source as UTF-8 bytes, without byte order mark.

    separator   one of two signs comes out as MARK
    escape      quotes have a backslash before them and come out doubled

    ended       the whole file was handed out
    exhausted   that, or the limit was reached
    consumed    unpacked bytes of the file read so far, in its own encoding
    """

    def __init__(
        self,
        source: Source,
        encoding: str,
        limit_bytes: int | None,
        *,
        separator: str = "",
        escape: bool = False,
    ) -> None:
        self._source = source
        self._encoding = encoding
        self._limit = limit_bytes
        self._decode = utf8_maker(encoding)
        self._mac_line_ends: bool | None = None
        self._begun = False
        self._pairs = [_Pairs(b"\\", unescaped)] if escape else []
        if len(separator) > 1:
            sign = separator[0].encode()
            self._pairs.append(_Pairs(sign, lambda data: marked(data, separator)))

    @property
    def ended(self) -> bool:
        return self._source.ended

    @property
    def exhausted(self) -> bool:
        return self.ended or (self._limit is not None and self._source.unpacked >= self._limit)

    @property
    def consumed(self) -> int:
        return self._source.unpacked

    def read(self, size: int) -> bytes:
        """About `size` more bytes; DataError where the file is not in its encoding."""
        if self._limit is not None:
            size = min(size, max(0, self._limit - self._source.unpacked))
        data = self._to_utf8(self._source.read(size))
        if not self._begun:
            self._begun = True
            data = data.removeprefix(codecs.BOM_UTF8)
        if self._mac_line_ends is None and data:
            # A return that ends the chunk may be half of \r\n.
            self._mac_line_ends = b"\n" not in data and b"\r" in data[:-1]
        data = data.replace(b"\r", b"\n") if self._mac_line_ends else data
        for pairs in self._pairs:
            data = pairs.rewritten(data, self.ended)
        return data

    def _to_utf8(self, data: bytes) -> bytes:
        if self._decode is None:
            return data
        try:
            return self._decode(data, self.ended)
        except UnicodeError as error:
            raise DataError(
                f"{self._source.path.name!r} is not {self._encoding.upper()} text all through "
                "(a character is broken). Save it as UTF-8."
            ) from error
