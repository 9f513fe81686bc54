"""A dataset and a configuration to a trained run: from the beginning, or from a checkpoint."""

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfm.config import ModelConfig, Settings, TrainConfig
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.events import (
    Event,
    Finished,
)
from deepfm.training.checkpoint import (
    Subject,
    check_subject,
    read_checkpoint,
)
from deepfm.training.folder import check_free
from deepfm.training.memory import memory_errors_in_words
from deepfm.training.session import Session


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, and its last event."""

    folder: Path
    result: Finished


def train(
    dataset: Dataset,
    model: ModelConfig | None = None,
    train: TrainConfig | None = None,
    *,
    out: Path | str | None = None,
    pinned: Sequence[Mapping[str, str | None]] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train one model and write its run folder.

    out          a new or empty folder; by default one under DEEPFM_HOME/runs
    pinned       impressions (field to raw value) whose three terms ride on every event
    on_event     called with each event as it happens; events end with Finished
    should_stop  asked after every step; True ends the training, and what was learned is kept

    With validation rows the best epoch's weights are kept (`monitor` says by what), else the
    last ones. Every 10 s and when it is stopped, a checkpoint is kept in the folder, from which
    `resume` goes on. Raises LimitError where the model does not fit in memory, RunError where the
    training diverges or the folder is taken, Interrupted where the folder cannot be written.
    """
    folder = Path(out) if out is not None else _new_folder()
    check_free(folder)
    subject = Subject(
        model or ModelConfig(),
        train or TrainConfig(),
        dataset.name,
        dataset.fingerprint,
        str(dataset.folder.resolve()),
        tuple(pinned),
    )
    with memory_errors_in_words():
        session = Session(dataset, subject, folder, on_event, should_stop)
        with contextlib.closing(session.step):
            session.run()
        return Run(folder, session.save())


def resume(
    folder: Path | str,
    dataset: Dataset | None = None,
    *,
    model: ModelConfig | None = None,
    train: TrainConfig | None = None,
    attempt: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Go on with a training that was interrupted or stopped, from the checkpoint in its folder.

    dataset       what it is trained on; by default where it was
    model, train  where given, the settings that the checkpoint must have been written with
    attempt       2 for the first time; by default the checkpoint's, and one more

    On the same machine, by the same step and with as many threads, it goes on as if it had never
    been interrupted: curves, weights and figures are the same to the last digit (on the CPU).
    Raises RunError where there is no checkpoint, or one that is damaged or of something else; and
    what `train` raises.
    """
    folder = Path(folder)
    checkpoint = read_checkpoint(folder)
    dataset = dataset or open_dataset(Path(checkpoint.subject.dataset_folder))
    check_subject(checkpoint.subject, dataset, model, train)
    subject = dataclasses.replace(checkpoint.subject, dataset_folder=str(dataset.folder.resolve()))
    with memory_errors_in_words():
        session = Session(dataset, subject, folder, on_event, should_stop)
        with contextlib.closing(session.step):
            session.go_on(checkpoint, attempt or checkpoint.attempt + 1)
            session.run()
        return Run(folder, session.save())


def _new_folder() -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S") + "-" + secrets.token_hex(2)
    return Settings.from_environment().home_folder / "runs" / stamp
