"""What is queued to children that do it: the worker's loop.

Every few hundredths of a second: hear the children, bury the dead and tell their end in words,
enforce the limits, keep the spares warm, and, where anything has changed in the store, claim
what is queued. Nothing here computes, so nothing here blocks.
"""

import contextlib
import logging
import multiprocessing.connection
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Final

from deepfm.config import Settings
from deepfm.errors import StoreBusy, StoreError
from deepfm.locks import FileLock, holder, is_held
from deepfm.runs.store import Store
from deepfm.runs.worker import words
from deepfm.runs.worker.child import Assignment, ChildSpec, set_up_log, slot_lock
from deepfm.runs.worker.feeding import Feeder
from deepfm.runs.worker.gpus import gpu_count, training_slots
from deepfm.runs.worker.housekeeping import housekeeping
from deepfm.runs.worker.lanes import Child, Lane
from deepfm.runs.worker.link import BUSY_SECONDS, REFUSED
from deepfm.runs.worker.remains import end_run, is_resumable
from deepfm.runs.worker.service import app_lock, log_file, worker_lock
from deepfm.runs.worker.table import WORK, WorkTable
from deepfm.versions import versions

POLL_SECONDS: Final = 0.03
"""How soon something queued is seen."""

SLOW_SLOTS: Final = ("short-0", "short-1")
QUICK_SLOT: Final = "quick-0"
"""The slot that only quick kinds may use, so that looking at a file never waits for a long job."""

LOCK_SECONDS: Final = 1.0
"""Asking whether the lock is held takes it for an instant; a worker tries for longer than that."""

ORPHAN_SECONDS: Final = 2.0
"""How long children of a worker that died are given to notice before they are killed."""

STOP_SECONDS: Final = 5.0
"""How long children are given to stop when the worker stops, or a job when a person cancels it."""

LIMIT_SECONDS: Final = 60.0
"""How long a training is given to save what it has when its time is over."""

HOPELESS: Final = 2
"""How many spares in a row must die before what waits is told that none can be started."""

MINUTE: Final = 60.0
"""Seconds; the limits are in minutes."""

LOG_BYTES: Final = 5_000_000

_log = logging.getLogger(__name__)


def run_worker(
    home: Path | str,
    *,
    exit_when_idle: float = 0.0,
    settings: Settings | None = None,
    table: WorkTable = WORK,
    gpus: int | None = None,
) -> None:
    """Serve a home folder until SIGTERM or Ctrl-C, or until nothing was to do for so long.

    exit_when_idle   minutes with nothing to do and no app open; 0 stays for ever
    table            the functions that do the work
    gpus             how many there are: each trains one run at a time, or all of them one
                     together (the device cuda:all); None counts them
    Raises StoreError where another worker serves this home, or the store cannot be used.
    """
    home = Path(home).expanduser().resolve()
    settings = (settings or Settings.from_environment()).with_values(home=str(home))
    lock = FileLock(worker_lock(home))
    again = True
    while again:
        if not lock.acquire(LOCK_SECONDS):
            raise StoreError(f"Another worker (process {holder(lock.path)}) serves {home} already.")
        try:
            _set_up_log(home)
            slots = training_slots(gpu_count() if gpus is None else gpus)
            with (
                Store.open(home, settings=settings) as store,
                housekeeping(store, settings),
            ):
                idle_seconds = exit_when_idle * MINUTE
                again = _Supervisor(store, settings, table, slots, idle_seconds).serve()
        finally:
            lock.release()
        # Something may have been queued between the last look and the release, by an app that
        # saw a worker alive and so did not start one.
        if again:
            with Store.open(home, settings=settings) as store:
                again = store.waiting()


def _set_up_log(home: Path) -> None:
    log = log_file(home)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
    set_up_log(home)


class _Supervisor:
    """One worker's loop, while it holds the lock."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        table: WorkTable,
        training_slots: tuple[str, ...],
        idle_seconds: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._table = table
        self._idle_seconds = idle_seconds
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._training = Lane(
            ChildSpec(store.home, "training", table, settings), training_slots, spare_delay=2.0
        )
        self._short = Lane(
            ChildSpec(store.home, "short", table, settings),
            (*SLOW_SLOTS, QUICK_SLOT),
            spare_delay=0.1,
        )
        self._lanes = (self._training, self._short)
        self._feeder = Feeder(store, len(training_slots))
        self._unsettled: list[tuple[Lane, Assignment, str]] = []
        self._look = True
        self._stopping = False
        self._last_busy = time.monotonic()

    def serve(self) -> bool:
        """Work until told to stop (False) or idle for long enough (True)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        _log.info("Worker %s serves %s", self._name, self._store.home)
        watcher = self._store.watch()
        try:
            self._recover_when_free()
            while not (self._stopping or self._idle()):
                try:
                    self._look |= watcher.changed()
                    self._tick()
                except StoreBusy as error:
                    _log.warning("%s", error)
                    time.sleep(BUSY_SECONDS)
            return not self._stopping
        finally:
            self._shut_down()
            watcher.close()
            _log.info("Worker %s leaves", self._name)

    def _on_signal(self, *_: object) -> None:
        self._stopping = True

    def _tick(self) -> None:
        self._settle()
        for lane in self._lanes:
            lane.breed()
        changed = self._look
        if self._look:
            self._look = False
            try:
                self._claim()
                self._heed_cancelling()
            except StoreBusy:
                self._look = True
                raise
        self._feeder.feed(changed)
        self._enforce_limits()
        self._hear(POLL_SECONDS)

    # --- what is queued -------------------------------------------------------------------

    def _claim(self) -> None:
        while self._training.warm() and (free := self._training.free_slots()):
            run = self._store.claim_run(self._name, versions(), all_free=not self._training.busy)
            if run is None:
                break
            self._employ(self._training, run.id, free[0], alone=run.alone)
        while self._short.warm() and (free := self._short.free_slots()):
            kinds = self._table.quick if free == [QUICK_SLOT] else None
            job = self._store.claim_job(self._name, kinds)
            if job is None:
                break
            quick = job.kind in self._table.quick and QUICK_SLOT in free
            self._employ(self._short, job.id, QUICK_SLOT if quick else free[0])

    def _employ(self, lane: Lane, work_id: str, slot: str, *, alone: bool = False) -> None:
        lane.employ(slot, Assignment(work_id, self._name, slot, alone))

    def _heed_cancelling(self) -> None:
        """A cancelled job gets a few seconds to stop by itself, for it may not be listening."""
        for child in self._short.busy.values():
            if child.assignment and self._store.cancel_requested(child.assignment.id):
                child.ask_to_stop("person")

    # --- children -------------------------------------------------------------------------

    def _hear(self, seconds: float) -> None:
        """Wait so long for messages and deaths, and take them in."""
        children = [(lane, child) for lane in self._lanes for child in lane.children()]
        sources: list[object] = [child.process.sentinel for _, child in children]
        sources += [
            child.pipe for _, child in children if not child.ready or child.assignment is not None
        ]
        heard = multiprocessing.connection.wait(sources, timeout=seconds)  # type: ignore[arg-type]
        for lane, child in children:
            if child.process.sentinel in heard:
                self._bury(lane, child)
                self._look = True
            elif child.pipe in heard:
                self._greet(lane, child)
                self._look = True

    def _greet(self, lane: Lane, child: Child) -> None:
        """A child is ready: for its first piece of work, or after one for the next."""
        try:
            child.pipe.recv()
        except (EOFError, OSError):
            return  # It is dying; its sentinel will tell.
        if child.assignment is None:
            child.ready = True
        elif child.killed_for is None:
            self._unsettled.append((lane, child.assignment, words.death(lane.spec.lane, 0)))
            lane.take_back(child)
            if self._stopping:
                child.kill(words.STOPPED)

    def _bury(self, lane: Lane, child: Child) -> None:
        lane.remove(child)
        exit_code = child.bury()
        if child.assignment is not None:
            cause = child.killed_for or words.death(lane.spec.lane, exit_code)
            if exit_code not in (0, REFUSED):
                _log.warning("%s %s: %s", lane.spec.lane, child.assignment.id, cause)
            self._unsettled.append((lane, child.assignment, cause))
        elif lane.failures >= HOPELESS and child.killed_for is None and not self._stopping:
            self._fail_one(lane, words.start_failed(lane.spec.lane, exit_code))

    def _fail_one(self, lane: Lane, cause: str) -> None:
        """Where no child can be started, what waits is told so instead of waiting for ever."""
        claim = self._store.claim_run if lane is self._training else self._store.claim_job
        row = claim(self._name)
        if row is not None:
            self._unsettled.append((lane, Assignment(row.id, self._name, ""), cause))

    def _settle(self) -> None:
        """End the work of children that died before they could end it themselves."""
        while self._unsettled:
            lane, assignment, cause = self._unsettled[0]
            if lane is self._training:
                self._settle_run(assignment, cause)
            else:
                self._settle_job(assignment, cause)
            del self._unsettled[0]

    def _settle_run(self, assignment: Assignment, cause: str) -> None:
        run = self._store.run(assignment.id)
        if (run.state, run.worker) != ("training", self._name):
            return
        resumable = is_resumable(run)
        if self._stopping:
            end_run(self._store, run, "interrupted", words.interrupted(resumable))
        else:
            end_run(self._store, run, "interrupted" if resumable else "failed", cause)

    def _settle_job(self, assignment: Assignment, cause: str) -> None:
        job = self._store.job(assignment.id)
        if (job.state, job.worker) != ("working", self._name):
            return
        if self._stopping:
            self._store.give_back_job(job.id)
        elif job.wanted == "stop":
            self._store.finish_job(job.id, "stopped")
        else:
            self._store.finish_job(job.id, "failed", error=cause)

    # --- limits ---------------------------------------------------------------------------

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        train, job = self._settings.max_train_minutes, self._settings.max_job_minutes
        self._training.over_time(train * MINUTE, lambda child: child.ask_to_stop("limit"))
        too_long = words.over_time("training", train)
        self._training.over_time(train * MINUTE + LIMIT_SECONDS, lambda child: child.kill(too_long))
        job_too_long = words.over_time("short", job)
        self._short.over_time(job * MINUTE, lambda child: child.kill(job_too_long))
        for child in self._short.busy.values():
            if child.asked is not None and now - child.asked > STOP_SECONDS:
                child.kill("It was stopped.")

    def _idle(self) -> bool:
        if any(lane.busy for lane in self._lanes) or self._unsettled or self._look:
            self._last_busy = time.monotonic()
        if not self._idle_seconds:
            return False
        if time.monotonic() - self._last_busy <= self._idle_seconds:
            return False
        if is_held(app_lock(self._store.home)):
            self._last_busy = time.monotonic()
            return False
        return True

    # --- beginning and end ----------------------------------------------------------------

    def _recover_when_free(self) -> None:
        """Recover, however long another process keeps the store locked."""
        while not self._stopping:
            try:
                return self._recover()
            except StoreBusy as error:
                _log.warning("%s", error)
                time.sleep(BUSY_SECONDS)

    def _recover(self) -> None:
        """End what a worker that died has left in the middle, once its children are gone."""
        locks = [self._lock_of_orphan(slot) for lane in self._lanes for slot in lane.slots]
        try:
            for run in self._store.runs(states=("training",)):
                _log.warning("Run %s was interrupted", run.id)
                message = words.interrupted(is_resumable(run))
                end_run(self._store, run, "interrupted", message)
            for job in self._store.jobs(active=True):
                if job.state == "working":
                    self._store.give_back_job(job.id)
            self._store.forget_jobs()
        finally:
            for lock in locks:
                lock.release()

    def _lock_of_orphan(self, slot: str) -> FileLock:
        lock = FileLock(slot_lock(self._store.home, slot))
        if not lock.acquire(ORPHAN_SECONDS):
            orphan = holder(lock.path)
            if orphan is not None:
                _log.warning("Killing process %d, whose worker died", orphan)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
            if not lock.acquire(ORPHAN_SECONDS):
                raise StoreError(f"Process {orphan} of an earlier worker does not end; end it.")
        return lock

    def _shut_down(self) -> None:
        """Ask all children to stop, end those that do not, and settle what they leave."""
        self._stopping = True
        for lane in self._lanes:
            lane.ask_to_stop("worker")
        deadline = time.monotonic() + STOP_SECONDS
        while any(True for lane in self._lanes for _ in lane.children()):
            self._hear(POLL_SECONDS)
            if time.monotonic() > deadline:
                for lane in self._lanes:
                    for child in lane.children():
                        child.kill(words.STOPPED)
        try:
            self._settle()
        except StoreBusy as error:
            _log.warning("%s The next worker ends what is left.", error)
