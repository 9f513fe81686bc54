"""One impression and a reference population to what each field added to each term.

All three are interventional Shapley values: a field "present" has the impression's value, an
absent one that of a reference row. Linear and pairwise are exact in closed form, deep is sampled.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.trained.reference import Reference
from deepfm.trained.weights import Float32s, Float64s, Ids, Weights, slices

WALK_NUMBERS: Final = 2**19
"""How many numbers the network's first layer may hold for one block of walks."""
DRAWS_IN_BATCH: Final = 50
"""Draws that one random generator makes: draw n is the same however many are asked for."""


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


@dataclass(frozen=True, eq=False)
class DeepByField:
    """What each field adds to the network's output, float64[F], and how sure that is.

    standard_error  float64[F], or None with fewer than 3 draws
    by_draw         float64[n, F]  contributions of each draw, from which more can be averaged
    drawn           float64[n]     the network's output for the reference row of each draw
    seed            of the sequence of draws
    """

    values: Float64s
    standard_error: Float64s | None
    by_draw: Float64s
    drawn: Float64s
    seed: int

    @property
    def draws(self) -> int:
        """How many random orders it rests on."""
        return len(self.drawn)


def deep_by_field(
    weights: Weights,
    reference: Reference,
    ids: Ids,
    draws: int,
    seed: int,
    so_far: DeepByField | None = None,
) -> DeepByField:
    """Shapley values of the network for ids int32[F], from `draws` random orders, at least 1.

    so_far  an earlier result for the same impression, reference and seed: its draws are the
            first ones here, and only those beyond them are made

    Each draw takes one order of the fields with its reverse and one reference row. The values
    add up to deep − mean deep exactly, for any number of draws: the reference rows drawn are not
    the whole population, and that difference is shared out by a control variate.
    """
    done = 0 if so_far is None else min(so_far.draws, draws)
    rows, orders = random_draws(len(reference.ids), weights.num_fields, done, draws, seed)
    own = float(weights.deep(ids[None])[0])
    by_draw = _contributions(weights, reference, ids, own, rows, orders)
    drawn = reference.deep[rows]
    if so_far is not None:
        by_draw = np.concatenate((so_far.by_draw[:done], by_draw))
        drawn = np.concatenate((so_far.drawn[:done], drawn))
    values, error = _average(by_draw, drawn, float(reference.mean.deep[0]))
    if error is not None and len(reference) > len(reference.ids):
        # The rows that are drawn from are themselves a draw from all rows.
        error *= np.sqrt(1.0 + draws / len(reference.ids))
    return DeepByField(values, error, by_draw, drawn, seed)


def random_draws(
    rows: int, fields: int, start: int, stop: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws start … stop − 1 of the endless sequence that a seed names.

    returns  a reference row of `rows` for each, int64[n], and an order of the fields, int64[n, F]
    """
    chosen = np.empty((0,), np.int64), np.empty((0, fields), np.int64)
    first = start // DRAWS_IN_BATCH
    for batch in range(first, -(-stop // DRAWS_IN_BATCH)):
        rng = np.random.default_rng([seed, batch])
        places = rng.integers(rows, size=DRAWS_IN_BATCH)
        orders = rng.permuted(np.tile(np.arange(fields), (DRAWS_IN_BATCH, 1)), axis=1)
        chosen = np.concatenate((chosen[0], places)), np.concatenate((chosen[1], orders))
    wanted = slice(start - first * DRAWS_IN_BATCH, stop - first * DRAWS_IN_BATCH)
    return chosen[0][wanted], chosen[1][wanted]


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
    numbers_per_draw = weights.num_fields * len(weights.layers[0].bias)
    for block in slices(len(orders), max(1, WALK_NUMBERS // numbers_per_draw)):
        reference_ids = reference.ids[rows[block]]
        contributions[block] = _walked(
            weights, ids, reference_ids, orders[block], reference.deep[rows[block]], own
        )
    return contributions


def _walked(
    weights: Weights,
    ids: Ids,
    reference_ids: Ids,
    orders: NDArray[np.int64],
    start: Float64s,
    end: float,
) -> Float64s:
    """What each field adds when the fields change one after another, there and back: float64[D, F].

    start, end  the network's output where no field and where every field has changed: known
                already, and set here rather than summed up, so that contributions add up exactly

    On the way back, after the fields from the last to the p-th have changed, the first layer's
    sums are start + end − those on the way there before the p-th: one set of sums serves both.
    """
    draws, fields = orders.shape
    sums, ends = _first_layer_sums(weights, ids, reference_ids, orders)
    moved = np.take_along_axis(ids != reference_ids, orders, axis=1).T
    there, back = np.empty((2, fields + 1, draws))
    there[0], there[-1] = start, end
    back[0], back[-1] = end, start
    there[1:-1] = _outputs(weights, sums, moved, there[0])
    np.subtract(ends, sums, out=sums)
    back[1:-1] = _outputs(weights, sums, moved, back[0])
    contributions = np.empty((draws, fields))
    gained = (np.diff(there, axis=0) - np.diff(back, axis=0)) / 2
    np.put_along_axis(contributions, orders, gained.T, axis=1)
    return contributions


def _first_layer_sums(
    weights: Weights, ids: Ids, reference_ids: Ids, orders: NDArray[np.int64]
) -> tuple[Float32s, Float32s]:
    """The first layer's sums on the way from D reference rows to the impression.

    returns  float32[F − 1, D, H]  after the first p + 1 fields of each order have changed
             float32[D, H]         those before any and after all have changed, added up
    """
    (draws, fields), hidden = orders.shape, len(weights.layers[0].bias)
    start = np.zeros((draws, hidden), np.float32)
    total = np.zeros((draws, hidden), np.float32)
    changes = np.empty((fields, draws, hidden), np.float32)
    for field in range(fields):
        before = weights.first_layer(reference_ids[:, field], field)
        start += before
        np.subtract(weights.first_layer(ids[field : field + 1], field), before, out=changes[field])
        total += changes[field]
    flat, here = changes.reshape(fields * draws, hidden), np.arange(draws)
    sums = np.empty((fields - 1, draws, hidden), np.float32)
    before = start
    for place in range(fields - 1):
        flat.take(orders[:, place] * draws + here, axis=0, out=sums[place], mode="clip")
        sums[place] += before
        before = sums[place]
    return sums, start + start + total


def _outputs(
    weights: Weights, sums: Float32s, moved: NDArray[np.bool_], before: Float64s
) -> Float64s:
    """The network's output for each of sums float32[P, D, H], float64[P, D].

    moved   bool[F, D]   whether the p-th field of each order has another value than before; where
                         it has not, nothing was added, and nothing is computed
    before  float64[D]   the output ahead of the first of them
    """
    places, draws, hidden = sums.shape
    moved = moved[:places]
    if moved.all():
        return weights.deep_after_first_layer(sums.reshape(-1, hidden)).reshape(places, draws)
    outputs = np.empty((places, draws))
    outputs[moved] = weights.deep_after_first_layer(sums[moved])
    for place in range(places):
        outputs[place] = np.where(moved[place], outputs[place], before)
        before = outputs[place]
    return outputs


def _average(
    by_draw: Float64s, drawn: Float64s, population_mean: float
) -> tuple[Float64s, Float64s | None]:
    """The mean over the draws, moved to the whole population, and its standard error.

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
        return values, None
    residual = by_draw - mean - deviation[:, None] * slope
    variance = (residual**2).sum(axis=0) / (draws - 2)
    return values, np.sqrt(variance / draws)
