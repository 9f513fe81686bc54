"""A lane to its children: those that work, by slot, and the one spare that is kept warm.

A child that is ready for more after its work is the spare again.
"""

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from deepfm.runs.worker.child import Assignment, ChildSpec, child_main
from deepfm.runs.worker.link import StopCause, StopNow

BACK_OFF_SECONDS: Final = 30.0
"""The longest wait before another child is tried where children die before they are warm."""

_log = logging.getLogger(__name__)


@dataclass
class Child:
    """A child process as its worker sees it.

    ready         it has warmed up and waits for work
    assignment    its piece of work, None for the spare
    since         when it was given that (monotonic seconds)
    asked         when it was asked to stop, None if it was not
    killed_for    why the worker killed it, in words; None if it did not
    """

    process: SpawnProcess
    pipe: "Connection[object, object]"
    ready: bool = False
    assignment: Assignment | None = None
    since: float = 0.0
    asked: float | None = None
    killed_for: str | None = None

    def assign(self, assignment: Assignment) -> None:
        """Hand over a piece of work. A child that just died is noticed by its sentinel."""
        self.assignment = assignment
        self.since = time.monotonic()
        self._send(assignment)

    def ask_to_stop(self, cause: StopCause) -> None:
        """Tell it to stop, once."""
        if self.asked is None:
            self.asked = time.monotonic()
            self._send(StopNow(cause))

    def kill(self, why: str) -> None:
        """End it at once, whatever it does."""
        if self.killed_for is None:
            self.killed_for = why
        self.process.kill()

    def rest(self) -> None:
        """It has done its work and waits for more."""
        self.ready = True
        self.assignment, self.since, self.asked = None, 0.0, None

    def bury(self) -> int | None:
        """Collect a dead child; its exit code, negative for a signal."""
        self.process.join()
        exit_code = self.process.exitcode
        self.pipe.close()
        self.process.close()
        return exit_code

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(message)


def spawn(spec: ChildSpec) -> Child:
    """A new child, which begins to warm up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=child_main, args=(spec, theirs), name=f"deepfm {spec.lane}", daemon=True
    )
    process.start()
    # Only the child may hold its end, so that each side sees when the other is gone.
    theirs.close()
    return Child(process, ours)


@dataclass
class Lane:
    """Some slots for work of one sort, and the spare.

    slots         names of the slots, each with one child at a time
    spare_delay   seconds between a piece of work and its replacement spare: the start of the
                  work should not share the processor with the spare's warming up
    leaving       children that have no work any more and were told to end
    """

    spec: ChildSpec
    slots: tuple[str, ...]
    spare_delay: float
    spare: Child | None = None
    busy: dict[str, Child] = field(default_factory=dict)
    leaving: list[Child] = field(default_factory=list)
    breed_at: float = 0.0
    failures: int = 0

    def children(self) -> Iterator[Child]:
        """All of them."""
        if self.spare is not None:
            yield self.spare
        yield from self.busy.values()
        yield from self.leaving

    def free_slots(self) -> list[str]:
        """Slots in which work can begin: none while some is to be done alone."""
        if any(child.assignment and child.assignment.alone for child in self.busy.values()):
            return []
        return [slot for slot in self.slots if slot not in self.busy]

    def warm(self) -> bool:
        """Whether a spare is ready to work."""
        return self.spare is not None and self.spare.ready

    def breed(self) -> None:
        """Start a spare where there is none and its time has come."""
        if self.spare is None and time.monotonic() >= self.breed_at:
            try:
                self.spare = spawn(self.spec)
            except OSError:
                _log.exception("No %s child could be started", self.spec.lane)
                self._back_off()

    def employ(self, slot: str, assignment: Assignment) -> None:
        """Give the spare a piece of work; another spare is started after a while."""
        assert self.spare is not None and slot not in self.busy
        child, self.spare = self.spare, None
        self.busy[slot] = child
        self.breed_at = time.monotonic() + self.spare_delay
        self.failures = 0
        child.assign(assignment)

    def take_back(self, child: Child) -> None:
        """A child that is ready for more is the spare; one that was started meanwhile ends."""
        assert child.assignment is not None
        del self.busy[child.assignment.slot]
        child.rest()
        if self.spare is not None:
            self.leaving.append(self.spare)
            self.spare.kill("Another child is ready.")
        self.spare = child

    def remove(self, child: Child) -> None:
        """Forget a dead child. After a spare that died, the next comes later and later."""
        if child is self.spare:
            self.spare = None
            if child.killed_for is None:
                _log.warning("A %s child died before it had work", self.spec.lane)
            self._back_off()
        elif child in self.leaving:
            self.leaving.remove(child)
        elif child.assignment is not None:
            self.busy.pop(child.assignment.slot, None)
            self.breed_at = min(self.breed_at, time.monotonic())

    def ask_to_stop(self, cause: StopCause) -> None:
        """Ask every child that works to stop, and end the spare."""
        for child in self.busy.values():
            child.ask_to_stop(cause)
        if self.spare is not None:
            self.spare.kill("The worker stops.")

    def over_time(self, seconds: float, then: Callable[[Child], None]) -> None:
        """Call `then` for each child that has worked for longer than so many seconds."""
        for child in list(self.busy.values()):
            if time.monotonic() - child.since > seconds:
                then(child)

    def _back_off(self) -> None:
        self.failures += 1
        self.breed_at = time.monotonic() + min(0.1 * 2.0**self.failures, BACK_OFF_SECONDS)
