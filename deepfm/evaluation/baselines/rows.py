"""A dataset and a run to the rows that other models are fitted on and judged by."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.dataset import Dataset, Part
from deepfm.data.reporting import Reporter
from deepfm.errors import RunError
from deepfm.trained import TrainedModel

MOST_ROWS: Final = 1_000_000
"""Training rows that the other models see at most; of more, so many are drawn at random."""
HELD_OUT: Final = 0.1
"""Share of the training rows that choose when to stop where there are no validation rows."""

Codes = NDArray[np.int32]
Labels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of F fields: which of its field's values each has, from 0, and whether clicked."""

    codes: Codes
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class BaselineData:
    """What every model is given.

    sizes       features of each field
    numeric     which fields are numbers in buckets: their codes are in order, the last two are
                missing and unseen
    stopping    rows that choose when to stop, and how strongly to regularise
    judged      the very rows that the run is judged by
    """

    sizes: tuple[int, ...]
    numeric: tuple[bool, ...]
    train: Rows
    stopping: Rows
    judged: Rows
    stopping_words: str


def baseline_data(model: TrainedModel, dataset: Dataset, seed: int = 0) -> BaselineData:
    """The rows of a run's own dataset; RunError where it is another one."""
    if dataset.fingerprint != model.dataset_fingerprint:
        raise RunError(
            f"The run was trained on the dataset {model.dataset_name!r}, prepared otherwise than "
            f"{dataset.name!r}. The other models need the very same parts."
        )
    fields = dataset.fields
    offsets = np.array([field.offset for field in fields], np.int32)
    judged = _judged(model, dataset, offsets)
    train = _chosen(dataset.parts["train"], offsets, seed, MOST_ROWS)
    words = "validation rows"
    if "validation" in dataset.parts and model.part != "validation":
        stopping = _rows(dataset.parts["validation"], offsets)
    else:
        # Never by the judged rows: part of the training rows is held out instead.
        order = np.random.default_rng(seed).permutation(len(train))
        held = max(1, int(len(train) * HELD_OUT))
        stopping = Rows(train.codes[order[:held]], train.labels[order[:held]])
        train = Rows(train.codes[order[held:]], train.labels[order[held:]])
        words = f"{HELD_OUT:.0%} of the training rows, held out"
    return BaselineData(
        tuple(field.size for field in fields),
        tuple(field.role == "numeric" for field in fields),
        train,
        stopping,
        judged,
        words,
    )


def _judged(model: TrainedModel, dataset: Dataset, offsets: Codes) -> Rows:
    part, labels = dataset.parts.get(model.part), model.scores().labels
    if part is None or not np.array_equal(np.asarray(part.labels[: len(labels)]), labels):
        raise RunError(
            f"The {model.part} rows of the dataset {dataset.name!r} are not those that the run "
            "was judged by. Train the run again."
        )
    return _rows(part, offsets, slice(len(labels)))


def _chosen(part: Part, offsets: Codes, seed: int, most: int) -> Rows:
    if len(part) <= most:
        return _rows(part, offsets)
    rows = np.random.default_rng(seed).choice(len(part), most, replace=False)
    return _rows(part, offsets, np.sort(rows))


def _rows(part: Part, offsets: Codes, rows: slice | NDArray[np.int64] = slice(None)) -> Rows:
    return Rows(np.asarray(part.ids[rows]) - offsets, np.array(part.labels[rows]))


@dataclass
class Watch:
    """One model's fitting: tells how far it is, stops it when asked to, and keeps its time.

    seconds   the model may take; it then keeps what it has
    """

    reporter: Reporter
    name: str
    seconds: float
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._began = self.clock()

    def step(self, done: int, total: int, unit: str) -> bool:
        """One step is done; whether the time is up. Cancelled where the person asked to stop."""
        self.reporter.step(f"Fitting {self.name}", done, total, unit)
        return self.taken > self.seconds

    @property
    def taken(self) -> float:
        """Seconds since it began."""
        return self.clock() - self._began
