"""One batch to one moved model on the CPU: the plain step's equations without autograd.

The tables lie side by side in one array, a row a feature, so that a lookup touches one place; the
model's own embeddings become views of it, and the network's weights views of one flat array. A
few threads each take a share of the rows (forward, backward) and then a share of the fields
(their gradients and Adam): no two ever write one place, and a feature sums its rows in their
order. Matrix products are torch's; the loops between them are compiled (cpu_kernels.py). Where
the batch looks features up more often than there are any, the network's first layer is folded
into the tables (cpu_folded.py), which spares the widest products.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.config import ModelConfig, TrainConfig
from deepfm.model import DeepFM
from deepfm.training import cpu_folded as folding
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_kernels import AdamConstants
from deepfm.training.cpu_memory import Buffers, Folded, Tables
from deepfm.training.cpu_network import Network, Share
from deepfm.training.cpu_state import kept_by_name
from deepfm.training.crew import Crew
from deepfm.training.step import Step, StepResult, StepState, mixed_seed, refuse_behind

MOST_THREADS: Final = 4
"""More threads than this wait for Python's lock longer than they compute."""
LEAST_ROWS: Final = 64
"""Rows that are worth a thread of their own."""
DENSE_NUMBERS: Final = 1_000_000
"""From this size of the tables on, exact Adam catches rows up instead of visiting all of them."""
FOLDING_SHARE: Final = 0.4
"""Up to so many features for each lookup of a batch the first layer is folded into the tables."""
FOLDED_LOOKUPS: Final = 9.0
"""What folding, unfolding and Adam do with a feature, in lookups of a batch (measured)."""
NO_NETWORK: Final = np.zeros((0, 0), np.float32)

Update = Literal["dense", "catch-up", "lazy"]


@dataclass(frozen=True)
class Batch:
    """ids int32[B, F], labels float32[B], and the seeds of dropout, one a layer's input."""

    ids: NDArray[np.int32]
    labels: NDArray[np.float32]
    seeds: tuple[np.uint32, ...]

    def __len__(self) -> int:
        return len(self.labels)


class CpuStep(Step):
    """The compiled step: PlainStep's equations, in another order of summation.

    Dropout is a hash of (seed, epoch, index, layer, position), so its draws differ from torch's.
    update    how Adam visits the tables: every row ("dense"), only touched rows that first make
              up for what they missed ("catch-up", as exact), or only touched rows ("lazy")

    folds     whether the first layer is folded into the tables; by default where that is faster

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
        folds = _folding_is_faster(model, config) if folds is None else folds
        self._folded = Folded.of(self._tables, self._network, threads) if folds else None
        self._buffers = self._room(0)
        self.update: Update = update or _choose_update(config, self._tables)
        lookups = FOLDED_LOOKUPS if folds else 1.0 if self.update == "dense" else 0.0
        self._fields = shares_of_fields(model, config, threads, lookups)
        self._steps = 0
        self._rates = self._roots = np.zeros(1, np.float32)

    def __call__(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> StepResult:
        """One step; ids int32[B, F] and labels float32[B] on the CPU."""
        self._steps += 1
        constants = self._constants()
        batch = self._batch(ids, labels, epoch, index)
        if len(self._buffers) != len(batch):
            self._buffers = self._room(len(batch))
        if self.update != "dense":
            self._each_part(batch, lambda part: self._find_touched(batch, part))
        if (folded := self._folded) is not None:
            folded.read_layer(self._network.layers[0])
            self._each_part(batch, lambda part: self._fold(folded, part))
        self._each_part(batch, lambda part: self._forward_and_backward(batch, part))
        self._each_part(batch, lambda part: self._update_tables(batch, part, constants))
        if self._folded is not None:
            self._folded.write_gradient(self._network.layers[0])
        self._network.update(self._buffers.sums, constants)
        loss = float(self._buffers.sums[:, 0].sum())
        return StepResult(self._buffers.logits.clone(), torch.tensor(loss))

    def settle(self, ids: NDArray[np.int32] | None = None) -> None:
        """Bring the rows of some impressions int32[N, F] up to date; without ids every row."""
        if self.update != "catch-up":
            return
        rows = np.arange(len(self._tables.weights)) if ids is None else np.unique(ids)
        shares = np.array_split(rows.astype(np.int64), self._crew.size)
        self._crew.run(lambda part: self._catch_up(shares[part], self._steps))

    @property
    def folds(self) -> bool:
        """Whether the network's first layer is folded into the tables."""
        return self._folded is not None

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
            self._constants()  # which catching up needs of every step

    def close(self) -> None:
        """End the threads."""
        self._crew.close()

    def _room(self, rows: int) -> Buffers:
        return Buffers.of(rows, self._tables, self._network, self._crew.size, self._folded)

    def _each_part(self, batch: Batch, work: Callable[[int], None]) -> None:
        """Every part of the work, on threads where the batch is worth them."""
        if len(batch) >= LEAST_ROWS * self._crew.size:
            self._crew.run(work)
        else:
            for part in range(self._crew.size):
                work(part)

    def _batch(self, ids: Tensor, labels: Tensor, epoch: int, index: int) -> Batch:
        seeds = (
            np.uint32(mixed_seed(self._config.seed, epoch, index, layer) & 0xFFFFFFFF)
            for layer in range(self._network.depth)
        )
        contiguous = np.ascontiguousarray(ids.numpy(), dtype=np.int32)
        return Batch(contiguous, np.ascontiguousarray(labels.numpy()), tuple(seeds))

    def _constants(self) -> AdamConstants:
        """Adam's constants of this step, corrected in double precision as torch does."""
        step, config = self._steps, self._config
        rate = np.float32(config.learning_rate / (1 - 0.9**step))
        root = np.float32(1 / np.sqrt(1 - 0.999**step))
        if self.update == "catch-up":
            if step >= len(self._rates):
                more = np.zeros(max(1_024, len(self._rates)), np.float32)
                self._rates = np.concatenate((self._rates, more))
                self._roots = np.concatenate((self._roots, more))
            self._rates[step], self._roots[step] = rate, root
        return AdamConstants(rate, root, np.float32(config.weight_decay))

    def _find_touched(self, batch: Batch, part: int) -> None:
        """The features of this part's fields in the batch, brought up to the step before."""
        (first, last), found = self._fields[part], self._buffers.found[part]
        stamp = self._tables.stamp
        count = kernels.touched_rows(batch.ids, first, last, stamp, self._steps, found)
        self._buffers.counts[part] = count
        if self.update == "catch-up":
            self._catch_up(found[:count], self._steps - 1)

    def _catch_up(self, rows: NDArray[np.int64], until: int) -> None:
        tables = self._tables
        kernels.catch_up(
            rows,
            until,
            tables.last,
            tables.weights,
            tables.mean,
            tables.square,
            self._rates,
            self._roots,
        )

    def _fold(self, folded: Folded, part: int) -> None:
        """This part's fields: what each feature adds to a row of the batch."""
        tables, (first, last) = self._tables, self._fields[part]
        folding.fold(
            tables.weights,
            tables.offsets,
            first,
            last,
            tables.columns,
            folded.weight,
            folded.table,
        )

    def _forward_and_backward(self, batch: Batch, part: int) -> None:
        """This part's rows: terms, loss, and the gradients of embeddings and network."""
        network, share = self._network, self._buffers.shares[part]
        self._gather(batch, share, part)
        first = 0 if self._folded is None else 1
        network.forward(share, batch.seeds, first)
        kernels.loss_and_slope(
            share.linear_sums,
            network.linear_scale,
            network.linear_bias,
            share.pairwise,
            share.deep,
            batch.labels[share.rows],
            len(batch),
            share.logits,
            share.slopes,
            self._buffers.sums[part],
        )
        network.backward(share, batch.seeds, first, part)
        if self._folded is not None:
            folding.spread_slopes(
                share.slope_arrays[1], share.slopes, share.factor_sums, share.spread
            )

    def _gather(self, batch: Batch, share: Share, part: int) -> None:
        """Some rows' lookups: the FM's sums, and what the network reads or its first layer says."""
        tables, folded, ids = self._tables, self._folded, batch.ids[share.rows]
        sums = (share.factor_sums, share.linear_sums, share.pairwise)
        if folded is None:
            embedded = share.input_arrays[0] if share.inputs else NO_NETWORK
            kernels.gather(tables.weights, ids, tables.columns, embedded, *sums)
            return
        bias = self._network.layers[0].bias.numpy()
        folding.gather_folded(
            folded.table, ids, bias, folded.totals[part], share.input_arrays[1], *sums
        )

    def _update_tables(self, batch: Batch, part: int, constants: AdamConstants) -> None:
        """This part's fields: the gradients of their features, then Adam."""
        self._scatter(batch, *self._fields[part])
        self._adam(part, constants)

    def _scatter(self, batch: Batch, first: int, last: int) -> None:
        """The gradients of the features of some fields."""
        tables, buffers, folded = self._tables, self._buffers, self._folded
        l2 = np.float32(2 * self._config.embedding_l2 / len(batch))
        if folded is None:
            kernels.scatter(
                tables.gradient,
                tables.weights,
                batch.ids,
                first,
                last,
                tables.columns,
                buffers.slopes,
                self._network.linear_scale,
                buffers.factor_sums,
                buffers.input_slopes[0].numpy() if buffers.inputs else NO_NETWORK,
                l2,
            )
            return
        folding.scatter_folded(batch.ids, first, last, buffers.spread, folded.collected)
        folding.unfold(
            tables.weights,
            tables.offsets,
            first,
            last,
            tables.columns,
            folded.weight,
            self._network.linear_scale,
            l2,
            folded.collected,
            tables.gradient,
            folded.gradient,
        )

    def _adam(self, part: int, constants: AdamConstants) -> None:
        tables, (first, last) = self._tables, self._fields[part]
        if self.update == "dense":
            kernels.adam(*tables.flat(first, last), constants)
            return
        touched = self._buffers.found[part][: self._buffers.counts[part]]
        kernels.adam_rows(
            touched,
            tables.weights,
            tables.gradient,
            tables.mean,
            tables.square,
            constants,
            self.update == "lazy",
        )
        tables.last[touched] = self._steps


def _folding_is_faster(model: DeepFM, config: TrainConfig) -> bool:
    """Where a batch looks up more features than there are, and dropout leaves embeddings alone."""
    if model.deep is None or model.config.embedding_drop_rate:
        return False
    features, fields = sum(model.field_dims), len(model.field_dims)
    return features <= config.batch_size * fields * FOLDING_SHARE


def _choose_update(config: TrainConfig, tables: Tables) -> Update:
    """Weight decay moves every row at every step, so nothing can be put off under it."""
    if config.optimizer == "lazy-adam":
        return "lazy"
    return "dense" if config.weight_decay or tables.weights.size < DENSE_NUMBERS else "catch-up"


def shares_of_fields(
    model: DeepFM, config: TrainConfig, parts: int, lookups_a_feature: float
) -> list[tuple[int, int]]:
    """(first, last) fields of each part, in one piece, as even in work as can be.

    lookups_a_feature   what Adam and folding do with a feature, in lookups of the batch
    """
    work = np.asarray(model.field_dims) * lookups_a_feature + config.batch_size
    before = np.concatenate(([0], np.cumsum(work)))
    borders = [int(np.abs(before - before[-1] * part / parts).argmin()) for part in range(parts)]
    return list(pairwise((*borders, len(work))))


def load_kernels() -> None:
    """Compile every loop, or load what is compiled already: no run then waits for it."""
    model = ModelConfig(num_factors=1, mlp_dims=(1,), shared_embedding=False)
    labels = torch.zeros(1)
    for update in get_args(Update):
        optimizer = "lazy-adam" if update == "lazy" else "adam"
        for folds in (False, True):
            drop = model if folds else model.with_values(embedding_drop_rate=0.5)
            step = CpuStep(
                DeepFM((2,), drop), TrainConfig(optimizer=optimizer), update, folds=folds
            )
            with closing(step):
                for index in range(2):
                    step(torch.zeros(1, 1, dtype=torch.int32), labels, 1, index)
                step.settle()
