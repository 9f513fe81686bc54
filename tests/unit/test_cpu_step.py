"""The compiled step against the plain one, for every model and every way of Adam."""

import copy
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.model import DeepFM
from deepfm.training import cpu_memory, cpu_step
from deepfm.training.cpu_narrow import WIDEST
from deepfm.training.cpu_step import CpuStep, shares_of_fields
from deepfm.training.crew import Crew
from deepfm.training.order import Piece
from deepfm.training.step import PlainStep, StepResult

FIELD_DIMS = (50, 3, 200, 4, 31)
STEPS = 20


MADE: list[CpuStep] = []


@pytest.fixture(autouse=True)
def closed_steps():
    """No test leaves the threads of its steps behind."""
    torch.set_num_threads(2)
    yield
    while MADE:
        MADE.pop().close()


def batches(rows: int, count: int, seed: int = 0):
    """Batches in which common features repeat and rare ones come back late, defaults included."""
    rng = np.random.default_rng(seed)
    offsets = np.cumsum((0, *FIELD_DIMS[:-1]))
    for _ in range(count):
        columns = [np.minimum(rng.geometric(0.1, rows) - 1, dim - 1) for dim in FIELD_DIMS]
        ids = (np.stack(columns, axis=1) + offsets).astype(np.int32)
        labels = (rng.random(rows) < np.where(columns[0] == columns[4], 0.8, 0.3)).astype(
            np.float32
        )
        yield torch.from_numpy(ids), torch.from_numpy(labels)


def twins(model: ModelConfig, config: TrainConfig, update=None, folds=None):
    torch.manual_seed(5)
    plain = DeepFM(FIELD_DIMS, model, sparse=config.optimizer == "lazy-adam")
    fast = copy.deepcopy(plain)
    MADE.append(CpuStep(fast, config, update, folds=folds))
    return plain, PlainStep(plain, config), fast, MADE[-1]


def assert_same_weights(plain: DeepFM, fast: DeepFM, atol: float = 2e-3) -> None:
    """Adam divides by the size of a gradient, so that a rounding in a tiny one shows."""
    for name, weight in plain.weights().items():
        torch.testing.assert_close(
            fast.weights()[name], weight, atol=atol, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


VARIANTS = {
    **{name: ModelConfig(terms=terms, drop_rate=0.0) for name, terms in TERM_SETS.items()},
    "separate": ModelConfig(shared_embedding=False, drop_rate=0.0),
    "tanh": ModelConfig(activation="tanh", drop_rate=0.0, mlp_dims=(7,)),
    "K=1": ModelConfig(num_factors=1, drop_rate=0.0, mlp_dims=(33, 2)),
    "wide": ModelConfig(drop_rate=0.0, mlp_dims=(WIDEST + 1, 5)),
}


@pytest.mark.parametrize("update", ["dense", "catch-up", "lazy"])
@pytest.mark.parametrize("embedding_l2", [0.0, 0.01])
@pytest.mark.parametrize(
    ("variant", "folds"),
    [(name, False) for name in sorted(VARIANTS)]
    + [(name, True) for name in sorted(VARIANTS) if name not in ("LR", "FM")],
)
def test_losses_and_weights_follow_the_plain_step(variant, folds, embedding_l2, update):
    optimizer = "lazy-adam" if update == "lazy" else "adam"
    config = TrainConfig(optimizer=optimizer, embedding_l2=embedding_l2)
    plain, plain_step, fast, fast_step = twins(VARIANTS[variant], config, update, folds)
    for index, (ids, labels) in enumerate(batches(300, STEPS)):
        wanted = plain_step(ids, labels, 1, index)
        got = fast_step(ids, labels, 1, index)
        torch.testing.assert_close(got.logits, wanted.logits, atol=1e-4, rtol=1e-4)
        assert got.loss.item() == pytest.approx(wanted.loss.item(), rel=1e-4)
    fast_step.settle()
    assert_same_weights(plain, fast)


@pytest.mark.parametrize("folds", [False, True])
def test_one_step_has_the_gradients_of_autograd(folds):
    """After one step of Adam a weight's moment is a tenth of its gradient."""
    plain, _, _, fast_step = twins(ModelConfig(drop_rate=0.0), TrainConfig(), folds=folds)
    ids, labels = next(batches(500, 1))
    torch.nn.functional.binary_cross_entropy_with_logits(plain(ids), labels).backward()
    fast_step(ids, labels, 1, 0)
    tables, network = fast_step._tables, fast_step._network
    wanted = torch.cat([plain.linear.table.weight.grad, plain.factors.weight.grad], dim=1)
    np.testing.assert_allclose(tables.mean * 10, wanted.numpy(), atol=1e-7, rtol=1e-4)
    a, b = plain.linear.output.parameters()
    np.testing.assert_allclose(network.mean[:2] * 10, [a.grad.item(), b.grad.item()], rtol=1e-4)
    start = 2
    for linear, layer in zip(plain.deep.linears(), network.layers, strict=True):
        for wanted, place in ((linear.weight, layer.weight), (linear.bias, layer.bias)):
            got = network.mean[start : start + place.numel()].reshape(place.shape) * 10
            corner = tuple(slice(size) for size in wanted.shape)
            np.testing.assert_allclose(got[corner], wanted.grad, atol=1e-7, rtol=1e-4)
            got[corner] = 0
            assert not got.any(), "what was added to the widths stays zero"
            start += place.numel()
    places = fast_step._buffers.places
    assert not places.gradient.any() and not places.collected.any(), "back at zero"


@pytest.mark.parametrize("update", ["dense", "catch-up", "lazy"])
def test_the_first_layer_is_folded_where_features_repeat_and_embeddings_are_whole(update):
    """What the network then reads is not even gathered."""

    def folds(model: ModelConfig, rows: int, config: TrainConfig) -> bool:
        _, _, _, step = twins(model, config, update)
        step(*next(batches(rows, 1)), 1, 0)
        return not step._buffers.inputs[0].any()

    config = TrainConfig(optimizer="lazy-adam" if update == "lazy" else "adam")
    assert folds(ModelConfig(), 2_000, config)
    assert not folds(ModelConfig(), 8, config), "40 lookups of nearly as many features"
    assert not folds(ModelConfig(embedding_drop_rate=0.1), 2_000, config), "dropped anew each time"
    _, _, _, step = twins(ModelConfig(terms=TERM_SETS["FM"]), config, update)
    step(*next(batches(2_000, 1)), 1, 0)
    assert not step._buffers.inputs, "an FM has no network to fold"


def test_fields_are_shared_out_by_work():
    model = DeepFM((1_000, 10, 10, 10, 10, 960), ModelConfig())
    config = TrainConfig(batch_size=1)
    assert shares_of_fields(model, config, 2, "dense") == [(0, 1), (1, 6)]
    assert shares_of_fields(model, config, 2, "lazy") == [(0, 3), (3, 6)]
    assert shares_of_fields(DeepFM((5, 5), ModelConfig()), config, 2, "dense") == [(0, 1), (1, 2)]
    skewed = DeepFM((1_000_000, 2, 2), ModelConfig(num_factors=1))
    shares = shares_of_fields(skewed, config, 3, "dense")
    assert [first for first, _ in shares] == [0, *(last for _, last in shares[:-1])]
    assert shares[-1][1] == 3


def test_weight_decay_moves_every_row_as_torch_does():
    config = TrainConfig(weight_decay=0.1)
    plain, plain_step, fast, fast_step = twins(ModelConfig(drop_rate=0.0), config)
    assert fast_step.update == "dense"
    for index, (ids, labels) in enumerate(batches(300, STEPS)):
        plain_step(ids, labels, 1, index)
        fast_step(ids, labels, 1, index)
    assert_same_weights(plain, fast)


def test_rows_that_return_after_a_thousand_steps_have_caught_up_exactly():
    """A row seen once keeps moving under Adam for a long while; catch-up does it in one go."""
    config = TrainConfig()
    _, _, dense, dense_step = twins(ModelConfig(drop_rate=0.0), config, "dense")
    _, _, late, late_step = twins(ModelConfig(drop_rate=0.0), config, "catch-up")
    (first, labels), (other, _) = list(batches(128, 2))
    other = other % 2 + torch.tensor([0, 50, 53, 253, 257], dtype=torch.int32)  # few features
    for index in range(1_000):
        ids = first if index == 0 else other
        dense_step(ids, labels, 1, index)
        late_step(ids, labels, 1, index)
    late_step.settle(first.numpy())
    rows = np.setdiff1d(first.numpy(), other.numpy())
    assert len(rows) > 30
    np.testing.assert_allclose(
        late_step._tables.weights[rows], dense_step._tables.weights[rows], atol=1e-6, rtol=1e-5
    )
    late_step.settle()
    settled = late_step._tables.weights.copy()
    late_step.settle()
    np.testing.assert_array_equal(late_step._tables.weights, settled, "settled, none is behind")
    torch.testing.assert_close(
        late.factors.weight[rows], dense.factors.weight[rows], atol=1e-6, rtol=1e-5
    )


def test_the_model_reads_what_the_step_wrote_and_takes_weights_back():
    _, _, fast, fast_step = twins(ModelConfig(drop_rate=0.0), TrainConfig())
    kept = copy.deepcopy(fast.state_dict())
    ids, labels = next(batches(300, 1))
    before = fast(ids).detach()
    torch.testing.assert_close(fast_step(ids, labels, 1, 0).logits, before, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(fast(ids), before)
    fast.load_state_dict(kept)
    torch.testing.assert_close(fast(ids), before)
    torch.testing.assert_close(fast_step(ids, labels, 1, 1).logits, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dropout_keeps_the_share_and_the_mean_and_is_a_function_of_its_place(rate, activation):
    model = ModelConfig(
        terms=TERM_SETS["DNN"],
        drop_rate=rate,
        embedding_drop_rate=rate,
        activation=activation,
        mlp_dims=(40, 30),
    )
    _, _, _, step = twins(model, TrainConfig(seed=3))
    ids, labels = next(batches(4_000, 1))
    step(ids, labels, 2, 7)
    embedded, hidden = (step._buffers.inputs[i].numpy().copy() for i in (0, 1))
    assert (embedded == 0).mean() == pytest.approx(rate, abs=0.01)
    if activation == "tanh":
        assert (hidden[:, :40] == 0).mean() == pytest.approx(rate, abs=0.02)
    _, _, _, again = twins(model, TrainConfig(seed=3))
    again(ids, labels, 2, 7)
    np.testing.assert_array_equal(again._buffers.inputs[0].numpy() == 0, embedded == 0)
    _, _, _, other = twins(model, TrainConfig(seed=3))
    other(ids, labels, 2, 8)
    moved = (other._buffers.inputs[0].numpy() == 0) != (embedded == 0)
    assert moved.mean() == pytest.approx(2 * rate * (1 - rate), abs=0.01), "independent draws"


def test_hidden_dropout_is_the_same_with_the_first_layer_folded():
    def losses(folds: bool) -> list[StepResult]:
        _, _, _, step = twins(ModelConfig(drop_rate=0.5), TrainConfig(seed=4), folds=folds)
        return [step(ids, labels, 1, i) for i, (ids, labels) in enumerate(batches(999, 5))]

    for folded, plain in zip(losses(True), losses(False), strict=True):
        torch.testing.assert_close(folded.logits, plain.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradients_under_dropout_are_those_of_the_network_that_was_left(activation):
    """Autograd through the same masks, read back from the step's own buffers."""
    model = ModelConfig(
        terms=TERM_SETS["DNN"],
        drop_rate=0.4,
        embedding_drop_rate=0.3,
        activation=activation,
        mlp_dims=(9, 6),
        num_factors=3,
    )
    plain, _, _, step = twins(model, TrainConfig(seed=1))
    ids, labels = next(batches(600, 1))
    step(ids, labels, 1, 0)
    inputs = [inputs.clone() for inputs in step._buffers.inputs]
    values = plain.factors(ids).flatten(start_dim=1)
    act = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    for i, linear in enumerate(plain.deep.linears()):
        rate = 0.3 if i == 0 else 0.4
        values = act(values) if i else values
        here = inputs[i][:, : values.shape[1]]
        values = values * (here != 0) / (1 - rate)
        torch.testing.assert_close(values, here, atol=1e-5, rtol=1e-4)
        values = linear(values)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(values.squeeze(1), labels)
    loss.backward()
    np.testing.assert_allclose(
        step._tables.mean * 10, plain.factors.weight.grad.numpy(), atol=1e-7, rtol=1e-3
    )


def test_results_do_not_depend_on_how_fields_and_rows_are_shared_out():
    def run(threads: int) -> list[StepResult]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        _, _, _, step = twins(ModelConfig(), TrainConfig())
        torch.set_num_threads(before)
        return [step(ids, labels, 1, i) for i, (ids, labels) in enumerate(batches(999, 5))]

    for one, three in zip(run(1), run(3), strict=True):
        torch.testing.assert_close(one.logits, three.logits, atol=1e-5, rtol=1e-5)
    for one, again in zip(run(2), run(2), strict=True):
        assert torch.equal(one.logits, again.logits), "the same to the last digit"


@pytest.mark.parametrize("update", ["dense", "catch-up"])
@pytest.mark.parametrize("rows", [40, 300])
def test_rows_that_are_not_gathered_yet_are_stepped_as_if_they_were(update, rows, monkeypatch):
    (ids, labels), *_ = batches(500, 1)
    order = np.random.default_rng(1).permutation(500).astype(np.int32)[:rows]
    piece = Piece(ids.numpy(), labels.numpy(), order)
    results = []
    for way in ("gathered", "by each part", "too many for that"):
        if way == "too many for that":
            monkeypatch.setattr(cpu_step, "OWN_IDS_BYTES", 0)
        _, _, _, step = twins(ModelConfig(), TrainConfig(seed=2), update)
        rows_of = ids[order] if way == "gathered" else piece
        results.append([step.move(rows_of, labels[order], 1, index) for index in range(3)])
        assert torch.equal(results[0][2].logits, results[-1][2].logits), way
        assert torch.equal(results[0][2].loss, results[-1][2].loss), way


@pytest.mark.parametrize("own", [0, 1 << 20])
def test_small_tables_are_folded_by_each_part_for_itself(own, monkeypatch):
    monkeypatch.setattr(cpu_memory, "OWN_FOLDED_BYTES", own)
    plain, plain_step, fast, fast_step = twins(ModelConfig(drop_rate=0.0), TrainConfig())
    for index, (ids, labels) in enumerate(batches(300, STEPS)):
        plain_step(ids, labels, 1, index)
        fast_step(ids, labels, 1, index)
    assert fast_step._buffers.places.folds_apart == bool(own)
    assert_same_weights(plain, fast)


def test_batches_of_any_size_follow_one_another():
    plain, plain_step, fast, fast_step = twins(ModelConfig(drop_rate=0.0), TrainConfig())
    for index, rows in enumerate((300, 1, 7, 513, 300)):
        ids, labels = next(batches(rows, 1, seed=index))
        wanted, got = plain_step(ids, labels, 1, index), fast_step(ids, labels, 1, index)
        torch.testing.assert_close(got.logits, wanted.logits, atol=1e-4, rtol=1e-4)
    assert_same_weights(plain, fast)


def test_a_failure_in_a_helper_is_raised_in_the_caller():
    def work(part: int) -> None:
        if part == 1:
            raise ValueError("part 1")

    with Crew(2) as crew:
        with pytest.raises(ValueError, match="part 1"):
            crew.run(work)
        crew.run(lambda part: None)


def test_after_loading_no_kernel_is_left_to_compile():
    """In a process of its own: here other tests have used them."""
    program = """
import sys
from deepfm.training import cpu_adam, cpu_folded, cpu_kernels, cpu_narrow, cpu_step
for update in cpu_step.UPDATES:
    for narrow in (True, False):
        cpu_step.load_kernels(update, narrow=narrow)
assert "scipy.linalg" not in sys.modules, "numba only asks whether it is there"
kernels = [
    kernel
    for module in (cpu_adam, cpu_folded, cpu_kernels, cpu_narrow)
    for name, kernel in vars(module).items()
    if hasattr(kernel, "signatures") and not name.startswith("_")
]
before = {k.__name__: len(k.signatures) for k in kernels}
assert before and all(before.values()), before
from deepfm.config import ModelConfig, TrainConfig
from deepfm.model import DeepFM
import torch
from itertools import product
sets = (("linear",), ("linear", "pairwise"), ("linear", "pairwise", "deep"))
for terms, rate, width in product(sets, (0.0, 0.1), (8, 80)):
        model = ModelConfig(terms=terms, embedding_drop_rate=rate, mlp_dims=(width,))
        step = cpu_step.CpuStep(DeepFM((5, 4), model), TrainConfig(embedding_l2=0.1))
        ids = torch.tensor([[0, 5], [1, 6]], dtype=torch.int32)
        step(ids, torch.ones(2), 1, 0)
        step.close()
after = {k.__name__: len(k.signatures) for k in kernels}
assert after == before, (before, after)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_threads_end_with_the_step():
    before = set(threading.enumerate())
    _, _, _, step = twins(ModelConfig(), TrainConfig())
    (helper,) = set(threading.enumerate()) - before
    MADE.remove(step)
    step.close()
    helper.join(timeout=5)
    assert not helper.is_alive()


def test_numba_still_has_its_linear_algebra_after_loading():
    """In a process of its own, where nothing has imported it before."""
    program = """
from deepfm.training.cpu_step import load_kernels
load_kernels("dense")
import numba
import numpy as np
product = numba.njit(lambda a, b: a @ b)(np.eye(2), 2 * np.eye(2))
assert (product == 2 * np.eye(2)).all()
"""
    pytest.importorskip("scipy")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
