"""A factorization machine over places, written so that its parts stand apart.

Any linear + pairwise function of independent fields is mean + Σ single + Σ pair, where each single
effect has mean zero over its field, and each pair effect has mean zero over either of its fields.
Written so ("purified", Lengerich et al. 2020), variances add up and the parts mean what they say.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfm.explanation.beyond.marginals import Marginals, Places
from deepfm.trained.weights import Float32s, Float64s


@dataclass(frozen=True, eq=False)
class PairModel:
    """mean + Σ_i single[x_i] + Σ_{i<j} ⟨factors[x_i], factors[x_j]⟩, purified.

    single    float64[V']      mean zero over each field
    factors   float32[V', K]   mean zero over each field
    """

    mean: float
    single: Float64s
    factors: Float32s

    def singles(self, places: Places) -> Float64s:
        """mean + Σ single, float64[n], for draws int32[F, n]."""
        return self.mean + sum_of(self.single, places)

    def pairs(self, places: Places) -> Float64s:
        """Σ_{i<j} ⟨factors, factors⟩, float64[n]."""
        return pairs_of(self.factors, places)

    def pair_spreads(self, marginals: Marginals) -> Float64s:
        """Spread of each pair's effect over the marginals, float64[F, F], zero on the diagonal.

        The variance of ⟨u, v⟩ of independent u, v with mean zero is tr(cov u · cov v).
        """
        covariances = np.stack(
            [
                (self.factors[field].T * marginals.shares[field]) @ self.factors[field]
                for field in marginals.fields()
            ]
        ).reshape(marginals.num_fields, -1)
        spreads = np.sqrt(np.maximum(covariances @ covariances.T, 0.0))
        np.fill_diagonal(spreads, 0.0)
        return spreads

    def single_spreads(self, marginals: Marginals) -> Float64s:
        """Spread of each field's single effect over the marginals, float64[F]."""
        return np.sqrt(marginals.field_means(self.single**2))


def purified(
    marginals: Marginals,
    constant: float,
    linear: Float32s | Float64s,
    factors: Float32s,
) -> PairModel:
    """constant + Σ linear + Σ_{i<j} ⟨factors, factors⟩ as a PairModel: the same function.

    linear   [V'];   factors   float32[V', K]
    """
    linear_means = marginals.field_means(linear)
    factor_means = marginals.field_means(factors)
    sum_of_means = factor_means.sum(axis=0)
    single = np.empty(len(linear))
    centred = np.empty_like(factors)
    for number, field in enumerate(marginals.fields()):
        centred[field] = factors[field] - factor_means[number]
        others = sum_of_means - factor_means[number]
        single[field] = linear[field] - linear_means[number] + centred[field] @ others
    means = 0.5 * float(sum_of_means @ sum_of_means - (factor_means**2).sum())
    return PairModel(constant + float(linear_means.sum()) + means, single, centred)


def sum_of(values: NDArray[np.floating], places: Places) -> Float64s:
    """Σ_i values[x_i], float64[n], for draws int32[F, n]."""
    total = np.zeros(places.shape[1])
    for row in places:
        total += values[row]
    return total


def pairs_of(factors: Float32s, places: Places) -> Float64s:
    """Σ_{i<j} ⟨factors[x_i], factors[x_j]⟩, float64[n], by Rendle 2010, Lemma 3.1."""
    total = np.zeros((places.shape[1], factors.shape[1]), np.float32)
    squares = np.zeros(places.shape[1], np.float32)
    square = np.einsum("vk,vk->v", factors, factors)
    for row in places:
        total += factors[row]
        squares += square[row]
    return 0.5 * (np.einsum("nk,nk->n", total, total) - squares).astype(np.float64)
