"""One job, written to a folder, to one result beside it: what the comparison and a toolkit share.

A toolkit's script runs in an interpreter of its own, which has numpy and torch but not this
project; it imports this file as its neighbour. So nothing here imports the project.

data/train_ids.npy      int32[N, F], indices that start from 0 in every field
data/train_labels.npy   float32[N]; validation_… and test_… likewise
data/train.npz …        the same by column (f0, f1, … and label), for who reads that
data/fields.json        how many indices each field has
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Job:
    """What to train, and where data and result lie.

    started     when the interpreter was asked for, seconds since 1970
    dataset     the dataset folder, for this project's own run
    """

    data: str
    out: str
    dataset: str
    started: float
    threads: int
    epochs: int
    batch_size: int
    num_factors: int
    mlp_dims: tuple[int, ...]
    drop_rate: float
    learning_rate: float
    optimizer: str
    seed: int

    @classmethod
    def read(cls) -> "Job":
        """The job whose file the script was given."""
        values = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        return cls(**{**values, "mlp_dims": tuple(values["mlp_dims"])})

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    def load(self, part: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """ids int32[N, F] and labels float32[N] of train, validation or test."""
        folder = Path(self.data)
        return np.load(folder / f"{part}_ids.npy"), np.load(folder / f"{part}_labels.npy")

    def columns(self, part: str) -> dict[str, NDArray[np.int64]]:
        """The ids by column: f0, f1, …"""
        ids, _ = self.load(part)
        return {name: ids[:, i].astype(np.int64) for i, name in enumerate(self.field_names)}

    @property
    def field_sizes(self) -> list[int]:
        """Indices of each field."""
        return json.loads((Path(self.data) / "fields.json").read_text("utf-8"))

    @property
    def field_names(self) -> list[str]:
        """f0, f1, …"""
        return [f"f{i}" for i in range(len(self.field_sizes))]


@dataclass(frozen=True)
class Result:
    """What a training took.

    examples_per_second   training rows of all epochs over the time from the call of the toolkit's
                          fit to its last step, so with a look at the validation rows each epoch
    first_step_seconds    from the start of the interpreter to the end of the first step
    peak_bytes            most resident memory of the process, mapped files among it
    """

    examples_per_second: float
    first_step_seconds: float
    peak_bytes: int
    step: str = ""


class StepClock:
    """When the first and the last optimisation step ended, by a hook of torch's optimisers."""

    def __init__(self, job: Job) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self._job = job
        self._first = self._last = 0.0
        self._began = 0.0
        register_optimizer_step_post_hook(self._stepped)

    def begin(self) -> None:
        """The toolkit's fit is called now."""
        self._began = time.time()

    def _stepped(self, *_: Any) -> None:
        self._last = time.time()
        self._first = self._first or self._last

    def result(self) -> Result:
        """After fit."""
        rows = len(self._job.load("train")[1]) * self._job.epochs
        rate = rows / (self._last - self._began)
        return Result(rate, self._first - self._job.started, peak_bytes())


def peak_bytes() -> int:
    """Most resident memory of this process so far."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no line VmHWM; this needs Linux.")


def write_result(job: Job, result: Result, scores: Any) -> None:
    """The result, and the test rows' scores in their order (probabilities or logits)."""
    out = Path(job.out)
    np.save(out / "scores.npy", np.asarray(scores, dtype=np.float64).reshape(-1))
    (out / "result.json").write_text(json.dumps(asdict(result)), "utf-8")
