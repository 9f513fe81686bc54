"""Rows to a GPU and scores back from it: the order of things here on the CPU, with a carrier that
copies late; and, where there is a GPU, the real one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfm.config import TERM_SETS, ModelConfig
from deepfm.data.dataset import Part
from deepfm.model import DeepFM
from deepfm.training import rows as rows_module
from deepfm.training.cuda.capture import Outputs
from deepfm.training.cuda.prefetch import SLOTS, CudaCarrier, Fill, Prefetcher, Slot
from deepfm.training.cuda.scoring import LEAST_BLOCKS, BlockScorer, block_scorer
from deepfm.training.order import Piece
from deepfm.training.rows import EVALUATION_BLOCK, Rows, device_order, score, upload
from deepfm.training.step import mixed_seed

on_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: no CUDA device is usable here"
)
CPU = torch.device("cpu")
FIELD_DIMS = (50, 400, 9)


@dataclass
class LateCarrier:
    """Copies a batch at the last moment a device may: when it is received or waited for.

    A slot that is written too early shows as a wrong batch. events: sent and received, in order.
    """

    events: list[str] = field(default_factory=list)
    parcels: "list[LateParcel]" = field(default_factory=list)

    def slot(self, rows: int, fields: int) -> Slot:
        return Slot(torch.zeros((rows, fields), dtype=torch.int32), torch.zeros(rows))

    def send(self, ids: Tensor, labels: Tensor) -> "LateParcel":
        parcel = LateParcel(ids, labels, self.events, len(self.parcels))
        self.events.append(f"send {parcel.number}")
        self.parcels.append(parcel)
        return parcel


@dataclass
class LateParcel:
    ids: Tensor
    labels: Tensor
    events: list[str]
    number: int
    copied: bool = False

    def departed(self) -> None:
        if not self.copied:
            self.ids, self.labels, self.copied = self.ids.clone(), self.labels.clone(), True

    def receive(self) -> tuple[Tensor, Tensor]:
        self.departed()
        self.events.append(f"receive {self.number}")
        return self.ids, self.labels


class RunsAgain:
    """Records nothing: a replay runs the function again."""

    device = CPU
    generator = torch.default_generator

    def aside(self) -> torch.autograd.profiler.record_function:
        return torch.autograd.profiler.record_function("aside")

    def record(self, body: Callable[[], Outputs]) -> Callable[[], Outputs]:
        return body


def part_of(count: int, folder: Path | None = None, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(FIELD_DIMS)[:-1]))
    ids = (rng.integers(0, FIELD_DIMS, (count, len(FIELD_DIMS))) + offsets).astype(np.int32)
    labels = (rng.random(count) < 0.3).astype(np.float32)
    if folder is not None:
        np.save(folder / "ids.npy", ids)
        ids = np.load(folder / "ids.npy", mmap_mode="r")
    return Part("train", ids, labels, None, folder or Path())


def fills(count: int) -> list[Fill]:
    """Batch number i holds i everywhere, and has one row less than the one before."""

    def fill(number: int, slot: Slot) -> int:
        rows = len(slot.labels) - number
        slot.ids[:rows], slot.labels[:rows] = number, number
        return rows

    return [partial(fill, number) for number in range(count)]


@pytest.mark.parametrize("count", range(SLOTS + 4))
def test_batches_arrive_whole_and_in_order(count):
    received = list(Prefetcher(LateCarrier(), 20, 2).batches(fills(count)))
    assert len(received) == count
    for number, (ids, labels) in enumerate(received):
        assert ids.shape == (20 - number, 2) and labels.shape == (20 - number,)
        assert (ids == number).all() and (labels == number).all()


def test_the_next_batches_are_under_way_before_one_is_used():
    carrier = LateCarrier()
    batches = Prefetcher(carrier, 20, 2).batches(fills(6))
    next(batches)
    assert carrier.events == ["send 0", "send 1", "send 2", "receive 0"]
    next(batches)
    assert carrier.events[4:] == ["send 3", "receive 1"]


def test_after_a_stop_in_the_middle_no_copy_is_under_way():
    carrier = LateCarrier()
    prefetcher = Prefetcher(carrier, 20, 2)
    batches = prefetcher.batches(fills(9))
    next(batches)
    batches.close()
    assert all(parcel.copied for parcel in carrier.parcels)
    assert [int(labels[0]) for _, labels in prefetcher.batches(fills(4))] == [0, 1, 2, 3]


def test_gathering_writes_the_rows_into_the_slot(tmp_path):
    part = part_of(100, tmp_path)
    slot = LateCarrier().slot(10, len(FIELD_DIMS))
    wanted = np.array([99, 0, 7, 7])
    pieces = [Piece(part.ids, part.labels, wanted[:1]), Piece(part.ids, part.labels, wanted[1:])]
    assert rows_module._fill(pieces, slot) == 4
    ids, labels = slot.head(4)
    np.testing.assert_array_equal(ids.numpy(), part.ids[wanted])
    np.testing.assert_array_equal(labels.numpy(), part.labels[wanted])


def test_the_order_on_the_cpu_is_numpys_permutation(tmp_path):
    part = part_of(103, tmp_path)
    order = np.random.default_rng(mixed_seed(5, 2)).permutation(103)
    batches = list(Rows(part, CPU).batches(25, seed=5, epoch=2, drop_last=False))
    assert [len(labels) for _, labels in batches] == [25, 25, 25, 25, 3]
    np.testing.assert_array_equal(torch.cat([ids for ids, _ in batches]), part.ids[order])
    np.testing.assert_array_equal(torch.cat([labels for _, labels in batches]), part.labels[order])


def test_the_order_of_resident_rows_is_a_permutation_and_a_function_of_its_seed():
    order = device_order(1_000, 7, CPU)
    assert sorted(order.tolist()) == list(range(1_000))
    torch.rand(3)
    assert torch.equal(order, device_order(1_000, 7, CPU))
    assert not torch.equal(order, device_order(1_000, 8, CPU))


def test_resident_batches_hold_the_rows_that_the_order_names():
    part = part_of(103)
    ids, labels = torch.from_numpy(part.ids), torch.from_numpy(part.labels)
    chunks = device_order(103, 1, CPU).split(25)
    batches = list(rows_module._resident_batches(ids, labels, chunks))
    for chunk, (batch_ids, batch_labels) in zip(chunks, batches, strict=True):
        assert torch.equal(batch_ids, ids[chunk]) and torch.equal(batch_labels, labels[chunk])


def test_an_upload_in_pieces_is_the_whole_array(tmp_path):
    part = part_of(103, tmp_path)
    there = upload(part.ids, CPU, rows=20)
    assert there.dtype == torch.int32
    np.testing.assert_array_equal(there.numpy(), part.ids)
    np.testing.assert_array_equal(upload(part.labels, CPU, rows=103).numpy(), part.labels)


@pytest.mark.parametrize("name", sorted(TERM_SETS))
@pytest.mark.parametrize("count", [1, 32, 33, 150])
def test_blocks_score_as_the_model_does(name, count, tmp_path):
    config = ModelConfig(num_factors=3, mlp_dims=(5,), terms=TERM_SETS[name])
    model = DeepFM(FIELD_DIMS, config).eval()
    part = part_of(count, tmp_path)
    with torch.inference_mode():
        scorer = BlockScorer(model, 32, RunsAgain(), LateCarrier())
        first = scorer(part.ids)
        again = scorer(part.ids)
        expected = torch.stack(model.terms(torch.from_numpy(np.array(part.ids)))).numpy()
    np.testing.assert_allclose(first, expected, atol=1e-6)
    np.testing.assert_array_equal(first, again)


def test_a_scorer_notices_weights_that_moved_elsewhere():
    model = DeepFM(FIELD_DIMS, ModelConfig(num_factors=3, mlp_dims=(5,)))
    scorer = BlockScorer(model, 32, RunsAgain(), LateCarrier())
    with torch.no_grad():
        model.factors.weight.mul_(2)
    assert scorer.still_fits(model)
    model.factors.weight.data = model.factors.weight.data.clone()
    assert not scorer.still_fits(model)


# --- with a GPU ---------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize("resident", [True, False])
def test_an_epoch_on_the_gpu_holds_every_row_once(resident, tmp_path, monkeypatch):
    if not resident:
        monkeypatch.setattr(Rows, "_fits", lambda self, device: False)
    part = part_of(10_007, tmp_path)
    rows = Rows(part, torch.device("cuda"))
    epochs = []
    for epoch in (1, 1, 2):
        batches = list(rows.batches(512, seed=3, epoch=epoch, drop_last=False))
        assert all(ids.is_cuda and ids.dtype == torch.int32 for ids, _ in batches)
        epochs.append(torch.cat([torch.column_stack((ids, y.int())) for ids, y in batches]).cpu())
    assert torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], epochs[2])
    whole = np.column_stack((part.ids, part.labels.astype(np.int32)))
    assert sorted(map(tuple, epochs[2].tolist())) == sorted(map(tuple, whole.tolist()))


@on_gpu
def test_prefetched_batches_are_right_while_the_device_is_busy(tmp_path):
    part = part_of(200_000, tmp_path)
    busy = torch.randn(2_000, 2_000, device="cuda")
    order = np.random.default_rng(0).permutation(200_000).reshape(-1, 4_000)
    prefetcher = Prefetcher(CudaCarrier(torch.device("cuda")), 4_000, len(FIELD_DIMS))
    kept = []
    pieces = ([Piece(part.ids, part.labels, chunk)] for chunk in order)
    for ids, labels in prefetcher.batches(partial(rows_module._fill, batch) for batch in pieces):
        busy = (busy @ busy).clamp(-1, 1)
        kept.append((ids.clone(), labels.clone()))
    for chunk, (ids, labels) in zip(order, kept, strict=True):
        np.testing.assert_array_equal(ids.cpu(), part.ids[chunk])
        np.testing.assert_array_equal(labels.cpu(), part.labels[chunk])


@on_gpu
def test_captured_scores_are_the_models_and_follow_its_weights():
    device = torch.device("cuda")
    model = DeepFM(FIELD_DIMS, ModelConfig()).to(device)
    part = part_of(LEAST_BLOCKS * EVALUATION_BLOCK + 77)
    for _ in range(2):
        found = score(model, part.ids, device)
        assert model.training
        scorer = block_scorer(model, EVALUATION_BLOCK, device)
        assert scorer is not None, "the capture failed"
        with torch.inference_mode():
            expected = model.eval().terms(torch.from_numpy(part.ids).to(device))
        model.train()
        for term, there in zip(found, expected, strict=True):
            np.testing.assert_allclose(term, there.cpu(), atol=1e-5)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.05)
