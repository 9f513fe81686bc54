"""The network's first layer folded into the tables: no product as wide as the embeddings.

The first layer adds up one product a field, W_f v[x_f], that depends on the feature alone. A
batch that looks the same features up many times has each product many times, so they are made
once a feature and step (`fold`), and a row of the batch adds up ready rows (`gather_folded`).
Backward is the same the other way: a feature first collects the slopes of its occurrences
(`scatter_folded`), and then one product a feature gives the gradients of its embedding and of the
first layer (`unfold`). It is the chain rule in another order of summation, so nothing is lost but
rounding. Dropout on the embeddings draws anew for each occurrence and cannot be folded.

folded, collected   float32[n, C]   one row per feature in its place, of which the first H are the
                                    layer's width; then K factors, linear weight, Σ v², and a 1
places              int32[B, F]     the place of each lookup
order                               which feature stands in which place, and which places are
                                    each field's
spread              float32[B, C]   the slopes of the same columns, for each row of the batch
first               float32[F·K, H] the first layer's weights, transposed
"""

from typing import Final

import numpy as np
from numba import njit

from deepfm.training.cpu_adam import AdamConstants, adam
from deepfm.training.cpu_kernels import RowTerms
from deepfm.training.cpu_tables import Fields, Floats, Ids, Order, Tables

COLUMNS_MORE: Final = 3
"""Linear weight, Σ v², and the 1 that counts occurrences, after the layer and the factors."""
_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


def columns_of(hidden: int, factors: int) -> int:
    """C for a first layer H wide and K factors: rounded up, so that rows fill whole vectors."""
    return -(-(hidden + factors + COLUMNS_MORE) // 16) * 16


@_compiled
def fold(tables: Tables, order: Order, fields: Fields, first: Floats, folded: Floats) -> None:
    """What each feature of some fields adds to a row: W_f v, v, w and Σ v²."""
    table, columns = tables.weights, tables.columns
    features, begins, ends = order.features, order.begins, order.ends
    size, hidden = columns.factors, first.shape[1]
    for field in range(fields.begin, fields.end):
        for place in range(begins[field], ends[field]):
            values, target = table[features[place]], folded[place]
            for i in range(hidden):
                target[i] = _ZERO
            for k in range(size):
                value, weights = values[columns.deep + k], first[field * size + k]
                for i in range(hidden):
                    target[i] += value * weights[i]
            if columns.pairwise >= 0:
                squares = _ZERO
                for k in range(size):
                    value = values[columns.pairwise + k]
                    target[hidden + k] = value
                    squares += value * value
                target[hidden + size + 1] = squares
            if columns.linear >= 0:
                target[hidden + size] = values[columns.linear]


@_compiled
def gather_folded(
    folded: Floats, places: Ids, bias: Floats, total: Floats, before: Floats, terms: RowTerms
) -> None:
    """Add up the features of every row: the first layer before its activation, and the FM's sums.

    total    float32[C]      room for one row
    before   float32[B, H]   the first layer's output, with its bias
    """
    fields, hidden, size = places.shape[1], before.shape[1], terms.factor_sums.shape[1]
    factor_sums, linear_sums, pairwise = terms.factor_sums, terms.linear_sums, terms.pairwise
    in_fours = fields // 4 * 4
    for row in range(len(places)):
        for i in range(len(total)):
            total[i] = _ZERO
        for field in range(0, in_fours, 4):
            a, b = folded[places[row, field]], folded[places[row, field + 1]]
            c, d = folded[places[row, field + 2]], folded[places[row, field + 3]]
            for i in range(len(total)):
                total[i] += (a[i] + b[i]) + (c[i] + d[i])
        for field in range(in_fours, fields):
            a = folded[places[row, field]]
            for i in range(len(total)):
                total[i] += a[i]
        here = before[row]
        for i in range(hidden):
            here[i] = total[i] + bias[i]
        square, sums = _ZERO, factor_sums[row]
        for k in range(size):
            value = total[hidden + k]
            sums[k] = value
            square += value * value
        linear_sums[row] = total[hidden + size]
        pairwise[row] = _HALF * (square - total[hidden + size + 1])


@_compiled
def spread_slopes(before_slopes: Floats, terms: RowTerms) -> None:
    """Every row's slopes in the columns of the folded table.

    before_slopes   float32[B, H]   d loss / d first layer before its activation
    """
    factor_sums, slopes, spread = terms.factor_sums, terms.slopes, terms.spread
    hidden, size = before_slopes.shape[1], factor_sums.shape[1]
    for row in range(len(slopes)):
        target, slope = spread[row], slopes[row]
        for i in range(hidden):
            target[i] = before_slopes[row, i]
        for k in range(size):
            target[hidden + k] = slope * factor_sums[row, k]
        target[hidden + size] = slope
        target[hidden + size + 2] = _ONE


@_compiled
def scatter_folded(places: Ids, fields: Fields, spread: Floats, collected: Floats) -> None:
    """Add each row's slopes to those of its features in these fields, in the order of the rows."""
    width = spread.shape[1]
    for field in range(fields.begin, fields.end):
        for row in range(len(places)):
            target, source = collected[places[row, field]], spread[row]
            for i in range(width):
                target[i] += source[i]


@_compiled
def unfold(
    tables: Tables,
    order: Order,
    fields: Fields,
    first: Floats,
    linear_scale: np.float32,
    l2: np.float32,
    collected: Floats,
    gradient: Floats,
    first_gradient: Floats,
) -> None:
    """The collected slopes of some fields to gradients of tables and first layer; sets them to 0.

    l2               2 λ / B of the penalty on occurrences
    gradient         float32[n, S]     in the features' places
    first_gradient   float32[F·K, H]   of the fields' own rows, written anew
    """
    table, columns = tables.weights, tables.columns
    features, begins, ends = order.features, order.begins, order.ends
    size, hidden, width = columns.factors, first.shape[1], table.shape[1]
    for field in range(fields.begin, fields.end):
        layer = first[field * size : (field + 1) * size]
        layer_gradient = first_gradient[field * size : (field + 1) * size]
        layer_gradient[:] = _ZERO
        for place in range(begins[field], ends[field]):
            slopes = collected[place]
            occurrences = slopes[hidden + size + 2]
            if occurrences == _ZERO:
                continue
            values, target = table[features[place]], gradient[place]
            slope = slopes[hidden + size]
            if l2 > _ZERO:
                for i in range(width):
                    target[i] += l2 * occurrences * values[i]
            if columns.linear >= 0:
                target[columns.linear] += slope * linear_scale
            if columns.pairwise >= 0:
                for k in range(size):
                    at = columns.pairwise + k
                    target[at] += slopes[hidden + k] - slope * values[at]
            for k in range(size):
                value, weights, weight_slopes = (
                    values[columns.deep + k],
                    layer[k],
                    layer_gradient[k],
                )
                product = _ZERO
                for i in range(hidden):
                    product += slopes[i] * weights[i]
                    weight_slopes[i] += slopes[i] * value
                target[columns.deep + k] += product
            for i in range(len(slopes)):
                slopes[i] = _ZERO


@_compiled
def move_fields(
    tables: Tables,
    order: Order,
    ids: Ids,
    fields: Fields,
    first: Floats,
    linear_scale: np.float32,
    l2: np.float32,
    spread: Floats,
    collected: Floats,
    gradient: Floats,
    first_gradient: Floats,
    constants: AdamConstants,
) -> None:
    """Scatter, unfold, and a step of Adam for all features of some fields, in one call.

    Places are features here.
    """
    scatter_folded(ids, fields, spread, collected)
    unfold(tables, order, fields, first, linear_scale, l2, collected, gradient, first_gradient)
    begin, end = order.begins[fields.begin], order.ends[fields.end - 1]
    adam(
        tables.weights[begin:end].reshape(-1),
        gradient[begin:end].reshape(-1),
        tables.mean[begin:end].reshape(-1),
        tables.square[begin:end].reshape(-1),
        constants,
    )
