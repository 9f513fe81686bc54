"""A job to this project's DeepFM, trained: python -m benchmarks.peers.run_ours JOB.json."""

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.exchange import Job, Result, peak_bytes, write_result
from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import open_dataset
from deepfm.events import Epoch, Event, Point, Started
from deepfm.trained import open_run
from deepfm.training.loop import train


class EventClock:
    """When training began, its first step was reported, and its last epoch ended."""

    def __init__(self) -> None:
        self.began = self.first = self.last = 0.0
        self.step = ""

    def __call__(self, event: Event) -> None:
        """Watch the run."""
        now = time.time()
        if isinstance(event, Started):
            self.began, self.step = now, event.step
        elif isinstance(event, Point | Epoch):
            self.first = self.first or now
            self.last = now


def main() -> None:
    """Train, score the test rows, write the result."""
    job = Job.read()
    torch.set_num_threads(job.threads)
    dataset = open_dataset(job.dataset)
    # As the others here: the validation rows choose the epoch, and the test rows are scored once,
    # after the training.
    test = dataset.parts.pop("test")
    clock = EventClock()
    model = ModelConfig(num_factors=job.num_factors, mlp_dims=job.mlp_dims, drop_rate=job.drop_rate)
    config = TrainConfig(
        epochs=job.epochs,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        optimizer=job.optimizer,
        seed=job.seed,
        device="cpu",
    )
    run = train(dataset, model, config, out=Path(job.out) / "run", on_event=clock)
    rows = len(dataset.parts["train"]) * job.epochs
    rate = rows / (clock.last - clock.began)
    result = Result(rate, clock.first - job.started, peak_bytes(), clock.step)
    write_result(job, result, open_run(run.folder).score(np.asarray(test.ids)).logit)


if __name__ == "__main__":
    main()
