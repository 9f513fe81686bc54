"""Feature indices to the three terms of the logit, with the weights of a trained model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from deepfm.config import ModelConfig
from deepfm.errors import RunError
from deepfm.terms import Terms

Ids = NDArray[np.int32]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]

BLOCK_NUMBERS: Final = 2**21
"""How many numbers one block of scoring may hold in its widest array: 8 MB of float32."""
WALK_NUMBERS: Final = 2**19
"""The same after the first layer, where many small neighbours of one impression are scored."""


@dataclass(frozen=True)
class Layer:
    """One fully connected layer: weight float32[out, in], bias float32[out]."""

    weight: Float32s
    bias: Float32s


@dataclass(frozen=True)
class Weights:
    """All that a trained model learned, V features in F fields.

    linear_effects  float64[V]     a · w, what one feature adds to the linear term
    linear_table    float32[V]     w alone
    linear_scale    float          a
    linear_bias     float          b
    factors         float32[V, K]  embeddings of the pairwise term; K is 0 without it
    deep_table      float32[V, K]  embeddings that the network reads, the same array where shared
    layers          hidden layers, then the one to a single number; empty without a network
    """

    num_features: int
    num_fields: int
    linear_effects: Float64s
    linear_table: Float32s
    linear_scale: float
    linear_bias: float
    factors: Float32s
    deep_table: Float32s
    layers: tuple[Layer, ...]
    activation: str

    def terms(self, ids: Ids) -> Terms:
        """The terms of the logit, float64[N] each, for ids int32[N, F]; bounded memory."""
        ids = self._checked(ids)
        linear, pairwise, deep = np.zeros((3, len(ids)))
        for block in self._blocks(len(ids)):
            linear[block] = self.linear_effects[ids[block]].sum(axis=1) + self.linear_bias
            embeddings = self.factors[ids[block]]
            pairwise[block] = _pairwise(embeddings)
            if self.layers:
                if self.deep_table is not self.factors:
                    embeddings = self.deep_table[ids[block]]
                deep[block] = self._network(embeddings.reshape(len(embeddings), -1))
        return Terms(linear, pairwise, deep)

    def deep(self, ids: Ids) -> Float64s:
        """The network's output alone, float64[N] for ids int32[N, F]; zeros without a network."""
        ids = self._checked(ids)
        output = np.zeros(len(ids))
        if self.layers:
            for block in self._blocks(len(ids)):
                embeddings = self.deep_table[ids[block]]
                output[block] = self._network(embeddings.reshape(len(embeddings), -1))
        return output

    def first_layer(self, ids: Ids, field: int) -> Float32s:
        """What one field's features add to the network's first layer, before its bias.

        ids      int32[N]        features of that one field
        returns  float32[N, H]   the layer's input is the sum of these over the fields, plus bias
        """
        num_factors = self.deep_table.shape[1]
        columns = slice(field * num_factors, (field + 1) * num_factors)
        return self.deep_table[ids] @ self.layers[0].weight[:, columns].T

    def deep_after_first_layer(self, sums: Float32s) -> Float64s:
        """The network's output, float64[N], from its first layer's sums float32[N, H]."""
        output = np.empty(len(sums))
        rows = max(1, min(len(sums), WALK_NUMBERS // max(self._widths)))
        # Written into again and again: fresh arrays of megabytes cost more than the products.
        buffers = [np.empty((rows, width), np.float32) for width in self._widths]
        for block in slices(len(sums), rows):
            count = len(sums[block])
            hidden = np.add(sums[block], self.layers[0].bias, out=buffers[0][:count])
            for layer, buffer in zip(self.layers[1:], buffers[1:], strict=True):
                self._activate_in_place(hidden)
                hidden = np.matmul(hidden, layer.weight.T, out=buffer[:count])
                hidden += layer.bias
            output[block] = hidden[:, 0]
        return output

    def in_double_precision(self) -> Self:
        """The same weights as float64: a row's score then hardly depends on the rows beside it,
        by whose number a matrix product chooses its order of summation.
        """
        layers = []
        for layer in self.layers:
            weight: NDArray[Any] = layer.weight.astype(np.float64)
            bias: NDArray[Any] = layer.bias.astype(np.float64)
            layers.append(Layer(weight, bias))
        factors: NDArray[Any] = self.factors.astype(np.float64)
        shared = self.deep_table is self.factors
        deep_table: NDArray[Any] = factors if shared else self.deep_table.astype(np.float64)
        return replace(self, factors=factors, deep_table=deep_table, layers=tuple(layers))

    def _network(self, inputs: Float32s) -> Float64s:
        first = self.layers[0]
        return self._rest(inputs @ first.weight.T + first.bias)

    def _rest(self, hidden: Float32s) -> Float64s:
        for layer in self.layers[1:]:
            hidden = self._activate(hidden) @ layer.weight.T + layer.bias
        return hidden[:, 0].astype(np.float64)

    def _activate(self, hidden: Float32s) -> Float32s:
        if self.activation == "tanh":
            return np.tanh(hidden)
        return np.maximum(hidden, np.float32(0))

    def _activate_in_place(self, hidden: Float32s) -> None:
        if self.activation == "tanh":
            np.tanh(hidden, out=hidden)
        else:
            np.maximum(hidden, np.float32(0), out=hidden)

    @property
    def _widths(self) -> tuple[int, ...]:
        return tuple(len(layer.bias) for layer in self.layers)

    def _blocks(self, rows: int) -> Iterator[slice]:
        num_factors = max(self.factors.shape[1], self.deep_table.shape[1])
        widest = max(self.num_fields * max(num_factors, 1), *self._widths, 1)
        return slices(rows, max(1, BLOCK_NUMBERS // widest))

    def _checked(self, ids: Ids) -> Ids:
        if ids.ndim != 2 or ids.shape[1] != self.num_fields:
            raise RunError(
                f"The feature indices have shape {ids.shape}, but this run has "
                f"{self.num_fields} fields. Encode the impressions with this run's vocabulary."
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_features:
            raise RunError(
                f"The feature indices reach from {ids.min()} to {ids.max()}, but this run has "
                f"{self.num_features} features. Encode the impressions with this run's vocabulary."
            )
        return ids


def _pairwise(embeddings: Float32s) -> Float64s:
    """½ Σ_k [(Σ_i v_ik)² − Σ_i v_ik²] for float32[N, F, K], by Rendle 2010, Lemma 3.1."""
    square_of_sum = embeddings.sum(axis=1).astype(np.float64) ** 2
    flat = embeddings.reshape(len(embeddings), -1)
    sum_of_squares = (flat * flat).sum(axis=1).astype(np.float64)
    return 0.5 * (square_of_sum.sum(axis=1) - sum_of_squares)


def slices(rows: int, step: int) -> Iterator[slice]:
    """The slices of `step` rows that cover `rows` rows, in order."""
    return (slice(start, start + step) for start in range(0, rows, step))


def tensor_shapes(
    num_features: int, num_fields: int, model: ModelConfig
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in model.safetensors, for V features in F fields."""
    table = (num_features, model.num_factors)
    shapes: dict[str, tuple[int, ...]] = {}
    if "linear" in model.terms:
        shapes |= {"linear.table": (num_features,), "linear.scale": (1,), "linear.bias": (1,)}
    deep = "deep" in model.terms
    if "pairwise" in model.terms or (deep and model.shared_embedding):
        shapes["factors.table"] = table
    if deep and not model.shared_embedding:
        shapes["deep.table"] = table
    if deep:
        widths = (num_fields * model.num_factors, *model.mlp_dims, 1)
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            shapes |= {f"mlp.{i}.weight": (outputs, inputs), f"mlp.{i}.bias": (outputs,)}
    return shapes


def weights_from_tensors(
    tensors: Mapping[str, Float32s], model: ModelConfig, num_features: int, num_fields: int
) -> Weights:
    """The weights from named tensors; RunError names the one that is missing, foreign or wrong."""
    _check_tensors(tensors, tensor_shapes(num_features, num_fields, model))
    none = np.zeros((num_features, 0), np.float32)
    linear_table = tensors.get("linear.table", np.zeros(num_features, np.float32))
    linear_scale = float(tensors["linear.scale"][0]) if "linear" in model.terms else 0.0
    shared = tensors.get("factors.table", none)
    deep = "deep" in model.terms
    return Weights(
        num_features=num_features,
        num_fields=num_fields,
        linear_effects=linear_table.astype(np.float64) * linear_scale,
        linear_table=linear_table,
        linear_scale=linear_scale,
        linear_bias=float(tensors["linear.bias"][0]) if "linear" in model.terms else 0.0,
        factors=shared if "pairwise" in model.terms else none,
        deep_table=tensors.get("deep.table", shared) if deep else none,
        layers=tuple(
            Layer(tensors[f"mlp.{i}.weight"], tensors[f"mlp.{i}.bias"])
            for i in range(len(model.mlp_dims) + 1 if deep else 0)
        ),
        activation=model.activation,
    )


def _check_tensors(tensors: Mapping[str, Float32s], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(shapes.keys() ^ tensors.keys()):
        verb = "lacks" if name in shapes else "holds"
        raise RunError(
            f"it {verb} the tensor {name}, which does not fit the model that config.json describes"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise RunError(
                f"the tensor {name} is {tensor.dtype}{list(tensor.shape)}, but config.json and "
                f"the vocabulary ask for float32{list(shape)}"
            )
        if not np.isfinite(tensor).all():
            raise RunError(
                f"the tensor {name} holds values that are not numbers: the training diverged "
                "(a lower learning rate helps)"
            )
