"""The GPU's step: its arithmetic and everything around a capture, here on the CPU with a graph
that records nothing; and, where there is a GPU, the captured step beside the plain one.
"""

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.errors import LimitError
from deepfm.events import Epoch, Event, Started
from deepfm.model import DeepFM
from deepfm.training import loop
from deepfm.training.cuda.capture import CaptureFailed, CudaRecorder, Outputs, _reason
from deepfm.training.cuda.moves import Bfloat16Deep, multiply_in_bfloat16, touched_rows
from deepfm.training.cuda.step import MOST_GRAPHS, CudaStep, rehearsed
from deepfm.training.running import RunningFigures
from deepfm.training.step import PlainStep, Step, StepResult, choose_step

on_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: no CUDA device is usable here"
)

FIELD_DIMS = (5, 40, 3, 300)
SMALL = ModelConfig(num_factors=4, mlp_dims=(8, 6), drop_rate=0.0)
VARIANTS: dict[str, tuple[ModelConfig, TrainConfig]] = {
    **{name: (SMALL.with_values(terms=terms), TrainConfig()) for name, terms in TERM_SETS.items()},
    "separate embedding": (SMALL.with_values(shared_embedding=False), TrainConfig()),
    "tanh": (SMALL.with_values(activation="tanh"), TrainConfig()),
    "embedding_l2": (SMALL, TrainConfig(embedding_l2=0.01)),
    "weight_decay": (SMALL, TrainConfig(weight_decay=0.01)),
    "lazy-adam": (SMALL, TrainConfig(optimizer="lazy-adam")),
    "lazy-adam, all apart": (
        SMALL.with_values(shared_embedding=False),
        TrainConfig(optimizer="lazy-adam", embedding_l2=0.01),
    ),
    "lazy-adam, FM": (
        SMALL.with_values(terms=TERM_SETS["FM"]),
        TrainConfig(optimizer="lazy-adam"),
    ),
}
CPU = torch.device("cpu")
DROPOUT = SMALL.with_values(drop_rate=0.3, embedding_drop_rate=0.2)


@dataclass
class FakeRecorder:
    """Records nothing: a replay runs the function, into the tensors of the first replay.

    events   what was asked of it, in order
    fails    what recording raises instead
    """

    device: torch.device = CPU
    generator: torch.Generator = torch.default_generator
    events: list[str] = field(default_factory=list)
    fails: Exception | None = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.events.append("aside")
        yield

    def record(self, body: Callable[[], Outputs]) -> Callable[[], Outputs]:
        self.events.append("record")
        if self.fails is not None:
            raise self.fails
        return FakeReplay(body, self.events)


@dataclass
class FakeReplay:
    body: Callable[[], Outputs]
    events: list[str]
    outputs: Outputs | None = None

    def __call__(self) -> Outputs:
        self.events.append("replay")
        new = self.body()
        if self.outputs is None:
            self.outputs = new
        for static, value in zip(self.outputs, new, strict=True):
            static.copy_(value)
        return self.outputs


def new_model(config: ModelConfig, train: TrainConfig, device: str = "cpu") -> DeepFM:
    torch.manual_seed(1)
    sparse = train.optimizer == "lazy-adam"
    return DeepFM(FIELD_DIMS, config, sparse=sparse).to(device)


def batches(count: int, rows: int = 64, device: str = "cpu") -> list[tuple[Tensor, Tensor]]:
    """Batches in which some features repeat often and many never come."""
    rng = np.random.default_rng(3)
    offsets = np.concatenate(([0], np.cumsum(FIELD_DIMS)[:-1]))
    made = []
    for _ in range(count):
        draws = [np.minimum(rng.geometric(0.2, rows), size) - 1 for size in FIELD_DIMS]
        ids = (np.stack(draws, axis=1) + offsets).astype(np.int32)
        labels = (rng.random(rows) < 0.3).astype(np.float32)
        made.append((torch.from_numpy(ids).to(device), torch.from_numpy(labels).to(device)))
    return made


def losses(step: Step, data: list[tuple[Tensor, Tensor]], epoch: int = 1) -> list[float]:
    results = [step(ids, labels, epoch, index) for index, (ids, labels) in enumerate(data)]
    return [float(result.loss) for result in results]


def weights_of(model: DeepFM) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def assert_same_weights(one: DeepFM, other: DeepFM, atol: float) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


# --- the arithmetic -----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_steps_are_those_of_the_plain_step(variant):
    config, train = VARIANTS[variant]
    data = batches(20)
    plain, graphed = new_model(config, train), new_model(config, train)
    step = CudaStep(graphed, train, FakeRecorder())
    expected = losses(PlainStep(plain, train), data)
    np.testing.assert_allclose(losses(step, data), expected, rtol=1e-5)
    assert_same_weights(plain, graphed, atol=1e-5)


def test_dropout_draws_the_plain_steps_masks():
    train = TrainConfig(seed=7)
    data = batches(6)
    plain, graphed = new_model(DROPOUT, train), new_model(DROPOUT, train)
    expected = losses(PlainStep(plain, train), data)
    assert losses(CudaStep(graphed, train, FakeRecorder()), data) == pytest.approx(expected)


def test_dropout_depends_on_seed_epoch_and_index_alone():
    ids, labels = batches(1)[0]

    def first_logits(seed: int, epoch: int, index: int, before: int) -> Tensor:
        train = TrainConfig(seed=seed)
        step = CudaStep(new_model(DROPOUT, train), train, FakeRecorder())
        torch.rand(before)
        return step(ids, labels, epoch, index).logits

    reference = first_logits(1, 2, 3, before=0)
    assert torch.equal(first_logits(1, 2, 3, before=9), reference)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(first_logits(*other, before=0), reference)


def test_rows_that_no_batch_held_do_not_move_with_lazy_adam():
    train = TrainConfig(optimizer="lazy-adam")
    model = new_model(SMALL, train)
    before = weights_of(model)
    data = batches(5)
    losses(CudaStep(model, train, FakeRecorder()), data)
    seen = torch.cat([ids.flatten() for ids, _ in data]).unique().long()
    unseen = torch.ones(sum(FIELD_DIMS), dtype=torch.bool)
    unseen[seen] = False
    assert unseen.any()
    for name in ("linear.table.weight", "factors.weight"):
        after = model.state_dict()[name]
        assert torch.equal(after[unseen], before[name][unseen])
        assert (after[seen] != before[name][seen]).any(dim=1).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 3), (64, 4)])
def test_touched_rows_name_each_row_of_the_batch_once(shape):
    torch.manual_seed(0)
    ids = torch.randint(0, 12, shape, dtype=torch.int32)
    touched = touched_rows(ids)
    different = sorted({int(i) for i in ids.flatten()})
    count = len(different)
    assert touched.rows[:count].tolist() == different
    assert touched.rows[count:].tolist() == [different[-1]] * (ids.numel() - count)
    assert touched.source.tolist() == [min(i, count - 1) for i in range(ids.numel())]
    assert torch.equal(touched.rows[touched.places], ids.long())


def test_bfloat16_changes_only_the_networks_products_and_only_in_training():
    train = TrainConfig()
    exact = new_model(SMALL, train)
    rounded = copy.deepcopy(exact)
    multiply_in_bfloat16(rounded)
    ids, _ = batches(1)[0]
    one, other = exact.terms(ids), rounded.terms(ids)
    assert torch.equal(one.linear, other.linear) and torch.equal(one.pairwise, other.pairwise)
    assert other.deep.dtype == torch.float32 and not torch.equal(one.deep, other.deep)
    torch.testing.assert_close(one.deep, other.deep, atol=0.02, rtol=0.02)
    assert list(rounded.state_dict()) == list(exact.state_dict())
    exact.eval(), rounded.eval()
    assert torch.equal(exact(ids), rounded(ids))


def test_bfloat16_still_learns_and_keeps_float32_weights():
    train = TrainConfig()
    model = new_model(SMALL, train)
    multiply_in_bfloat16(model)
    assert isinstance(model.deep, Bfloat16Deep)
    data = batches(1) * 60
    curve = losses(CudaStep(model, train, FakeRecorder()), data)
    assert curve[-1] < 0.8 * curve[0]
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_bfloat16_leaves_a_model_without_a_network_alone():
    model = new_model(SMALL.with_values(terms=TERM_SETS["FM"]), TrainConfig())
    multiply_in_bfloat16(model)
    assert model.deep is None


# --- around the capture -------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_recording_moves_nothing(optimizer):
    train = TrainConfig(optimizer=optimizer, weight_decay=0.1 if optimizer == "adam" else 0.0)
    model = new_model(SMALL, train)
    before = weights_of(model)
    step = CudaStep(model, train, FakeRecorder())
    step.rehearse(32)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert all(weight.grad is None for weight in model.parameters())


def test_a_size_is_warmed_up_aside_and_recorded_once():
    train = TrainConfig()
    recorder = FakeRecorder()
    step = CudaStep(new_model(SMALL, train), train, recorder)
    losses(step, batches(3))
    assert recorder.events == ["aside", "record", "replay", "replay", "replay"]


def test_the_last_smaller_batch_has_its_own_graph_and_other_sizes_run_eagerly():
    train = TrainConfig()
    recorder = FakeRecorder()
    graphed, plain = new_model(SMALL, train), new_model(SMALL, train)
    sizes = [64, 64, 17, 64, 17, 9, 8]
    assert len(set(sizes)) > MOST_GRAPHS
    data = [batches(1, rows)[0] for rows in sizes]
    found = losses(CudaStep(graphed, train, recorder), data)
    np.testing.assert_allclose(found, losses(PlainStep(plain, train), data), rtol=1e-5)
    assert recorder.events.count("record") == MOST_GRAPHS
    assert recorder.events.count("replay") == 5
    assert recorder.events[-2:] == ["aside", "aside"]


def test_what_a_step_returned_is_not_overwritten_by_the_next():
    train = TrainConfig()
    step = CudaStep(new_model(SMALL, train), train, FakeRecorder())
    results: list[StepResult] = []
    copies: list[StepResult] = []
    for index, (ids, labels) in enumerate(batches(3)):
        results.append(step(ids, labels, 1, index))
        copies.append(StepResult(results[-1].logits.clone(), results[-1].loss.clone()))
    for result, copied in zip(results, copies, strict=True):
        assert torch.equal(result.logits, copied.logits)
        assert torch.equal(result.loss, copied.loss)


def test_the_loss_is_summed_over_the_batch():
    train = TrainConfig()
    ids, labels = batches(1)[0]
    result = CudaStep(new_model(SMALL, train), train, FakeRecorder())(ids, labels, 1, 0)
    by_row = [
        -float(torch.log(torch.sigmoid(logit if label else -logit)))
        for logit, label in zip(result.logits.double(), labels, strict=True)
    ]
    assert float(result.loss) == pytest.approx(sum(by_row), rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_a_failed_capture_gives_the_plain_step_and_says_so(optimizer, caplog):
    train = TrainConfig(optimizer=optimizer)
    plain, model = new_model(SMALL, train), new_model(SMALL, train)
    step, name = rehearsed(model, train, FakeRecorder(fails=CaptureFailed("not permitted")))
    assert isinstance(step, PlainStep)
    assert name == f"plain PyTorch step (CUDA graph capture failed), {optimizer}"
    assert "not permitted" in caplog.text
    data = batches(3)
    assert losses(step, data) == losses(PlainStep(plain, train), data)


def test_a_capture_that_fails_later_goes_on_eagerly_from_where_it_was(caplog):
    train = TrainConfig()
    recorder = FakeRecorder()
    model, plain = new_model(SMALL, train), new_model(SMALL, train)
    step, name = rehearsed(model, train, recorder)
    assert name == "step captured as a CUDA graph, adam"
    recorder.fails = CaptureFailed("not permitted")
    data = batches(4)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-5)
    assert caplog.text.count("not captured") == 1
    assert "replay" not in recorder.events


def test_out_of_memory_in_a_capture_is_not_a_reason_to_step_eagerly():
    train = TrainConfig()
    recorder = FakeRecorder(fails=torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        rehearsed(new_model(SMALL, train), train, recorder)


def test_the_reason_of_a_failed_capture_is_found_behind_the_error_that_ended_it():
    memory = RuntimeError("capture ended")
    memory.__context__ = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    assert isinstance(_reason(memory), torch.OutOfMemoryError)
    assert "Tried to allocate" in str(_reason(memory))
    other = RuntimeError("capture ended")
    other.__context__ = RuntimeError("operation not permitted when stream is capturing")
    assert isinstance(_reason(other), CaptureFailed)


def test_on_the_cpu_no_step_is_captured():
    _, name = choose_step(new_model(SMALL, TrainConfig()), TrainConfig())
    assert "CUDA" not in name


def test_a_dropped_step_frees_its_model_at_once():
    train = TrainConfig()
    model = new_model(SMALL, train)
    step = CudaStep(model, train, FakeRecorder())
    gone = weakref.ref(model)
    gc.disable()
    try:
        del step, model
        assert gone() is None
    finally:
        gc.enable()


# --- with a GPU ---------------------------------------------------------------------------


@pytest.fixture
def memory_limit() -> Iterator[Callable[[int], None]]:
    """Lets this process have only so many bytes of the GPU more than it holds now."""

    def limit(more: int) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clicks")
    rng = np.random.default_rng(0)
    lines = [
        f"{int(rng.random() < (0.8 if site == ad else 0.2))},s{site},a{ad}"
        for site, ad in rng.integers(0, 6, (3_000, 2))
    ]
    (folder / "clicks.csv").write_text("click,site,ad\n" + "\n".join(lines) + "\n")
    return prepare(folder / "clicks.csv", out=folder / "dataset", min_count=1)


@on_gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_captured_step_is_the_plain_step_on_the_gpu(variant):
    config, train = VARIANTS[variant]
    data = batches(20, device="cuda") + batches(2, rows=17, device="cuda")
    plain, graphed = (new_model(config, train, "cuda") for _ in range(2))
    step, name = choose_step(graphed, train)
    assert name == f"step captured as a CUDA graph, {train.optimizer}"
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-4)
    assert_same_weights(plain, graphed, atol=1e-4)


@on_gpu
@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_a_large_batch_is_captured_too(optimizer):
    train = TrainConfig(optimizer=optimizer)
    data = batches(6, rows=8_192, device="cuda")
    plain, graphed = (new_model(SMALL, train, "cuda") for _ in range(2))
    step, _ = choose_step(graphed, train)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-4)
    assert isinstance(step, CudaStep) and set(step._graphs) == {8_192}


@on_gpu
def test_captured_dropout_draws_the_plain_steps_masks():
    train = TrainConfig(seed=7)
    data = batches(8, device="cuda")
    plain, graphed = (new_model(DROPOUT, train, "cuda") for _ in range(2))
    step, _ = choose_step(graphed, train)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-4)
    again, _ = choose_step(new_model(DROPOUT, train, "cuda"), train)
    torch.rand(5, device="cuda")
    first = again(*data[0], epoch=1, index=0).logits.clone()
    other, _ = choose_step(new_model(DROPOUT, train, "cuda"), train)
    assert torch.equal(other(*data[0], epoch=1, index=0).logits, first)
    third, _ = choose_step(new_model(DROPOUT, train, "cuda"), train)
    assert not torch.equal(third(*data[0], epoch=1, index=1).logits, first)


@on_gpu
@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_the_same_seed_gives_the_same_curve_to_the_last_digit(optimizer, dataset, tmp_path):
    config = TrainConfig(epochs=3, batch_size=256, device="cuda", optimizer=optimizer)
    runs = []
    for name in ("one", "two"):
        events: list[Event] = []
        loop.train(dataset, DROPOUT, config, out=tmp_path / name, on_event=events.append)
        assert isinstance(events[0], Started)
        assert events[0].step == f"step captured as a CUDA graph, {optimizer}"
        runs.append([(e.train, e.validation) for e in events if isinstance(e, Epoch)])
    assert runs[0] == runs[1]
    assert runs[0][-1][0].loss < runs[0][0][0].loss


@on_gpu
def test_bfloat16_is_named_and_close_to_float32():
    train = TrainConfig(mlp_precision="bfloat16")
    data = batches(20, device="cuda")
    plain, rounded = (new_model(SMALL, train, "cuda") for _ in range(2))
    step, name = choose_step(rounded, train)
    assert name == "step captured as a CUDA graph, adam, network in bfloat16"
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=0.02)


@on_gpu
def test_a_step_waits_for_nothing():
    train = TrainConfig()
    step, _ = choose_step(new_model(DROPOUT, train, "cuda"), train)
    data, figures = batches(10, device="cuda"), RunningFigures()
    losses(step, data[:1])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index, (ids, labels) in enumerate(data):
            result = step(ids, labels, 2, index)
            figures.add(result.loss, result.logits, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert figures.metrics().rows == 640


@on_gpu
def test_a_dropped_step_gives_its_memory_back():
    before = torch.cuda.memory_allocated()
    train = TrainConfig()
    model = new_model(SMALL, train, "cuda")
    step, _ = choose_step(model, train)
    losses(step, batches(2, device="cuda"))
    del step, model
    assert torch.cuda.memory_allocated() - before < 100_000_000  # cuBLAS keeps its workspace.
    torch.cuda.empty_cache()


@on_gpu
def test_after_a_failed_recording_the_device_is_as_before():
    recorder = CudaRecorder(torch.device("cuda"))
    values = torch.ones(1_000, device="cuda")
    stream = torch.cuda.current_stream()

    def reads_back() -> Outputs:
        return (torch.dropout(values, 0.5, True) * values.sum().item(),)

    def masks(seed: int) -> list[Tensor]:
        drawn = []
        for replay in replays:
            recorder.generator.manual_seed(seed)
            drawn.append(replay()[0].clone())
        return drawn

    replays = [recorder.record(lambda: (torch.dropout(values, 0.5, True),))]
    (expected,) = masks(3)
    with pytest.raises(CaptureFailed):
        recorder.record(reads_back)
    assert torch.cuda.current_stream() == stream
    replays.append(recorder.record(lambda: (torch.dropout(values, 0.5, True),)))
    assert all(torch.equal(mask, expected) for mask in masks(3))
    recorder.generator.manual_seed(3)
    assert torch.equal(torch.dropout(values, 0.5, True), expected)
    assert not any(torch.equal(mask, expected) for mask in masks(4))


@on_gpu
def test_memory_that_runs_out_in_a_recording_is_told_as_such(memory_limit):
    recorder = CudaRecorder(torch.device("cuda"))
    memory_limit(100_000_000)
    with pytest.raises(torch.OutOfMemoryError):
        recorder.record(lambda: (torch.zeros(100_000_000, device="cuda"),))
    (zeros,) = recorder.record(lambda: (torch.zeros(1_000, device="cuda"),))()
    assert float(zeros.sum()) == 0


@on_gpu
def test_a_model_too_large_for_the_gpu_names_what_to_lower_and_the_next_one_trains(
    dataset, tmp_path, memory_limit
):
    memory_limit(60_000_000)
    wide = ModelConfig(num_factors=64, mlp_dims=(4_096, 4_096))
    config = TrainConfig(epochs=1, device="cuda")
    with pytest.raises(LimitError, match="Lower the batch size, the factor size or the MLP dims"):
        loop.train(dataset, wide, config, out=tmp_path / "wide")
    run = loop.train(dataset, SMALL, config, out=tmp_path / "small")
    assert run.result.epochs == 1
