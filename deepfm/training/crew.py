"""One piece of work for each of a few threads that stay: Python threads over compiled code."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch


class Crew:
    """The calling thread and size − 1 helpers; each does its own part of every piece of work.

    The parts release Python's lock while they compute. Handing over costs some ten microseconds,
    which OpenMP's threads would spend spinning, and a part computes on one core alone. Helpers
    end with `close`; without it they end with the process.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._helpers = [_Helper(part) for part in range(1, size)]

    def run(self, work: Callable[[int], None]) -> None:
        """Call work(part) for every part, 0 in this thread; returns when all are done."""
        for helper in self._helpers:
            helper.begin(work)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            work(0)
        finally:
            torch.set_num_threads(threads)
            failures = [error for helper in self._helpers if (error := helper.finish())]
        if failures:
            raise failures[0]

    def close(self) -> None:
        """End the helpers."""
        for helper in self._helpers:
            helper.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Helper:
    """A thread that waits for work, does its part of it, and says so."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._work: Callable[[int], None] | None = None
        self._error: BaseException | None = None
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        threading.Thread(target=self._loop, name=f"crew-{part}", daemon=True).start()

    def begin(self, work: Callable[[int], None]) -> None:
        self._work = work
        self._go.release()

    def finish(self) -> BaseException | None:
        self._done.acquire()
        error, self._error = self._error, None
        return error

    def end(self) -> None:
        self._work = None
        self._go.release()

    def _loop(self) -> None:
        torch.set_num_threads(1)
        while True:
            self._go.acquire()
            if self._work is None:
                return
            try:
                with torch.no_grad():
                    self._work(self._part)
            except BaseException as error:  # raised again in the thread that asked
                self._error = error
            self._done.release()
