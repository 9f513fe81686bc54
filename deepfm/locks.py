"""A path to a lock that the system lets go when its holder dies, however it dies."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deepfm.errors import StoreError

_RETRY_SECONDS: Final = 0.01

if sys.platform == "win32":
    import msvcrt

    _FAR: Final = 1 << 30
    """Windows hides locked bytes from readers; one beyond the text leaves the text readable."""

    def _lock(descriptor: int, *, shared: bool) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> None:
        # flock, not lockf: a lock of lockf is lost when any descriptor of the file is closed.
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock between processes; the file holds the process id of its last holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, seconds: float = 0.0) -> bool:
        """Take the lock, trying for so long; whether it was got. StoreError: no such folder."""
        deadline = time.monotonic() + seconds
        descriptor = _open(self.path)
        while not _got(descriptor, shared=False):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(_RETRY_SECONDS)
        self._descriptor = descriptor
        # On a full disk the lock holds as well, only without saying who has it.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Let the lock go; nothing happens if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the lock for a while; StoreError if another process keeps it for longer."""
        if not self.acquire(seconds):
            raise StoreError(f"Another process works on the same thing ({self.path.name}).")
        try:
            yield
        finally:
            self.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now. Asking leaves no trace."""
    if not path.exists():
        return False
    descriptor = _open(path)
    try:
        return not _got(descriptor, shared=True)
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The process id of the lock's holder; None if nobody holds it."""
    if not is_held(path):
        return None
    text = path.read_text().strip()
    return int(text) if text.isdigit() else None


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"The lock {path} cannot be opened: {error.strerror}. "
            "Set DEEPFM_HOME to a folder that can be written."
        ) from error


def _got(descriptor: int, *, shared: bool) -> bool:
    try:
        _lock(descriptor, shared=shared)
    except OSError:
        return False
    return True
