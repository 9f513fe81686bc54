"""One batch divided among several GPUs to one moved model, as the book's "try all GPUs" does.

Every device computes the gradient of its share of the batch, weighted by the share's rows, so
that the sum is the gradient of the batch's mean loss. The first device holds the model that is
read and kept: it adds the gradients up and moves the weights; the others have replicas, which are
brought up to date before each step. With lazy-adam only the rows of a batch travel, both ways.

Gradients are captured as CUDA graphs, one on each device: a single thread queues them all in
little time, so they run side by side. Gradients and weights go from GPU to GPU by torch's own
collectives (NCCL where there is one), never through the host.
"""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.parallel import comm

from deepfm.config import TrainConfig
from deepfm.errors import RunError
from deepfm.model import DeepFM
from deepfm.training.cuda.capture import (
    BatchGraph,
    CaptureFailed,
    CudaRecorder,
    Outputs,
    Recorder,
)
from deepfm.training.cuda.moves import Objective, multiply_in_bfloat16
from deepfm.training.cuda.step import REHEARSAL_ROWS
from deepfm.training.step import PlainStep, StepResult, mixed_seed

_log = logging.getLogger(__name__)

Gradients = tuple[Tensor, ...]
"""One for each of the model's parameters, in their order; sparse for the tables of lazy-adam."""


class Share(NamedTuple):
    """What a replica made of n rows of a batch of B, on its own device, until it is asked again."""

    logits: Tensor
    """float32[n]."""
    loss: Tensor
    """Sum of the BCE over the n rows: a scalar."""
    gradients: Gradients
    """Of the mean over the n rows, times n / B."""


class Replica:
    """A model on one device, and the gradients of its shares of batches.

    The share of a whole batch is recorded. An epoch's last, smaller batch is computed eagerly:
    a second graph would keep a second gradient of every table.
    """

    def __init__(self, model: DeepFM, config: TrainConfig, recorder: Recorder) -> None:
        self.weights: Final = list(model.parameters())
        self.records = True
        self._objective = Objective(model, config.embedding_l2)
        self._fields = len(model.field_dims)
        self._recorder = recorder
        self._whole_batch = config.batch_size
        self._graph: BatchGraph | None = None

    def __call__(self, ids: Tensor, labels: Tensor, batch_rows: int, seed: int) -> Share:
        """int32[n, F] and float32[n], on any device; dropout is a pure function of the seed."""
        graph = self._graph_of(len(ids), batch_rows)
        self._recorder.generator.manual_seed(seed)
        if graph is None:
            device = self._recorder.device
            ids = ids.to(device, non_blocking=True)
            labels = labels.to(device, non_blocking=True)
            logits, loss, *gradients = self._differentiate(ids, labels, batch_rows)
        else:
            logits, loss, *gradients = graph(ids, labels)
        return Share(logits, loss, tuple(gradients))

    def record(self, rows: int, batch_rows: int) -> BatchGraph:
        """The gradients of a share of a fixed size. CaptureFailed, torch.OutOfMemoryError."""

        def body(ids: Tensor, labels: Tensor) -> Outputs:
            return self._differentiate(ids, labels, batch_rows)

        return BatchGraph(body, body, (rows, self._fields), self._recorder)

    def _differentiate(self, ids: Tensor, labels: Tensor, batch_rows: int) -> Outputs:
        objective, logits, loss = self._objective(ids, labels)
        share = objective * (len(labels) / batch_rows)
        return logits, loss, *torch.autograd.grad(share, self.weights)

    def _graph_of(self, rows: int, batch_rows: int) -> BatchGraph | None:
        """The graph for a share of a whole batch, recorded at its first; None: compute eagerly."""
        if batch_rows != self._whole_batch or not self.records:
            return None
        if self._graph is None:
            try:
                self._graph = self.record(rows, batch_rows)
            except CaptureFailed as error:
                self.records = False
                _log.warning("Shares of %d rows were not captured: %s", rows, error)
        return self._graph


class ParallelStep(PlainStep):
    """The plain step with the gradients of several devices; the first one holds the model.

    Without dropout it differs from the plain step by the order of sums alone. Each device draws
    dropout of its own, a pure function of (seed, epoch, index) and its place among them.
    """

    def __init__(self, model: DeepFM, config: TrainConfig, replicas: Sequence[Replica]) -> None:
        """replicas: at least one; the first is the model's own."""
        super().__init__(model, config)
        self._replicas = replicas
        self._moved: list[Tensor | None] = [None] * len(replicas[0].weights)

    def _differentiate(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        self._send_weights()
        # No more shares than rows: a small batch leaves the last devices out.
        parts = min(len(self._replicas), len(labels))
        pieces = zip(ids.tensor_split(parts), labels.tensor_split(parts), strict=True)
        shares = [
            self._replicas[place](*piece, len(labels), self._seed(epoch, index, place))
            for place, piece in enumerate(pieces)
        ]
        self._take_gradients(summed([share.gradients for share in shares]))
        first = ids.device
        logits = torch.cat([share.logits.to(first, non_blocking=True) for share in shares])
        losses = [share.loss.to(first, non_blocking=True) for share in shares]
        return StepResult(logits, torch.stack(losses).sum())

    def _seed(self, epoch: int, index: int, place: int) -> int:
        return mixed_seed(self._config.seed, epoch, index, place)

    def _take_gradients(self, gradients: Gradients) -> None:
        """Give them to the model's parameters, and remember which rows will move."""
        for number, (weight, gradient) in enumerate(
            zip(self._replicas[0].weights, gradients, strict=True)
        ):
            weight.grad = gradient.coalesce() if gradient.is_sparse else gradient
            self._moved[number] = weight.grad.indices()[0] if gradient.is_sparse else None

    @torch.no_grad()
    def _send_weights(self) -> None:
        """The model's weights to all replicas: those that have moved since the last time."""
        first, *others = (replica.weights for replica in self._replicas)
        for weight, rows, *theirs in zip(first, self._moved, *others, strict=True):
            if rows is None:
                broadcast(weight, theirs)
            else:
                send_rows(weight, rows, theirs)


def summed(gradients: Sequence[Gradients]) -> Gradients:
    """The gradients of every replica, added up on the device of the first."""
    device = gradients[0][0].device
    if device.type == "cuda":
        return tuple(comm.reduce_add_coalesced(gradients, device.index))
    return tuple(sum(each[1:], start=each[0]) for each in zip(*gradients, strict=True))


def broadcast(weight: Tensor, copies: Sequence[Tensor]) -> None:
    """Make every copy what the weight is."""
    if copies and weight.device.type == "cuda":
        comm.broadcast(weight, out=copies)
    else:
        for each in copies:
            each.copy_(weight)


def send_rows(table: Tensor, rows: Tensor, copies: Sequence[Tensor]) -> None:
    """Make some rows, int64[M], of every copy what they are in the table."""
    values = table[rows]
    for each in copies:
        there = rows.to(each.device, non_blocking=True)
        each.index_copy_(0, there, values.to(each.device, non_blocking=True))


def choose(
    model: DeepFM, config: TrainConfig, others: Sequence[torch.device]
) -> tuple[ParallelStep, str]:
    """The step that divides batches among the model's GPU and others, and its name."""
    devices = (next(model.parameters()).device, *others)
    check_exchange(devices)
    return rehearsed(model, config, [CudaRecorder(device) for device in devices])


def check_exchange(devices: Sequence[torch.device]) -> None:
    """RunError where tensors cannot be sent between these devices."""
    try:
        first, *copies = (torch.zeros(1, device=device) for device in devices)
        broadcast(summed([(each,) for each in (first, *copies)])[0], copies)
        for each in copies:
            each.item()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RunError(
            f"The GPUs of this machine cannot work together ({str(error).splitlines()[0]}). "
            "Set the device to cuda, which trains on one of them."
        ) from error


def rehearsed(
    model: DeepFM, config: TrainConfig, recorders: Sequence[Recorder]
) -> tuple[ParallelStep, str]:
    """The step over these devices, and its name, which says whether gradients are captured."""
    models = [model, *(_model_like(model, config, each.device) for each in recorders[1:])]
    if config.mlp_precision == "bfloat16":
        for each in models:
            multiply_in_bfloat16(each)
    replicas = [
        Replica(each, config, recorder) for each, recorder in zip(models, recorders, strict=True)
    ]
    words = "captured as CUDA graphs" if _can_record(replicas, config) else "not captured"
    name = f"each batch divided among {len(replicas)} GPUs, {words}, {config.optimizer}"
    if config.mlp_precision == "bfloat16":
        name += ", network in bfloat16"
    return ParallelStep(model, config, replicas), name


def _model_like(model: DeepFM, config: TrainConfig, device: torch.device) -> DeepFM:
    """A model of the same shape on another device; its weights are sent before they are used."""
    with device:
        sparse = config.optimizer == "lazy-adam"
        return DeepFM(model.field_dims, model.config, sparse=sparse).train()


def _can_record(replicas: Sequence[Replica], config: TrainConfig) -> bool:
    """Whether gradients can be captured, on all devices or on none."""
    rows = min(-(-config.batch_size // len(replicas)), REHEARSAL_ROWS)
    try:
        for replica in replicas:
            replica.record(rows, rows * len(replicas))
    except CaptureFailed as error:
        _log.warning("Gradients could not be captured as CUDA graphs: %s", error)
        for replica in replicas:
            replica.records = False
    return replicas[0].records
