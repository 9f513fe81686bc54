"""One child's life: warm up, wait for a piece of work, do it, say how it ended, exit.

After a short training that finished it waits for the next one instead of exiting.
"""

import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from deepfm.config import Settings
from deepfm.errors import Cancelled, DeepFMError, Interrupted, StoreBusy
from deepfm.events import Event, Failed, Progress
from deepfm.locks import FileLock
from deepfm.runs.store import JobRow, RunRow, Store
from deepfm.runs.worker import words
from deepfm.runs.worker.gpus import gpu_of
from deepfm.runs.worker.link import BUSY_SECONDS, Link
from deepfm.runs.worker.remains import is_resumable
from deepfm.runs.worker.service import log_file
from deepfm.runs.worker.table import TRAIN, Context, LaneName, WorkTable, load, load_name

READY: Final = "ready"
"""The child to its worker: warm, waiting for work."""

NICENESS: Final[Mapping[LaneName, int]] = {"training": 5, "short": 2}
"""How far each lane stands back behind the app, which shares the processor with it."""

LOCK_SECONDS: Final = 10.0

MOST_RUNS: Final = 50
SHORT_SECONDS: Final = 30.0
MORE_BYTES: Final = 100_000_000
"""A child that has finished a short training and given its memory back is ready for the next one
at once, where a new one would take seconds to warm up. After any other work it ends."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class ChildSpec:
    """What a child needs to know before it knows its work."""

    home: Path
    lane: LaneName
    table: WorkTable
    settings: Settings


@dataclass(frozen=True)
class Assignment:
    """The worker to its child: this piece of work, under this worker's name and this lock.

    alone   nothing else is done in the lane meanwhile, in no slot
    """

    id: str
    worker: str
    slot: str
    alone: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    state: Literal["finished", "stopped", "failed", "interrupted"]
    message: str = ""
    result: Mapping[str, Any] | None = None


def slot_lock(home: Path, slot: str) -> Path:
    """The file whose lock a child holds while it works in this slot."""
    return home / "locks" / slot


def child_main(spec: ChildSpec, worker: "Connection[object, object]") -> None:
    """The whole life of a child; the process ends here."""
    _prepare_process(spec)
    _warm_up(spec)
    small = own_bytes()
    for _ in range(MOST_RUNS):
        assignment = _wait_for_work(worker)
        began = time.monotonic()
        try:
            finished, exit_code = _do(spec, worker, assignment), 0
        except Exception:
            _log.exception("%s %s could not be done", spec.lane, assignment.id)
            finished, exit_code = False, 1
        was_short = time.monotonic() - began <= SHORT_SECONDS
        if not (finished and was_short and _has_given_back(small)):
            break
    logging.shutdown()
    # Without the interpreter's farewell: it takes time and can crash after work well done.
    os._exit(exit_code)


def _wait_for_work(worker: "Connection[object, object]") -> Assignment:
    """Say that this child is ready, and wait; it leaves with its worker."""
    try:
        worker.send(READY)
        while True:
            message = worker.recv()
            # A wish to stop may have come too late for the work before.
            if isinstance(message, Assignment):
                return message
    except (EOFError, OSError):
        os._exit(0)


def own_bytes() -> int:
    """Memory of this process that no file stands behind; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _has_given_back(small: int) -> bool:
    """Whether this process is about as small again as before its work; no GPU knows it."""
    torch = sys.modules.get("torch")
    if not small or (torch is not None and torch.cuda.is_initialized()):
        return False
    gc.collect()
    return own_bytes() <= small + MORE_BYTES


def _do(spec: ChildSpec, worker: "Connection[object, object]", assignment: Assignment) -> bool:
    """Do a piece of work; whether it was a training that went on to its end."""
    with (
        FileLock(slot_lock(spec.home, assignment.slot)).held(LOCK_SECONDS),
        _when_free(lambda: Store.open(spec.home, settings=spec.settings)) as store,
    ):
        if spec.lane == "training":
            return _train(spec, store, worker, assignment)
        _do_job(spec, store, worker, assignment)
        return False


def _when_free(read: Callable[[], T]) -> T:
    """What is read from the store, however long another process keeps it locked."""
    while True:
        try:
            return read()
        except StoreBusy as error:
            _log.warning("%s", error)
            time.sleep(BUSY_SECONDS)


def set_up_log(home: Path) -> None:
    """Everything that is logged goes to the home's worker.log, with process id and time."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
        handlers=[logging.FileHandler(log_file(home), encoding="utf-8")],
        force=True,
    )
    logging.captureWarnings(True)


def _prepare_process(spec: ChildSpec) -> None:
    set_up_log(spec.home)
    _errors_to_log(spec.home)
    faulthandler.enable(2)
    # Ctrl-C reaches the whole group; it is the worker that tells its children what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["DEEPFM_HOME"] = str(spec.home)
    # Read when torch is loaded. Threads that spin while they wait for each other take the
    # processor from whom they wait for as soon as anything else runs: seen on two busy cores,
    # 18 times slower than threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform != "win32":
        _stand_back(NICENESS[spec.lane])
        if spec.lane == "short":
            _limit_memory(spec.settings.max_job_memory_mb)


def _stand_back(niceness: int) -> None:
    """Leave the processor to the app whenever it wants it.

    Between sessions Linux divides the processor evenly, however nice the processes in them are
    (sched(7), autogroup), and the app is in another session than its worker. So the child has
    a session of its own, and that one is as nice as the process.
    """
    os.nice(niceness)
    if sys.platform == "linux":
        # Not there in every kernel; a child of a debugger may lead a group of its own already.
        with contextlib.suppress(OSError):
            os.setsid()
            Path("/proc/self/autogroup").write_text(str(niceness))


def _errors_to_log(home: Path) -> None:
    """What a crash says goes to the log too, where the words of a run that died send people."""
    with log_file(home).open("ab") as log:
        os.dup2(log.fileno(), 2)


def _limit_memory(megabytes: int) -> None:
    import resource

    # What is mapped from files is not counted on Linux; elsewhere only all of it can be limited.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    limit = megabytes * 1_000_000
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))


def _warm_up(spec: ChildSpec) -> None:
    try:
        load_name(spec.table.warm_ups[spec.lane])(spec.settings)
    except Exception:
        # The work itself will meet the same cause and tell it to the person who asked for it.
        _log.exception("A %s child could not warm up", spec.lane)


def _train(
    spec: ChildSpec, store: Store, worker: "Connection[object, object]", assignment: Assignment
) -> bool:
    """Train a run and end it in the store; whether it finished."""
    run = _when_free(lambda: store.run(assignment.id))
    if (run.state, run.worker) != ("training", assignment.worker):
        return False

    def write(events: Sequence[Event]) -> None:
        store.append(run.id, events)

    link = Link(worker, write, wanted=lambda: store.stop_requested(run.id))
    signal.signal(signal.SIGTERM, lambda *_: link.stop("worker"))
    outcome = _outcome(spec, TRAIN, run, link, gpu_of(assignment.slot))

    def end(events: Sequence[Event]) -> None:
        last = [Failed(outcome.message)] if outcome.state == "failed" else []
        store.finish_run(
            run.id, outcome.state, outcome.message, outcome.result, events=[*events, *last]
        )

    link.end(end)
    link.leave()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return outcome.state == "finished"


def _do_job(
    spec: ChildSpec, store: Store, worker: "Connection[object, object]", assignment: Assignment
) -> None:
    job = _when_free(lambda: store.job(assignment.id))
    if (job.state, job.worker) != ("working", assignment.worker):
        return

    def write(events: Sequence[Event]) -> None:
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            store.report_progress(job.id, progress[-1])

    link = Link(worker, write, wanted=lambda: store.cancel_requested(job.id))
    signal.signal(signal.SIGTERM, lambda *_: link.stop("worker"))
    outcome = _outcome(spec, job.kind, job, link)

    def end(events: Sequence[Event]) -> None:
        if outcome.state == "interrupted":
            store.give_back_job(job.id)
        else:
            write(events)
            store.finish_job(job.id, outcome.state, result=outcome.result, error=outcome.message)

    link.end(end)


def _outcome(spec: ChildSpec, kind: str, row: RunRow | JobRow, link: Link, gpu: int = 0) -> Outcome:
    """Do the work; every way it can end, in words."""
    context = Context(spec.home, spec.settings, link.report, link.stopping, gpu)
    subject = row if isinstance(row, RunRow) else row.payload
    try:
        result = load(spec.table, kind)(subject, context)
    except Cancelled:
        return _stopped(spec, row, link, None)
    except Interrupted as error:
        resumable = isinstance(row, RunRow) and is_resumable(row)
        return Outcome("interrupted" if resumable else "failed", str(error))
    except MemoryError:
        _log.exception("%s %s ran out of memory", kind, row.id)
        limit = spec.settings.max_job_memory_mb if spec.lane == "short" else None
        return Outcome("failed", words.out_of_memory(spec.lane, limit))
    except DeepFMError as error:
        return Outcome("failed", str(error))
    except Exception as error:
        _log.exception("%s %s failed", kind, row.id)
        return Outcome("failed", words.unexpected(error))
    if result.get("stopped"):
        return _stopped(spec, row, link, result)
    return Outcome("finished", "", result)


def _stopped(
    spec: ChildSpec, row: RunRow | JobRow, link: Link, result: Mapping[str, Any] | None
) -> Outcome:
    if link.cause == "worker":
        resumable = isinstance(row, RunRow) and is_resumable(row)
        return Outcome("interrupted", words.interrupted(resumable), result)
    if link.cause == "limit":
        minutes = spec.settings.max_train_minutes
        return Outcome("stopped", words.over_time(spec.lane, minutes), result)
    return Outcome("stopped", "", result)
