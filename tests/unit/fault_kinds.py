"""Faults made to order: a training under a limit that its run's name asks for, and a trap."""

import pickle
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import lab
from deepfm.runs.store import RunRow
from deepfm.runs.worker.table import Context

MEMORY = re.compile(r"with (\d+) MB of memory")


def train(run: RunRow, context: Context) -> dict[str, Any]:
    """The lab's training; of a run named "… with 40 MB of memory" in no more than that."""
    if asked := MEMORY.search(run.name):
        most = _data_bytes() + int(asked[1]) * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
    return lab.train(run, context)


def _data_bytes() -> int:
    """The memory that this process has asked for so far."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def as_trap(path: Path) -> Path:
    """Put a pickle in the place of a file; the file that it would make when it is loaded."""
    mark = path.with_name("the pickle was loaded")

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (mark,)

    path.write_bytes(pickle.dumps(Trap()))
    return mark
