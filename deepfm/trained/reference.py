"""The reference population: the impressions that contributions are measured against."""

from dataclasses import dataclass

import numpy as np

from deepfm.terms import Terms
from deepfm.trained.weights import BLOCK_NUMBERS, Float64s, Ids, Weights, slices


@dataclass(frozen=True)
class Reference:
    """R impressions of one model and what is needed of them to explain any other one.

    name          in words, such as "1,000 training rows"
    ids           int32[R, F]
    deep          float64[R]     the network's output for each
    linear_means  float64[F]     mean of a · w over the rows, field by field
    factor_means  float64[F, K]  mean embedding of the pairwise term, field by field
    pair_means    float64[F, F]  mean of ⟨r_i, r_j⟩; the diagonal is 0
    mean          means of the terms; their sum is the base
    """

    name: str
    ids: Ids
    deep: Float64s
    linear_means: Float64s
    factor_means: Float64s
    pair_means: Float64s
    mean: Terms

    @property
    def base(self) -> float:
        """The mean logit, from which every explanation starts."""
        return float(self.mean.logit[0])

    def __len__(self) -> int:
        return len(self.ids)


def reference_from_ids(weights: Weights, ids: Ids, name: str) -> Reference:
    """The reference population of ids int32[R, F], R at least 1."""
    factor_means, pair_means = _factor_and_pair_means(weights, ids)
    linear_means = weights.linear_effects[ids].mean(axis=0)
    deep = weights.deep(ids)
    mean = Terms(
        np.array([linear_means.sum() + weights.linear_bias]),
        np.array([pair_means.sum() / 2]),
        np.array([deep.mean()]),
    )
    return Reference(name, ids, deep, linear_means, factor_means, pair_means, mean)


def _factor_and_pair_means(weights: Weights, ids: Ids) -> tuple[Float64s, Float64s]:
    """Mean embeddings float64[F, K] and mean products float64[F, F], in bounded memory."""
    fields, num_factors = weights.num_fields, weights.factors.shape[1]
    embedding_sums = np.zeros((fields, num_factors))
    product_sums = np.zeros((fields, fields))
    for block in slices(len(ids), max(1, BLOCK_NUMBERS // (fields * max(num_factors, 1)))):
        embeddings = weights.factors[ids[block]].astype(np.float64)
        embedding_sums += embeddings.sum(axis=0)
        by_field = embeddings.transpose(1, 0, 2).reshape(fields, -1)
        product_sums += by_field @ by_field.T
    np.fill_diagonal(product_sums, 0.0)
    return embedding_sums / len(ids), product_sums / len(ids)
