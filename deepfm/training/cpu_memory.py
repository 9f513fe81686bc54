"""A model's weights to the arrays that the CPU step works in, and back as views."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepfm.model import DeepFM
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_folded import columns_of
from deepfm.training.cpu_kernels import ABSENT, AdamConstants, Columns

Floats = NDArray[np.float32]


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
class Layer:
    """One linear layer: views of the flat arrays. weight [out, in], bias [out].

    Hidden widths are rounded up to a multiple of 16, which matrix products need to be fast; the
    columns more are zero and stay so, since nothing reaches them.
    gradients   (weight, bias) of each part of the batch
    """

    weight: Tensor
    bias: Tensor
    gradients: tuple[tuple[Tensor, Tensor], ...]


class Network:
    """The network's layers, after the linear term's a and b, in one flat array.

    weights, mean, square   float32[n]
    gradients               float32[parts, n], one row for each part of the batch
    """

    def __init__(self, model: DeepFM, parts: int) -> None:
        linears = [] if model.deep is None else model.deep.linears()
        shapes = _padded_shapes(linears)
        length = 2 + sum(out * (into + 1) for out, into in shapes)
        flat, gradients = torch.zeros(length), torch.zeros(parts, length)
        self.weights, self.gradients = flat.numpy(), gradients.numpy()
        self.mean, self.square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self.drop_rates = _drop_rates(model)
        self.is_tanh = model.config.activation == "tanh"
        self.layers = list(_layers(shapes, flat, gradients))
        for linear, layer in zip(linears, self.layers, strict=True):
            _bind(linear.weight, layer.weight)
            _bind(linear.bias, layer.bias)
        self._has_linear = model.linear is not None
        if model.linear is not None:
            _bind(model.linear.output.weight, flat[:1].view(1, 1))
            _bind(model.linear.output.bias, flat[1:2])

    @property
    def depth(self) -> int:
        """Linear layers; each but the first has an activation before it."""
        return len(self.layers)

    @property
    def linear_scale(self) -> np.float32:
        """a of the linear term; 0 without it."""
        return self.weights[0]

    @property
    def linear_bias(self) -> np.float32:
        """b of the linear term; 0 without it."""
        return self.weights[1]

    def forward(
        self, buffers: "Buffers", rows: slice, seeds: tuple[np.uint32, ...], first: int
    ) -> None:
        """The deep term of some rows, from the input of layer number `first` to `deep`."""
        for i, layer in enumerate(self.layers[first:], first):
            inputs = buffers.inputs[i][rows]
            threshold, scale = _dropout(self.drop_rates[i])
            if i:
                kernels.activate(
                    inputs.numpy(), rows.start, self.is_tanh, seeds[i], threshold, scale
                )
            elif threshold:
                kernels.drop(inputs.numpy(), rows.start, seeds[i], threshold, scale)
            torch.addmm(layer.bias, inputs, layer.weight.t(), out=buffers.inputs[i + 1][rows])

    def backward(
        self, buffers: "Buffers", rows: slice, seeds: tuple[np.uint32, ...], first: int, part: int
    ) -> None:
        """Gradients for some rows of the layers from `first` on, and of that layer's input."""
        for i in reversed(range(first, self.depth)):
            layer, slopes = self.layers[i], buffers.slopes_of[i + 1][rows]
            inputs, weight_gradient = buffers.inputs[i][rows], layer.gradients[part][0]
            if i + 1 == self.depth:
                torch.sum(slopes, dim=0, out=layer.gradients[part][1])
            torch.mm(slopes.t(), inputs, out=weight_gradient)
            torch.mm(slopes, layer.weight, out=buffers.slopes_of[i][rows])
            threshold, scale = _dropout(self.drop_rates[i])
            below = buffers.slopes_of[i][rows].numpy()
            if i:
                bias_gradient = self.layers[i - 1].gradients[part][1].numpy()
                kernels.activate_backward(below, inputs.numpy(), self.is_tanh, scale, bias_gradient)
            elif threshold:
                kernels.drop(below, rows.start, seeds[0], threshold, scale)

    def update(self, sums: NDArray[np.float64], constants: AdamConstants) -> None:
        """Add up the parts' gradients, then Adam. sums float64[parts, 3], as loss_and_slope's."""
        if self._has_linear:
            self.gradients[:, 0], self.gradients[:, 1] = sums[:, 1], sums[:, 2]
        total = self.gradients[0]
        for other in self.gradients[1:]:
            total += other
        kernels.adam(self.weights, total, self.mean, self.square, constants)


def _padded_shapes(linears: list[nn.Linear]) -> list[tuple[int, int]]:
    """(out, in) of each layer, hidden widths rounded up to a multiple of 16."""
    shapes: list[tuple[int, int]] = []
    for linear in linears:
        out, into = linear.weight.shape
        into = shapes[-1][0] if shapes else into
        shapes.append((out if linear is linears[-1] else -(-out // 16) * 16, into))
    return shapes


def _layers(shapes: list[tuple[int, int]], flat: Tensor, gradients: Tensor) -> Iterator[Layer]:
    """Views of the flat arrays, one layer after the other from the third number on."""
    start = 2
    for out, into in shapes:
        weight = slice(start, start + out * into)
        bias = slice(weight.stop, weight.stop + out)
        slopes = tuple((row[weight].view(out, into), row[bias]) for row in gradients)
        yield Layer(flat[weight].view(out, into), flat[bias], slopes)
        start = bias.stop


def _bind(parameter: Tensor, place: Tensor) -> None:
    """Move a parameter into the corner of a place; from then on it is a view of it."""
    corner = place[tuple(slice(size) for size in parameter.shape)]
    corner.copy_(parameter.data)
    parameter.data = corner


def _drop_rates(model: DeepFM) -> list[float]:
    """Dropout on the input of each layer: the embeddings', then the hidden layers'."""
    config = model.config
    return [config.embedding_drop_rate, *(config.drop_rate for _ in config.mlp_dims)]


def _dropout(rate: float) -> tuple[np.uint32, np.float32]:
    """The hash below which an element is dropped, and the scale of those that are kept."""
    return np.uint32(round(rate * 2**32)), np.float32(1 / (1 - rate))


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
            np.zeros((features, columns), np.float32),
            np.zeros((features, columns), np.float32),
            np.zeros((inputs, hidden), np.float32),
            np.zeros((inputs, hidden), np.float32),
            np.zeros((parts, columns), np.float32),
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

    inputs      the input of each layer, float32[B, width]; the last is the deep term [B, 1]; the
                first has no rows where the first layer is folded into the tables
    slopes_of   d loss / d of the same, the last that of the logit
    spread      float32[B, C]   the slopes in the columns of the folded tables; C = 0 without
    sums        float64[parts, 3], as loss_and_slope's
    found       int64[B · fields] a part, and how many of it are used in counts
    """

    inputs: list[Tensor]
    slopes_of: list[Tensor]
    factor_sums: Floats
    linear_sums: Floats
    pairwise: Floats
    deep: Floats
    logits: Tensor
    slopes: Tensor
    spread: Floats
    sums: NDArray[np.float64]
    found: list[NDArray[np.int64]]
    counts: list[int]

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def embedded(self) -> Tensor:
        """What the network reads, float32[B, F·K]; empty without a network."""
        return self.inputs[0]

    @property
    def embedded_slopes(self) -> Tensor:
        """d loss / d embedded, float32[B, F·K]."""
        return self.slopes_of[0]

    @classmethod
    def of(
        cls, rows: int, tables: Tables, network: Network, parts: int, folded: Folded | None
    ) -> Self:
        """Room for a batch of this many rows."""
        widths = [layer.weight.shape[1] for layer in network.layers]
        depths = [rows] * len(widths)
        if folded is not None:
            depths[0] = 0
        slopes = torch.zeros(rows, 1)
        inputs = [torch.zeros(*shape) for shape in zip(depths, widths, strict=True)]
        deep = torch.zeros(rows, 1)
        fields = len(tables.offsets) - 1
        return cls(
            inputs=[*inputs, deep],
            slopes_of=[*(torch.zeros_like(each) for each in inputs), slopes],
            factor_sums=np.zeros((rows, tables.columns.factors), np.float32),
            linear_sums=np.zeros(rows, np.float32),
            pairwise=np.zeros(rows, np.float32),
            deep=deep.numpy()[:, 0],
            logits=torch.zeros(rows),
            slopes=slopes[:, 0],
            spread=np.zeros((rows, folded.columns if folded else 0), np.float32),
            sums=np.zeros((parts, 3)),
            found=[np.zeros(rows * fields, np.int64) for _ in range(parts)],
            counts=[0] * parts,
        )
