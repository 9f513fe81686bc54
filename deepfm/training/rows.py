"""A part of a dataset to batches on a device, and to logits over all of its rows."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.config import machine_memory
from deepfm.data.dataset import Part
from deepfm.model import DeepFM
from deepfm.terms import Terms
from deepfm.training.order import Batch, FullOrder, Piece, gather, order_of
from deepfm.training.step import gathered, mixed_seed

if TYPE_CHECKING:
    from deepfm.training.cuda.prefetch import Prefetcher, Slot

EVALUATION_BLOCK = 16_384
"""Rows scored at once: large enough to be fast, small enough for any device."""
CPU_BLOCK = 2_048
"""The same on the CPU, where what a block looks up should stay in its caches."""

UPLOAD_ROWS = 262_144
"""Rows copied at once to where a part is to be resident."""
_TORCH_TYPES = {np.int32: torch.int32, np.float32: torch.float32}


class Rows:
    """The encoded rows of one part, ready to be taken by index onto a device.

    On a GPU the part is resident there when it takes less than half of the free memory, and
    otherwise sent batch by batch, ahead of its use. On the CPU, batches are gathered from the
    (memory-mapped) arrays. How rows are mixed: see order.py; `order` says it in words.
    """

    def __init__(self, part: Part, device: torch.device) -> None:
        self.ids: NDArray[np.int32] = part.ids
        self.labels: NDArray[np.float32] = part.labels
        self._device = device
        self._resident = self._upload() if self._fits(device) else None
        self._order = order_of(part, machine_memory())
        self._prefetcher: Prefetcher | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def order(self) -> str:
        """How well the rows of an epoch are mixed, in words."""
        return FullOrder.words if self._resident is not None else self._order.words

    def _fits(self, device: torch.device) -> bool:
        if device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return self.ids.nbytes + self.labels.nbytes < free // 2

    def _upload(self) -> tuple[Tensor, Tensor]:
        return upload(self.ids, self._device), upload(self.labels, self._device)

    def batches(
        self, batch_size: int, seed: int, epoch: int, drop_last: bool, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch from step number `first` on; its order is a pure function of (seed, epoch).

        ids int32[B, F] and labels float32[B] on the device. Rows that are resident on a GPU are
        permuted there, by its generator: in another order than on the CPU.
        """
        for ids, labels in self.lookups(batch_size, seed, epoch, drop_last, first):
            yield (gathered(ids) if isinstance(ids, Piece) else ids), labels

    def lookups(
        self, batch_size: int, seed: int, epoch: int, drop_last: bool, first: int = 0
    ) -> Iterator[tuple[Tensor | Piece, Tensor]]:
        """The same; on the CPU, where a batch is in one piece, its ids are not gathered yet."""
        steps, rows = self.steps(batch_size, drop_last), len(self)
        cuts = [min(step * batch_size, rows) for step in range(first, steps + 1)]
        if len(cuts) < 2:
            return iter(())
        seed_of_epoch = mixed_seed(seed, epoch)
        if self._resident is not None:
            order = device_order(rows, seed_of_epoch, self._device)
            chunks = order[cuts[0] : cuts[-1]].split(batch_size)
            return _resident_batches(*self._resident, chunks)
        batches = self._order.batches(cuts, seed_of_epoch)
        if self._device.type == "cuda":
            return self._prefetched(batch_size, batches)
        return map(self._take, batches)

    def _take(self, batch: Batch) -> tuple[Tensor | Piece, Tensor]:
        rows = sum(len(piece.rows) for piece in batch)
        if len(batch) == 1:
            (piece,) = batch
            labels = torch.empty(rows)
            np.take(piece.labels, piece.rows, out=labels.numpy(), mode="clip")
            return piece, labels
        ids = torch.empty((rows, self.ids.shape[1]), dtype=torch.int32)
        labels = torch.empty(rows)
        gather(batch, ids.numpy(), labels.numpy())
        return ids, labels

    def _prefetched(
        self, batch_size: int, batches: Iterator[Batch]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches that are gathered and copied while the device computes on those before."""
        from deepfm.training.cuda.prefetch import CudaCarrier, Prefetcher

        if self._prefetcher is None:
            rows = min(batch_size, len(self))
            carrier = CudaCarrier(self._device)
            self._prefetcher = Prefetcher(carrier, rows, self.ids.shape[1])
        return self._prefetcher.batches(partial(_fill, batch) for batch in batches)

    def steps(self, batch_size: int, drop_last: bool) -> int:
        """Steps in one epoch; a part smaller than one batch still makes one step."""
        whole, rest = divmod(len(self), batch_size)
        return whole if whole and (drop_last or not rest) else whole + 1


def _fill(batch: Batch, slot: "Slot") -> int:
    return gather(batch, slot.ids, slot.labels)


def upload(
    array: NDArray[np.int32] | NDArray[np.float32], device: torch.device, rows: int = UPLOAD_ROWS
) -> Tensor:
    """A (memory-mapped) array on the device, with memory of the host for so many rows alone."""
    there = torch.empty(array.shape, dtype=_TORCH_TYPES[array.dtype.type], device=device)
    for start in range(0, len(array), rows):
        part = np.array(array[start : start + rows])
        there[start : start + rows].copy_(torch.from_numpy(part))
    return there


def device_order(rows: int, seed: int, device: torch.device) -> Tensor:
    """A permutation of the rows, int64[N], that is a pure function of the seed on this device."""
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randperm(rows, generator=generator, device=device)


def _resident_batches(
    ids: Tensor, labels: Tensor, chunks: Iterable[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    for chunk in chunks:
        yield ids.index_select(0, chunk), labels.index_select(0, chunk)


@torch.inference_mode()
def score(model: DeepFM, ids: NDArray[np.int32], device: torch.device) -> Terms:
    """int32[N, F] to the terms of every row, in evaluation mode and in blocks."""
    was_training = model.training
    model.eval()
    try:
        terms = _score_captured(model, ids, device) if device.type == "cuda" else None
        if terms is None:
            terms = _score_eagerly(model, ids, device)
    finally:
        model.train(was_training)
    return Terms(*terms)


def _score_captured(
    model: DeepFM, ids: NDArray[np.int32], device: torch.device
) -> NDArray[np.float32] | None:
    """float32[3, N] by a captured graph; None where a graph is not worth its making, or fails."""
    from deepfm.training.cuda.scoring import LEAST_BLOCKS, block_scorer

    if len(ids) < LEAST_BLOCKS * EVALUATION_BLOCK:
        return None
    scorer = block_scorer(model, EVALUATION_BLOCK, device)
    return None if scorer is None else scorer(ids)


def _score_eagerly(
    model: DeepFM, ids: NDArray[np.int32], device: torch.device
) -> NDArray[np.float32]:
    """float32[3, N], linear, pairwise and deep."""
    scored = torch.empty((3, len(ids)))
    size = CPU_BLOCK if device.type == "cpu" else EVALUATION_BLOCK
    for start in range(0, len(ids), size):
        rows = slice(start, start + size)
        block = torch.from_numpy(np.array(ids[rows])).to(device)
        scored[:, rows] = torch.stack(model.terms(block))
    return scored.numpy()
