"""One SQLite file to safe transactions: opening, migrating, sharing, and errors in words."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from deepfm.config import settings_in_words
from deepfm.errors import DeepFMError, StoreBusy, StoreError
from deepfm.runs.store.schema import MIGRATIONS

APPLICATION_ID: Final = 0x44464D4C
"""Marks the file as ours, in its header: "DFML"."""

BUSY_SECONDS: Final = 5.0
"""How long a transaction waits for the one before it."""

IDLE_CONNECTIONS: Final = 8


class Database:
    """A SQLite file in WAL mode that many threads and processes share.

    Each transaction borrows a connection of its own, so that readers never wait: neither for
    a writer nor for each other.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for one SELECT, which sees one moment of the store."""
        with self._errors(), self._borrowed() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is kept, or, after any error or crash, none of it."""
        if self.read_only:
            raise StoreError("The run store was opened for reading only.")
        with self._errors(), self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every idle connection, and those in use as they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def connect(self) -> sqlite3.Connection:
        """A new connection, to be closed by the caller."""
        mode = "ro" if self.read_only else "rw"
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        # One damaged text must not hide the rows beside it.
        connection.text_factory = _text
        try:
            # NORMAL: a power cut may lose the last transactions but never damages the file; the
            # death of a process loses nothing.
            connection.execute("PRAGMA synchronous = NORMAL")
            # SQLite's own lower() knows the letters of ASCII alone.
            connection.create_function("folded", 1, _folded, deterministic=True)
            connection.create_function("told", 2, _told, deterministic=True)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            if self._closed:
                raise StoreError("The run store was closed.")
            connection = self._idle.pop() if self._idle else None
        connection = connection or self.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._guard:
            keep = not self._closed and len(self._idle) < IDLE_CONNECTIONS
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise in_words(error, self.path) from error


def _folded(value: str | bytes | None) -> str | None:
    if value is None:
        return None
    return (_text(value) if isinstance(value, bytes) else value).casefold()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


@lru_cache(maxsize=20_000)
def _told(model: bytes, train: bytes) -> str:
    """A run's settings as a person would search for them; most runs share theirs with others."""
    try:
        return settings_in_words({**json.loads(model), **json.loads(train)}).casefold()
    except (ValueError, TypeError, AttributeError):
        return ""  # damaged: found by its other words


class Watcher:
    """Tells cheaply whether any other connection has written since one last asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database._errors():
            self._connection = database.connect()
        self._version = -1

    def changed(self) -> bool:
        """True at the first call, then whenever something was committed in between."""
        with self._database._errors():
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        changed: bool = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def open_database(path: Path, *, read_only: bool) -> Database:
    """Open the store's file and bring it to the newest schema; StoreError if that cannot be.

    For reading only, the file must exist and have that schema already.
    """
    if read_only and not path.is_file():
        raise StoreError(f"There is no run store at {path}. Start the app or the worker first.")
    database = Database(path, read_only=read_only)
    try:
        if not read_only:
            _create(path)
            _migrate(database)
        with database.reading() as connection:
            _check(connection, path)
    except DeepFMError:
        database.close()
        raise
    return database


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The run store cannot be made at {path}: {error.strerror}. "
            "Set DEEPFM_HOME to a folder that can be written."
        ) from error


def _migrate(database: Database) -> None:
    with database.reading() as connection:
        if _application(connection) == APPLICATION_ID:
            if _version(connection) >= len(MIGRATIONS):
                return
        elif _tables(connection):
            raise _foreign(database.path)
        # The mode is kept in the file; it cannot be changed inside a transaction.
        connection.execute("PRAGMA journal_mode = WAL")
    with database.writing() as connection:
        # Another process may have been faster; what it did is seen from here on.
        for statements in MIGRATIONS[_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if _application(connection) != APPLICATION_ID:
        raise _foreign(path)
    if version > len(MIGRATIONS):
        raise _newer(path, version)
    if version < len(MIGRATIONS):
        raise StoreError(
            f"The run store {path} is of an older version. Start the app or the worker once; "
            "it brings the store up to date."
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _application(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a database of another program, not a run store. "
        "Move it away, or set DEEPFM_HOME to another folder."
    )


def _newer(path: Path, version: int) -> StoreError:
    return StoreError(
        f"The run store {path} was written by a newer DeepFM Lab (version {version} of the "
        f"store; this program knows {len(MIGRATIONS)}). Update DeepFM Lab."
    )


def in_words(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's error as one of the family, saying what happened and what to do."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreBusy(
            f"The run store {path} is locked by another process for more than "
            f"{BUSY_SECONDS:g} seconds. Close other programs that have it open."
        )
    if "full" in text or "disk I/O" in text:
        return StoreBusy(
            f"The run store {path} cannot be written ({text}). Free some space on its disk."
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"The run store {path} cannot be opened ({text}). Check that its folder exists and "
            "that this user may write there."
        )
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return StoreError(f"The run store refused a value: {text}.")
    return StoreError(
        f"The run store {path} is damaged ({text}). Move it aside to begin with an empty one; "
        "the folders of trained runs are not touched by that."
    )
