"""Packed file to unpacked bytes, in order, within limits, with progress."""

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Protocol

import pyarrow as pa

from deepfm.config import Settings
from deepfm.data.reader.xz import XzStream
from deepfm.data.schema.declared import Compression
from deepfm.errors import DataError, LimitError

_MAGIC: Final[tuple[tuple[bytes, Compression], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    *((b"BZh%d" % level, "bzip2") for level in range(1, 10)),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_STREAMED: Final = {"gzip": "gzip", "zstd": "zstd", "bzip2": "bz2", "lz4": "lz4"}
"""What pyarrow unpacks, by its own names."""
_NOT_DATA: Final = (
    (b"\x02\x21\x4c\x18", "packed with an old lz4; unpack it, or pack it with gzip, zip or zstd"),
    (b"\xff\x06\x00\x00sNaPpY", "packed with snappy; unpack it, or pack it with gzip or zstd"),
    (b"LZIP", "packed with lzip; unpack it, or pack it with gzip, xz or zstd"),
    (b"\x1f\x9d", "packed with compress (.Z); unpack it, or pack it with gzip, xz or zstd"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data; get them by git lfs pull"),
    (b"\x80\x04\x95", "a Python pickle; save it as CSV or Parquet"),
    (b"\x80\x05\x95", "a Python pickle; save it as CSV or Parquet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file; save it as CSV first"),
    (b"%PDF", "a PDF document, not a table; export the data as CSV"),
    (b"\x89PNG", "a picture (PNG), not click data"),
    (b"\xff\xd8\xff", "a picture (JPEG), not click data"),
    (b"GIF8", "a picture (GIF), not click data"),
    (b"SQLite format 3\x00", "an SQLite database; export one table as CSV"),
    (b"\x93NUMPY", "a NumPy array; save it as CSV or Parquet"),
    (b"\x89HDF\r\n", "an HDF5 file; save it as CSV or Parquet"),
    (b"Obj\x01", "an Avro file; save it as CSV or Parquet"),
    (b"ORC", "an ORC file; save it as CSV or Parquet"),
    (b"FEA1", "a Feather file of version 1; save it again with a newer pandas or pyarrow"),
    (b"\x7fELF", "a program, not click data"),
    (b"MZ\x90", "a program, not click data"),
)


_PART: Final = 8 << 20
"""Bytes unpacked at once: the limit of what a packed file unpacks to is looked at between."""


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Source:
    """The unpacked bytes of one file, front to back.

    bytes_done, bytes_total   of the file as it lies on the disk, for progress
    unpacked                  bytes handed out so far
    ended                     all bytes were handed out
    """

    def __init__(
        self, path: Path, file: IO[bytes], stream: _Bytes, compression: Compression, limit_mb: int
    ) -> None:
        self.path = path
        self.compression = compression
        self.bytes_total = path.stat().st_size
        self.unpacked = 0
        self.ended = False
        self._file = file
        self._stream = stream
        self._limit_mb = limit_mb
        self._closed_at: int | None = None

    @property
    def bytes_done(self) -> int:
        """Bytes of the file on the disk that were read so far."""
        if self.ended:
            # A zip archive ends with a directory that is read first.
            return self.bytes_total
        return self._file.tell() if self._closed_at is None else self._closed_at

    def read(self, size: int) -> bytes:
        """The next bytes: exactly `size` of them, fewer only at the end.

        Raises LimitError once a packed file has grown past max_unpacked_mb.
        """
        parts = []
        while size > 0:
            part = bytes(self._stream.read(min(size, _PART)))
            if not part:
                self.ended = True
                break
            parts.append(part)
            size -= len(part)
            self.unpacked += len(part)
            self._check_unpacked()
        return b"".join(parts)

    def _check_unpacked(self) -> None:
        if self.compression and self.unpacked > self._limit_mb * 1_000_000:
            raise LimitError(
                f"{self.path.name!r} unpacks to more than {self._limit_mb:,} MB, the limit of "
                "this server (max_unpacked_mb). Take a part of it."
            )

    def close(self) -> None:
        """Close the file; the progress stays readable."""
        if self._closed_at is None:
            self._closed_at = self._file.tell()
            self._stream.close()
            self._file.close()


def compression_of(head: bytes) -> Compression:
    """How a file is packed, by its first bytes; "" if it is not."""
    return next((packed for magic, packed in _MAGIC if head.startswith(magic)), "")


def check_regular(path: Path) -> None:
    """DataError for a folder, a device, a missing or an empty file."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path.name!r} is a folder. Give one file.")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path.name!r} is not a regular file. Give one file.")
    if status.st_size == 0:
        raise DataError(f"{path.name!r} is empty (0 bytes). Choose another file.")


def check_is_data(path: Path, head: bytes) -> None:
    """DataError for a file that by its first bytes is something else than a table."""
    for magic, what in _NOT_DATA:
        if head.startswith(magic):
            raise DataError(f"{path.name!r} is {what}.")
    if head[257:262] == b"ustar":
        raise DataError(f"{path.name!r} is a tar archive; unpack it first.")


def open_source(path: Path, settings: Settings) -> Source:
    """Open a file and unpack it while it is read; foreign errors are the caller's to name."""
    check_regular(path)
    file = path.open("rb", buffering=0)
    try:
        head = file.read(512)
        file.seek(0)
        check_is_data(path, head)
        compression = compression_of(head)
        stream = _unpacking(path, file, compression, settings)
        return Source(path, file, stream, compression, settings.max_unpacked_mb)
    except BaseException:
        file.close()
        raise


def _unpacking(path: Path, file: io.FileIO, compression: Compression, settings: Settings) -> _Bytes:
    if compression == "zip":
        return _zip_member(path, file, settings)
    if compression == "xz":
        return XzStream(file, path.name)
    if compression:
        packed = pa.PythonFile(file, mode="r")
        stream: Any = pa.CompressedInputStream(packed, _STREAMED[compression])
        return stream
    return file


def _zip_member(path: Path, file: io.FileIO, settings: Settings) -> _Bytes:
    """The one data file of a zip archive; DataError if there are none or several."""
    archive = zipfile.ZipFile(file)
    names = [info.filename for info in archive.infolist()]
    if "[Content_Types].xml" in names:
        raise DataError(f"{path.name!r} is an Excel or Office file; save it as CSV first.")
    outside = [name for name in names if _leads_outside(name)]
    if outside:
        raise DataError(
            f"{path.name!r} holds {outside[0]!r}, a path outside the archive, and is refused. "
            "Pack the data file alone."
        )
    members = [info for info in archive.infolist() if _is_data_member(info)]
    members = [info for info in members if not _is_note(info)] or members
    if not members:
        raise DataError(f"{path.name!r} is a zip archive with no data file in it.")
    if len(members) > 1:
        shown = ", ".join(repr(info.filename) for info in members[:5])
        more = f" and {len(members) - 5} more" if len(members) > 5 else ""
        raise DataError(
            f"{path.name!r} holds several files: {shown}{more}. Unpack it and give one of them."
        )
    if members[0].file_size > settings.max_unpacked_mb * 1_000_000:
        raise LimitError(
            f"{path.name!r} unpacks to {members[0].file_size / 1e6:,.0f} MB; the limit of this "
            f"server is {settings.max_unpacked_mb:,} MB (max_unpacked_mb). Take a part of it."
        )
    return archive.open(members[0])


def _leads_outside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or name[1:2] == ":"


def _is_data_member(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not (info.is_dir() or hidden)


def _is_note(info: zipfile.ZipInfo) -> bool:
    """Whether a file tells of the data, as README.txt does, and does not hold them."""
    path = PurePosixPath(info.filename.lower())
    named = path.stem in ("readme", "read_me", "license", "licence", "changelog")
    return named or path.suffix in (".md", ".pdf", ".html", ".docx", ".rtf")
