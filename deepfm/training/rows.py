"""A part of a dataset to batches on a device, and to logits over all of its rows."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.data.dataset import Part
from deepfm.errors import LimitError
from deepfm.model import DeepFM, TermTensors
from deepfm.terms import Terms
from deepfm.training.step import mixed_seed

EVALUATION_BLOCK = 16_384
"""Rows scored at once: large enough to be fast, small enough for any device."""


class Rows:
    """The encoded rows of one part, ready to be taken by index onto a device.

    On a GPU the part is resident there when it takes less than half of the free memory;
    otherwise, and on the CPU, batches are gathered from the (memory-mapped) arrays.
    """

    def __init__(self, part: Part, device: torch.device) -> None:
        self.ids: NDArray[np.int32] = part.ids
        self.labels: NDArray[np.float32] = part.labels
        self._device = device
        self._resident = self._upload() if self._fits(device) else None

    def __len__(self) -> int:
        return len(self.labels)

    def _fits(self, device: torch.device) -> bool:
        if device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return self.ids.nbytes + self.labels.nbytes < free // 2

    def _upload(self) -> tuple[Tensor, Tensor]:
        return (
            torch.from_numpy(np.array(self.ids)).to(self._device),
            torch.from_numpy(np.array(self.labels)).to(self._device),
        )

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Rows by index: ids int32[B, F] and labels float32[B] on the device."""
        if self._resident is not None:
            index = torch.from_numpy(rows).to(self._device)
            return self._resident[0][index], self._resident[1][index]
        ids = torch.from_numpy(np.take(self.ids, rows, axis=0))
        labels = torch.from_numpy(np.take(self.labels, rows))
        return ids.to(self._device), labels.to(self._device)

    def batches(
        self, batch_size: int, seed: int, epoch: int, drop_last: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in an order that is a pure function of (seed, epoch): a full permutation."""
        order = np.random.default_rng(mixed_seed(seed, epoch)).permutation(len(self))
        for start in range(0, self.steps(batch_size, drop_last) * batch_size, batch_size):
            yield self.take(order[start : start + batch_size])

    def steps(self, batch_size: int, drop_last: bool) -> int:
        """Steps in one epoch; a part smaller than one batch still makes one step."""
        whole, rest = divmod(len(self), batch_size)
        return whole if whole and (drop_last or not rest) else whole + 1


@torch.inference_mode()
def score(model: DeepFM, ids: NDArray[np.int32], device: torch.device) -> Terms:
    """int32[N, F] to the terms of every row, in evaluation mode and in blocks."""
    was_training = model.training
    model.eval()
    blocks = [
        _to_numpy(model.terms(torch.from_numpy(np.array(block)).to(device)))
        for block in np.array_split(ids, max(1, -(-len(ids) // EVALUATION_BLOCK)))
    ]
    model.train(was_training)
    return Terms(*(np.concatenate([block[i] for block in blocks]) for i in range(3)))


def _to_numpy(terms: TermTensors) -> list[NDArray[np.float32]]:
    return [term.cpu().numpy() for term in terms]


def choose_device(wanted: str) -> torch.device:
    """auto, cpu or cuda to a device that is there; LimitError if it is not."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise LimitError("This machine has no usable GPU. Set the device to auto or cpu.")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def device_name(device: torch.device) -> str:
    """The device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
