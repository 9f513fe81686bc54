"""One batch to moved weights, without a wait for the device: what a CUDA graph records.

No shape depends on what the ids are, nothing is read back, and sums are made in a fixed order,
so the same batches give the same weights.
"""

import warnings
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from deepfm.config import TrainConfig
from deepfm.model import DeepFM, DeepTerm
from deepfm.training.cuda.capture import Outputs
from deepfm.training.step import StepState, moments_of, refuse_behind

BETAS: Final = (0.9, 0.999)
EPS: Final = 1e-8
"""As torch's Adam and SparseAdam have them."""


class Move(Protocol):
    """ids int32[B, F], labels float32[B] → logits float32[B], and the loss summed over B rows."""

    def __call__(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Move the weights by one batch."""

    def warm_up(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Compute the gradients and forget them."""

    def state(self) -> StepState:
        """How many moves there were, and the moments: the tensors themselves."""

    def load_state(self, state: StepState) -> None:
        """Go on from there, in the tensors that a recording knows."""


def choose_move(model: DeepFM, config: TrainConfig) -> Move:
    """Adam over all rows, or over the batch's."""
    return LazyMove(model, config) if config.optimizer == "lazy-adam" else DenseMove(model, config)


class Bfloat16Deep(DeepTerm):
    """The network with its matrix products in bfloat16 while it trains.

    Weights, gradients and the term itself stay float32, and a model that does not train scores
    in float32, as everyone who reads the run folder does.
    """

    def forward(self, factors: Tensor) -> Tensor:
        """float32[N, F, K] to float32[N]."""
        if not self.training:
            return super().forward(factors)
        with torch.autocast(factors.device.type, torch.bfloat16, cache_enabled=False):
            return super().forward(factors).float()


def multiply_in_bfloat16(model: DeepFM) -> None:
    """Make the model's network a Bfloat16Deep: the same weights under the same names."""
    if model.deep is not None:
        model.deep.__class__ = Bfloat16Deep


class Objective(nn.Module):
    """The plain step's objective as a module, so that its tables can be put in from outside."""

    def __init__(self, model: DeepFM, embedding_l2: float) -> None:
        super().__init__()
        self.model = model
        self._embedding_l2 = embedding_l2

    def forward(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is minimised, the logits, and the sum of the loss over the batch."""
        logits = self.model(ids)
        loss = binary_cross_entropy_with_logits(logits, labels)
        objective = loss
        if self._embedding_l2:
            objective = loss + self._embedding_l2 * self.model.penalty(ids)
        return objective, logits.detach(), loss.detach() * len(labels)


class DenseMove:
    """torch's fused Adam over every weight."""

    def __init__(self, model: DeepFM, config: TrainConfig) -> None:
        self._objective = Objective(model, config.embedding_l2)
        self._adam = _fused_adam(list(model.parameters()), config)

    def __call__(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Move every weight by one batch."""
        outputs = self._differentiate(ids, labels)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return outputs

    def warm_up(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Compute the gradients and forget them."""
        outputs = self._differentiate(ids, labels)
        self._adam.zero_grad(set_to_none=True)
        return outputs

    def _differentiate(self, ids: Tensor, labels: Tensor) -> Outputs:
        objective, logits, loss = self._objective(ids, labels)
        objective.backward()
        return logits, loss

    def state(self) -> StepState:
        """Adam's own."""
        return StepState(_steps_of(self._adam), *moments_of(self._objective.model, [self._adam]))

    def load_state(self, state: StepState) -> None:
        """Into Adam's own tensors."""
        _load_moments(self._objective.model, self._adam, state)


class Touched(NamedTuple):
    """The different ids of a batch, in a shape that does not depend on how many they are.

    rows      int64[N]      each different id once, in order; then the last one again, up to N
    source    int64[N]      the place in `rows` where each of them first stands
    places    int64[B, F]   the place in `rows` of each id of the batch; N = B · F
    """

    rows: Tensor
    source: Tensor
    places: Tensor


def touched_rows(ids: Tensor) -> Touched:
    """The rows that int32[B, F] touches. (torch.unique would wait for the device to count.)"""
    ordered, order = ids.flatten().sort(stable=True)
    new = torch.ones_like(ordered, dtype=torch.int64)
    new[1:] = ordered[1:] != ordered[:-1]
    number = new.cumsum(0) - 1
    places = torch.empty_like(number).scatter_(0, order, number)
    rows = ordered[-1:].long().repeat(len(ordered)).scatter_(0, number, ordered.long())
    source = torch.arange(len(ordered), device=ids.device).minimum(number[-1])
    return Touched(rows, source, places.view(ids.shape))


class LazyMove:
    """Adam that moves only the tables' rows in the batch, as torch's SparseAdam does.

    The batch's rows are taken out of each table, the model is differentiated by them, and they
    are written back with their moments. All that scales with the batch, nothing with the table.
    """

    def __init__(self, model: DeepFM, config: TrainConfig) -> None:
        self._objective = Objective(model, config.embedding_l2)
        self._rate = config.learning_rate
        tables = {id(table.weight) for table in model.tables()}
        named = list(self._objective.named_parameters())
        self._tables = {name: weight for name, weight in named if id(weight) in tables}
        self._moments = {
            name: (torch.zeros_like(weight), torch.zeros_like(weight))
            for name, weight in self._tables.items()
        }
        device = next(model.parameters()).device
        self._steps = torch.zeros((), dtype=torch.float64, device=device)
        others = [weight for _, weight in named if id(weight) not in tables]
        self._adam = _fused_adam(others, config)
        for table in model.tables():
            table.sparse = False  # The rows that are put in are few: their gradient is dense.

    def __call__(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Move the network, and the tables' rows that the batch holds."""
        touched = touched_rows(ids)
        outputs, gradients = self._differentiate(touched, labels)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._steps += 1
        for name, gradient in gradients.items():
            self._move(name, touched, gradient)
        return outputs

    def warm_up(self, ids: Tensor, labels: Tensor) -> Outputs:
        """Compute the gradients and forget them."""
        outputs, _ = self._differentiate(touched_rows(ids), labels)
        self._adam.zero_grad(set_to_none=True)
        return outputs

    def _differentiate(self, touched: Touched, labels: Tensor) -> tuple[Outputs, dict[str, Tensor]]:
        """The outputs, and the gradient of each table by its touched rows, float32[N, K]."""
        taken = {
            name: weight.detach()[touched.rows].requires_grad_()
            for name, weight in self._tables.items()
        }
        inputs = (touched.places, labels)
        objective, logits, loss = functional_call(self._objective, taken, inputs)
        objective.backward()
        return (logits, loss), {name: _gradient(rows) for name, rows in taken.items()}

    @torch.no_grad()
    def _move(self, name: str, touched: Touched, gradient: Tensor) -> None:
        """Adam on one table's touched rows.

        A row that `rows` repeats has its own gradient at each repetition, through `source`, so
        every writer of a row writes the same.
        """
        weight, (mean, square) = self._tables[name], self._moments[name]
        gradient = gradient[touched.source]
        new_mean = mean[touched.rows].lerp(gradient, 1 - BETAS[0])
        new_square = square[touched.rows].lerp(gradient.square(), 1 - BETAS[1])
        unbiased = [1 - beta**self._steps for beta in BETAS]
        rate = (self._rate * unbiased[1].sqrt() / unbiased[0]).float()
        moved = weight[touched.rows] - rate * new_mean / (new_square.sqrt() + EPS)
        for table, rows in ((mean, new_mean), (square, new_square), (weight, moved)):
            table.index_copy_(0, touched.rows, rows)

    def state(self) -> StepState:
        """Adam's for the network, and those of the tables."""
        mean, square = moments_of(self._objective.model, [self._adam])
        for name, moments in self._moments.items():
            mean[_name(name)], square[_name(name)] = moments
        return StepState(int(self._steps), mean, square)

    def load_state(self, state: StepState) -> None:
        """Into Adam's own tensors, and those of the tables."""
        _load_moments(self._objective.model, self._adam, state)
        self._steps.fill_(state.steps)
        for name, (mean, square) in self._moments.items() if state.mean else ():
            mean.copy_(state.mean[_name(name)])
            square.copy_(state.square[_name(name)])


def _name(in_objective: str) -> str:
    """A parameter's name in the model, whose names the objective puts "model." before."""
    return in_objective.removeprefix("model.")


def _steps_of(adam: torch.optim.Adam) -> int:
    return next((int(state["step"]) for state in adam.state.values()), 0)


def _load_moments(model: DeepFM, adam: torch.optim.Adam, state: StepState) -> None:
    """Fill the tensors of an Adam that has its state already; a recording knows their places."""
    refuse_behind(state)
    for name, weight in model.named_parameters():
        if weight in adam.state and name in state.mean:
            kept = adam.state[weight]
            kept["step"].fill_(state.steps)
            kept["exp_avg"].copy_(state.mean[name])
            kept["exp_avg_sq"].copy_(state.square[name])


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def _fused_adam(weights: list[nn.Parameter], config: TrainConfig) -> torch.optim.Adam:
    """torch's Adam in one kernel, with its state already there: a recording must not make it."""
    on_gpu = weights[0].device.type == "cuda"
    adam = torch.optim.Adam(
        weights, config.learning_rate, betas=BETAS, eps=EPS, fused=True, capturable=on_gpu
    )
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    with warnings.catch_warnings():
        # torch remarks, once, that an optimizer made for a capture steps outside of one.
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable")
        adam.step()  # Over zero gradients, without decay: nothing moves.
    for state in adam.state.values():
        state["step"].zero_()
    adam.zero_grad(set_to_none=True)
    for group in adam.param_groups:
        group["weight_decay"] = config.weight_decay
    return adam
