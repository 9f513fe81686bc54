"""A training that keeps a checkpoint after every step and waits, where its name asks for it."""

import dataclasses
import re
import time
from typing import Any

from deepfm.runs.store import RunRow
from deepfm.runs.worker import jobs
from deepfm.runs.worker.table import Context
from deepfm.training import checkpoint

WAITS = re.compile(r"waits after ([\d, ]+) steps")


def train(run: RunRow, context: Context) -> dict[str, Any]:
    """The worker's own training. One of a run named "… waits after 130, 40 steps" waits after so
    many steps of its first and of its second attempt until it is stopped or killed.
    """
    checkpoint.CHECKPOINT_SECONDS = 0.0  # type: ignore[misc]
    checkpoint.MOST_SHARE = 1e9  # type: ignore[misc]
    found = WAITS.search(run.name)
    waits = [int(steps) for steps in found[1].split(",")] if found else []
    wait_after = waits[run.attempt - 1] if run.attempt <= len(waits) else None
    steps = 0

    def stopping() -> bool:
        nonlocal steps
        steps += 1
        while steps == wait_after and not context.stopping():
            time.sleep(0.005)
        return context.stopping()

    return jobs.train(run, dataclasses.replace(context, stopping=stopping))
