"""A model's weights to the arrays that the CPU step works in, and back as views."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.model import DeepFM
from deepfm.training.cpu_folded import columns_of
from deepfm.training.cpu_kernels import ABSENT, Columns, Floats
from deepfm.training.cpu_network import Layer, Network, Share


@dataclass(frozen=True)
class Tables:
    """All embedding tables side by side, float32[V, S], with what Adam keeps of each number.

    offsets   int[F + 1]   where each field's rows begin
    stamp     int64[V]     the step in which a row was last found in a batch
    last      int64[V]     the last step that a row has had
    """

    weights: Floats
    gradient: Floats
    mean: Floats
    square: Floats
    columns: Columns
    offsets: NDArray[np.int64]
    stamp: NDArray[np.int64]
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
            np.zeros_like(array),
            _columns(model, places),
            np.cumsum((0, *model.field_dims), dtype=np.int64),
            np.zeros(len(array), np.int64),
            np.zeros(len(array), np.int64),
        )

    def flat(self, first_field: int, last_field: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Weights, gradient, mean and square of some fields' rows as flat views."""
        rows = slice(self.offsets[first_field], self.offsets[last_field])
        arrays = (self.weights, self.gradient, self.mean, self.square)
        weights, gradient, mean, square = (array[rows].reshape(-1) for array in arrays)
        return weights, gradient, mean, square


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
class Folded:
    """The first layer folded into the tables (cpu_folded.py says how).

    table, collected   float32[V, C]
    weight, gradient   float32[F·K, H]   of the first layer, transposed
    totals             float32[parts, C]
    """

    table: Floats
    collected: Floats
    weight: Floats
    gradient: Floats
    totals: Floats

    @classmethod
    def of(cls, tables: Tables, network: Network, parts: int) -> Self:
        """Room for the tables' features and the network's first layer."""
        hidden, inputs = network.layers[0].weight.shape
        columns = columns_of(hidden, tables.columns.factors)
        features = len(tables.weights)
        return cls(
            zeros(features, columns),
            zeros(features, columns),
            zeros(inputs, hidden),
            zeros(inputs, hidden),
            zeros(parts, columns),
        )

    @property
    def columns(self) -> int:
        """C."""
        return self.table.shape[1]

    def read_layer(self, layer: Layer) -> None:
        """Take over the first layer's weights as they are now."""
        np.copyto(self.weight, layer.weight.numpy().T)

    def write_gradient(self, layer: Layer) -> None:
        """Hand over the first layer's gradient, as that of the first part of the batch."""
        np.copyto(layer.gradients[0][0].numpy(), self.gradient.T)


@dataclass(frozen=True)
class Buffers:
    """What a batch of B rows needs between gather and Adam; used again by the next one.

    inputs      the input of each layer, float32[B, width]; the first has no rows where the first
                layer is folded into the tables
    input_slopes   d loss / d of the same
    factor_sums    float32[B, K]
    logits, slopes float32[B]       slopes: d loss / d logit
    spread      float32[B, C]       the slopes in the columns of the folded tables; C = 0 without
    sums        float64[parts, 3], as loss_and_slope's
    shares      the same memory, a part of the rows each
    found       int64[B · fields] a part, and how many of it are used in counts
    """

    inputs: list[Tensor]
    input_slopes: list[Tensor]
    factor_sums: Floats
    logits: Tensor
    slopes: Floats
    spread: Floats
    sums: NDArray[np.float64]
    shares: list[Share]
    found: list[NDArray[np.int64]]
    counts: list[int]

    def __len__(self) -> int:
        return len(self.logits)

    @classmethod
    def of(
        cls, rows: int, tables: Tables, network: Network, parts: int, folded: Folded | None
    ) -> Self:
        """Room for a batch of this many rows."""
        widths = [layer.weight.shape[1] for layer in network.layers]
        depths = [0 if folded and i == 0 else rows for i in range(len(widths))]
        inputs = [torch.zeros(*shape) for shape in zip(depths, widths, strict=True)]
        input_slopes = [torch.zeros_like(each) for each in inputs]
        factor_sums = zeros(rows, tables.columns.factors)
        linear_sums, pairwise, deep, slopes = (zeros(rows) for _ in range(4))
        logits = torch.zeros(rows)
        spread = zeros(rows, folded.columns if folded else 0)
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
        fields = len(tables.offsets) - 1
        return cls(
            inputs,
            input_slopes,
            factor_sums,
            logits,
            slopes,
            spread,
            np.zeros((parts, 3)),
            shares,
            [np.zeros(rows * fields, np.int64) for _ in range(parts)],
            [0] * parts,
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
