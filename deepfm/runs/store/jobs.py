"""Jobs, the short pieces of work beside training: rows in, rows out."""

import json
import sqlite3
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from deepfm.config import Settings
from deepfm.errors import DataError, StoreError
from deepfm.events import Progress, from_json, to_json
from deepfm.runs.store.database import Database
from deepfm.runs.store.disk import refuse_when_full
from deepfm.runs.store.rows import JOB_ENDS, JobRow, JobState, check_id, new_id

KEPT_JOBS: Final = 1_000
"""How many ended jobs stay readable; older ones are forgotten when a worker starts."""

BRINGS_DATA: Final = ("prepare", "fetch_d2l")
"""Kinds of jobs that leave a dataset behind."""

MAX_ATTEMPTS: Final = 2
"""A job whose worker died is begun once more, not for ever: it may be what killed the worker."""


class JobTable:
    """The part of the store that holds jobs; `Store` is what others open."""

    _database: Database
    _settings: Settings
    home: Path

    def queue_job(self, kind: str, payload: Mapping[str, Any], owner: str = "") -> str:
        """Queue one job and return its id; payload is anything JSON can hold.

        LimitError where it would bring data to a home that has no room left.
        """
        if kind in BRINGS_DATA:
            refuse_when_full(self.home, self._settings)
        job_id = new_id()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, payload, owner, created) VALUES (?, ?, ?, ?, ?)",
                (job_id, kind, json.dumps(dict(payload)), owner, time.time()),
            )
        return job_id

    def job(self, job_id: str) -> JobRow:
        """One job; StoreError where there is none of that id."""
        with self._database.reading() as connection:
            return _row(_job_row(connection, job_id))

    def amend_job(self, job_id: str, changes: Mapping[str, Any]) -> None:
        """Set some keys of an ended job's payload: what a person has made of its result since."""
        with self._database.writing() as connection:
            row = _job_row(connection, job_id)
            if row["state"] not in JOB_ENDS:
                raise StoreError(
                    f"Job {job_id} is {row['state']}; it is amended when it has ended."
                )
            payload = {**json.loads(row["payload"]), **changes}
            connection.execute(
                "UPDATE jobs SET payload = ? WHERE id = ?", (json.dumps(payload), job_id)
            )

    def jobs(self, *, active: bool = False, limit: int | None = None) -> list[JobRow]:
        """Jobs, the newest first; with `active`, those that wait or work."""
        where = " WHERE state IN ('queued', 'working')" if active else ""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM jobs{where} ORDER BY number DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        return [_row(row) for row in rows]

    def request_cancel(self, job_id: str) -> None:
        """Ask that a job stops.

        One that waits is stopped here, since no worker has it yet; one that works is stopped by
        its worker; one that has ended stays as it is.
        """
        with self._database.writing() as connection:
            _job_row(connection, job_id)
            connection.execute(
                "UPDATE jobs SET wanted = 'stop', state = 'stopped', finished = ? "
                "WHERE id = ? AND state = 'queued'",
                (time.time(), job_id),
            )
            connection.execute(
                "UPDATE jobs SET wanted = 'stop' WHERE id = ? AND state = 'working'", (job_id,)
            )

    def cancel_requested(self, job_id: str) -> bool:
        """Whether somebody asked that the job stops, or it is gone: cheap, for polling."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT wanted FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return row is None or row["wanted"] == "stop"

    def claim_job(self, worker: str, kinds: Collection[str] | None = None) -> JobRow | None:
        """Take the job that waits longest, queued → working; None if none waits.

        kinds   take only one of these
        """
        among = "" if kinds is None else f" AND kind IN ({','.join('?' * len(kinds))})"
        with self._database.writing() as connection:
            row = connection.execute(
                f"SELECT id FROM jobs WHERE state = 'queued'{among} ORDER BY number LIMIT 1",
                tuple(kinds or ()),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'working', started = ?, worker = ?, "
                "attempts = attempts + 1 WHERE id = ?",
                (time.time(), worker, row["id"]),
            )
            return _row(_job_row(connection, row["id"]))

    def report_progress(self, job_id: str, progress: Progress) -> None:
        """Replace the progress of a job that works; StoreError where it does not."""
        with self._database.writing() as connection:
            _expect_working(connection, job_id)
            connection.execute(
                "UPDATE jobs SET progress = ? WHERE id = ?", (to_json(progress), job_id)
            )

    def finish_job(
        self,
        job_id: str,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: str = "",
    ) -> None:
        """working → finished, stopped or failed; StoreError where the job does not work."""
        if state not in JOB_ENDS:
            raise StoreError(f"A job cannot end as {state!r}; it ends as {', '.join(JOB_ENDS)}.")
        with self._database.writing() as connection:
            _expect_working(connection, job_id)
            connection.execute(
                "UPDATE jobs SET state = ?, finished = ?, result = ?, error = ? WHERE id = ?",
                (
                    state,
                    time.time(),
                    None if result is None else json.dumps(dict(result)),
                    error,
                    job_id,
                ),
            )

    def give_back_job(self, job_id: str) -> None:
        """A job whose worker stopped: working → queued, or failed if it was begun twice."""
        with self._database.writing() as connection:
            job = _expect_working(connection, job_id)
            if job["wanted"] == "stop":
                state, error = "stopped", ""
            elif job["attempts"] < MAX_ATTEMPTS:
                state, error = "queued", ""
            else:
                state = "failed"
                error = (
                    "The worker stopped twice while doing this. "
                    "The file may be more than this machine can hold; try a smaller part of it."
                )
            connection.execute(
                "UPDATE jobs SET state = ?, error = ?, progress = NULL, finished = ? WHERE id = ?",
                (state, error, None if state == "queued" else time.time(), job_id),
            )

    def forget_jobs(self, keep: int = KEPT_JOBS) -> None:
        """Remove the oldest of the ended jobs, beyond the `keep` newest."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE state IN "
                "('finished', 'stopped', 'failed') ORDER BY number DESC LIMIT -1 OFFSET ?)",
                (keep,),
            )


def _job_row(connection: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE id = ?", (check_id(job_id),)
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no job {job_id}; it may be long over.")
    return row


def _expect_working(connection: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row = _job_row(connection, job_id)
    if row["state"] != "working":
        raise StoreError(f"Job {job_id} is {row['state']}, not working.")
    return row


def _row(row: sqlite3.Row) -> JobRow:
    return JobRow(
        id=row["id"],
        kind=row["kind"],
        payload=json.loads(row["payload"]),
        state=row["state"],
        wanted=row["wanted"],
        progress=_progress(row["progress"]),
        result=json.loads(row["result"]) if row["result"] else None,
        error=row["error"],
        owner=row["owner"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        attempts=row["attempts"],
        worker=row["worker"],
    )


def _progress(body: str | None) -> Progress | None:
    if body is None:
        return None
    event = from_json(body)
    if not isinstance(event, Progress):
        raise DataError(f"This is not the progress of a job: {body[:80]!r}")
    return event
