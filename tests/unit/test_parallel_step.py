"""One batch over several devices: here the CPU several times over, with a graph that records
nothing, beside the plain step; and, where there are GPUs, on those.
"""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfm.config import ALL_GPUS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.errors import LimitError, RunError
from deepfm.events import Epoch, Event, Notice, Started
from deepfm.model import DeepFM
from deepfm.training import devices, loop, memory, session
from deepfm.training.checkpoint import has_checkpoint
from deepfm.training.cuda import parallel as parallel_module
from deepfm.training.cuda.capture import CaptureFailed, CudaRecorder
from deepfm.training.cuda.moves import Bfloat16Deep
from deepfm.training.cuda.parallel import ParallelStep, check_exchange, rehearsed
from deepfm.training.devices import choose_devices, device_name
from deepfm.training.step import PlainStep, choose_step
from tests.unit.test_cuda_step import (
    CPU,
    DROPOUT,
    SMALL,
    VARIANTS,
    FakeRecorder,
    assert_same_weights,
    batches,
    dataset,
    losses,
    new_model,
    on_gpu,
)

__all__ = ["dataset"]

on_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")

UNEVEN = [64, 64, 37, 64, 2, 1, 65]
"""Batch sizes that three devices cannot share evenly; in some there are fewer rows than devices."""


BATCHES_OF_64 = TrainConfig(batch_size=64)


def parallel(model: DeepFM, train: TrainConfig, count: int = 3) -> ParallelStep:
    """Over so many CPUs, which record the shares of a batch of 64 rows."""
    train = train.with_values(batch_size=64)
    return rehearsed(model, train, [FakeRecorder() for _ in range(count)])[0]


def gradient_of(step: PlainStep, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    step(*batch, epoch=1, index=0)
    return {
        name: weight.grad.to_dense()
        for name, weight in step._model.named_parameters()
        if weight.grad is not None
    }


# --- the arithmetic -----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_is_that_of_the_whole_batchs_mean_loss(variant):
    config, train = VARIANTS[variant]
    for rows in (64, 5, 2):  # 22, 21 and 21 rows each; 2, 2 and 1; and none for the last device
        batch = batches(1, rows)[0]
        plain, divided = new_model(config, train), new_model(config, train)
        expected = gradient_of(PlainStep(plain, train), batch)
        found = gradient_of(parallel(divided, train), batch)
        assert list(found) == list(expected) == list(plain.state_dict())
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_steps_are_those_of_the_plain_step(variant):
    config, train = VARIANTS[variant]
    data = batches(13) + [batches(1, rows)[0] for rows in UNEVEN]
    plain, divided = new_model(config, train), new_model(config, train)
    step = parallel(divided, train)
    expected = losses(PlainStep(plain, train), data)
    np.testing.assert_allclose(losses(step, data), expected, rtol=1e-5)
    assert_same_weights(plain, divided, atol=1e-5)


def test_logits_come_in_the_order_of_the_rows():
    train = TrainConfig()
    plain, divided = new_model(SMALL, train), new_model(SMALL, train)
    for rows in (64, 2):
        batch = batches(1, rows)[0]
        expected = PlainStep(copy.deepcopy(plain), train)(*batch, 1, 0)
        found = parallel(copy.deepcopy(divided), train)(*batch, 1, 0)
        torch.testing.assert_close(found.logits, expected.logits)
        assert found.loss.shape == () and not found.logits.requires_grad


def test_what_a_step_returned_is_not_overwritten_by_the_next():
    step = parallel(new_model(SMALL, TrainConfig()), TrainConfig())
    first = step(*batches(1)[0], 1, 0)
    kept = first.logits.clone(), first.loss.clone()
    step(*batches(2)[1], 1, 1)
    assert torch.equal(first.logits, kept[0]) and torch.equal(first.loss, kept[1])


def test_each_device_draws_dropout_of_its_own_by_seed_epoch_and_index_alone():
    ids, labels = batches(1, 1)[0]
    same = ids.repeat(8, 1), labels.repeat(8)

    def first_logits(seed: int, epoch: int, index: int, before: int) -> Tensor:
        train = TrainConfig(seed=seed)
        step = parallel(new_model(DROPOUT, train), train, 2)
        torch.rand(before)
        return step(*same, epoch, index).logits

    reference = first_logits(1, 2, 3, before=0)
    assert torch.equal(first_logits(1, 2, 3, before=9), reference)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(first_logits(*other, before=0), reference)
    assert not torch.equal(reference[:4], reference[4:])


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_another_step_goes_on_from_its_state(optimizer):
    train = TrainConfig(optimizer=optimizer)
    data = batches(8)
    model, plain = new_model(DROPOUT, train), new_model(DROPOUT, train)
    expected = losses(parallel(plain, train), data)
    step = parallel(model, train)
    found = losses(step, data[:4])
    state, resumed = copy.deepcopy(step.state()), new_model(DROPOUT, train)
    again = parallel(resumed, train)
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    again.load_state(state)
    found += [float(again(*batch, 1, index).loss) for index, batch in enumerate(data[4:], 4)]
    assert found == expected
    assert_same_weights(plain, resumed, atol=0)


# --- around the capture -------------------------------------------------------------------


def test_the_share_of_a_whole_batch_is_recorded_once_and_the_last_is_computed_eagerly():
    train = BATCHES_OF_64
    recorders = [FakeRecorder() for _ in range(2)]
    step, name = rehearsed(new_model(SMALL, train), train, recorders)
    assert name == "each batch divided among 2 GPUs, captured as CUDA graphs, adam"
    for recorder in recorders:
        recorder.events.clear()
    losses(step, [batches(1, rows)[0] for rows in (17, 64, 64, 17, 64, 65)])
    for recorder in recorders:
        assert recorder.events == ["aside", "record", "replay", "replay", "replay"]


def test_rehearsing_moves_nothing():
    train = TrainConfig(weight_decay=0.1)
    model, untouched = new_model(SMALL, train), new_model(SMALL, train)
    parallel(model, train)
    assert_same_weights(model, untouched, atol=0)


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_where_one_device_cannot_capture_none_does_and_the_name_says_so(optimizer, caplog):
    train = BATCHES_OF_64.with_values(optimizer=optimizer)
    recorders = [FakeRecorder(), FakeRecorder(fails=CaptureFailed("not permitted"))]
    plain, model = new_model(SMALL, train), new_model(SMALL, train)
    step, name = rehearsed(model, train, recorders)
    assert name == f"each batch divided among 2 GPUs, not captured, {optimizer}"
    assert "not permitted" in caplog.text
    data = batches(4)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-5)
    assert not any("replay" in recorder.events for recorder in recorders)


def test_a_capture_that_fails_later_goes_on_eagerly_from_where_it_was(caplog):
    train = BATCHES_OF_64
    recorders = [FakeRecorder(), FakeRecorder()]
    plain, model = new_model(SMALL, train), new_model(SMALL, train)
    step, _ = rehearsed(model, train, recorders)
    recorders[1].fails = CaptureFailed("not permitted")
    data = batches(4)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-5)
    assert caplog.text.count("not captured") == 1


def test_out_of_memory_in_a_capture_is_not_a_reason_to_compute_eagerly():
    recorders = [FakeRecorder(), FakeRecorder(fails=torch.OutOfMemoryError("out of memory"))]
    with pytest.raises(torch.OutOfMemoryError):
        rehearsed(new_model(SMALL, TrainConfig()), TrainConfig(), recorders)


def test_bfloat16_is_used_by_every_replica_and_named():
    train = TrainConfig(mlp_precision="bfloat16")
    step, name = rehearsed(new_model(SMALL, train), train, [FakeRecorder(), FakeRecorder()])
    assert name.endswith("adam, network in bfloat16")
    for replica in step._replicas:
        assert isinstance(replica._objective.model.deep, Bfloat16Deep)
    assert {weight.dtype for each in step._replicas for weight in each.weights} == {torch.float32}


def test_gpus_that_cannot_send_to_each_other_are_refused_with_the_way_out(monkeypatch):
    check_exchange([CPU, CPU])

    def refuse(*_: object) -> None:
        raise RuntimeError("NCCL Error 2: unhandled system error\nmore of it")

    monkeypatch.setattr(parallel_module, "broadcast", refuse)
    with pytest.raises(RunError, match=r"system error\)\. Set the device to cuda, which trains"):
        check_exchange([CPU, CPU])


# --- the choice of devices ----------------------------------------------------------------


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    """Makes torch say that the machine has so many GPUs."""

    def are_there(*names: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda d: names[d.index or 0])

    return are_there


def test_all_gpus_are_taken_when_they_are_asked_for_and_one_otherwise(gpus):
    gpus("H100", "H100", "L4")
    all_of_them = choose_devices(ALL_GPUS)
    assert [str(device) for device in all_of_them] == ["cuda:0", "cuda:1", "cuda:2"]
    assert device_name(*all_of_them) == "3 GPUs, H100 and L4"
    for one in ("auto", "cuda"):
        assert choose_devices(one) == (torch.device("cuda"),)
    assert choose_devices("cpu") == (CPU,)


def test_one_gpu_is_trained_on_as_one_and_the_run_says_so(gpus):
    gpus("H100")
    assert choose_devices(ALL_GPUS) == (torch.device("cuda"),)
    notice = devices.one_gpu_notice(ALL_GPUS, choose_devices(ALL_GPUS))
    assert notice is not None and "one usable GPU" in notice.text
    assert devices.one_gpu_notice("cuda", choose_devices("cuda")) is None
    gpus("H100", "H100")
    assert devices.one_gpu_notice(ALL_GPUS, choose_devices(ALL_GPUS)) is None


def test_without_a_gpu_cuda_all_is_refused_with_the_way_out(gpus):
    gpus()
    with pytest.raises(LimitError, match=r"no usable GPU\. Set the device to auto or cpu"):
        choose_devices(ALL_GPUS)


def test_a_model_that_fits_the_first_gpu_alone_is_refused(dataset, monkeypatch):
    monkeypatch.setattr(memory, "memory_bytes", lambda d: 2**30 if d == CPU else 10)
    memory.check_memory(dataset, SMALL, CPU)
    with pytest.raises(LimitError, match="Lower the factor size or the MLP dims"):
        memory.check_memory(dataset, SMALL, CPU, torch.device("cuda", 1))


# --- a whole training ---------------------------------------------------------------------


def train_on(dataset: Dataset, out, **options) -> list[Event]:
    events: list[Event] = []
    config = TrainConfig(epochs=3, batch_size=1_000, drop_last=False, device=ALL_GPUS)
    loop.train(dataset, DROPOUT, config, out=out, on_event=events.append, **options)
    return events


def curve(events: list[Event]) -> list[object]:
    return [(e.epoch, e.train, e.validation) for e in events if isinstance(e, Epoch)]


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a training take the CPU for two devices."""
    recorders = [FakeRecorder(), FakeRecorder()]
    monkeypatch.setattr(session, "choose_devices", lambda wanted: (CPU, CPU))
    monkeypatch.setattr(
        session, "choose_step", lambda model, config, other: rehearsed(model, config, recorders)
    )


def test_a_run_over_several_devices_goes_on_from_its_checkpoint(dataset, tmp_path, two_cpus):
    whole = train_on(dataset, tmp_path / "whole")
    assert isinstance(whole[0], Started)
    assert whole[0].step.startswith("each batch divided among 2 GPUs")
    assert not any(isinstance(e, Notice) and e.kind == "one-gpu" for e in whole)
    asked = iter([False] * 4 + [True] * 10)
    train_on(dataset, tmp_path / "stopped", should_stop=lambda: next(asked))
    assert has_checkpoint(tmp_path / "stopped")
    events: list[Event] = []
    loop.resume(tmp_path / "stopped", dataset, on_event=events.append)
    assert curve(events)[-1] == curve(whole)[-1]


def test_a_run_that_was_to_have_all_gpus_and_has_one_says_so(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "choose_devices", lambda wanted: (CPU,))
    monkeypatch.setattr(session, "choose_step", lambda m, c: (PlainStep(m, c), "plain"))
    events = train_on(dataset, tmp_path / "run", should_stop=lambda: True)
    told = [event.text for event in events if isinstance(event, Notice) and event.kind == "one-gpu"]
    assert len(told) == 1 and "as with cuda" in told[0]


# --- with GPUs ----------------------------------------------------------------------------


def on_one_gpu_twice(model: DeepFM, train: TrainConfig) -> tuple[ParallelStep, str]:
    device, train = torch.device("cuda"), train.with_values(batch_size=64)
    return rehearsed(model, train, [CudaRecorder(device), CudaRecorder(device)])


@on_gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_gpu_taken_twice_follows_the_plain_step(variant):
    config, train = VARIANTS[variant]
    data = batches(20, device="cuda") + [batches(1, rows, "cuda")[0] for rows in UNEVEN]
    plain, divided = (new_model(config, train, "cuda") for _ in range(2))
    step, name = on_one_gpu_twice(divided, train)
    assert name.startswith("each batch divided among 2 GPUs")
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-4)
    assert_same_weights(plain, divided, atol=1e-4)


@on_gpu
def test_dense_gradients_are_captured_and_repeat_to_the_last_digit():
    train = TrainConfig()
    curves = []
    for _ in range(2):
        step, name = on_one_gpu_twice(new_model(DROPOUT, train, "cuda"), train)
        assert name == "each batch divided among 2 GPUs, captured as CUDA graphs, adam"
        curves.append(losses(step, batches(8, device="cuda")))
    assert curves[0] == curves[1]


@on_gpu
@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_on_a_gpu_another_step_goes_on_from_its_state(optimizer):
    train = TrainConfig(optimizer=optimizer)
    data = batches(8, device="cuda")
    whole, model, resumed = (new_model(DROPOUT, train, "cuda") for _ in range(3))
    expected = losses(on_one_gpu_twice(whole, train)[0], data)
    step, again = (on_one_gpu_twice(each, train)[0] for each in (model, resumed))
    found = losses(step, data[:4])
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    again.load_state(step.state())
    found += [float(again(*batch, 1, index).loss) for index, batch in enumerate(data[4:], 4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@on_gpus
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_gpus_follow_the_plain_step(variant):
    config, train = VARIANTS[variant]
    train = train.with_values(batch_size=64)
    data = batches(20, device="cuda") + [batches(1, rows, "cuda")[0] for rows in UNEVEN]
    plain, divided = (new_model(config, train, "cuda") for _ in range(2))
    step, _ = choose_step(divided, train, *choose_devices(ALL_GPUS)[1:])
    assert isinstance(step, ParallelStep)
    np.testing.assert_allclose(losses(step, data), losses(PlainStep(plain, train), data), rtol=1e-4)
    assert_same_weights(plain, divided, atol=1e-4)


@on_gpus
@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_a_run_on_all_gpus_learns_and_names_them(optimizer, dataset, tmp_path):
    events: list[Event] = []
    model = ModelConfig(mlp_dims=(64,))
    config = TrainConfig(epochs=3, batch_size=256, device=ALL_GPUS, optimizer=optimizer)
    loop.train(dataset, model, config, out=tmp_path / "run", on_event=events.append)
    assert isinstance(events[0], Started)
    assert events[0].device.startswith(f"{torch.cuda.device_count()} GPUs, ")
    ends = [event for event in events if isinstance(event, Epoch)]
    assert ends[-1].train.loss < ends[0].train.loss
