"""A file packed with xz to unpacked bytes, within a limit of memory."""

import lzma
from typing import IO, Final

from deepfm.errors import DataError

MEMORY_MB: Final = 256
"""What the strongest preset, -9, takes is 65 MB; a hostile file may ask for 4 GB."""
_CHUNK: Final = 64 << 10


class XzStream:
    """The unpacked bytes of one or several xz streams, one after the other.

    `read` raises DataError where the file needs more memory than MEMORY_MB, EOFError where it ends
    too early, LZMAError where it is damaged.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._packed = b""
        self._unpacker: lzma.LZMADecompressor | None = None

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none only at the end."""
        while True:
            unpacker = self._unpacker or self._next_stream()
            if unpacker is None:
                return b""
            data = self._unpacked(unpacker, size)
            if data:
                return data

    def close(self) -> None:
        """Nothing to close: the file belongs to the caller."""

    def _next_stream(self) -> lzma.LZMADecompressor | None:
        """Start on the next stream, past the zeros between two; None where there is none."""
        while not self._packed:
            packed = self._file.read(_CHUNK)
            if not packed:
                return None
            self._packed = packed.lstrip(b"\0")
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_MB << 20)
        return self._unpacker

    def _unpacked(self, unpacker: lzma.LZMADecompressor, size: int) -> bytes:
        if unpacker.needs_input and not self._packed:
            self._packed = self._file.read(_CHUNK)
            if not self._packed:
                raise EOFError("Truncated compressed stream")
        data = self._decompressed(unpacker, size)
        if unpacker.eof:
            self._packed = unpacker.unused_data.lstrip(b"\0")
            self._unpacker = None
        return data

    def _decompressed(self, unpacker: lzma.LZMADecompressor, size: int) -> bytes:
        packed, self._packed = self._packed, b""
        try:
            return unpacker.decompress(packed, size)
        except lzma.LZMAError as error:
            if "limit" not in str(error):
                raise
            raise DataError(
                f"{self._name!r} needs more than {MEMORY_MB} MB of memory to be unpacked; unpack "
                "it, or pack it again with gzip."
            ) from error
