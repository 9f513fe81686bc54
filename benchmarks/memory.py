"""/proc/self/status to the memory a process takes, in bytes: now, and at its peak."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

MIB = 1 << 20
Result = TypeVar("Result")


def status(name: str) -> int:
    """One line of /proc/self/status in bytes: RssAnon (the process's own), VmHWM (peak of all)."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        key, _, rest = line.partition(":")
        if key == name:
            return int(rest.split()[0]) * 1024
    raise OSError(f"/proc/self/status has no line {name}; this needs Linux.")


class AnonymousPeak:
    """Within the block: the most RssAnon seen, looked at every few milliseconds.

    The system keeps a peak of all resident pages only, mapped files among them.
    """

    def __init__(self, seconds_between: float = 0.005) -> None:
        self.bytes = 0
        self._seconds_between = seconds_between
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._watcher.join()
        self.look()

    def look(self) -> None:
        """Take one look now."""
        self.bytes = max(self.bytes, status("RssAnon"))

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds_between):
            self.look()


def in_own_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of a module in a new process, so that no memory is there before it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
