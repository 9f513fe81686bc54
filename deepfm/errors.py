"""What can go wrong, as one family: every message says what, where, and what to do.

DeepFMError
├── ConfigError      a setting out of its bounds, unknown or misspelt
├── DataError        a file that cannot be read as click data
│   └── SchemaError  a file that can be read, but not with these columns, roles or labels
├── RunError         a run folder or a run that is missing, damaged or foreign
│   └── Interrupted  a training that could not come to its end; its checkpoint can be resumed
├── StoreError       the run store refuses: unknown run, transition not allowed, damaged file
│   └── StoreBusy    it is locked by another process or its disk is full; may work later
├── DownloadError    a set that could not be fetched or does not have its checksum
├── LimitError       a limit of this server (size, rows, time, memory, queue) is reached
└── Cancelled        the person asked to stop; not a failure
"""


class DeepFMError(Exception):
    """The root: catch this at the edge (page, command line) and show its one sentence."""


class ConfigError(DeepFMError):
    """A setting out of its bounds, unknown or misspelt."""


class DataError(DeepFMError):
    """A file that cannot be read as click data."""


class SchemaError(DataError):
    """A readable file whose columns, roles or labels do not fit."""


class RunError(DeepFMError):
    """A run folder or a run that is missing, damaged or foreign."""


class Interrupted(RunError):
    """A training that could not come to its end, for a reason that may pass: resume it then."""


class StoreError(DeepFMError):
    """The run store refuses: an unknown run, a transition that is not allowed, a damaged file."""


class StoreBusy(StoreError):
    """The run store cannot be written just now: locked by another process, or no space left."""


class DownloadError(DeepFMError):
    """A public set that could not be fetched, or whose checksum differs."""


class LimitError(DeepFMError):
    """A limit of this server is reached; the message names the limit."""


class Cancelled(DeepFMError):
    """The person asked to stop; what was done so far is kept or removed as the caller says."""
