"""A home folder to its worker process: started if none is alive, found, and stopped."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import deepfm
from deepfm.errors import DeepFMError, StoreError
from deepfm.locks import FileLock, holder, is_held

IDLE_MINUTES: Final = 30.0
"""How long a worker that was not started by hand stays with nothing to do and no app open."""

LOOK_SECONDS: Final = 1.0
RESTART_SECONDS: Final = 30.0
"""How often an app looks whether the worker lives; at most so long between starts that fail."""

_log: Final = logging.getLogger(__name__)

_started: Final[dict[Path, subprocess.Popen[bytes]]] = {}
_guard: Final = threading.Lock()


def worker_lock(home: Path) -> Path:
    """The file whose lock the home's one worker holds."""
    return home / "locks" / "worker"


def app_lock(home: Path) -> Path:
    """The file whose lock an app holds while it is open; the worker stays while it is held."""
    return home / "locks" / "app"


def log_file(home: Path) -> Path:
    """Where the worker and its children write what went wrong, in full."""
    return home / "worker.log"


def worker_alive(home: Path | str) -> bool:
    """Whether a worker serves this home."""
    return is_held(worker_lock(_resolved(home)))


def ensure_worker(home: Path | str) -> bool:
    """Start a worker for this home unless one is alive; whether one was started. Does not wait.

    It runs in a session of its own, so it outlives the app and is not reached by its Ctrl-C. Of
    two that start at once, by two apps, one gets the lock and the other leaves.
    StoreError where the home cannot be written.
    """
    home = _resolved(home)
    with _guard:
        before = _started.get(home)
        if (before is not None and before.poll() is None) or worker_alive(home):
            return False
        _started[home] = _start(home)
        return True


@contextlib.contextmanager
def keep_worker(home: Path | str) -> Iterator[None]:
    """While this lasts a worker serves the home: started now, and again if it should die.

    The worker outlives it, and ends by itself once it is idle and no app is open.
    StoreError where the home cannot be written.
    """
    home = _resolved(home)
    ensure_worker(home)
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(home, over), name="keep-worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(home: Path, over: threading.Event) -> None:
    lock = FileLock(app_lock(home))
    held, wait = False, LOOK_SECONDS
    while not over.wait(wait):
        try:
            # Of several apps on one home one has the lock; another takes it when that one closes.
            held = held or lock.acquire()
            wait = min(wait * 2, RESTART_SECONDS) if ensure_worker(home) else LOOK_SECONDS
        except DeepFMError as error:
            _log.error("%s", error)
            wait = RESTART_SECONDS
    lock.release()


def stop_worker(home: Path | str, seconds: float = 15.0) -> bool:
    """Stop the home's worker and wait until it is gone; False if there was none.

    A training ends as interrupted; a job waits for the next worker. StoreError if the worker
    is still there after so many seconds.
    """
    lock = worker_lock(_resolved(home))
    deadline = time.monotonic() + seconds
    stopped = False
    while is_held(lock):
        process = holder(lock)
        if process is not None and not stopped:
            os.kill(process, signal.SIGTERM)
            stopped = True
        if time.monotonic() > deadline:
            raise StoreError(f"The worker (process {process}) did not stop in {seconds:g} seconds.")
        time.sleep(0.02)
    return stopped


def _resolved(home: Path | str) -> Path:
    return Path(home).expanduser().resolve()


def _start(home: Path) -> subprocess.Popen[bytes]:
    minutes = f"{IDLE_MINUTES:g}"
    command = [sys.executable, "-m", "deepfm", "worker"]
    try:
        home.mkdir(parents=True, exist_ok=True)
        with log_file(home).open("ab") as log:
            return subprocess.Popen(
                [*command, "--home", str(home), "--exit-when-idle", minutes],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
    except OSError as error:
        raise StoreError(
            f"The worker cannot be started in {home}: {error.strerror}. "
            "Set DEEPFM_HOME to a folder that can be written."
        ) from error


def _python_path() -> str:
    """So that the worker finds this very package, whatever folder the app was started in."""
    package = str(Path(deepfm.__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
