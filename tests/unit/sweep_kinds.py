"""A worker whose trainings end at once, with an AUC that its learning rate decides."""

import math
import time
from dataclasses import asdict, replace
from typing import Any

from deepfm.config import Settings
from deepfm.runs.store import RunRow
from deepfm.runs.worker import run_worker
from deepfm.runs.worker.table import Context
from tests.unit.sweeps_in_store import epoch, finished
from tests.unit.worker_kinds import TABLE

SECONDS = 0.2


def auc_of(learning_rate: float, seed: int) -> float:
    """Best at 0.01; the seeds differ a little."""
    return 0.8 - 0.1 * abs(math.log10(learning_rate) + 2) + seed / 1000


def train(run: RunRow, context: Context) -> dict[str, Any]:
    run.folder.mkdir(parents=True, exist_ok=True)
    time.sleep(SECONDS)
    auc = auc_of(run.train["learning_rate"], run.train["seed"])
    context.report(epoch(1, auc, 1 - auc))
    last = finished()
    context.report(last)
    return asdict(last)


def serve(home: str, *, gpus: int = 0) -> None:
    table = replace(TABLE, functions={**TABLE.functions, "train": f"{__name__}:train"})
    run_worker(home, settings=Settings(home=home), table=table, gpus=gpus)
