"""Processes to the seconds that they computed, from /proc (Linux)."""

import contextlib
import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def own_seconds(process: int) -> float:
    """What one process has computed since it began, on all cores; 0 if it is gone."""
    with contextlib.suppress(OSError):
        fields = _stat(process)
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def busy_seconds(process: int) -> float:
    """The same of a process and all that descend from it."""
    return sum(own_seconds(each) for each in (process, *descendants(process)))


def descendants(process: int) -> list[int]:
    """Processes that it started, and those that they started."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    found, level = [], [process]
    while level:
        level = [child for parent in level for child in parents.get(parent, [])]
        found += level
    return found


def _stat(process: int) -> list[str]:
    """The fields of /proc/N/stat after the program's name: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
