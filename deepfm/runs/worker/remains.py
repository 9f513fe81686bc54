"""What a child that died has left of its run to the run's end in the store.

A run folder is whole before the store is told of it, and a child may die in between: then the
run has finished all the same, and is ended so. (One that was stopped is not: it may have been
resumed since, so its folder does not tell which attempt wrote it. Its checkpoint is there.)
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from deepfm.errors import DataError
from deepfm.events import Event, Failed, Finished, from_json
from deepfm.runs.store import RunRow, RunState, Store
from deepfm.runs.store.runs import CHECKPOINT

RESULT: Final = "result.json"
"""The last file that makes a run folder whole."""


def end_run(store: Store, run: RunRow, state: RunState, message: str) -> None:
    """End a run that nobody trains any more: finished where it has finished, else as is said."""
    for aside in run.folder.parent.glob(f"{run.id}.*"):
        shutil.rmtree(aside, ignore_errors=True)
    result = _result(run.folder)
    if result is None:
        last = [Failed(message)] if state == "failed" else []
        store.finish_run(run.id, state, message, events=last)
        return
    for checkpoint in run.folder.glob("checkpoint.*"):
        checkpoint.unlink(missing_ok=True)
    untold = _untold(run.folder, [event for _, event in store.events(run.id)], result)
    store.finish_run(run.id, "finished", "", asdict(result), events=untold)


def is_resumable(run: RunRow) -> bool:
    """Whether there is a checkpoint to go on from."""
    return (run.folder / CHECKPOINT).is_file()


def _result(folder: Path) -> Finished | None:
    """How the training ended, if it ran to its end and its folder is whole."""
    try:
        result = Finished(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return None if result.stopped else result


def _untold(folder: Path, told: Sequence[Event], result: Finished) -> list[Event]:
    """The events that the folder has and the store has not: those after the last that was told."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        written = [from_json(line) for line in lines]
    except (OSError, ValueError, DataError):
        written = []
    if not told or told[-1] not in written:
        return [result]
    last = len(written) - 1 - written[::-1].index(told[-1])
    return written[last + 1 :]
