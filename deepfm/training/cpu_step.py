"""One batch to one moved model on the CPU: the plain step's equations without autograd.

The tables lie side by side in one array, a row a feature, so that a lookup touches one place; the
model's own embeddings become views of it, and the network's weights views of one flat array. A
few threads each take a share of the rows (forward, backward) and then a share of the fields
(their gradients and Adam): no two ever write one place, and a feature sums its rows in their
order. Matrix products are torch's; the loops between them are compiled (cpu_kernels.py). Where
a batch looks the same features up again and again, the network's first layer is folded into the
tables (cpu_folded.py), which spares the widest products.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
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
from deepfm.training.cpu_compiler import load_without_scipy
from deepfm.training.cpu_kernels import AdamConstants
from deepfm.training.cpu_memory import Buffers, FirstLayer, Places, Tables
from deepfm.training.cpu_narrow import WIDEST, NarrowPlan, rows_through
from deepfm.training.cpu_network import Network, Share
from deepfm.training.cpu_state import kept_by_name
from deepfm.training.crew import Crew
from deepfm.training.order import Piece
from deepfm.training.step import Step, StepResult, StepState, mixed_seed, refuse_behind

MOST_THREADS: Final = 4
"""More threads than this wait for Python's lock longer than they compute."""
LEAST_ROWS: Final = 64
"""Rows that are worth a thread of their own."""
DENSE_NUMBERS: Final = 1_000_000
"""From this size of the tables on, exact Adam catches rows up instead of visiting all of them."""
FOLDING_SHARE: Final = 0.4
"""Up to so many features for each lookup of a batch the first layer is folded into the tables."""
FEATURE_LOOKUPS: Final = {"dense": 9.0, "catch-up": 2.0, "lazy": 2.0}
"""The work that a feature makes beside its lookups, in lookups, to share fields out evenly: folding
and Adam for every feature, or for the part of them that a batch touches (measured)."""
OWN_IDS_BYTES: Final = 4 << 20
"""Up to this size of a batch's ids each part gathers them for itself."""
KEPT_SIZES: Final = 2
"""Batch sizes whose buffers are kept: an epoch's, and that of its last batch."""
NO_NETWORK: Final = np.zeros((0, 0), np.float32)

Update = Literal["dense", "catch-up", "lazy"]
UPDATES: Final[tuple[Update, ...]] = get_args(Update)


@dataclass(frozen=True)
class Batch:
    """ids int32[B, F], labels float32[B], and the seeds of dropout, one a layer's input.

    ids     one a part, the same array for all or each part's own
    piece   where each part gathers its own from, None where they are there
    """

    ids: tuple[NDArray[np.int32], ...]
    piece: Piece | None
    labels: NDArray[np.float32]
    seeds: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.labels)


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
        self.update: Update = update or _choose_update(config, self._tables)
        self._fields = shares_of_fields(model, config, threads, self.update)
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
        self._rates = self._roots = np.zeros(1, np.float32)

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
        self,
        ids: tuple[NDArray[np.int32], ...],
        piece: Piece | None,
        labels: Tensor,
        place: tuple[int, int],
    ) -> StepResult:
        """One step; place is (epoch, index)."""
        self._steps += 1
        constants = self._constants()
        batch = self._batch(ids, piece, labels, place)
        if self.update != "dense":
            self._each_part(batch, lambda part: self._find_touched(batch, part))
        first = self._first if self._folds(batch) else None
        if first is not None:
            first.read(self._network.layers[0])
            if not self._buffers.places.folds_apart:
                self._each_part(batch, lambda part: self._fold(first, part, self._fields[part]))
        self._each_part(batch, lambda part: self._forward_and_backward(batch, first, part))
        self._each_part(batch, lambda part: self._update_tables(batch, first, part, constants))
        if first is not None:
            first.write_gradient(self._network.layers[0])
        self._network.update(self._buffers.sums, constants)
        loss = float(self._buffers.sums[:, 0].sum())
        return StepResult(self._buffers.logits.clone(), torch.tensor(loss))

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
        self._crew.run(lambda part: self._catch_up(shares[part], self._steps))

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
        self,
        ids: tuple[NDArray[np.int32], ...],
        piece: Piece | None,
        labels: Tensor,
        place: tuple[int, int],
    ) -> Batch:
        seeds = [
            mixed_seed(self._config.seed, *place, layer) & 0xFFFFFFFF
            for layer in range(self._network.depth)
        ]
        contiguous = np.ascontiguousarray(labels.numpy())
        return Batch(ids, piece, contiguous, np.array(seeds, np.uint32))

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
        (first, last), places = self._fields[part], self._buffers.places
        lookups = places.lookups
        self._gather_ids(batch, part)
        assert lookups is not None, "only where places are not features"
        kernels.find_places(
            batch.ids[part],
            first,
            last,
            self._tables.marks,
            self._steps,
            places.begins,
            places.ends,
            places.features,
            lookups,
        )
        if self.update == "catch-up":
            features, before = places.features[places.of_fields(first, last)], self._steps - 1
            self._catch_up(features, before)
            tables = self._tables
            kernels.decay_moments(features, before, tables.last, tables.mean, tables.square)

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

    def _gather_ids(self, batch: Batch, part: int) -> None:
        """The batch's ids for this part, where they are not there yet."""
        if batch.piece is not None:
            ids = batch.ids[part]
            np.take(batch.piece.ids, batch.piece.rows, axis=0, out=ids, mode="clip")

    def _lookups(self, batch: Batch, part: int) -> NDArray[np.int32]:
        """The place of each of the batch's lookups, int32[B, F]."""
        lookups = self._buffers.places.lookups
        return batch.ids[part] if lookups is None else lookups

    def _fold(self, layer: FirstLayer, part: int, fields: tuple[int, int]) -> None:
        """What each feature of some fields adds to a row of the batch, for this part."""
        tables, places, (first, last) = self._tables, self._buffers.places, fields
        folding.fold(
            tables.weights,
            places.features,
            places.begins,
            places.ends,
            first,
            last,
            tables.columns,
            layer.weight,
            places.folded[part],
        )

    def _forward_and_backward(self, batch: Batch, layer: FirstLayer | None, part: int) -> None:
        """This part's rows: terms, loss, and the gradients of embeddings and network."""
        network, share = self._network, self._buffers.shares[part]
        if self.update == "dense":
            self._gather_ids(batch, part)
        if layer is not None and self._buffers.places.folds_apart:
            self._fold(layer, part, (0, self._fields[-1][1]))
        if layer is not None and network.narrow is not None:
            self._through_narrow(batch, layer, network.narrow, part)
            return
        self._gather(batch, share, layer, part)
        first = 0 if layer is None else 1
        self._buffers.sums[part] = 0
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
        if layer is not None:
            folding.spread_slopes(
                share.slope_arrays[1], share.slopes, share.factor_sums, share.spread
            )

    def _through_narrow(
        self, batch: Batch, layer: FirstLayer, narrow: NarrowPlan, part: int
    ) -> None:
        """The same in one compiled call, for a folded first layer and narrow ones after it."""
        network, share = self._network, self._buffers.shares[part]
        threshold, scale = network.dropout[1]
        rows_through(
            self._buffers.places.folded[part],
            self._lookups(batch, part)[share.rows],
            batch.labels[share.rows],
            len(batch),
            share.start,
            narrow.plan,
            network.weights,
            network.gradients[part],
            batch.seeds,
            network.is_tanh,
            threshold,
            scale,
            narrow.rooms[part],
            layer.totals[part],
            share.factor_sums,
            share.linear_sums,
            share.pairwise,
            share.deep,
            share.logits,
            share.slopes,
            share.spread,
            self._buffers.sums[part],
        )

    def _gather(self, batch: Batch, share: Share, layer: FirstLayer | None, part: int) -> None:
        """Some rows' lookups: the FM's sums, and what the network reads or its first layer says."""
        tables = self._tables
        sums = (share.factor_sums, share.linear_sums, share.pairwise)
        if layer is None:
            embedded = share.input_arrays[0] if share.inputs else NO_NETWORK
            ids = batch.ids[part][share.rows]
            kernels.gather(tables.weights, ids, tables.columns, embedded, *sums)
            return
        folding.gather_folded(
            self._buffers.places.folded[part],
            self._lookups(batch, part)[share.rows],
            self._network.layers[0].bias.numpy(),
            layer.totals[part],
            share.input_arrays[1],
            *sums,
        )

    def _update_tables(
        self, batch: Batch, layer: FirstLayer | None, part: int, constants: AdamConstants
    ) -> None:
        """This part's fields: the gradients of their features, then Adam."""
        if layer is not None and self.update == "dense":
            self._move_fields(batch, layer, part, constants)
            return
        if layer is None:
            self._scatter(batch, part)
        else:
            self._scatter_folded(batch, layer, part)
        self._adam(part, constants)

    def _move_fields(
        self, batch: Batch, layer: FirstLayer, part: int, constants: AdamConstants
    ) -> None:
        """All of it in one compiled call, where every feature is visited."""
        tables, places, (first, last) = self._tables, self._buffers.places, self._fields[part]
        folding.move_fields(
            tables.weights,
            tables.mean,
            tables.square,
            places.features,
            places.begins,
            places.ends,
            batch.ids[part],
            first,
            last,
            tables.columns,
            layer.weight,
            self._network.linear_scale,
            self._l2(batch),
            self._buffers.spread,
            places.collected,
            places.gradient,
            layer.gradient,
            constants,
        )

    def _l2(self, batch: Batch) -> np.float32:
        """2 λ / B of the penalty on occurrences."""
        return np.float32(2 * self._config.embedding_l2 / len(batch))

    def _scatter(self, batch: Batch, part: int) -> None:
        """The gradients of the features of some fields."""
        tables, buffers, (first, last) = self._tables, self._buffers, self._fields[part]
        kernels.scatter(
            buffers.places.gradient,
            tables.weights,
            batch.ids[part],
            self._lookups(batch, part),
            first,
            last,
            tables.columns,
            buffers.slopes,
            self._network.linear_scale,
            buffers.factor_sums,
            buffers.input_slopes[0].numpy() if buffers.inputs else NO_NETWORK,
            self._l2(batch),
        )

    def _scatter_folded(self, batch: Batch, layer: FirstLayer, part: int) -> None:
        """The gradients of the features of some fields, and of the first layer."""
        tables, places, (first, last) = self._tables, self._buffers.places, self._fields[part]
        spread = self._buffers.spread
        folding.scatter_folded(self._lookups(batch, part), first, last, spread, places.collected)
        folding.unfold(
            tables.weights,
            places.features,
            places.begins,
            places.ends,
            first,
            last,
            tables.columns,
            layer.weight,
            self._network.linear_scale,
            self._l2(batch),
            places.collected,
            places.gradient,
            layer.gradient,
        )

    def _adam(self, part: int, constants: AdamConstants) -> None:
        """One step of Adam for this part's fields."""
        tables, places, (first, last) = self._tables, self._buffers.places, self._fields[part]
        here = places.of_fields(first, last)
        if self.update == "dense":
            weights, mean, square = tables.flat(first, last)
            kernels.adam(weights, places.gradient[here].reshape(-1), mean, square, constants)
            return
        touched = places.features[here]
        kernels.adam_rows(
            touched,
            tables.weights,
            places.gradient[here],
            tables.mean,
            tables.square,
            constants,
            self.update == "lazy",
        )
        tables.last[touched] = self._steps


def _choose_update(config: TrainConfig, tables: Tables) -> Update:
    """Weight decay moves every row at every step, so nothing can be put off under it."""
    if config.optimizer == "lazy-adam":
        return "lazy"
    return "dense" if config.weight_decay or tables.weights.size < DENSE_NUMBERS else "catch-up"


def shares_of_fields(
    model: DeepFM, config: TrainConfig, parts: int, update: Update
) -> list[tuple[int, int]]:
    """(first, last) fields of each part, in one piece, as even in work as can be."""
    features = np.asarray(model.field_dims)
    if update != "dense":
        features = np.minimum(features, config.batch_size)
    work = features * FEATURE_LOOKUPS[update] + config.batch_size
    before = np.concatenate(([0], np.cumsum(work)))
    borders = [int(np.abs(before - before[-1] * part / parts).argmin()) for part in range(parts)]
    return list(pairwise((*borders, len(work))))


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
