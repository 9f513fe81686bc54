"""Named arrays to one safetensors file and back; nothing in such a file is ever run.

The file is written block by block, so that no second copy of it all is made, and with a
checksum: a byte that changed on the disk is noticed.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

CHECKSUM: Final = "crc32"
"""Its name in the header: of all bytes after the header, eight hexadecimal digits."""
_UNKNOWN: Final = "0" * 8
_LENGTH: Final = struct.Struct("<Q")
"""How long the header is: the first 8 bytes of the file."""
_ALIGNED: Final = 8
_BLOCK: Final = 1 << 17
"""Bytes copied or read at once: few enough to stay in the cache."""

_NAMES: Final = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.bool: "BOOL",
}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: str) -> None:
    """Write the tensors, on any device and in any layout, with a note. OSError as it comes."""
    # Readers map the file: the widest numbers first, so that none lies across its alignment.
    tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    with path.open("wb", buffering=0) as file:
        header = _header(tensors, note, _UNKNOWN)
        _write(file, memoryview(header))
        checksum = 0
        for tensor in tensors.values():
            for data in _blocks(tensor.detach()):
                checksum = zlib.crc32(data, checksum)
                _write(file, data)
        file.seek(0)
        _write(file, memoryview(_header(tensors, note, f"{checksum:08x}")))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors, on the CPU, and the note.

    SafetensorError or ValueError for a file that `write_tensors` did not write whole.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        # A copy: what is read must not change with the file.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if metadata.get(CHECKSUM) != _checksum(path):
        raise ValueError("its checksum is wrong")
    return tensors, metadata.get("note", "")


def _blocks(tensor: Tensor) -> Iterator[memoryview]:
    """Its bytes in order, a few rows at a time: what is copied is still in the cache when used."""
    if not tensor.numel():
        return
    rows = tensor.reshape(1) if tensor.ndim == 0 else tensor
    count = max(1, _BLOCK * len(rows) // (rows.numel() * rows.element_size()))
    for block in rows.split(count):
        yield block.cpu().contiguous().numpy().reshape(-1).view(np.uint8).data


def _header(tensors: Mapping[str, Tensor], note: str, checksum: str) -> bytes:
    """Of the same length whatever the checksum: that is known only after the data."""
    entries: dict[str, object] = {"__metadata__": {"note": note, CHECKSUM: checksum}}
    start = 0
    for name, tensor in tensors.items():
        end = start + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return _LENGTH.pack(len(text)) + text


def _write(file: BinaryIO, data: memoryview) -> None:
    """All of it: an unbuffered file may take less at a time."""
    while len(data):
        data = data[file.write(data) :]


def _checksum(path: Path) -> str:
    checksum = 0
    with path.open("rb") as file:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        file.seek(_LENGTH.size + length)
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return f"{checksum:08x}"
