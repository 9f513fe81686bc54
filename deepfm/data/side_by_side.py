"""One function over many items, on all cores at once, in the items' order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_MOST_THREADS: Final = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


def threads() -> int:
    """How many are worth starting: one a core, at least two (one may wait for the disk)."""
    here = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if here else os.cpu_count() or 1
    return min(max(cores, 2), _MOST_THREADS)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """The results, in the items' order; only a few items are ahead of the one handed out.

    Worth it where the work is done by code that lets go of Python's lock, as numpy, pyarrow and
    hashlib do.
    """
    with ThreadPoolExecutor(threads()) as pool:
        under_way: deque[Future[Result]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > threads():
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for each in under_way:
                each.cancel()
