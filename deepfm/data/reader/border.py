"""Foreign errors of reading to one sentence of our own family."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from deepfm.errors import DataError, DeepFMError

FOREIGN: Final = (
    pa.ArrowException,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
)
"""What pyarrow, zipfile and the system have been seen to raise over a damaged file."""

_SAYINGS: Final = (
    ("Truncated compressed stream", "its compressed data end too early; copy or download it again"),
    ("EOF", "it ends too early; copy or download it again"),
    ("End of file", "it ends too early; copy or download it again"),
    ("encrypted", "it is protected by a password; unpack it first"),
    ("password", "it is protected by a password; unpack it first"),
    ("Bad CRC", "its checksum is wrong, so it is damaged; copy or download it again"),
    ("data check", "its checksum is wrong, so it is damaged; copy or download it again"),
    ("inflate", "its compressed data are damaged; copy or download it again"),
    ("Corrupt input data", "its compressed data are damaged; copy or download it again"),
    ("decompress", "its compressed data are damaged; copy or download it again"),
)


@contextmanager
def foreign_errors_named(path: Path) -> Iterator[None]:
    """Whatever fails while this file is read becomes a DataError that names the file."""
    try:
        yield
    except DeepFMError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path.name!r}. Check the path.") from error
    except PermissionError as error:
        raise DataError(
            f"{path.name!r} may not be read by this program; change its permissions."
        ) from error
    except FOREIGN as error:
        raise DataError(f"{path.name!r} cannot be read: {_in_words(error)}.") from error


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    for part, saying in _SAYINGS:
        if part in text:
            return saying
    if isinstance(error, MemoryError):
        return "it is damaged, or one part of it needs more memory than there is"
    return f"it is damaged ({text[:200].rstrip('.') or type(error).__name__})"
