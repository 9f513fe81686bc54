"""A batch's size to the memory that the CPU step works in, used again by the next batch."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.training.cpu_folded import columns_of
from deepfm.training.cpu_kernels import RowTerms
from deepfm.training.cpu_network import Layer, Network, Share
from deepfm.training.cpu_tables import Floats, Ids, Order, Tables
from deepfm.training.order import Piece

OWN_FOLDED_BYTES: Final = 1 << 20
"""Up to this size each part folds all features for itself. It computes more, but what one core
writes and another reads has to go from cache to cache: several times slower (measured)."""


@dataclass(frozen=True)
class FirstLayer:
    """The network's first layer as folding reads and writes it: transposed, float32[F·K, H].

    columns   C of the folded tables (cpu_folded.py)
    totals    float32[parts, C]   room for one row of each part
    """

    weight: Floats
    gradient: Floats
    columns: int
    totals: Floats

    @classmethod
    def of(cls, tables: Tables, network: Network, parts: int) -> Self:
        """Room for the first layer of a network."""
        hidden, inputs = network.layers[0].weight.shape
        columns = columns_of(hidden, tables.columns.factors)
        return cls(zeros(inputs, hidden), zeros(inputs, hidden), columns, zeros(parts, columns))

    def read(self, layer: Layer) -> None:
        """Take over the weights as they are now."""
        np.copyto(self.weight, layer.weight.numpy().T)

    def write_gradient(self, layer: Layer) -> None:
        """Hand over the gradient, as that of the first part of the batch."""
        first, *others = (gradient for gradient, _ in layer.gradients)
        np.copyto(first.numpy(), self.gradient.T)
        for other in others:
            other.zero_()


@dataclass(frozen=True)
class Places:
    """Where the features of a batch have their gradients: all features, or those it looks up.

    order          the n places, field by field
    lookups        int32[B, F]   the place of each lookup; None where places are features
    gradient       float32[n, S]
    folded, collected   float32[n, C]   as in cpu_folded.py; C = 0 where nothing is ever folded.
                                        `folded` is one a part: its own where that is small
    """

    order: Order
    lookups: Ids | None
    gradient: Floats
    folded: tuple[Floats, ...]
    collected: Floats

    @classmethod
    def of_all(cls, tables: Tables, columns: int, parts: int) -> Self:
        """Every feature in a place of its number; columns is C."""
        features = np.arange(len(tables.weights))
        order = Order(features, tables.offsets[:-1], tables.offsets[1:])
        return cls._of(order, None, tables, columns, parts)

    @classmethod
    def of_batch(cls, tables: Tables, columns: int, parts: int, rows: int) -> Self:
        """Room for the features that so many rows can look up; a field's begin where it may."""
        most = np.minimum(np.diff(tables.offsets), rows)
        begins = np.concatenate(([0], np.cumsum(most)[:-1]))
        lookups = np.zeros((rows, len(most)), np.int32)
        features = np.zeros(int(most.sum()), np.int64)
        order = Order(features, begins, begins.copy())
        return cls._of(order, lookups, tables, columns, parts)

    @classmethod
    def _of(
        cls, order: Order, lookups: Ids | None, tables: Tables, columns: int, parts: int
    ) -> Self:
        count, width = len(order.features), tables.weights.shape[1]
        own = parts if 4 * count * columns <= OWN_FOLDED_BYTES else 1
        folded = tuple(zeros(count, columns) for _ in range(own)) * (parts // own)
        return cls(order, lookups, zeros(count, width), folded, zeros(count, columns))

    @property
    def folds_apart(self) -> bool:
        """Whether each part folds all features for itself, into memory of its own."""
        return len(self.folded) > 1 and self.folded[0] is not self.folded[1]

    def __len__(self) -> int:
        """How many are taken."""
        return int((self.order.ends - self.order.begins).sum())


@dataclass(frozen=True)
class Buffers:
    """What a batch of B rows needs between gather and Adam; used again by the next one.

    ids         int32[B, F], one for each part
    inputs      the input of each layer, float32[B, width]
    input_slopes   d loss / d of the same
    terms       of all rows
    sums        float64[parts, 3], as loss_and_slope's
    shares      the same memory, a part of the rows each
    places      where the batch's features have their gradients
    """

    ids: tuple[NDArray[np.int32], ...]
    inputs: list[Tensor]
    input_slopes: list[Tensor]
    terms: RowTerms
    sums: NDArray[np.float64]
    shares: list[Share]
    places: Places

    def __len__(self) -> int:
        return len(self.terms.logits)

    @classmethod
    def of(cls, rows: int, factors: int, network: Network, parts: int, places: Places) -> Self:
        """Room for a batch of this many rows."""
        inputs = [torch.zeros(rows, layer.weight.shape[1]) for layer in network.layers]
        input_slopes = [torch.zeros_like(each) for each in inputs]
        columns = places.folded[0].shape[1]
        shapes = ((rows, factors), *((rows,) for _ in range(5)), (rows, columns))
        terms = RowTerms._make(zeros(*shape) for shape in shapes)
        shares = []
        for part in range(parts):
            here = share_of(rows, part, parts)
            mine, theirs = (tuple(t[here] for t in ts) for ts in (inputs, input_slopes))
            shares.append(
                Share(
                    here,
                    mine,
                    tuple(tensor.numpy() for tensor in mine),
                    theirs,
                    tuple(tensor.numpy() for tensor in theirs),
                    RowTerms._make(array[here] for array in terms),
                )
            )
        fields = len(places.order.begins)
        return cls(
            tuple(torch.zeros(rows, fields, dtype=torch.int32).numpy() for _ in range(parts)),
            inputs,
            input_slopes,
            terms,
            np.zeros((parts, 3)),
            shares,
            places,
        )


@dataclass(frozen=True)
class Batch:
    """ids int32[B, F], labels float32[B], and the seeds of dropout, one a layer's input.

    ids     one a part, the same array for all or each part's own
    piece   where each part gathers its own from, None where they are there
    """

    ids: tuple[Ids, ...]
    piece: Piece | None
    labels: Floats
    seeds: NDArray[np.uint32]
    buffers: Buffers

    def __len__(self) -> int:
        return len(self.labels)

    def gather_ids(self, part: int) -> None:
        """The ids for one part, where they are not there yet."""
        if self.piece is not None:
            np.take(self.piece.ids, self.piece.rows, axis=0, out=self.ids[part], mode="clip")

    def lookups(self, part: int) -> Ids:
        """The place of each lookup, int32[B, F]."""
        lookups = self.buffers.places.lookups
        return self.ids[part] if lookups is None else lookups


def share_of(rows: int, part: int, parts: int) -> slice:
    """Which of so many rows are those of one of so many parts, as even as can be."""
    return slice(rows * part // parts, rows * (part + 1) // parts)


def zeros(*shape: int) -> Floats:
    """float32 zeros that begin on a cache line, which numpy's own need not.

    A row over the border of two lines is read at half the speed, and two threads that write to
    one line wait for each other.
    """
    return torch.zeros(*shape).numpy()
