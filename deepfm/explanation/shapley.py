"""One impression and a reference population to what each field added to each term.

All three are interventional Shapley values: a field "present" has the impression's value, an
absent one that of a reference row. Linear and pairwise are exact in closed form, deep is sampled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfm.trained.reference import Reference
from deepfm.trained.weights import Float32s, Float64s, Ids, Weights, slices

DRAWS_AT_ONCE_NUMBERS = 2**21
"""How many numbers the network's first layer may hold for one block of draws."""


def linear_by_field(weights: Weights, reference: Reference, ids: Ids) -> Float64s:
    """a · w of each field minus its mean, float64[F] for ids int32[F]."""
    return weights.linear_effects[ids] - reference.linear_means


def pairs(weights: Weights, reference: Reference, ids: Ids) -> Float64s:
    """⟨v_i, v_j⟩ minus its mean, float64[F, F]: symmetric, with a zero diagonal."""
    embeddings = weights.factors[ids].astype(np.float64)
    products = embeddings @ embeddings.T
    np.fill_diagonal(products, 0.0)
    return products - reference.pair_means


def pairwise_by_field(weights: Weights, reference: Reference, ids: Ids) -> Float64s:
    """What each field adds to the pairwise term, float64[F].

    To field i go ½⟨v_i − r_i, v_j + r_j⟩ of each pair, averaged over the reference rows r; the
    mean of the product is v_i·v_j − r_i·r_j + v_i·r_j − r_i·v_j, each averaged by itself.
    """
    embeddings = weights.factors[ids].astype(np.float64)
    crossed = embeddings @ reference.factor_means.T
    return 0.5 * (pairs(weights, reference, ids) + crossed - crossed.T).sum(axis=1)


@dataclass(frozen=True)
class DeepByField:
    """What each field adds to the network's output, float64[F], and how sure that is.

    standard_error  float64[F], or None with fewer than 3 draws
    """

    values: Float64s
    standard_error: Float64s | None


def deep_by_field(
    weights: Weights, reference: Reference, ids: Ids, draws: int, seed: int
) -> DeepByField:
    """Shapley values of the network for ids int32[F], from `draws` random orders, at least 1.

    Each draw takes one order of the fields with its reverse and one reference row. The values
    add up to deep − mean deep exactly, for any number of draws: the reference rows drawn are not
    the whole population, and that difference is shared out by a control variate.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(reference), size=draws)
    orders = rng.permuted(np.tile(np.arange(weights.num_fields), (draws, 1)), axis=1)
    own = float(weights.deep(ids[None])[0])
    by_draw = _contributions(weights, reference, ids, own, rows, orders)
    return _average(by_draw, reference.deep[rows], float(reference.deep.mean()))


def _contributions(
    weights: Weights,
    reference: Reference,
    ids: Ids,
    own: float,
    rows: NDArray[np.int64],
    orders: NDArray[np.int64],
) -> Float64s:
    """Mean of the contributions along each order and its reverse, float64[D, F]."""
    contributions = np.empty(orders.shape)
    numbers_per_draw = 2 * weights.num_fields * len(weights.layers[0].bias)
    for block in slices(len(orders), max(1, DRAWS_AT_ONCE_NUMBERS // numbers_per_draw)):
        reference_ids = reference.ids[rows[block]]
        start, changes = _first_layer_changes(weights, ids, reference_ids)
        ends = (reference.deep[rows[block]], own)
        along = _along(weights, start, changes, ends, orders[block])
        back = _along(weights, start, changes, ends, orders[block][:, ::-1])
        contributions[block] = (along + back) / 2
    return contributions


def _first_layer_changes(
    weights: Weights, ids: Ids, reference_ids: Ids
) -> tuple[Float32s, Float32s]:
    """The first layer's sums for D reference rows, float32[D, H], and by how much each field's
    change to the impression's value moves them, float32[D, F, H].
    """
    hidden = len(weights.layers[0].bias)
    start = np.zeros((len(reference_ids), hidden), np.float32)
    changes = np.empty((*reference_ids.shape, hidden), np.float32)
    for field in range(weights.num_fields):
        before = weights.first_layer(reference_ids[:, field], field)
        start += before
        changes[:, field] = weights.first_layer(ids[field : field + 1], field) - before
    return start, changes


def _along(
    weights: Weights,
    start: Float32s,
    changes: Float32s,
    ends: tuple[Float64s, float],
    orders: NDArray[np.int64],
) -> Float64s:
    """What each field adds when the fields change one after another, float64[D, F].

    ends  the network's output where no field and where every field has changed: known already,
          and set here rather than summed up, so that the contributions add up exactly
    """
    draws, fields = orders.shape
    in_order = np.take_along_axis(changes, orders[:, :, None], axis=1)
    sums = start[:, None] + np.cumsum(in_order[:, :-1], axis=1)
    outputs = np.empty((draws, fields + 1))
    outputs[:, 0], outputs[:, -1] = ends
    outputs[:, 1:-1] = weights.deep_after_first_layer(
        sums.reshape(draws * (fields - 1), -1)
    ).reshape(draws, fields - 1)
    contributions = np.empty((draws, fields))
    np.put_along_axis(contributions, orders, np.diff(outputs, axis=1), axis=1)
    return contributions


def _average(by_draw: Float64s, drawn: Float64s, population_mean: float) -> DeepByField:
    """The mean over the draws, moved to the whole population.

    by_draw          float64[D, F]  contributions of each draw
    drawn            float64[D]     the network's output for the reference row of each draw
    population_mean  its mean over the whole reference population

    A field's contributions regress on `drawn` with slope −β, and the β add to 1, since each
    draw's contributions add up to deep − drawn.
    """
    draws, fields = by_draw.shape
    mean, deviation = by_draw.mean(axis=0), drawn - drawn.mean()
    spread = float(deviation @ deviation)
    if draws < 3 or spread == 0.0:
        beta = np.full(fields, 1.0 / fields)
        slope = np.zeros(fields)
    else:
        slope = deviation @ (by_draw - mean) / spread
        beta = -slope
    values = mean + beta * (drawn.mean() - population_mean)
    if draws < 3:
        return DeepByField(values, None)
    residual = by_draw - mean - deviation[:, None] * slope
    variance = (residual**2).sum(axis=0) / (draws - 2)
    return DeepByField(values, np.sqrt(variance / draws))
