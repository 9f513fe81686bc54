"""How a process or a piece of work ended, in words for the person who waits for it."""

import signal
from typing import Final

from deepfm.runs.worker.table import LaneName

STOPPED: Final = "The worker stopped."

_NOUNS: Final[dict[LaneName, str]] = {"training": "training process", "short": "process"}
_SMALLER: Final[dict[LaneName, str]] = {
    "training": "Lower the batch size or the factor size, and train again.",
    "short": "Try a smaller part of the file.",
}


def death(lane: LaneName, exit_code: int | None) -> str:
    """The death of a child in the middle of its work.

    exit_code   as multiprocessing gives it: negative for a signal
    """
    noun = _NOUNS[lane]
    if exit_code is None or exit_code >= 0:
        return (
            f"The {noun} ended unexpectedly (exit code {exit_code}). "
            "The end of worker.log says more."
        )
    if exit_code == -signal.SIGTERM:
        return f"The {noun} was ended by another program (signal {-exit_code})."
    if exit_code == -9:
        return (
            f"The {noun} was killed by the system (signal 9), most often because memory ran out. "
            f"{_SMALLER[lane]}"
        )
    return (
        f"The {noun} crashed ({_signal_name(-exit_code)}). The rest of the lab goes on. "
        f"{'Train again' if lane == 'training' else 'The file may be damaged'}; "
        "the end of worker.log says more."
    )


def interrupted(resumable: bool) -> str:
    """A run whose worker stopped or died, with or without a checkpoint to go on from."""
    way_out = "Resume it" if resumable else "It had kept nothing yet; train it again"
    return f"The worker stopped while this run was training. {way_out}."


def start_failed(lane: LaneName, exit_code: int | None) -> str:
    """A child that died before it could begin any work."""
    return f"No {_NOUNS[lane]} could be started. {death(lane, exit_code)}"


def out_of_memory(lane: LaneName, limit_mb: int | None) -> str:
    """A MemoryError inside the work, under a limit where there is one."""
    limit = (
        f" (this server lets a job use {limit_mb:,} MB, DEEPFM_MAX_JOB_MEMORY_MB)"
        if limit_mb is not None
        else ""
    )
    return f"Memory ran out{limit}. {_SMALLER[lane]}"


def unexpected(error: BaseException) -> str:
    """An exception that nobody foresaw; its traceback is in the log."""
    first_line = next(iter(str(error).splitlines()), "")[:300]
    cause = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return f"Something unexpected went wrong ({cause}). The end of worker.log has the details."


def over_time(lane: LaneName, minutes: int) -> str:
    """Work that took longer than this server allows."""
    if lane == "training":
        return (
            f"Stopped at this server's longest training time, {minutes} minutes "
            "(DEEPFM_MAX_TRAIN_MINUTES). What was learned until then is kept."
        )
    return (
        f"Ended at this server's longest time for a job, {minutes} minutes "
        f"(DEEPFM_MAX_JOB_MINUTES). {_SMALLER[lane]}"
    )


def _signal_name(number: int) -> str:
    try:
        description = signal.strsignal(number) or "unknown"
    except ValueError:
        description = "unknown"
    return f"signal {number}, {description.lower()}"
