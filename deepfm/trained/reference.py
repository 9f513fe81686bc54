"""The reference population: the impressions that contributions are measured against."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from deepfm.terms import Terms
from deepfm.trained.weights import BLOCK_NUMBERS, Float64s, Ids, Weights, slices

PopulationKind = Literal["sample", "slice", "other", "all"]

TYPICAL: Final = "a typical impression"


@dataclass(frozen=True, eq=False)
class Reference:
    """Impressions of one model and what is needed of them to explain any other one.

    name          in words, such as "1,000 training rows drawn at random"
    ids           int32[R, F]    the rows that random draws come from
    deep          float64[R]     the network's output for each
    linear_means  float64[F]     mean of a · w over the population, field by field
    factor_means  float64[F, K]  mean embedding of the pairwise term, field by field
    pair_means    float64[F, F]  mean of ⟨r_i, r_j⟩; the diagonal is 0
    mean          means of the terms over the population; their sum is the base
    rows          how many impressions the means are over: R, or more where `ids` are a sample
    kind          which sort of population it is
    against       what its mean stands for, as it ends a sentence: "a typical impression"
    advice        what to do for a better one, in a sentence; "" where nothing is amiss
    """

    name: str
    ids: Ids
    deep: Float64s
    linear_means: Float64s
    factor_means: Float64s
    pair_means: Float64s
    mean: Terms
    rows: int
    kind: PopulationKind = "sample"
    against: str = TYPICAL
    advice: str = ""

    @property
    def base(self) -> float:
        """The mean logit, from which every explanation starts."""
        return float(self.mean.logit[0])

    def __len__(self) -> int:
        return self.rows


@dataclass(frozen=True, eq=False)
class Means:
    """Means over `rows` impressions: the fields of a Reference that do not depend on a sample."""

    rows: int
    linear_means: Float64s
    factor_means: Float64s
    pair_means: Float64s
    deep_mean: float

    def terms(self, weights: Weights) -> Terms:
        """The means of the terms, float64[1] each."""
        return Terms(
            np.array([self.linear_means.sum() + weights.linear_bias]),
            np.array([self.pair_means.sum() / 2]),
            np.array([self.deep_mean]),
        )


def reference_from_ids(
    weights: Weights,
    ids: Ids,
    name: str,
    *,
    kind: PopulationKind = "sample",
    against: str = TYPICAL,
    advice: str = "",
) -> Reference:
    """The reference population of ids int32[R, F], R at least 1."""
    deep = weights.deep(ids)
    return reference_from_means(
        weights,
        means_over(weights, ids, deep),
        ids,
        deep,
        name,
        kind=kind,
        against=against,
        advice=advice,
    )


def reference_from_means(
    weights: Weights,
    means: Means,
    ids: Ids,
    deep: Float64s,
    name: str,
    *,
    kind: PopulationKind = "sample",
    against: str = TYPICAL,
    advice: str = "",
) -> Reference:
    """A population known by its means, with rows int32[R, F] of it and their outputs float64[R]."""
    return Reference(
        name=name,
        ids=ids,
        deep=deep,
        linear_means=means.linear_means,
        factor_means=means.factor_means,
        pair_means=means.pair_means,
        mean=means.terms(weights),
        rows=means.rows,
        kind=kind,
        against=against,
        advice=advice,
    )


def means_over(
    weights: Weights,
    ids: Ids,
    deep: Float64s | None = None,
    on_block: Callable[[int], None] = lambda done: None,
) -> Means:
    """The means over rows int32[N, F], N at least 1, in one pass and bounded memory.

    deep      float64[N]  the network's output where it is known already
    on_block  called with the number of rows done, after each block; what it raises ends the pass
    """
    fields, num_factors = weights.num_fields, weights.factors.shape[1]
    linear_sums, factor_sums = np.zeros(fields), np.zeros((fields, num_factors))
    product_sums, deep_sum = np.zeros((fields, fields)), 0.0
    for block in slices(len(ids), max(1, BLOCK_NUMBERS // (fields * max(num_factors, 1)))):
        rows = np.asarray(ids[block])
        linear_sums += weights.linear_effects[rows].sum(axis=0)
        embeddings = weights.factors[rows].astype(np.float64)
        factor_sums += embeddings.sum(axis=0)
        by_field = embeddings.transpose(1, 0, 2).reshape(fields, -1)
        product_sums += by_field @ by_field.T
        deep_sum += float((weights.deep(rows) if deep is None else deep[block]).sum())
        on_block(min(block.stop, len(ids)))
    np.fill_diagonal(product_sums, 0.0)
    count = len(ids)
    return Means(
        count, linear_sums / count, factor_sums / count, product_sums / count, deep_sum / count
    )
