"""Runs, their events and jobs, kept in one SQLite file that every process shares.

Who writes: the app and the command line queue runs and jobs, ask them to stop, rename and
delete them; the worker claims them; the worker's child that does the work appends its events
and its end. What a person wants and what is are columns of their own (`wanted`, `state`), so
neither side overwrites the other. Who reads: everybody, read-only and by cursor ("events after
412"), without ever waiting for a writer (WAL mode).

Why a crash at any line is harmless: each change is one transaction that tests the state it
starts from, so it happens whole or not at all and never twice; the events and the end of a run
are written together, so a finished run has its last point; what is left in "training" or
"working" by a worker that died is ended by the next one, which knows by a file lock that nobody
works on it. This package is the only one that knows SQL.
"""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deepfm.config import Settings
from deepfm.runs.store.database import Database, Watcher, open_database
from deepfm.runs.store.jobs import JobTable
from deepfm.runs.store.keeping import RunKeeping
from deepfm.runs.store.listing import RUN_ORDERS, RunList, RunOrder
from deepfm.runs.store.moving import RunMoving
from deepfm.runs.store.overview import (
    OVERVIEW_ORDERS,
    GroupSummary,
    Item,
    Overview,
    OverviewOrder,
    RunOverview,
)
from deepfm.runs.store.people import PeopleTable
from deepfm.runs.store.rows import (
    JOB_ENDS,
    RUN_ENDS,
    GroupRow,
    JobRow,
    JobState,
    NewRun,
    RunRow,
    RunState,
    Submitted,
    SubmittedGroup,
)
from deepfm.runs.store.sweeps import SweepTable
from deepfm.runs.store.uploads import KeptUpload, UploadKeeping

__all__ = [
    "JOB_ENDS",
    "OVERVIEW_ORDERS",
    "RUN_ENDS",
    "RUN_ORDERS",
    "GroupRow",
    "GroupSummary",
    "Item",
    "JobRow",
    "JobState",
    "KeptUpload",
    "NewRun",
    "Overview",
    "OverviewOrder",
    "RunOrder",
    "RunRow",
    "RunState",
    "Store",
    "Submitted",
    "SubmittedGroup",
    "Watcher",
]

FILE_NAME: Final = "lab.sqlite"


class Store(
    RunMoving, SweepTable, RunList, RunOverview, RunKeeping, PeopleTable, JobTable, UploadKeeping
):
    """The run store of one home folder; safe to share between threads. Made by `Store.open`."""

    def __init__(self, database: Database, home: Path, settings: Settings) -> None:
        self.home = home
        self._database = database
        self._runs_folder = home / "runs"
        self._settings = settings

    @classmethod
    def open(
        cls, home: Path | str, read_only: bool = False, *, settings: Settings | None = None
    ) -> Self:
        """Open the store of a home folder, making it where there is none.

        read_only   nothing is made or migrated, and every change is refused
        settings    the limits; by default those of the environment
        StoreError where the file is damaged, foreign, of a newer version, or cannot be made.
        """
        home = Path(home).expanduser().resolve()
        settings = settings or Settings.from_environment()
        database = open_database(home / FILE_NAME, read_only=read_only)
        return cls(database, home, settings)

    def watch(self) -> Watcher:
        """A watcher that tells whether anything was written since one last asked."""
        return Watcher(self._database)

    def waiting(self) -> bool:
        """Whether any run or job is queued."""
        with self._database.reading() as connection:
            (waiting,) = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM runs WHERE state = 'queued') "
                "OR EXISTS (SELECT 1 FROM jobs WHERE state = 'queued')"
            ).fetchone()
        return bool(waiting)

    def close(self) -> None:
        """Close the file; the store cannot be used after this."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
