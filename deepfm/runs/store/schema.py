"""The tables of the run store, version by version."""

from collections.abc import Sequence
from typing import Final

MIGRATIONS: Final[Sequence[tuple[str, ...]]] = (
    (
        """CREATE TABLE groups (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, created REAL NOT NULL
        )""",
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            wanted TEXT NOT NULL DEFAULT 'train' CHECK (wanted IN ('train', 'stop')),
            state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN
                ('queued', 'training', 'finished', 'stopped', 'failed', 'interrupted')),
            group_id TEXT REFERENCES groups (id),
            dataset_name TEXT NOT NULL,
            dataset_folder TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            config_key TEXT NOT NULL,
            model TEXT NOT NULL,
            train TEXT NOT NULL,
            pinned TEXT NOT NULL,
            owner TEXT NOT NULL,
            created REAL NOT NULL,
            started REAL,
            finished REAL,
            worker TEXT NOT NULL DEFAULT '',
            message TEXT NOT NULL DEFAULT '',
            result TEXT,
            epoch REAL NOT NULL DEFAULT 0,
            auc REAL,
            last_event INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE INDEX runs_by_state ON runs (state, number)",
        "CREATE INDEX runs_by_group ON runs (group_id, number)",
        "CREATE INDEX runs_by_key ON runs (config_key, number)",
        """CREATE TABLE events (
            run_id TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (run_id, seq)
        ) WITHOUT ROWID""",
        """CREATE TABLE jobs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            payload TEXT NOT NULL,
            wanted TEXT NOT NULL DEFAULT 'work' CHECK (wanted IN ('work', 'stop')),
            state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN
                ('queued', 'working', 'finished', 'stopped', 'failed')),
            progress TEXT,
            result TEXT,
            error TEXT NOT NULL DEFAULT '',
            owner TEXT NOT NULL,
            created REAL NOT NULL,
            started REAL,
            finished REAL,
            attempts INTEGER NOT NULL DEFAULT 0,
            worker TEXT NOT NULL DEFAULT ''
        )""",
        "CREATE INDEX jobs_by_state ON jobs (state, number)",
    ),
    (
        # What a person says about a run, and how often it was begun.
        "ALTER TABLE runs ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1",
        # Where and how fast it was trained.
        "ALTER TABLE runs ADD COLUMN versions TEXT",
        "ALTER TABLE runs ADD COLUMN seconds REAL",
        "ALTER TABLE runs ADD COLUMN examples_per_second REAL",
        "UPDATE runs SET seconds = json_extract(result, '$.seconds'), "
        "examples_per_second = json_extract(result, '$.examples_per_second') "
        "WHERE json_valid(result)",
        # Its AUC by epoch, thinned, for the cell of a table.
        "ALTER TABLE runs ADD COLUMN curve TEXT NOT NULL DEFAULT '[]'",
        # The id that it had where it was trained, if it was brought here from elsewhere.
        "ALTER TABLE runs ADD COLUMN imported TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE groups ADD COLUMN kind TEXT NOT NULL DEFAULT 'compare'",
        "ALTER TABLE groups ADD COLUMN spec TEXT NOT NULL DEFAULT '{}'",
        """CREATE TABLE people (
            id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '', served REAL NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        "INSERT INTO people (id, served) "
        "SELECT owner, coalesce(max(started), 0) FROM runs GROUP BY owner",
        "CREATE INDEX runs_by_turn ON runs (state, owner, number)",
        "CREATE INDEX runs_by_dataset ON runs (fingerprint, number)",
        "CREATE INDEX runs_by_name ON runs (name)",
        "CREATE INDEX groups_by_name ON groups (name)",
        # The few sweeps that more runs are to follow in, which the worker looks for all the time.
        "CREATE INDEX groups_open ON groups (id) "
        "WHERE kind = 'sweep' AND json_valid(spec) AND json_extract(spec, '$.open')",
        # All that a page of the list is searched, filtered and sorted by: a scan of this reads
        # a twentieth of what a scan of the runs would.
        "CREATE INDEX runs_listed ON runs (number, state, fingerprint, group_id, owner, name, "
        "dataset_name, notes, tags, auc, created, finished, seconds, examples_per_second)",
    ),
    (
        # Who asked a run to stop, which may be another than its owner.
        "ALTER TABLE runs ADD COLUMN stopped_by TEXT NOT NULL DEFAULT ''",
    ),
)
"""Statement by statement, what leads from version n to n + 1; the version is user_version."""
