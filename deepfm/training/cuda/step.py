"""One batch to one moved model on a GPU: the whole step as one CUDA graph."""

import logging
from typing import Final

from torch import Tensor

from deepfm.config import TrainConfig
from deepfm.model import DeepFM
from deepfm.training.cuda.capture import BatchGraph, CaptureFailed, CudaRecorder, Recorder
from deepfm.training.cuda.moves import choose_move, multiply_in_bfloat16
from deepfm.training.step import PlainStep, Step, StepResult, StepState, mixed_seed

MOST_GRAPHS: Final = 2
"""One for whole batches and one for an epoch's last, smaller batch; other sizes run eagerly."""

REHEARSAL_ROWS: Final = 1_024
"""Rows of the batch on which recording is tried: enough for the kernels of large batches."""

_log = logging.getLogger(__name__)


class CudaStep(Step):
    """The plain step's equations, recorded once for each batch size and then replayed.

    Dropout masks are those that the plain step draws on the same GPU: a pure function of (seed,
    epoch, index). Recording moves no weight: what comes before it only computes gradients, on a
    batch of zeros. Where a recording fails, steps run eagerly: slower, the same otherwise.
    """

    def __init__(self, model: DeepFM, config: TrainConfig, recorder: Recorder) -> None:
        self._model = model
        self._seed = config.seed
        self._recorder = recorder
        self._move = choose_move(model, config)
        self._graphs: dict[int, BatchGraph] = {}
        self._recording = True

    def __call__(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step, queued on the device: nothing here waits for it."""
        graph = self._graph(ids)
        self._recorder.generator.manual_seed(mixed_seed(self._seed, epoch, index))
        if graph is not None:
            logits, loss = graph(ids, labels)
            return StepResult(logits.clone(), loss.clone())
        with self._recorder.aside():
            logits, loss = self._move(ids, labels)
        return StepResult(logits, loss)

    def state(self) -> StepState:
        """The moves' own tensors; a recorded step reads and writes them too."""
        return self._move.state()

    def load_state(self, state: StepState) -> None:
        """Into the tensors that a recording knows. RunError where rows are behind."""
        self._move.load_state(state)

    def rehearse(self, rows: int) -> None:
        """Record a batch of so many rows and forget it. CaptureFailed, torch.OutOfMemoryError."""
        self._record(rows, len(self._model.field_dims))

    def _record(self, rows: int, fields: int) -> BatchGraph:
        return BatchGraph(self._move, self._move.warm_up, (rows, fields), self._recorder)

    def _graph(self, ids: Tensor) -> BatchGraph | None:
        """The graph for a batch of this size, recorded at its first; None: step eagerly."""
        rows, fields = ids.shape
        if rows not in self._graphs and len(self._graphs) < MOST_GRAPHS and self._recording:
            try:
                self._graphs[rows] = self._record(rows, fields)
            except CaptureFailed as error:
                self._recording = False
                _log.warning("Steps of %d rows were not captured, and run eagerly: %s", rows, error)
        return self._graphs.get(rows)


def choose(model: DeepFM, config: TrainConfig) -> tuple[Step, str]:
    """The step for a model on a GPU, and its name: captured, or plain where that fails."""
    if config.mlp_precision == "bfloat16":
        multiply_in_bfloat16(model)
    device = next(model.parameters()).device
    step, name = rehearsed(model, config, CudaRecorder(device))
    return step, f"{name}, network in bfloat16" if config.mlp_precision == "bfloat16" else name


def rehearsed(model: DeepFM, config: TrainConfig, recorder: Recorder) -> tuple[Step, str]:
    """A CudaStep if a recording succeeds now, else the plain step, whose name says so."""
    step = CudaStep(model, config, recorder)
    try:
        step.rehearse(min(config.batch_size, REHEARSAL_ROWS))
    except CaptureFailed as error:
        _log.warning("The step could not be captured as a CUDA graph: %s", error)
        for table in model.tables():
            table.sparse = config.optimizer == "lazy-adam"
        name = f"plain PyTorch step (CUDA graph capture failed), {config.optimizer}"
        return PlainStep(model, config), name
    return step, f"step captured as a CUDA graph, {config.optimizer}"
