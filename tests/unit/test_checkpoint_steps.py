"""What a step keeps, taken to another step and on: the same weights to the last digit."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.errors import RunError
from deepfm.model import DeepFM
from deepfm.training.cpu_step import CpuStep
from deepfm.training.cuda.step import CudaStep
from deepfm.training.step import PlainStep, Step, StepState
from tests.unit.test_cuda_step import FakeRecorder

FIELD_DIMS = (3, 400, 5)
DROPOUT = ModelConfig(num_factors=4, mlp_dims=(8, 6), drop_rate=0.2, embedding_drop_rate=0.1)
ADAM, LAZY = TrainConfig(), TrainConfig(optimizer="lazy-adam")
OPEN: list[Step] = []


@pytest.fixture(autouse=True)
def closed_steps() -> Iterator[None]:
    """No test leaves the threads of its steps behind; torch's own wait more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    while OPEN:
        OPEN.pop().close()


def batches(count: int, rows: int = 48, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Batches in which most features of the second field come back after hundreds of steps."""
    rng = np.random.default_rng(seed)
    offsets = np.cumsum((0, *FIELD_DIMS[:-1]))
    made = []
    for _ in range(count):
        rare = np.minimum(rng.geometric(0.01, rows), FIELD_DIMS[1]) - 1
        columns = (rng.integers(0, FIELD_DIMS[0], rows), rare, rng.integers(0, FIELD_DIMS[2], rows))
        ids = (np.stack(columns, axis=1) + offsets).astype(np.int32)
        made.append((torch.from_numpy(ids), torch.from_numpy(rng.random(rows) < 0.3).float()))
    return made


def new_model(config: ModelConfig, train: TrainConfig) -> DeepFM:
    torch.manual_seed(1)
    return DeepFM(FIELD_DIMS, config, sparse=train.optimizer == "lazy-adam")


def plain(model: DeepFM, train: TrainConfig) -> Step:
    return PlainStep(model, train)


def compiled(update: str) -> Callable[[DeepFM, TrainConfig], Step]:
    def make(model: DeepFM, train: TrainConfig) -> Step:
        torch.set_num_threads(2)
        OPEN.append(CpuStep(model, train, update))
        torch.set_num_threads(1)
        return OPEN[-1]

    return make


def captured(model: DeepFM, train: TrainConfig) -> Step:
    return CudaStep(model, train, FakeRecorder())


STEPS = {
    "plain": (plain, ADAM),
    "plain, lazy": (plain, LAZY),
    "compiled, dense": (compiled("dense"), ADAM),
    "compiled, catch-up": (compiled("catch-up"), ADAM),
    "compiled, lazy": (compiled("lazy"), LAZY),
    "captured": (captured, ADAM),
    "captured, lazy": (captured, LAZY),
}
MODELS = {
    **{name: DROPOUT.with_values(terms=terms) for name, terms in TERM_SETS.items()},
    "separate": DROPOUT.with_values(shared_embedding=False),
}


def run(step: Step, data: list[tuple[Tensor, Tensor]], first: int = 0) -> None:
    for index, (ids, labels) in enumerate(data[first:], first):
        step(ids, labels, 1, index)


def as_written(state: StepState) -> StepState:
    """A copy, as a file would give it back: contiguous, on the CPU, of nobody's memory."""
    last = None if state.last is None else state.last.clone()
    moments = (
        {name: moment.clone().contiguous() for name, moment in group.items()}
        for group in (state.mean, state.square)
    )
    return StepState(state.steps, *moments, last)


def taken_over(
    make: Callable[[DeepFM, TrainConfig], Step], train: TrainConfig, model: DeepFM, step: Step
) -> tuple[DeepFM, Step]:
    """A new model and step that go on from there, as after a checkpoint."""
    weights = copy.deepcopy(model.state_dict())
    other = new_model(model.config, train)
    fresh = make(other, train)
    other.load_state_dict(weights)
    fresh.load_state(as_written(step.state()))
    return other, fresh


def assert_same(one: DeepFM, other: DeepFM) -> None:
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", STEPS)
def test_a_new_step_goes_on_from_a_state_to_the_last_digit(name, model):
    make, train = STEPS[name]
    data = batches(40)
    one = new_model(MODELS[model], train)
    step = make(one, train)
    run(step, data[:15])
    other, fresh = taken_over(make, train, one, step)
    torch.manual_seed(99)  # whoever draws from torch's generator between two steps
    run(step, data, 15)
    torch.manual_seed(7)
    run(fresh, data, 15)
    step.settle()
    fresh.settle()
    assert_same(one, other)
    assert fresh.state().steps == step.state().steps == 40


@pytest.mark.parametrize("name", STEPS)
def test_a_state_before_the_first_step_is_the_beginning(name):
    make, train = STEPS[name]
    data = batches(5)
    one = new_model(DROPOUT, train)
    step = make(one, train)
    other, fresh = taken_over(make, train, one, step)
    run(step, data)
    run(fresh, data)
    assert_same(one, other)


def test_rows_that_wait_for_hundreds_of_steps_go_on_to_the_last_digit():
    data = batches(900)
    make = compiled("catch-up")
    one = new_model(DROPOUT, ADAM)
    step = make(one, ADAM)
    run(step, data[:450])
    assert step.state().is_behind
    other, fresh = taken_over(make, ADAM, one, step)
    run(step, data, 450)
    run(fresh, data, 450)
    step.settle()
    fresh.settle()
    assert_same(one, other)


def test_looking_at_the_model_does_not_change_what_it_becomes():
    """When a curve's point is due depends on the clock; what is learned must not."""
    data = batches(900)
    models = []
    for looks in (set(), {200, 430, 431, 700}):
        model = new_model(DROPOUT, ADAM)
        step = compiled("catch-up")(model, ADAM)
        for index, (ids, labels) in enumerate(data):
            step(ids, labels, 1, index)
            if index in looks:
                step.settle(data[index % 7][0].numpy() if index % 2 else None)
        step.settle()
        models.append(model)
    assert_same(*models)


@pytest.mark.parametrize(
    ("first", "second", "train"),
    [
        ("plain", "compiled, dense", ADAM),
        ("plain", "compiled, catch-up", ADAM),
        ("compiled, dense", "plain", ADAM),
        ("compiled, dense", "captured", ADAM),
        ("captured", "compiled, catch-up", ADAM),
        ("plain, lazy", "compiled, lazy", LAZY),
        ("compiled, lazy", "captured, lazy", LAZY),
        ("captured, lazy", "plain, lazy", LAZY),
    ],
)
def test_one_step_goes_on_with_what_another_kept(first, second, train):
    """Not to the last digit: other steps add up in another order."""
    config = DROPOUT.with_values(drop_rate=0.0, embedding_drop_rate=0.0)
    data = batches(40)
    one = new_model(config, train)
    step = STEPS[first][0](one, train)
    run(step, data[:20])
    other, fresh = taken_over(STEPS[second][0], train, one, step)
    run(step, data, 20)
    run(fresh, data, 20)
    fresh.settle()
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], weight, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["plain", "compiled, dense", "captured"])
def test_a_step_that_cannot_catch_up_refuses_rows_that_are_behind(name):
    one = new_model(DROPOUT, ADAM)
    step = compiled("catch-up")(one, ADAM)
    run(step, batches(10))
    with pytest.raises(RunError, match=r"only that step can go on from it\. Resume it with"):
        taken_over(STEPS[name][0], ADAM, one, step)


def test_moments_have_the_names_and_shapes_of_the_weights():
    for make, train in STEPS.values():
        model = new_model(DROPOUT.with_values(shared_embedding=False), train)
        step = make(model, train)
        run(step, batches(3))
        state = step.state()
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}
        for moments in (state.mean, state.square):
            assert {name: moment.shape for name, moment in moments.items()} == shapes
