"""Steps and scores to events: what a run says of itself while it trains."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from deepfm import evaluation
from deepfm.events import BranchAucs, Event, Metrics, Notice, Point, TermMoments
from deepfm.model import DeepFM
from deepfm.terms import Terms
from deepfm.training.rows import score
from deepfm.training.running import RunningFigures

POINT_SECONDS = 0.05
"""Least time between two points, and between an epoch's end and a point: at most 20 a second."""
LOOK_SHARE = 0.1
"""Most of the wall time that looking at the model may take between two points."""
SAMPLE_SECONDS = 0.5
"""Least time between two looks at the validation sample within an epoch."""
BRANCH_SECONDS = 0.2
"""Least time between two AUCs of each branch alone: at most five times a second."""


class Stopwatch:
    """Wall time of the training part of a run, and of its optimisation steps alone, in seconds."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.rows = 0
        self.batching = self.stepping = 0.0
        self._mark = time.perf_counter()

    @property
    def times(self) -> tuple[int, float, float]:
        """Rows, and the seconds of batching and of stepping, for a checkpoint."""
        return self.rows, self.batching, self.stepping

    def go_on(self, rows: int, batching: float, stepping: float) -> None:
        """Count on from there."""
        self.rows, self.batching, self.stepping = rows, batching, stepping

    def start(self) -> None:
        """What follows is batching."""
        self._mark = time.perf_counter()

    def batched(self) -> None:
        """A batch is there; what follows is a step."""
        self.batching += self._lap()

    def stepped(self, rows: int) -> None:
        """A step is done (on a GPU: queued)."""
        self.rows += rows
        self.stepping += self._lap()

    def settle(self) -> None:
        """Wait for the device, and count the wait as stepping."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.stepping += self._lap()

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._mark = now - self._mark, now
        return lap

    @property
    def examples_per_second(self) -> float:
        """Rows over batching and step."""
        return self.rows / max(self.batching + self.stepping, 1e-9)

    @property
    def step_examples_per_second(self) -> float:
        """Rows over the step alone."""
        return self.rows / max(self.stepping, 1e-9)


class Observer:
    """Looks at the model between steps: reference moments, pinned impressions, a sample."""

    def __init__(
        self,
        model: DeepFM,
        device: torch.device,
        reference: NDArray[np.int32],
        pinned: NDArray[np.int32],
        sample: tuple[NDArray[np.int32], NDArray[np.float32]] | None,
        on_event: Callable[[Event], None],
        settle: Callable[[NDArray[np.int32]], None],
    ) -> None:
        self._model = model
        self._settle = settle
        self._device = device
        self._reference = reference
        self._pinned = pinned
        self._sample = sample
        self._on_event = on_event
        self._begin = time.perf_counter()
        self._next_point = self._last_sample = self._last_branches = float("-inf")
        self._told: set[str] = set()

    @property
    def seconds(self) -> float:
        """Since the run started to train."""
        return time.perf_counter() - self._begin

    def go_on(self, seconds: float, told: Iterable[str]) -> None:
        """After so many seconds of training, in which notices of these kinds were told."""
        self._begin = time.perf_counter() - seconds
        self._told = set(told)

    def point_is_due(self) -> bool:
        """Whether a point may be reported now."""
        return time.perf_counter() >= self._next_point

    def report_point(self, position: float, figures: RunningFigures, watch: Stopwatch) -> None:
        """One point of the curves within an epoch."""
        began = time.perf_counter()
        train = figures.metrics_since_point()
        moments, pinned = self.look()
        validation, branches = self._look_at_sample()
        self._on_event(
            Point(
                position,
                self.seconds,
                watch.examples_per_second,
                train,
                validation,
                moments,
                pinned,
                branches,
            )
        )
        now = time.perf_counter()
        self._next_point = now + max(POINT_SECONDS, (now - began) / LOOK_SHARE)

    def _look_at_sample(self) -> tuple[Metrics | None, BranchAucs | None]:
        now = time.perf_counter()
        if self._sample is None or now - self._last_sample < SAMPLE_SECONDS:
            return None, None
        self._last_sample = now
        ids, labels = self._sample
        self._settle(ids)
        terms = score(self._model, ids, self._device)
        return evaluation.metrics_of(labels, terms.logit), self.branch_aucs(labels, terms)

    def branch_aucs(
        self, labels: NDArray[np.float32], terms: Terms, *, always: bool = False
    ) -> BranchAucs | None:
        """AUC of each branch alone over N scored rows; None too soon after those before.

        always   at the first epoch's end and the last one's: never left out
        """
        now = time.perf_counter()
        if now - self._last_branches < BRANCH_SECONDS and not always:
            return None
        self._last_branches = now
        return evaluation.branch_aucs(labels, terms, self._model.config.terms)

    def look(self) -> tuple[TermMoments, tuple[tuple[float, float, float], ...]]:
        """Moments of the terms over the reference, and the raw terms of the pinned impressions.

        The next point can wait: what it would show has just been looked at.
        """
        looked_at = np.concatenate((self._reference, self._pinned))
        self._settle(looked_at)
        terms = score(self._model, looked_at, self._device)
        self._next_point = time.perf_counter() + POINT_SECONDS
        rows = len(self._reference)
        pinned = np.stack(list(terms[rows:]), axis=1) if len(self._pinned) else ()
        return (
            evaluation.moments_of(terms[:rows]),
            tuple((float(a), float(b), float(c)) for a, b, c in pinned),
        )

    def tell(self, kind: str, text: str) -> None:
        """A notice of this kind, once in a run."""
        if kind not in self._told:
            self._told.add(kind)
            self._on_event(Notice(kind, text))


def encode_pinned(
    impressions: Sequence[Mapping[str, str | None]],
    encode: Callable[[Mapping[str, str | None]], NDArray[np.int32]],
    num_fields: int,
) -> NDArray[np.int32]:
    """Impressions as raw values to int32[P, F]."""
    rows = [encode(impression) for impression in impressions]
    return np.stack(rows) if rows else np.empty((0, num_fields), dtype=np.int32)
