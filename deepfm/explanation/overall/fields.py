"""Many impressions to how far each field moves the score on average, branch by branch."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.explanation.shapley import deep_by_field
from deepfm.trained import Reference, TrainedModel, Weights
from deepfm.trained.weights import BLOCK_NUMBERS, Float64s, Ids, slices

EXACT_ROWS: Final = 20_000
"""Rows whose linear and pairwise contributions are averaged."""
MOST_DEEP_ROWS: Final = 300
FEWEST_DEEP_ROWS: Final = 60
DRAWS: Final = 50
"""Random orders of the fields for one row's deep contributions."""
BUDGET: Final = 1.2e11
"""Multiplications that sampling the network may cost: a few seconds on one core."""
_SEED: Final = 0


@dataclass(frozen=True, eq=False)
class FieldSizes:
    """Mean absolute contribution of each field to one or more terms, in logit units.

    mean    term to float64[F]
    error   term to float64[F]  standard error of that mean over the rows
    rows    term to how many impressions it is the mean over
    draws   random orders a row, for the deep term; 0 where nothing was sampled
    """

    fields: tuple[str, ...]
    mean: dict[str, Float64s]
    error: dict[str, Float64s]
    rows: dict[str, int]
    draws: int = 0

    def with_deep(self, deep: "FieldSizes") -> "FieldSizes":
        """The same with the terms of another one beside them."""
        return FieldSizes(
            self.fields,
            self.mean | deep.mean,
            self.error | deep.error,
            self.rows | deep.rows,
            deep.draws,
        )

    @property
    def by_size(self) -> tuple[int, ...]:
        """The fields, the one that moves the score most (over all terms) first."""
        total = np.sum(list(self.mean.values()), axis=0)
        return tuple(int(n) for n in np.argsort(-total, kind="stable"))


def exact_field_sizes(
    model: TrainedModel, ids: Ids, reference: Reference | None = None
) -> FieldSizes:
    """Linear and pairwise, exact for each row, averaged over at most 20,000 rows int32[N, F].

    N is at least 1; the terms that the model lacks are left out.
    """
    reference = reference or model.reference
    chosen = ids[sample_of(len(ids), EXACT_ROWS)]
    totals = {term: _Running(model.weights.num_fields) for term in ("linear", "pairwise")}
    step = max(1, BLOCK_NUMBERS // (ids.shape[1] * max(1, model.weights.factors.shape[1])))
    for block in slices(len(chosen), step):
        rows = chosen[block]
        totals["linear"].add(model.weights.linear_effects[rows] - reference.linear_means)
        totals["pairwise"].add(pairwise_by_field_of_all(model.weights, reference, rows))
    kept = {term: total for term, total in totals.items() if term in model.model.terms}
    return _sizes(model, kept)


def pairwise_by_field_of_all(weights: Weights, reference: Reference, ids: Ids) -> Float64s:
    """`shapley.pairwise_by_field` of many rows at once, in O(N·F·K): float64[N, F].

    With S = Σ_j v_j and M = Σ_j v̄_j, field i gets
    ½[⟨v_i, S − v_i⟩ − Σ_j mean⟨r_i, r_j⟩ + ⟨v_i, M⟩ − ⟨S, v̄_i⟩]: in the last two its own place
    cancels.
    """
    embeddings = weights.factors[ids].astype(np.float64)
    total, mean_total = embeddings.sum(axis=1), reference.factor_means.sum(axis=0)
    own = (embeddings * (total[:, None] - embeddings)).sum(axis=2)
    crossed = embeddings @ mean_total - total @ reference.factor_means.T
    return 0.5 * (own - reference.pair_means.sum(axis=1) + crossed)


@dataclass
class _Running:
    """Sums of absolute values and of their squares, field by field."""

    fields: int

    def __post_init__(self) -> None:
        self.rows = 0
        self.sums, self.squares = np.zeros((2, self.fields))

    def add(self, contributions: Float64s) -> None:
        """float64[N, F]"""
        self.rows += len(contributions)
        self.sums += np.abs(contributions).sum(axis=0)
        self.squares += (contributions**2).sum(axis=0)

    @property
    def mean(self) -> Float64s:
        return self.sums / self.rows

    @property
    def error(self) -> Float64s:
        variance = np.maximum(0.0, self.squares / self.rows - self.mean**2)
        return np.sqrt(variance / max(1, self.rows - 1))


def _sizes(model: TrainedModel, totals: dict[str, _Running]) -> FieldSizes:
    return FieldSizes(
        tuple(field.name for field in model.fields),
        {term: total.mean for term, total in totals.items()},
        {term: total.error for term, total in totals.items()},
        {term: total.rows for term, total in totals.items()},
    )


def sample_of(rows: int, most: int) -> NDArray[np.int64]:
    """At most so many of the rows, drawn without replacement by a fixed seed, in their order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(_SEED).choice(rows, most, replace=False))


def deep_draws(model: TrainedModel, rows: int) -> int:
    """Of how many rows the deep contributions are sampled: 300, fewer of a large network."""
    widths = [len(layer.bias) for layer in model.weights.layers]
    inner = sum(before * after for before, after in itertools.pairwise(widths))
    walk = 2 * model.weights.num_fields * (inner + model.weights.deep_table.shape[1] * widths[0])
    affordable = int(BUDGET / (DRAWS * walk))
    return min(rows, MOST_DEEP_ROWS, max(FEWEST_DEEP_ROWS, affordable))


def deep_field_sizes(
    model: TrainedModel,
    ids: Ids,
    reference: Reference | None = None,
    on_row: Callable[[int, int], None] = lambda done, of: None,
) -> FieldSizes:
    """The network's, sampled: of `deep_draws` rows of int32[N, F], each by 50 random orders.

    on_row  called with rows done and rows in all; what it raises ends the sampling

    The absolute value of a noisy number is too large on average: with 50 orders by some 5 % where
    the network is far from additive. The error is that of the mean over the rows, which holds the
    sampling's own too.
    """
    reference = reference or model.reference
    places = sample_of(len(ids), deep_draws(model, len(ids)))
    sizes = np.empty((len(places), ids.shape[1]))
    for number, row in enumerate(ids[places]):
        on_row(number, len(places))
        found = deep_by_field(model.weights, reference, row, DRAWS, seed=number)
        sizes[number] = np.abs(found.values)
    on_row(len(places), len(places))
    spread = sizes.std(axis=0, ddof=1) if len(sizes) > 1 else np.zeros(ids.shape[1])
    return FieldSizes(
        tuple(field.name for field in model.fields),
        {"deep": sizes.mean(axis=0)},
        {"deep": spread / math.sqrt(len(sizes))},
        {"deep": len(sizes)},
        DRAWS,
    )
