"""Encoded rows to optimisation steps as D2L's book takes them: what ours is compared with.

A Dataset that builds a tensor a row, a DataLoader, autograd and torch's Adam as it comes. The
model is the readable one of this library; its equations and sizes are the book's.
"""

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from deepfm.data.dataset import Part
from deepfm.model import DeepFM

LEARNING_RATE = 0.01


class RowDataset(TorchDataset[tuple[Tensor, Tensor]]):
    """The rows of a part, one at a time."""

    def __init__(self, part: Part) -> None:
        self._ids = np.array(part.ids, dtype=np.int64)
        self._labels = np.array(part.labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        """ids int64[F] and the label, float32."""
        return torch.tensor(self._ids[row]), torch.tensor(self._labels[row])


class PlainTraining:
    """A model and its optimiser, moved by one batch at a time.

    sparse   gradients hold only the batch's rows, and the tables have torch's SparseAdam
    """

    def __init__(self, model: DeepFM, *, sparse: bool = False) -> None:
        self._model = model
        tables = [table.weight for table in model.tables()] if sparse else []
        is_table = {id(weight) for weight in tables}
        others = [weight for weight in model.parameters() if id(weight) not in is_table]
        self._optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=LEARNING_RATE)]
        if sparse:
            self._optimizers.append(torch.optim.SparseAdam(tables, lr=LEARNING_RATE))

    def step(self, ids: Tensor, labels: Tensor) -> None:
        """One optimisation step; ids int64[B, F], labels float32[B]."""
        loss = binary_cross_entropy_with_logits(self._model(ids), labels)
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self._optimizers:
            optimizer.step()


def pipeline(
    training: PlainTraining, part: Part, batch_size: int, device: torch.device
) -> Iterator[int]:
    """The seed's loop, epoch after epoch: DataLoader, step; yields the rows of each step."""
    loader = DataLoader(RowDataset(part), batch_size=batch_size, shuffle=True)
    for _ in repeat(None):
        for ids, labels in loader:
            training.step(ids.to(device), labels.to(device))
            yield len(labels)


def tight_loop(
    training: PlainTraining, part: Part, batch_size: int, device: torch.device
) -> Iterator[int]:
    """All rows in one tensor on the device, batches by index; yields the rows of each step."""
    ids = torch.from_numpy(np.array(part.ids, dtype=np.int64)).to(device)
    labels = torch.from_numpy(np.array(part.labels)).to(device)
    for _ in repeat(None):
        for rows in torch.randperm(len(labels), device=device).split(batch_size):
            training.step(ids[rows], labels[rows])
            yield len(rows)


def step_alone(
    training: PlainTraining, part: Part, batch_size: int, device: torch.device
) -> Iterator[int]:
    """The step on batches that are ready; yields the rows of each step."""
    batches = [(ids.long(), labels) for ids, labels in ready_batches(part, batch_size, device)]
    for _ in repeat(None):
        for ids, labels in batches:
            training.step(ids, labels)
            yield len(labels)


READY_BATCHES = 256
"""At most so many batches are held ready for the steps alone: an epoch of half a million rows.
With few, the same rows of a large table would come again while they are still in the cache."""


def ready_batches(part: Part, batch_size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Some whole batches of rows in any order, int32[B, F] and float32[B], on the device.

    One smaller batch where the part has no whole one.
    """
    order = np.random.default_rng(0).permutation(len(part))
    count = max(1, min(READY_BATCHES, len(order) // batch_size))
    chosen = [order[i * batch_size :][:batch_size] for i in range(count)]
    return [
        (
            torch.from_numpy(part.ids[rows]).to(device),
            torch.from_numpy(part.labels[rows]).to(device),
        )
        for rows in chosen
    ]
