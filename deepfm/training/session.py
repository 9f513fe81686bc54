"""One training in progress: its epochs, its checkpoints, its end."""

import copy
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepfm import evaluation
from deepfm.config import parameter_count
from deepfm.data.dataset import Dataset, Part
from deepfm.errors import Interrupted, RunError
from deepfm.evaluation.figures import base_rate_log_loss
from deepfm.events import (
    BranchAucs,
    Epoch,
    Event,
    Finished,
    Metrics,
    Notice,
    Progress,
    Resumed,
    Started,
)
from deepfm.model import DeepFM
from deepfm.terms import Terms
from deepfm.training.checkpoint import (
    Checkpoint,
    Keeper,
    Position,
    Subject,
    Times,
    check_fit,
    drop_checkpoint,
    figures_of,
)
from deepfm.training.devices import choose_devices, device_name, one_gpu_notice
from deepfm.training.figures import best_possible_auc, final_figures
from deepfm.training.folder import ScoredPart, write_run_folder
from deepfm.training.memory import check_memory
from deepfm.training.notices import (
    away_notice,
    branch_notices,
    curve_notice,
    moved_notice,
    order_notice,
    ran_away,
)
from deepfm.training.report import (
    Observer,
    RunningFigures,
    Stopwatch,
    encode_pinned,
)
from deepfm.training.rows import Rows, score
from deepfm.training.samples import REFERENCE_ROWS, draw_reference, validation_sample
from deepfm.training.step import Step, choose_step, mixed_seed


class Session:
    """One training in progress."""

    def __init__(
        self,
        dataset: Dataset,
        subject: Subject,
        folder: Path,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.dataset = dataset
        self.subject = subject
        self.config = config = subject.train
        self.folder = folder
        self.should_stop = should_stop
        self.events: list[Event] = []
        self._on_event = on_event
        self.devices = choose_devices(config.device)
        self.device = self.devices[0]
        check_memory(dataset, subject.model, *self.devices)
        torch.manual_seed(mixed_seed(config.seed, 0))
        field_dims = dataset.vocabulary.field_dims
        sparse = config.optimizer == "lazy-adam"
        self.model = DeepFM(field_dims, subject.model, sparse=sparse).to(self.device)
        self.step: Step
        self.step, self.step_name = choose_step(self.model, config, *self.devices[1:])
        self.rows = Rows(dataset.parts["train"], self.device)
        self.reference = draw_reference(dataset.parts["train"].ids)
        self.watch = Stopwatch(self.device)
        self.observer = self._observer()
        self.keeper = Keeper(folder, self.observer.tell)
        self.attempt = 1
        self.under_way: tuple[int, RunningFigures] | None = None
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
            encode_pinned(self.subject.pinned, encode, len(self.dataset.fields)),
            validation_sample(self.dataset.parts.get("validation")),
            self.report,
            self.step.settle,
        )

    def go_on(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Be where the checkpoint is; RunError where it does not fit."""
        check_fit(checkpoint, self.model, self.steps)
        position, times = checkpoint.position, checkpoint.times
        self.model.load_state_dict(dict(checkpoint.weights))
        self.step.load_state(checkpoint.adam)
        self.best = None if checkpoint.best is None else dict(checkpoint.best)
        self.under_way = position.step, figures_of(checkpoint)
        self.epochs = checkpoint.epochs
        self.events = list(checkpoint.events)
        self.attempt = attempt
        told = {event.kind for event in self.events if isinstance(event, Notice)}
        self.observer.go_on(times.seconds, told)
        self.watch.go_on(times.rows, times.batching, times.stepping)
        self.keeper.resumed(checkpoint)
        self.report(Resumed(attempt, position.epochs, times.seconds))

    def run(self) -> None:
        """All epochs that are left, unless stopped, out of patience or diverged."""
        before = [event for event in self.events if isinstance(event, Started)]
        started = self._started()
        self.report(started)
        if before and (notice := moved_notice(before[-1], started)):
            self.observer.tell(notice.kind, notice.text)
        for notice in (
            order_notice(self.rows.order),
            one_gpu_notice(self.config.device, self.devices),
        ):
            if notice:
                self.observer.tell(notice.kind, notice.text)
        while not (self.epochs and self._is_last(self.epochs[-1].epoch, self.epochs[-1].best)):
            self.run_epoch(len(self.epochs) + 1)
        if self.best is not None:
            self.model.load_state_dict(self.best)

    @property
    def steps(self) -> int:
        """Of one epoch."""
        return self.rows.steps(self.config.batch_size, self.config.drop_last)

    def _started(self) -> Started:
        parts = self.dataset.parts
        config = self.config
        count = parameter_count(
            self.dataset.vocabulary.num_features, len(self.dataset.fields), self.subject.model
        )
        return Started(
            model=self.subject.model.name,
            train_rows=len(parts["train"].labels),
            validation_rows=len(parts["validation"].labels) if "validation" in parts else 0,
            test_rows=len(parts["test"].labels) if "test" in parts else 0,
            steps_per_epoch=self.steps,
            epochs=config.epochs,
            parameters=count,
            device=device_name(*self.devices),
            step=self.step_name,
            best_possible_auc=best_possible_auc(self.dataset),
        )

    def run_epoch(self, epoch: int) -> None:
        """All steps of one epoch, points on the way, an Epoch event at its end."""
        config, watch, steps = self.config, self.watch, self.steps
        first, figures = self.under_way or (0, RunningFigures())
        self.under_way = None
        self.model.train()
        watch.start()
        batches = self.rows.lookups(config.batch_size, config.seed, epoch, config.drop_last, first)
        for done, (ids, labels) in enumerate(batches, first + 1):
            watch.batched()
            result = self.step.move(ids, labels, epoch, done - 1)
            watch.stepped(len(labels))
            figures.add(result.loss, result.logits, labels)
            if self.observer.point_is_due() and done < steps:
                watch.settle()
                self.observer.report_point(epoch - 1 + done / steps, figures, watch)
            self.stopped = self.should_stop()
            if done < steps:
                self._keep_if_due(epoch, done, figures)
            if self.stopped:
                break
            watch.start()
        watch.settle()
        self._end_epoch(epoch, figures)
        if done == steps:
            self._keep_if_due(epoch + 1, 0, RunningFigures())

    def _keep_if_due(self, epoch: int, done: int, figures: RunningFigures) -> None:
        """A checkpoint after so many steps of an epoch, where it is time for one or for a stop."""
        if not (self.stopped or self.keeper.due()):
            return
        self.watch.settle()
        self.keeper.keep(
            Checkpoint(
                self.subject,
                self.attempt,
                Position(epoch, done, self.steps),
                Times(self.observer.seconds, *self.watch.times),
                self.model.state_dict(),
                self.best,
                self.step.state(),
                {name: torch.from_numpy(array) for name, array in figures.state().items()},
                self.events,
            )
        )

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
                branches=self._branch_aucs(terms, always=epoch == 1 or self._is_last(epoch, best)),
            )
        )
        self.report(self.epochs[-1])
        if ran_away(self.epochs[-1], self._base_loss):
            return  # which is no memorising
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

    def _branch_aucs(self, terms: Mapping[str, Terms], *, always: bool) -> BranchAucs | None:
        """Of the validation rows, else of the test rows."""
        part = next(iter(terms), None)
        if part is None:
            return None
        labels = self.dataset.parts[part].labels
        return self.observer.branch_aucs(labels, terms[part], always=always)

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

    def save(self) -> Finished:
        """Score what the run folder holds, report the end, write the folder."""
        self.report(Progress("Scoring", 0, None, "rows"))
        scored = self._scored_parts()
        kept = self.epochs[self._best_epoch - 1]
        if away := away_notice(kept, self._base_loss, self.config.learning_rate):
            # What its branches say is of no interest then.
            self.observer.tell(away.kind, away.text)
        elif "validation" in scored:
            validation = scored["validation"]
            labels = np.asarray(validation.part.labels)
            for notice in branch_notices(validation.terms, labels):
                self.observer.tell(notice.kind, notice.text)
        result = self._finished(scored)
        self.events.append(result)
        self._write(scored, result)
        # Only now: who reads Finished may open the folder at once.
        self._on_event(result)
        return result

    def _write(self, scored: Mapping[str, ScoredPart], result: Finished) -> None:
        """The run folder; a finished training has no use for its checkpoint any more."""
        try:
            write_run_folder(
                self.folder,
                self.dataset,
                self.model,
                self.subject.model,
                self.config,
                reference=self.reference,
                pinned=self.subject.pinned,
                scored=list(scored.values()),
                events=self.events,
                result=result,
                device=device_name(*self.devices),
                again=self.attempt > 1,
            )
        except OSError as error:
            raise Interrupted(
                f"The run folder {self.folder} cannot be written: {error.strerror}. "
                "Free some space there; then resume the run, or train it again."
            ) from error
        if not self.stopped:
            drop_checkpoint(self.folder)

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

    @property
    def _best_epoch(self) -> int:
        """The one whose weights are kept: the best, else the last."""
        return max((e.epoch for e in self.epochs if e.best), default=self.epochs[-1].epoch)

    @cached_property
    def _base_loss(self) -> float:
        """Log loss of always giving the base rate of the validation rows, else of the test rows."""
        parts = self.dataset.parts
        part = parts.get("validation") or parts.get("test") or parts["train"]
        return base_rate_log_loss(float(np.mean(part.labels)))

    def _finished(self, scored: Mapping[str, ScoredPart]) -> Finished:
        name = next(iter(scored))
        figures = final_figures(scored) if name != "train" else {}
        return Finished(
            epochs=len(self.epochs),
            best_epoch=self._best_epoch,
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


def _merit(metrics: Metrics, monitor: str) -> float:
    """Larger is better; a part of one class has no AUC, and log loss takes its place."""
    return metrics.auc if monitor == "auc" and metrics.auc is not None else -metrics.loss
