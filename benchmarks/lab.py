"""A home with a small dataset, a store and a real worker: where faults are tried out."""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from deepfm.config import PrepareConfig, Settings
from deepfm.data.dataset import Dataset, prepare
from deepfm.locks import holder
from deepfm.runs.store import RunRow, Store
from deepfm.runs.worker import run_worker
from deepfm.runs.worker.table import TRAIN, WORK, Context

ROOT: Final = Path(__file__).resolve().parents[1]

MODEL: Final[dict[str, Any]] = {"num_factors": 4, "mlp_dims": [8], "drop_rate": 0.1}
TRAINING: Final[dict[str, Any]] = {"epochs": 6, "batch_size": 32, "device": "cpu"}
ROWS: Final = 6_000

CHECKPOINT_SECONDS: Final = 0.1
"""Between two checkpoints of these short runs."""

PATIENCE_SECONDS: Final = 120.0
"""How long anything may take, on a busy machine too, before it counts as stuck."""


def train(run: RunRow, context: Context) -> dict[str, Any]:
    """The worker's own training, with checkpoints as often as such short runs need."""
    from deepfm.runs.worker import jobs
    from deepfm.training import checkpoint

    checkpoint.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS  # type: ignore[misc]
    checkpoint.MOST_SHARE = 1.0  # type: ignore[misc]
    return jobs.train(run, context)


def serve(home: str, training: str) -> None:
    """A worker whose trainings are a function of that name, such as `train`."""
    table = replace(
        WORK,
        functions={**WORK.functions, TRAIN: training},
        warm_ups={**WORK.warm_ups, "short": "benchmarks.lab:nothing"},
    )
    run_worker(home, table=table)


def nothing(settings: Settings) -> None:
    """What warms up a child that will have no work here."""


def small_dataset(folder: Path, rows: int = ROWS) -> Dataset:
    """Clicks that follow a few values, drawn with a fixed seed."""
    draw = random.Random(0)
    lines = ["click,site,device,hour"]
    for _ in range(rows):
        site, device, hour = draw.randrange(60), draw.randrange(6), draw.randrange(24)
        clicked = draw.random() < 0.1 + 0.5 * (site % 3 == device % 3)
        lines.append(f"{clicked:d},site {site},{device},{hour}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "clicks.csv"
    file.write_text("\n".join(lines) + "\n")
    config = PrepareConfig(min_count=1, validation=0.2)
    return prepare(file, out=folder / "dataset", config=config)


class Lab:
    """A home with a dataset, a store and a worker that is started anew whenever it is dead."""

    def __init__(self, home: Path, dataset: Dataset, training: str) -> None:
        self.home = home
        self.training = training
        self.dataset = dataset
        self.store = Store.open(home)
        self.worker = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """A worker process; what it says goes to a file beside the log."""
        code = f"from benchmarks.lab import serve; serve({str(self.home)!r}, {self.training!r})"
        with (self.home / "stderr").open("ab") as errors:
            self.worker = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=errors,
            )
        return self.worker

    def revive(self) -> None:
        """Start a worker where it was killed."""
        if self.worker.poll() is not None:
            self.start()

    def queue(self, name: str = "A run", **settings: Any) -> str:
        """Queue a run of the small dataset; its id."""
        model = {**MODEL, **settings.pop("model", {})}
        return self.store.queue_run(
            name,
            self.dataset.folder,
            self.dataset.name,
            model,
            {**TRAINING, **settings},
            fingerprint=self.dataset.fingerprint,
        )

    def ended(self, run_id: str) -> RunRow:
        """The run once it has ended; TimeoutError where it is stuck."""
        until(lambda: self.store.run(run_id).ended, f"the end of run {run_id}")
        return self.store.run(run_id)

    def children(self) -> list[int]:
        """The processes that the worker has spawned for work."""
        return children(self.worker.pid)

    def busy_child(self) -> int | None:
        """The process that trains now."""
        return holder(self.home / "locks" / "training-0")

    def close(self) -> None:
        """Stop the worker and close the store."""
        self.worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.worker.wait(20)
        self.worker.kill()
        self.worker.wait()
        self.store.close()


@contextlib.contextmanager
def lab(home: Path, dataset: Dataset, training: str = "benchmarks.lab:train") -> Iterator[Lab]:
    """A Lab that is closed at the end; training names the function that trains there."""
    opened = Lab(home, dataset, training)
    try:
        yield opened
    finally:
        opened.close()


def until(holds: Callable[[], object], what: str, every: float = 0.005) -> None:
    """Wait for something; TimeoutError says for what."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:g} seconds for {what}")
        time.sleep(every)


def seconds_of(row: RunRow) -> float:
    """How long a run that has ended was trained."""
    assert row.started is not None and row.finished is not None
    return row.finished - row.started


def children(pid: int) -> list[int]:
    """The living processes that a worker has spawned for work (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            spawned = b"spawn_main" in (folder / "cmdline").read_bytes()
            if int(parent) == pid and spawned and state != "Z":
                found.append(int(folder.name))
    return found
