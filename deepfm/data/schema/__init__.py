"""What a file is, column by column: guessed from a sample with a reason, then the person's.

The dataclasses need no pyarrow, so that the app reads an Inspection or a Schema cheaply.
"""

from pathlib import Path

from deepfm.config import Settings
from deepfm.data.schema.declared import (
    ENCODINGS,
    FIELD_ROLES,
    ROLES,
    SEPARATORS,
    Column,
    ColumnSample,
    FileFormat,
    Inspection,
    Role,
    Schema,
    SkippedRow,
)

__all__ = [
    "ENCODINGS",
    "FIELD_ROLES",
    "ROLES",
    "SEPARATORS",
    "Column",
    "ColumnSample",
    "FileFormat",
    "Inspection",
    "Role",
    "Schema",
    "SkippedRow",
    "inspect",
]


def inspect(
    path: Path, *, settings: Settings | None = None, schema: Schema | None = None
) -> Inspection:
    """What a file is, from its first rows: format, columns, roles with reasons, proposed split.

    Reads at most 4 MB or 20,000 rows, so it takes under two seconds at any size.
    schema   what the person changed: its format is used as it stands, and its roles too where
             its columns are those of the file
    Raises DataError for a file that cannot be read as a table (what, where, what to do),
    LimitError for one that is past a limit of this server.
    """
    from deepfm.data.schema.inspection import inspect_file

    return inspect_file(Path(path), settings=settings, schema=schema)
