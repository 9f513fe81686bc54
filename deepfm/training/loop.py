"""A dataset and a configuration to a trained run: epochs, validation, best weights, stop."""

import contextlib
import copy
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepfm import evaluation
from deepfm.config import ModelConfig, Settings, TrainConfig, parameter_count
from deepfm.data.dataset import Dataset, Part
from deepfm.errors import RunError
from deepfm.events import BranchAucs, Epoch, Event, Finished, Metrics, Progress, Started
from deepfm.model import DeepFM
from deepfm.terms import Terms
from deepfm.training.folder import ScoredPart, check_free, write_run_folder
from deepfm.training.memory import check_memory, memory_errors_in_words
from deepfm.training.notices import branch_notices, curve_notice
from deepfm.training.report import (
    SAMPLE_ROWS,
    Observer,
    RunningFigures,
    Stopwatch,
    encode_pinned,
)
from deepfm.training.rows import Rows, choose_device, device_name, score
from deepfm.training.step import Step, choose_step, mixed_seed

REFERENCE_ROWS = 1_000


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
    last ones. Raises LimitError where the model does not fit in memory, RunError where the
    training diverges or the folder is taken.
    """
    model_config, train_config = model or ModelConfig(), train or TrainConfig()
    folder = Path(out) if out is not None else _new_folder()
    check_free(folder)
    with memory_errors_in_words():
        session = _Session(dataset, model_config, train_config, pinned, on_event, should_stop)
        with contextlib.closing(session.step):
            session.run()
        return session.save(folder)


def _new_folder() -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S") + "-" + secrets.token_hex(2)
    return Settings.from_environment().home_folder / "runs" / stamp


class _Session:
    """One training in progress."""

    def __init__(
        self,
        dataset: Dataset,
        model_config: ModelConfig,
        config: TrainConfig,
        pinned: Sequence[Mapping[str, str | None]],
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.dataset = dataset
        self.model_config = model_config
        self.config = config
        self.pinned = pinned
        self.should_stop = should_stop
        self.events: list[Event] = []
        self._on_event = on_event
        self.device = choose_device(config.device)
        check_memory(dataset, model_config, self.device)
        torch.manual_seed(mixed_seed(config.seed, 0))
        field_dims = dataset.vocabulary.field_dims
        sparse = config.optimizer == "lazy-adam"
        self.model = DeepFM(field_dims, model_config, sparse=sparse).to(self.device)
        self.step: Step
        self.step, self.step_name = choose_step(self.model, config)
        self.rows = Rows(dataset.parts["train"], self.device)
        self.reference = draw_reference(dataset.parts["train"].ids)
        self.watch = Stopwatch(self.device)
        self.observer = self._observer()
        self.epochs: list[Epoch] = []
        self.best: dict[str, Any] | None = None
        self.stopped = False

    def report(self, event: Event) -> None:
        """Keep the event for metrics.jsonl and pass it on."""
        self.events.append(event)
        self._on_event(event)

    def _observer(self) -> Observer:
        encode = self.dataset.vocabulary.encode
        return Observer(
            self.model,
            self.device,
            self.reference,
            encode_pinned(self.pinned, encode, len(self.dataset.fields)),
            _sample(self.dataset.parts.get("validation")),
            self.report,
            self.step.settle,
        )

    def run(self) -> None:
        """All epochs, unless stopped, out of patience or diverged."""
        self.report(self._started())
        for epoch in range(1, self.config.epochs + 1):
            self.run_epoch(epoch)
            if self._is_last(epoch, self.epochs[-1].best):
                break
        if self.best is not None:
            self.model.load_state_dict(self.best)

    def _started(self) -> Started:
        parts = self.dataset.parts
        config = self.config
        count = parameter_count(
            self.dataset.vocabulary.num_features, len(self.dataset.fields), self.model_config
        )
        return Started(
            model=self.model_config.name,
            train_rows=len(parts["train"].labels),
            validation_rows=len(parts["validation"].labels) if "validation" in parts else 0,
            test_rows=len(parts["test"].labels) if "test" in parts else 0,
            steps_per_epoch=self.rows.steps(config.batch_size, config.drop_last),
            epochs=config.epochs,
            parameters=count,
            device=device_name(self.device),
            step=self.step_name,
            best_possible_auc=_best_possible_auc(self.dataset),
        )

    def run_epoch(self, epoch: int) -> None:
        """All steps of one epoch, points on the way, an Epoch event at its end."""
        config, watch, figures = self.config, self.watch, RunningFigures()
        steps = self.rows.steps(config.batch_size, config.drop_last)
        self.model.train()
        watch.start()
        batches = self.rows.batches(config.batch_size, config.seed, epoch, config.drop_last)
        for index, (ids, labels) in enumerate(batches):
            watch.batched()
            result = self.step(ids, labels, epoch, index)
            watch.stepped(len(labels))
            figures.add(result.loss, result.logits, labels)
            if self.observer.point_is_due() and index + 1 < steps:
                watch.settle()
                self.observer.report_point(epoch - 1 + (index + 1) / steps, figures, watch)
            if self.should_stop():
                self.stopped = True
                break
            watch.start()
        watch.settle()
        self._end_epoch(epoch, figures)

    def _end_epoch(self, epoch: int, figures: RunningFigures) -> None:
        train = figures.metrics()
        if not math.isfinite(train.loss):
            raise RunError(
                f"The training diverged in epoch {epoch}: the loss is no longer a number. "
                f"Lower the learning rate (it is {self.config.learning_rate:g}) and train again."
            )
        self.step.settle()
        terms = self._terms_of_parts()
        validation, test = (self._metrics(terms, part) for part in ("validation", "test"))
        best = self._is_best(validation)
        if best:
            self.best = copy.deepcopy(self.model.state_dict())
        moments, pinned = self.observer.look()
        self.epochs.append(
            Epoch(
                epoch=epoch,
                seconds=self.observer.seconds,
                examples_per_second=self.watch.examples_per_second,
                step_examples_per_second=self.watch.step_examples_per_second,
                train=train,
                validation=validation,
                test=test,
                best=best,
                moments=moments,
                pinned=pinned,
                branches=self._branch_aucs(terms, last=self._is_last(epoch, best)),
            )
        )
        self.report(self.epochs[-1])
        if notice := curve_notice(self.epochs):
            self.observer.tell(notice.kind, notice.text)

    def _terms_of_parts(self) -> dict[str, Terms]:
        """The terms of all validation and test rows, as far as there are such."""
        parts = {name: self.dataset.parts.get(name) for name in ("validation", "test")}
        return {
            name: score(self.model, part.ids, self.device)
            for name, part in parts.items()
            if part is not None
        }

    def _metrics(self, terms: Mapping[str, Terms], part: str) -> Metrics | None:
        if part not in terms:
            return None
        return evaluation.metrics_of(self.dataset.parts[part].labels, terms[part].logit)

    def _branch_aucs(self, terms: Mapping[str, Terms], *, last: bool) -> BranchAucs | None:
        """Of the validation rows, else of the test rows."""
        part = next(iter(terms), None)
        if part is None:
            return None
        return self.observer.branch_aucs(self.dataset.parts[part].labels, terms[part], last=last)

    def _is_best(self, validation: Metrics | None) -> bool:
        """Strictly better than every epoch before, by the monitored metric."""
        if validation is None:
            return False
        merit = _merit(validation, self.config.monitor)
        earlier = (_merit(e.validation, self.config.monitor) for e in self.epochs if e.validation)
        return merit > max(earlier, default=-math.inf)

    def _is_last(self, epoch: int, best: bool) -> bool:
        """Whether the run ends with the epoch that has just been trained."""
        return self.stopped or epoch == self.config.epochs or self._out_of_patience(epoch, best)

    def _out_of_patience(self, epoch: int, best: bool) -> bool:
        if not self.config.patience or best or "validation" not in self.dataset.parts:
            return False
        best_before = max((each.epoch for each in self.epochs if each.best), default=0)
        return epoch - best_before >= self.config.patience

    def save(self, folder: Path) -> Run:
        """Score what the run folder holds, report the end, write the folder."""
        self.report(Progress("Scoring", 0, None, "rows"))
        scored = self._scored_parts()
        if "validation" in scored:
            validation = scored["validation"]
            labels = np.asarray(validation.part.labels)
            for notice in branch_notices(validation.terms, labels):
                self.observer.tell(notice.kind, notice.text)
        result = self._finished(scored)
        self.events.append(result)
        write_run_folder(
            folder,
            self.dataset,
            self.model,
            self.model_config,
            self.config,
            reference=self.reference,
            pinned=self.pinned,
            scored=list(scored.values()),
            events=self.events,
            result=result,
            device=device_name(self.device),
        )
        # Only now: who reads Finished may open the folder at once.
        self._on_event(result)
        return Run(folder, result)

    def _scored_parts(self) -> dict[str, ScoredPart]:
        """Test and validation rows; where there are neither, the first training rows."""
        parts = self.dataset.parts
        names = [name for name in ("test", "validation") if name in parts]
        scored: dict[str, ScoredPart] = {name: self._score_part(parts[name]) for name in names}
        if not scored:
            scored["train"] = self._score_part(parts["train"], REFERENCE_ROWS)
        return scored

    def _score_part(self, part: Part, rows: int | None = None) -> ScoredPart:
        return ScoredPart(part, score(self.model, part.ids[:rows], self.device))

    def _finished(self, scored: Mapping[str, ScoredPart]) -> Finished:
        best_epoch = max((e.epoch for e in self.epochs if e.best), default=self.epochs[-1].epoch)
        name = next(iter(scored))
        figures = _final_figures(scored) if name != "train" else {}
        return Finished(
            epochs=len(self.epochs),
            best_epoch=best_epoch,
            seconds=self.observer.seconds,
            examples_per_second=self.watch.examples_per_second,
            step_examples_per_second=self.watch.step_examples_per_second,
            part=name,
            rows=len(scored[name].terms),
            auc=figures.get("auc"),
            log_loss=figures.get("log_loss"),
            log_loss_calibrated=figures.get("log_loss_calibrated"),
            accuracy=figures.get("accuracy"),
            base_rate=figures.get("base_rate"),
            stopped=self.stopped,
        )


def _final_figures(scored: Mapping[str, ScoredPart]) -> dict[str, float | None]:
    part = next(iter(scored.values()))
    labels, logit = np.asarray(part.part.labels), part.terms.logit
    metrics = evaluation.metrics_of(labels, logit)
    calibrated = None
    if "validation" in scored:
        validation = scored["validation"]
        calibrated = evaluation.calibrated_log_loss(
            np.asarray(validation.part.labels), validation.terms.logit, labels, logit
        )
    return {
        "auc": metrics.auc,
        "log_loss": metrics.loss,
        "log_loss_calibrated": calibrated,
        "accuracy": metrics.accuracy,
        "base_rate": float(labels.mean()),
    }


def _merit(metrics: Metrics, monitor: str) -> float:
    """Larger is better; a part of one class has no AUC, and log loss takes its place."""
    return metrics.auc if monitor == "auc" and metrics.auc is not None else -metrics.loss


def _sample(part: Part | None) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
    """A fixed sample of the validation rows for the look within an epoch."""
    if part is None:
        return None
    chosen = _drawn(SAMPLE_ROWS, len(part.labels))
    return np.array(part.ids[chosen]), np.array(part.labels[chosen])


def draw_reference(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The reference population: 1,000 training rows without replacement, with a fixed seed."""
    return np.array(ids[_drawn(REFERENCE_ROWS, len(ids))])


def _drawn(most: int, rows: int) -> NDArray[np.int64]:
    """At most so many of the row numbers 0 … rows − 1, rising, with a fixed seed."""
    return np.sort(np.random.default_rng(0).choice(rows, min(most, rows), replace=False))


def _best_possible_auc(dataset: Dataset) -> float | None:
    """AUC of the true probabilities on validation (else test) rows, where they are known."""
    for name in ("validation", "test"):
        part = dataset.parts.get(name)
        if part is not None and part.truth is not None:
            return evaluation.auc(part.labels, part.truth)
    return None
