"""A model's weights to the arrays that the CPU step works in, and back as views."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.model import DeepFM
from deepfm.training.cpu_folded import columns_of
from deepfm.training.cpu_kernels import ABSENT, Columns, Floats
from deepfm.training.cpu_network import Layer, Network, Share

OWN_FOLDED_BYTES: Final = 1 << 20
"""Up to this size each part folds all features for itself. It computes more, but what one core
writes and another reads has to go from cache to cache: several times slower (measured)."""


@dataclass(frozen=True)
class Tables:
    """All embedding tables side by side, float32[V, S], with what Adam keeps of each number.

    offsets   int[F + 1]    where each field's rows begin
    marks     int32[V, 2]   the step in which a row was last found in a batch, and its place then
    last      int64[V]      the last step that a row has had
    """

    weights: Floats
    mean: Floats
    square: Floats
    columns: Columns
    offsets: NDArray[np.int64]
    marks: NDArray[np.int32]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, model: DeepFM) -> Self:
        """Move the model's tables into one array; its embeddings become views of it."""
        width = sum(table.embedding_dim for table in model.tables())
        weights = torch.empty(sum(model.field_dims), width)
        places, start = {}, 0
        for table in model.tables():
            place = weights[:, start : start + table.embedding_dim]
            place.copy_(table.weight.data)
            table.weight.data = place
            places[id(table)] = start
            start += table.embedding_dim
        array = weights.numpy()
        return cls(
            array,
            np.zeros_like(array),
            np.zeros_like(array),
            _columns(model, places),
            np.cumsum((0, *model.field_dims), dtype=np.int64),
            np.zeros((len(array), 2), np.int32),
            np.zeros(len(array), np.int64),
        )

    def flat(self, first_field: int, last_field: int) -> tuple[Floats, Floats, Floats]:
        """Weights, mean and square of some fields' rows as flat views."""
        rows = slice(self.offsets[first_field], self.offsets[last_field])
        weights, mean, square = (
            array[rows].reshape(-1) for array in (self.weights, self.mean, self.square)
        )
        return weights, mean, square


def _columns(model: DeepFM, places: dict[int, int]) -> Columns:
    terms = model.config.terms
    deep_table = model.deep_factors if model.deep_factors is not None else model.factors
    return Columns(
        linear=places[id(model.linear.table)] if model.linear is not None else ABSENT,
        pairwise=places[id(model.factors)] if "pairwise" in terms else ABSENT,
        deep=places[id(deep_table)] if "deep" in terms else ABSENT,
        factors=model.config.num_factors if terms != ("linear",) else 0,
    )


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

    features       int64[n]      the feature in each place, field by field
    begins, ends   int64[F]      the places of each field
    lookups        int32[B, F]   the place of each lookup; None where places are features
    gradient       float32[n, S]
    folded, collected   float32[n, C]   as in cpu_folded.py; C = 0 where nothing is ever folded.
                                        `folded` is one a part: its own where that is small
    """

    features: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    lookups: NDArray[np.int32] | None
    gradient: Floats
    folded: tuple[Floats, ...]
    collected: Floats

    @classmethod
    def of_all(cls, tables: Tables, columns: int, parts: int) -> Self:
        """Every feature in a place of its number; columns is C."""
        count = len(tables.weights)
        begins, ends = tables.offsets[:-1], tables.offsets[1:]
        return cls._of(np.arange(count), begins, ends, None, tables, columns, parts)

    @classmethod
    def of_batch(cls, tables: Tables, columns: int, parts: int, rows: int) -> Self:
        """Room for the features that so many rows can look up; a field's begin where it may."""
        most = np.minimum(np.diff(tables.offsets), rows)
        begins = np.concatenate(([0], np.cumsum(most)[:-1]))
        lookups = np.zeros((rows, len(most)), np.int32)
        features = np.zeros(int(most.sum()), np.int64)
        return cls._of(features, begins, begins.copy(), lookups, tables, columns, parts)

    @classmethod
    def _of(
        cls,
        features: NDArray[np.int64],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        lookups: NDArray[np.int32] | None,
        tables: Tables,
        columns: int,
        parts: int,
    ) -> Self:
        count, width = len(features), tables.weights.shape[1]
        own = parts if 4 * count * columns <= OWN_FOLDED_BYTES else 1
        folded = tuple(zeros(count, columns) for _ in range(own)) * (parts // own)
        return cls(
            features,
            begins,
            ends,
            lookups,
            zeros(count, width),
            folded,
            zeros(count, columns),
        )

    def of_fields(self, first: int, last: int) -> slice:
        """The places of some neighbouring fields."""
        return slice(self.begins[first], self.ends[last - 1])

    @property
    def folds_apart(self) -> bool:
        """Whether each part folds all features for itself, into memory of its own."""
        return len(self.folded) > 1 and self.folded[0] is not self.folded[1]

    def __len__(self) -> int:
        """How many are taken."""
        return int((self.ends - self.begins).sum())


@dataclass(frozen=True)
class Buffers:
    """What a batch of B rows needs between gather and Adam; used again by the next one.

    ids         int32[B, F], one for each part
    inputs      the input of each layer, float32[B, width]
    input_slopes   d loss / d of the same
    factor_sums    float32[B, K]
    logits, slopes float32[B]       slopes: d loss / d logit
    spread      float32[B, C]       the slopes in the columns of the folded tables; C = 0 without
    sums        float64[parts, 3], as loss_and_slope's
    shares      the same memory, a part of the rows each
    places      where the batch's features have their gradients
    """

    ids: tuple[NDArray[np.int32], ...]
    inputs: list[Tensor]
    input_slopes: list[Tensor]
    factor_sums: Floats
    logits: Tensor
    slopes: Floats
    spread: Floats
    sums: NDArray[np.float64]
    shares: list[Share]
    places: Places

    def __len__(self) -> int:
        return len(self.logits)

    @classmethod
    def of(cls, rows: int, factors: int, network: Network, parts: int, places: Places) -> Self:
        """Room for a batch of this many rows."""
        inputs = [torch.zeros(rows, layer.weight.shape[1]) for layer in network.layers]
        input_slopes = [torch.zeros_like(each) for each in inputs]
        factor_sums = zeros(rows, factors)
        linear_sums, pairwise, deep, slopes = (zeros(rows) for _ in range(4))
        logits = torch.zeros(rows)
        spread = zeros(rows, places.folded[0].shape[1])
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
                    factor_sums[here],
                    linear_sums[here],
                    pairwise[here],
                    deep[here],
                    logits.numpy()[here],
                    slopes[here],
                    spread[here],
                )
            )
        fields = len(places.begins)
        return cls(
            tuple(torch.zeros(rows, fields, dtype=torch.int32).numpy() for _ in range(parts)),
            inputs,
            input_slopes,
            factor_sums,
            logits,
            slopes,
            spread,
            np.zeros((parts, 3)),
            shares,
            places,
        )


def share_of(rows: int, part: int, parts: int) -> slice:
    """Which of so many rows are those of one of so many parts, as even as can be."""
    return slice(rows * part // parts, rows * (part + 1) // parts)


def zeros(*shape: int) -> Floats:
    """float32 zeros that begin on a cache line, which numpy's own need not.

    A row over the border of two lines is read at half the speed, and two threads that write to
    one line wait for each other.
    """
    return torch.zeros(*shape).numpy()
