"""One impression to every number between its values and its logit, as the model computes it."""

from dataclasses import dataclass

import numpy as np

from deepfm.explanation.neighbours import checked
from deepfm.terms import sigmoid
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Float32s, Float64s, Ids, Weights


@dataclass(frozen=True, eq=False)
class LinearSteps:
    """term = a · Σ w + b.

    w      float64[F]  one number a value
    scale  a
    bias   b
    """

    w: Float64s
    scale: float
    bias: float

    @property
    def total(self) -> float:
        """Σ w."""
        return float(self.w.sum())

    @property
    def term(self) -> float:
        """a · Σ w + b."""
        return self.scale * self.total + self.bias


@dataclass(frozen=True, eq=False)
class PairwiseSteps:
    """term = ½ Σ_k [(Σ_i v_ik)² − Σ_i v_ik²].

    v  float64[F, K]  one embedding a value
    """

    v: Float64s

    @property
    def sums(self) -> Float64s:
        """Σ_i v_ik, float64[K]."""
        return self.v.sum(axis=0)

    @property
    def squares_of_sums(self) -> Float64s:
        """(Σ_i v_ik)², float64[K]."""
        return self.sums**2

    @property
    def sums_of_squares(self) -> Float64s:
        """Σ_i v_ik², float64[K]."""
        return (self.v**2).sum(axis=0)

    @property
    def by_factor(self) -> Float64s:
        """½ [(Σ_i v_ik)² − Σ_i v_ik²], float64[K]: what each factor adds to the term."""
        return (self.squares_of_sums - self.sums_of_squares) / 2

    @property
    def term(self) -> float:
        """Their sum."""
        return float(self.by_factor.sum())


@dataclass(frozen=True, eq=False)
class LayerSteps:
    """One layer of the network: sums = weight · inputs + bias, outputs = activation(sums).

    inputs   float64[in]
    weight   float32[out, in]
    bias     float64[out]
    sums     float64[out]
    outputs  float64[out]: sums themselves in the last layer, which has no activation
    """

    inputs: Float64s
    weight: Float32s
    bias: Float64s
    sums: Float64s
    outputs: Float64s

    def into(self, unit: int) -> Float64s:
        """weight × input for each input of one unit, float64[in]; with its bias, its sum."""
        products: Float64s = self.weight[unit].astype(np.float64) * self.inputs
        return products

    @property
    def active(self) -> int:
        """How many units are above zero: with relu, those that pass anything on."""
        return int((self.outputs > 0).sum())


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """All intermediate numbers of one impression; a term that the model lacks is None.

    fields      names, in the order of the rows of w, v and inputs
    layers      of the network, the last to a single number; empty without one. The first one's
                inputs are the embeddings side by side: field i is inputs[i·K : (i + 1)·K].
    activation  "relu" or "tanh", of every layer but the last
    """

    fields: tuple[str, ...]
    linear: LinearSteps | None
    pairwise: PairwiseSteps | None
    layers: tuple[LayerSteps, ...]
    activation: str

    @property
    def deep(self) -> float | None:
        """The network's output; None without one."""
        return float(self.layers[-1].outputs[0]) if self.layers else None

    @property
    def logit(self) -> float:
        """The terms added up."""
        parts = (
            self.linear.term if self.linear else 0.0,
            self.pairwise.term if self.pairwise else 0.0,
            self.deep or 0.0,
        )
        return sum(parts)

    @property
    def probability(self) -> float:
        """1 / (1 + exp(−logit))."""
        return float(sigmoid(np.array(self.logit)))

    def first_layer_by_field(self) -> Float64s:
        """What each field adds to the first layer's sums, float64[F, H]; with the bias, all."""
        layer, fields = self.layers[0], len(self.fields)
        products = layer.weight.astype(np.float64) * layer.inputs
        by_field: Float64s = products.reshape(len(layer.bias), fields, -1).sum(axis=2).T
        return by_field


def arithmetic(model: TrainedModel, ids: Ids) -> Arithmetic:
    """The numbers of the impression ids int32[F], in float64; RunError for another model's ids."""
    weights, terms = model.weights, model.model.terms
    checked(model, ids)
    return Arithmetic(
        fields=tuple(field.name for field in model.fields),
        linear=LinearSteps(
            weights.linear_table[ids].astype(np.float64), weights.linear_scale, weights.linear_bias
        )
        if "linear" in terms
        else None,
        pairwise=PairwiseSteps(weights.factors[ids].astype(np.float64))
        if "pairwise" in terms
        else None,
        layers=_layers(weights, ids),
        activation=weights.activation,
    )


def _layers(weights: Weights, ids: Ids) -> tuple[LayerSteps, ...]:
    inputs = weights.deep_table[ids].astype(np.float64).ravel()
    steps = []
    for number, layer in enumerate(weights.layers, start=1):
        bias = layer.bias.astype(np.float64)
        sums = layer.weight.astype(np.float64) @ inputs + bias
        outputs = sums if number == len(weights.layers) else _activated(sums, weights.activation)
        steps.append(LayerSteps(inputs, layer.weight, bias, sums, outputs))
        inputs = outputs
    return tuple(steps)


def _activated(sums: Float64s, activation: str) -> Float64s:
    return np.tanh(sums) if activation == "tanh" else np.maximum(sums, 0.0)
