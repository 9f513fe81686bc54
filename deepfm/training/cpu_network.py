"""A model's network to the flat arrays that the CPU step works in, and a batch through it.

Matrix products are torch's, into buffers that are there; what lies between them is compiled
(cpu_kernels.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepfm.model import DeepFM
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_adam import AdamConstants, adam
from deepfm.training.cpu_kernels import Dropout, RowTerms
from deepfm.training.cpu_narrow import FIRST_LAYER_AT, NarrowPlan
from deepfm.training.cpu_tables import Floats


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one thread takes forward and backward: views of its buffers.

    rows, start     which rows of the batch they are
    inputs          the input of each linear layer, float32[n, width], and as arrays
    slope_tensors   d loss / d of the same
    """

    rows: slice
    inputs: tuple[Tensor, ...]
    input_arrays: tuple[Floats, ...]
    slope_tensors: tuple[Tensor, ...]
    slope_arrays: tuple[Floats, ...]
    terms: RowTerms

    @property
    def start(self) -> int:
        """Number of the first row in the batch."""
        return int(self.rows.start)


@dataclass(frozen=True)
class Layer:
    """One linear layer: views of the flat arrays. weight [out, in], bias [out].

    Hidden widths are rounded up to a multiple of 16, which matrix products need to be fast; the
    columns more are zero and stay so, since nothing reaches them.
    transposed  another view of the weight: [in, out]
    gradients   (weight, bias) of each part of the batch
    """

    weight: Tensor
    transposed: Tensor
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
        length = FIRST_LAYER_AT + sum(out * (into + 1) for out, into in shapes)
        flat, gradients = torch.zeros(length), torch.zeros(parts, length)
        self.weights, self.gradients = flat.numpy(), gradients.numpy()
        self.mean, self.square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self.dropout = [_dropout(rate) for rate in _drop_rates(model)]
        self.is_tanh = model.config.activation == "tanh"
        self.layers = list(_layers(shapes, flat, gradients))
        self.narrow = NarrowPlan.of(shapes, parts)
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

    def forward(self, share: Share, seeds: NDArray[np.uint32], first: int) -> None:
        """The deep term of some rows, from the input of layer number `first` on."""
        last = self.depth - 1
        for i in range(first, self.depth):
            inputs, dropout = share.input_arrays[i], self.dropout[i]
            if i:
                kernels.activate(inputs, share.start, self.is_tanh, seeds[i], dropout)
            elif dropout.threshold:
                kernels.drop(inputs, share.start, seeds[i], dropout)
            layer = self.layers[i]
            if i < last:
                torch.addmm(layer.bias, share.inputs[i], layer.transposed, out=share.inputs[i + 1])
            else:
                kernels.output(
                    inputs, layer.weight.numpy()[0], layer.bias.numpy(), share.terms.deep
                )

    def backward(self, share: Share, seeds: NDArray[np.uint32], first: int, part: int) -> None:
        """Gradients for some rows of the layers from `first` on, and of that layer's input."""
        last = self.depth - 1
        self.gradients[part] = 0
        for i in range(last, first - 1, -1):
            layer, inputs, below = self.layers[i], share.input_arrays[i], share.slope_arrays[i]
            weight_gradient, bias_gradient = layer.gradients[part]
            if i == last:
                kernels.output_backward(
                    share.terms.slopes,
                    inputs,
                    layer.weight.numpy()[0],
                    below,
                    weight_gradient.numpy()[0],
                    bias_gradient.numpy(),
                )
            else:
                slopes = share.slope_tensors[i + 1]
                torch.mm(slopes.t(), share.inputs[i], out=weight_gradient)
                torch.mm(slopes, layer.weight, out=share.slope_tensors[i])
            dropout = self.dropout[i]
            if i:
                next_bias = self.layers[i - 1].gradients[part][1].numpy()
                kernels.activate_backward(below, inputs, self.is_tanh, dropout.scale, next_bias)
            elif dropout.threshold:
                kernels.drop(below, share.start, seeds[0], dropout)

    def update(self, sums: NDArray[np.float64], constants: AdamConstants) -> None:
        """Add up the parts' gradients, then Adam. sums float64[parts, 3], as loss_and_slope's."""
        if self._has_linear:
            self.gradients[:, 0], self.gradients[:, 1] = sums[:, 1], sums[:, 2]
        total = self.gradients[0]
        for other in self.gradients[1:]:
            total += other
        adam(self.weights, total, self.mean, self.square, constants)


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
    start = FIRST_LAYER_AT
    for out, into in shapes:
        weight = slice(start, start + out * into)
        bias = slice(weight.stop, weight.stop + out)
        slopes = tuple((row[weight].view(out, into), row[bias]) for row in gradients)
        matrix = flat[weight].view(out, into)
        yield Layer(matrix, matrix.t(), flat[bias], slopes)
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


def _dropout(rate: float) -> Dropout:
    return Dropout(np.uint32(round(rate * 2**32)), np.float32(1 / (1 - rate)))
