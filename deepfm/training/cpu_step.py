"""One batch to one moved model on the CPU: the plain step's equations without autograd.

The tables lie side by side in one array, a row a feature, so that a lookup touches one place; the
model's own embeddings become views of it, and the network's weights views of one flat array. A
few threads each take a share of the rows (forward and backward, cpu_rows.py) and then a share of
the fields (their gradients and Adam, cpu_features.py): no two ever write one place, and a feature
sums its rows in their order. Matrix products are torch's; the loops between them are compiled
(cpu_kernels.py, cpu_adam.py). Where a batch looks the same features up again and again, the
network's first layer is folded into the tables (cpu_folded.py), which spares the widest products.
"""

from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.config import ModelConfig, TrainConfig
from deepfm.model import DeepFM
from deepfm.training.cpu_adam import Schedule
from deepfm.training.cpu_compiler import load_without_scipy
from deepfm.training.cpu_features import (
    UPDATES,
    FeatureWork,
    Update,
    choose_update,
    shares_of_fields,
)
from deepfm.training.cpu_memory import Batch, Buffers, FirstLayer, Places
from deepfm.training.cpu_narrow import WIDEST
from deepfm.training.cpu_network import Network
from deepfm.training.cpu_rows import RowWork
from deepfm.training.cpu_state import kept_by_name
from deepfm.training.cpu_tables import Ids, Tables
from deepfm.training.crew import Crew
from deepfm.training.order import Piece
from deepfm.training.step import Step, StepResult, StepState, mixed_seed, refuse_behind

__all__ = ["UPDATES", "CpuStep", "Update", "load_kernels", "shares_of_fields"]

MOST_THREADS: Final = 4
"""More threads than this wait for Python's lock longer than they compute."""
LEAST_ROWS: Final = 64
"""Rows that are worth a thread of their own."""
FOLDING_SHARE: Final = 0.4
"""Up to so many features for each lookup of a batch the first layer is folded into the tables."""
OWN_IDS_BYTES: Final = 4 << 20
"""Up to this size of a batch's ids each part gathers them for itself."""
KEPT_SIZES: Final = 2
"""Batch sizes whose buffers are kept: an epoch's, and that of its last batch."""


class CpuStep(Step):
    """The compiled step: PlainStep's equations, in another order of summation.

    Dropout is a hash of (seed, epoch, index, layer, position), so its draws differ from torch's.
    update    how Adam visits the tables: every row ("dense"), only touched rows that first make
              up for what they missed ("catch-up", as exact), or only touched rows ("lazy")
    folds     whether the first layer is folded into the tables; by default in each batch where
              that is faster

    With catch-up, rows that recent batches did not touch are behind: call `settle` before the
    model is read.
    """

    def __init__(
        self,
        model: DeepFM,
        config: TrainConfig,
        update: Update | None = None,
        *,
        folds: bool | None = None,
    ) -> None:
        threads = min(torch.get_num_threads(), MOST_THREADS, len(model.field_dims))
        self._config = config
        self._crew = Crew(threads)
        self._tables = Tables.of(model)
        self._network = Network(model, threads)
        self._kept = kept_by_name(model, self._tables, self._network)
        self.update: Update = update or choose_update(config, self._tables)
        self._schedule = Schedule(
            config.learning_rate, config.weight_decay, keeps=self.update == "catch-up"
        )
        self._rows = RowWork(self._tables, self._network)
        self._features = FeatureWork(
            self._tables,
            self._network,
            self.update,
            config.embedding_l2,
            self._schedule,
            shares_of_fields(model, config, threads, self.update),
        )
        self._wants_folding = folds
        can_fold = model.deep is not None and not model.config.embedding_drop_rate
        self._first = FirstLayer.of(self._tables, self._network, threads) if can_fold else None
        columns = self._first.columns if self._first else 0
        self._all = (
            Places.of_all(self._tables, columns, threads) if self.update == "dense" else None
        )
        self._kept_buffers: dict[int, Buffers] = {}
        self._buffers = self._room(0)
        self._steps = 0

    def __call__(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step; ids int32[B, F] and labels float32[B] on the CPU."""
        contiguous = np.ascontiguousarray(ids.numpy(), dtype=np.int32)
        self._buffers = self._room(len(labels))
        return self._step((contiguous,) * self._crew.size, None, labels, (epoch, index))

    def of_piece(self, piece: Piece, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step, in which each part gathers the ids of the batch for itself.

        What one core gathers for another has to go from cache to cache, which takes longer.
        """
        if 4 * len(piece.rows) * piece.ids.shape[1] > OWN_IDS_BYTES:
            return super().of_piece(piece, labels, epoch, index)
        self._buffers = self._room(len(labels))
        return self._step(self._buffers.ids, piece, labels, (epoch, index))

    def _step(
        self, ids: tuple[Ids, ...], piece: Piece | None, labels: Tensor, place: tuple[int, int]
    ) -> StepResult:
        """One step; place is (epoch, index)."""
        self._steps += 1
        constants = self._schedule.constants(self._steps)
        batch = self._batch(ids, piece, labels, place)
        if self.update != "dense":
            self._each_part(
                batch, lambda part: self._features.find_touched(batch, self._steps, part)
            )
        first = self._first if self._folds(batch) else None
        if first is not None:
            first.read(self._network.layers[0])
            if not self._buffers.places.folds_apart:
                self._each_part(batch, lambda part: self._features.fold(batch, first, part))
        self._each_part(batch, lambda part: self._forward_and_backward(batch, first, part))
        self._each_part(
            batch, lambda part: self._features.move(batch, first, constants, self._steps, part)
        )
        if first is not None:
            first.write_gradient(self._network.layers[0])
        self._network.update(self._buffers.sums, constants)
        loss = float(self._buffers.sums[:, 0].sum())
        return StepResult(torch.from_numpy(self._buffers.terms.logits.copy()), torch.tensor(loss))

    def _forward_and_backward(self, batch: Batch, first: FirstLayer | None, part: int) -> None:
        """This part's rows, after what it has to make ready for itself."""
        if self.update == "dense":
            batch.gather_ids(part)
        if first is not None and self._buffers.places.folds_apart:
            self._features.fold(batch, first, part)
        self._rows.forward_and_backward(batch, first, part)

    @property
    def is_narrow(self) -> bool:
        """Whether the network is one that goes through in one compiled call."""
        return self._network.narrow is not None

    def settle(self, ids: NDArray[np.int32] | None = None) -> None:
        """Bring the rows of some impressions int32[N, F] up to date; without ids every row."""
        if self.update != "catch-up":
            return
        rows = np.arange(len(self._tables.weights)) if ids is None else np.unique(ids)
        shares = np.array_split(rows.astype(np.int64), self._crew.size)
        self._crew.run(lambda part: self._features.catch_up(shares[part], self._steps))

    def state(self) -> StepState:
        """Adam's moments as they are: with catch-up, `last` says how far each row has come."""
        return StepState(
            self._steps,
            {name: kept.mean for name, kept in self._kept.items()},
            {name: kept.square for name, kept in self._kept.items()},
            torch.from_numpy(self._tables.last) if self.update == "catch-up" else None,
        )

    def load_state(self, state: StepState) -> None:
        """Go on from there. RunError where rows are behind and Adam does not catch up here."""
        if self.update != "catch-up":
            refuse_behind(state)
        for name in state.mean:
            self._kept[name].mean.copy_(state.mean[name])
            self._kept[name].square.copy_(state.square[name])
        self._tables.last[:] = state.steps if state.last is None else state.last.numpy()
        for self._steps in range(1, state.steps + 1):
            self._schedule.constants(self._steps)  # which catching up needs of every step

    def close(self) -> None:
        """End the threads."""
        self._crew.close()

    def _room(self, rows: int) -> Buffers:
        """Buffers for so many rows: those that are there, or new ones."""
        kept = self._kept_buffers
        if rows not in kept:
            while len(kept) >= KEPT_SIZES:
                del kept[next(iter(kept))]
            columns = self._first.columns if self._first else 0
            places = self._all or Places.of_batch(self._tables, columns, self._crew.size, rows)
            factors = self._tables.columns.factors
            kept[rows] = Buffers.of(rows, factors, self._network, self._crew.size, places)
        return kept[rows]

    def _folds(self, batch: Batch) -> bool:
        """Whether the batch looks its features up often enough: a function of the batch alone."""
        if self._wants_folding is not None:
            return self._wants_folding
        return len(self._buffers.places) <= FOLDING_SHARE * batch.ids[0].size

    def _each_part(self, batch: Batch, work: Callable[[int], None]) -> None:
        """Every part of the work, on threads where the batch is worth them."""
        if len(batch) >= LEAST_ROWS * self._crew.size:
            self._crew.run(work)
        else:
            for part in range(self._crew.size):
                work(part)

    def _batch(
        self, ids: tuple[Ids, ...], piece: Piece | None, labels: Tensor, place: tuple[int, int]
    ) -> Batch:
        seeds = [
            mixed_seed(self._config.seed, *place, layer) & 0xFFFFFFFF
            for layer in range(self._network.depth)
        ]
        contiguous = np.ascontiguousarray(labels.numpy())
        return Batch(ids, piece, contiguous, np.array(seeds, np.uint32), self._buffers)


@cache
def load_kernels(update: Update, *, narrow: bool = True) -> None:
    """Compile the loops of a way of Adam, or load what is compiled already, once in a process.

    narrow   those for networks no wider than WIDEST, or those for wider ones
    A quarter of a second that no step then takes, and that no speed of training then counts.
    """
    load_without_scipy()
    model = ModelConfig(
        num_factors=1, shared_embedding=False, mlp_dims=(1 if narrow else WIDEST + 1,)
    )
    config = TrainConfig(optimizer="lazy-adam" if update == "lazy" else "adam")
    with torch.random.fork_rng(devices=()):  # leaves the run's own draws alone
        for folds in (False, True):
            # Dropout on embeddings and folding exclude each other.
            model = model.with_values(embedding_drop_rate=0.0 if folds else 0.5)
            with closing(CpuStep(DeepFM((2,), model), config, update, folds=folds)) as step:
                for index in range(2):
                    step(torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1), 1, index)
                step.settle()
