"""Feature indices to the three terms of the logit: DeepFM as in Guo et al. 2017.

The readable reference: no fast path lives here, and this state dict is the only weight layout.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepfm.config import ModelConfig

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class TermTensors(NamedTuple):
    """The three terms, float32[N] each; a term that the model does not have is all zeros."""

    linear: Tensor
    pairwise: Tensor
    deep: Tensor

    @property
    def logit(self) -> Tensor:
        """linear + pairwise + deep: float32[N]."""
        return self.linear + self.pairwise + self.deep


class LinearTerm(nn.Module):
    """a · Σ_i w[x_i] + b: each value on its own."""

    def __init__(self, num_features: int, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(num_features, 1, sparse=sparse)
        self.output = nn.Linear(1, 1)
        nn.init.xavier_uniform_(self.table.weight)
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """int[N, F] to float32[N]."""
        return self.output(self.table(ids).sum(dim=1)).squeeze(1)


def pairwise_term(factors: Tensor) -> Tensor:
    """Σ_{i<j} ⟨v_i, v_j⟩ in O(F·K), by Rendle 2010, Lemma 3.1: float[N, F, K] to float[N]."""
    square_of_sum = factors.sum(dim=1).square()
    sum_of_square = factors.square().sum(dim=1)
    return 0.5 * (square_of_sum - sum_of_square).sum(dim=1)


class DeepTerm(nn.Module):
    """MLP([v_1; …; v_F]): the network, which sees all fields at once."""

    def __init__(self, num_inputs: int, config: ModelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(config.embedding_drop_rate)]
        width = num_inputs
        for next_width in config.mlp_dims:
            layers += [
                nn.Linear(width, next_width),
                _ACTIVATIONS[config.activation](),
                nn.Dropout(config.drop_rate),
            ]
            width = next_width
        layers.append(nn.Linear(width, 1))
        self.layers = nn.Sequential(*layers)
        for layer in self.linears():
            nn.init.xavier_uniform_(layer.weight)

    def linears(self) -> list[nn.Linear]:
        """The linear layers, from the embeddings to the term."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, factors: Tensor) -> Tensor:
        """float32[N, F, K] to float32[N]."""
        return self.layers(factors.flatten(start_dim=1)).squeeze(1)


class DeepFM(nn.Module):
    """p = sigmoid(linear + pairwise + deep), with one embedding table for pairwise and deep.

    field_dims   number of features of each field; ids are offset so that fields do not overlap
    config       which terms are on, and their sizes
    sparse       gradients of the tables hold only the rows of the batch (for lazy-adam)

    Tables and layers start xavier-uniform, biases as in torch, as the D2L DeepFM does.
    """

    def __init__(
        self, field_dims: tuple[int, ...], config: ModelConfig, *, sparse: bool = False
    ) -> None:
        super().__init__()
        num_features, num_fields = sum(field_dims), len(field_dims)
        self.config = config
        self.field_dims = field_dims
        self.linear = LinearTerm(num_features, sparse) if "linear" in config.terms else None
        self.factors = self.deep_factors = self.deep = None
        pairwise, deep = "pairwise" in config.terms, "deep" in config.terms
        if pairwise or (deep and config.shared_embedding):
            self.factors = _factor_table(num_features, config.num_factors, sparse)
        if deep:
            if not config.shared_embedding:
                self.deep_factors = _factor_table(num_features, config.num_factors, sparse)
            self.deep = DeepTerm(num_fields * config.num_factors, config)

    def forward(self, ids: Tensor) -> Tensor:
        """int[N, F] feature indices to logits, float32[N]."""
        return self.terms(ids).logit

    def terms(self, ids: Tensor) -> TermTensors:
        """The three terms of the logit, one value per impression.

        ids      int[N, F]   feature indices, already offset per field
        returns  linear, pairwise, deep: float32[N] each; their sum is the logit
        The sum is Guo et al. 2017, eq. 1.
        """
        linear = pairwise = deep = torch.zeros(len(ids), device=ids.device)
        if self.linear is not None:
            linear = self.linear(ids)
        if self.factors is not None:
            factors = self.factors(ids)
            if "pairwise" in self.config.terms:
                pairwise = pairwise_term(factors)
            if self.deep is not None and self.deep_factors is None:
                deep = self.deep(factors)
        if self.deep is not None and self.deep_factors is not None:
            deep = self.deep(self.deep_factors(ids))
        return TermTensors(linear, pairwise, deep)

    def penalty(self, ids: Tensor) -> Tensor:
        """Σ over the batch's occurrences of (‖v‖² + w²), divided by its N rows: a scalar."""
        squares = [table(ids).square().sum() for table in self.tables()]
        return torch.stack(squares).sum() / len(ids)

    def tables(self) -> list[nn.Embedding]:
        """The embedding tables that are there, linear weights first."""
        tables = [self.linear.table] if self.linear is not None else []
        return tables + [t for t in (self.factors, self.deep_factors) if t is not None]

    def weights(self) -> dict[str, Tensor]:
        """All weights under their names in a run folder (`model.safetensors`), on the CPU.

        linear.table [V] · linear.scale [1] · linear.bias [1] · factors.table [V, K] ·
        deep.table [V, K] where the deep branch has its own · mlp.i.weight, mlp.i.bias
        """
        named: dict[str, Tensor] = {}
        if self.linear is not None:
            named["linear.table"] = self.linear.table.weight.squeeze(1)
            named["linear.scale"] = self.linear.output.weight.reshape(1)
            named["linear.bias"] = self.linear.output.bias
        if self.factors is not None:
            named["factors.table"] = self.factors.weight
        if self.deep_factors is not None:
            named["deep.table"] = self.deep_factors.weight
        for i, layer in enumerate(self.deep.linears() if self.deep is not None else ()):
            named[f"mlp.{i}.weight"] = layer.weight
            named[f"mlp.{i}.bias"] = layer.bias
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}


def _factor_table(num_features: int, num_factors: int, sparse: bool) -> nn.Embedding:
    table = nn.Embedding(num_features, num_factors, sparse=sparse)
    nn.init.xavier_uniform_(table.weight)
    return table
