"""One batch to one moved model: the plain optimisation step, and which step a run uses."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from deepfm.config import TrainConfig
from deepfm.errors import RunError
from deepfm.model import DeepFM
from deepfm.training.order import Piece


class StepResult(NamedTuple):
    """What a step saw, before it moved the weights; both detached, on the model's device."""

    logits: Tensor
    """float32[B], in training mode (with dropout)."""
    loss: Tensor
    """Sum over the batch of the BCE with logits, without penalties: a scalar."""


@dataclass(frozen=True)
class StepState:
    """What Adam keeps beside the weights, in no step's own memory layout.

    steps          how many there were
    mean, square   Adam's moments of each parameter, by its name in the model's state dict and of
                   its shape, float32; none before the first step
    last           int64[V], the last step that each row of the tables has had, 0 for none yet; None
                   where every row has had all of them
    Tensors may be views of what the next step changes.
    """

    steps: int
    mean: Mapping[str, Tensor]
    square: Mapping[str, Tensor]
    last: Tensor | None = None

    @property
    def is_behind(self) -> bool:
        """Whether some rows still have steps to make up for."""
        last = self.last
        return last is not None and bool(((last > 0) & (last < self.steps)).any())


class Step(ABC):
    """Moves the model by one batch."""

    @abstractmethod
    def __call__(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """ids int32[B, F], labels float32[B], on the model's device; epoch and index seed it."""

    def of_piece(self, piece: Piece, labels: Tensor, epoch: int, index: int) -> StepResult:
        """The same for a batch on the CPU whose ids are not gathered yet."""
        return self(gathered(piece), labels, epoch, index)

    def move(self, ids: Tensor | Piece, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step, however the ids are given."""
        if isinstance(ids, Piece):
            return self.of_piece(ids, labels, epoch, index)
        return self(ids, labels, epoch, index)

    def settle(self, ids: NDArray[np.int32] | None = None) -> None:
        """Finish what was put off for some impressions int32[N, F] or, without ids, for all:
        to be called before the model is read. Most steps put nothing off.
        """
        return

    @abstractmethod
    def state(self) -> StepState:
        """What must be kept beside the model's weights for the next step to be the same."""

    @abstractmethod
    def load_state(self, state: StepState) -> None:
        """Go on from there; the model has its weights already. The step has not been used yet.

        RunError where rows are behind and this step cannot catch them up.
        """

    def close(self) -> None:
        """Give back what the step holds beside the model."""
        return


class PlainStep(Step):
    """Autograd and torch's Adam: the reference that any faster step must follow."""

    def __init__(self, model: DeepFM, config: TrainConfig) -> None:
        self._model = model
        self._config = config
        self._optimizers = _optimizers(model, config)
        self._steps = 0

    def __call__(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step; dropout is a pure function of (seed, epoch, index)."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        result = self._differentiate(ids, labels, epoch, index)
        for optimizer in self._optimizers:
            optimizer.step()
        self._steps += 1
        return result

    def _differentiate(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """Leave the gradient of the objective in the model's parameters."""
        torch.manual_seed(mixed_seed(self._config.seed, epoch, index))
        logits = self._model(ids)
        loss = binary_cross_entropy_with_logits(logits, labels)
        objective = loss
        if self._config.embedding_l2:
            objective = loss + self._config.embedding_l2 * self._model.penalty(ids)
        objective.backward()
        return StepResult(logits.detach(), loss.detach() * len(labels))

    def state(self) -> StepState:
        """torch's moments, by name."""
        return StepState(self._steps, *moments_of(self._model, self._optimizers))

    def load_state(self, state: StepState) -> None:
        """Give torch's optimizers their moments. RunError where rows are behind."""
        refuse_behind(state)
        self._steps = state.steps
        parameters = dict(self._model.named_parameters())
        for optimizer in self._optimizers:
            sparse = isinstance(optimizer, torch.optim.SparseAdam)
            own = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
            for name in state.mean:
                if id(parameters[name]) in own:
                    optimizer.state[parameters[name]] = {
                        "step": state.steps if sparse else _count(state.steps, parameters[name]),
                        "exp_avg": _like(parameters[name], state.mean[name]),
                        "exp_avg_sq": _like(parameters[name], state.square[name]),
                    }


def moments_of(
    model: DeepFM, optimizers: Iterable[torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Means and squares that torch's Adams keep, by name; those that step first make them."""
    mean: dict[str, Tensor] = {}
    square: dict[str, Tensor] = {}
    kept = {weight: state for each in optimizers for weight, state in each.state.items()}
    for name, weight in model.named_parameters():
        if weight in kept:
            mean[name], square[name] = kept[weight]["exp_avg"], kept[weight]["exp_avg_sq"]
    return mean, square


def refuse_behind(state: StepState) -> None:
    """RunError where rows still have steps to make up for: only the compiled step can do that."""
    if state.is_behind:
        raise RunError(
            "This checkpoint was written by the compiled CPU step on large tables, and only that "
            "step can go on from it. Resume it with the device cpu where numba is installed, or "
            "train again."
        )


def _like(parameter: Tensor, moment: Tensor) -> Tensor:
    """A copy of the moment in the parameter's layout and on its device."""
    return torch.empty_like(parameter).copy_(moment).detach()


def _count(steps: int, parameter: Tensor) -> Tensor:
    """The steps as torch's fused Adam counts them: float32, where the parameter is."""
    return torch.tensor(float(steps), device=parameter.device)


def _optimizers(model: DeepFM, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Adam over every weight; with lazy-adam the tables have an Adam that skips untouched rows.

    lazy-adam differs from adam in the rows that a batch does not touch: their moments do not
    decay and they do not move. Bias correction counts all steps, as torch's SparseAdam does.
    """
    rate = config.learning_rate
    if config.optimizer == "adam":
        return [
            torch.optim.Adam(
                model.parameters(), lr=rate, weight_decay=config.weight_decay, fused=True
            )
        ]
    tables = [table.weight for table in model.tables()]
    is_table = {id(weight) for weight in tables}
    others = [weight for weight in model.parameters() if id(weight) not in is_table]
    lazy: torch.optim.Optimizer = torch.optim.SparseAdam(tables, lr=rate)
    return [lazy, torch.optim.Adam(others, lr=rate, fused=True)]


def choose_step(model: DeepFM, config: TrainConfig, *replicas: torch.device) -> tuple[Step, str]:
    """The step for this model and configuration, and its name as the run shows it.

    replicas   GPUs among which each batch is divided, beside the one that holds the model
    """
    if replicas:
        from deepfm.training.cuda import parallel

        return parallel.choose(model, config, replicas)
    if next(model.parameters()).device.type == "cuda":
        from deepfm.training import cuda

        return cuda.choose(model, config)
    try:
        from deepfm.training.cpu_step import CpuStep, load_kernels
    except ImportError as error:
        name = f"plain PyTorch step ({error.name} is not installed), {config.optimizer}"
        return PlainStep(model, config), name
    step = CpuStep(model, config)
    load_kernels(step.update, narrow=step.is_narrow)
    return step, f"compiled CPU step, {config.optimizer}, tables {step.update}"


def gathered(piece: Piece) -> Tensor:
    """The ids of a piece's rows, int32[B, F]."""
    ids = torch.empty((len(piece.rows), piece.ids.shape[1]), dtype=torch.int32)
    np.take(piece.ids, piece.rows, axis=0, out=ids.numpy(), mode="clip")
    return ids


def mixed_seed(seed: int, *position: int) -> int:
    """A seed that is a pure function of a run's seed and a position in it, for torch or numpy."""
    text = ":".join(str(part) for part in (seed, *position))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
