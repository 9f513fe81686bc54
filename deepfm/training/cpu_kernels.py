"""The loops of the CPU step, compiled by numba: gather, activation, loss, scatter, Adam.

Every function runs on one thread, releases Python's lock, and works on a range of rows or fields,
so that two threads share a batch without meeting. Sums over a feature's occurrences run in row
order, and dropout is a hash of its position: results do not depend on how the work is divided.

table, gradient, mean, square   float32[V, S]   one row per feature: linear weight, factors of the
                                                pairwise term, factors of the network, as far as
                                                the model has them; `columns` says where
ids                             int32[B, F]
embedded                        float32[B, F·K] what the network reads
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]

ABSENT: Final = -1
_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
# Adam divides by sums that may be tiny: no reordering that assumes otherwise.
_exact = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})


class Columns(NamedTuple):
    """Where a row of the table holds what; ABSENT for a term that the model does not have."""

    linear: int
    pairwise: int
    deep: int
    factors: int
    """K."""


@_compiled
def gather(
    table: Floats,
    ids: Ids,
    columns: Columns,
    embedded: Floats,
    factor_sums: Floats,
    linear_sums: Floats,
    pairwise: Floats,
) -> None:
    """Look up every feature of every row: Σ w, the pairwise term, Σ v, and the network's input.

    factor_sums float32[B, K] · linear_sums, pairwise float32[B]
    """
    size = columns.factors
    for row in range(len(ids)):
        linear, squares = _ZERO, _ZERO
        sums = factor_sums[row]
        if columns.pairwise >= 0:
            for k in range(size):
                sums[k] = _ZERO
        for field in range(ids.shape[1]):
            feature = table[ids[row, field]]
            if columns.linear >= 0:
                linear += feature[columns.linear]
            if columns.pairwise >= 0:
                factors = feature[columns.pairwise : columns.pairwise + size]
                for k in range(size):
                    sums[k] += factors[k]
                    squares += factors[k] * factors[k]
            if columns.deep >= 0:
                start = field * size
                for k in range(size):
                    embedded[row, start + k] = feature[columns.deep + k]
        linear_sums[row] = linear
        if columns.pairwise >= 0:
            square = _ZERO
            for k in range(size):
                square += sums[k] * sums[k]
            pairwise[row] = _HALF * (square - squares)


@_compiled
def scatter(
    gradient: Floats,
    table: Floats,
    ids: Ids,
    places: Ids,
    first_field: int,
    last_field: int,
    columns: Columns,
    logit_gradient: Floats,
    linear_scale: np.float32,
    factor_sums: Floats,
    embedded_gradient: Floats,
    l2: np.float32,
) -> None:
    """Add to each feature's gradient what its occurrences in these fields ask for.

    places              int32[B, F]       the row of the gradient for each lookup
    logit_gradient      float32[B]        d loss / d logit
    embedded_gradient   float32[B, F·K]   d loss / d embedded
    l2                  2 λ / B of the penalty on occurrences
    """
    size, width = columns.factors, table.shape[1]
    for field in range(first_field, last_field):
        start = field * size
        for row in range(len(ids)):
            feature = ids[row, field]
            values, sums, slope = table[feature], factor_sums[row], logit_gradient[row]
            target = gradient[places[row, field]]
            if l2 > _ZERO:
                for i in range(width):
                    target[i] += l2 * values[i]
            if columns.linear >= 0:
                target[columns.linear] += slope * linear_scale
            if columns.pairwise >= 0:
                here = columns.pairwise
                for k in range(size):
                    target[here + k] += slope * (sums[k] - values[here + k])
            if columns.deep >= 0:
                for k in range(size):
                    target[columns.deep + k] += embedded_gradient[row, start + k]


@_compiled
def _kept(position: np.uint32, seed: np.uint32, threshold: np.uint32) -> np.bool_:
    """Whether the element at a position survives dropout: murmur3's finaliser of both."""
    x = np.uint32(np.uint32(position * np.uint32(0x9E3779B1)) ^ seed)
    x = np.uint32(x ^ np.uint32(x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    x = np.uint32(x ^ np.uint32(x >> np.uint32(16)))
    return x >= threshold


@_compiled
def drop(
    values: Floats,
    first_row: int,
    seed: np.uint32,
    threshold: np.uint32,
    scale: np.float32,
) -> None:
    """Dropout in place, float32[rows, width]; the same call on a gradient is its backward."""
    width = values.shape[1]
    for row in range(len(values)):
        start = np.uint32((first_row + row) * width)
        here = values[row]
        for i in range(width):
            kept = _kept(np.uint32(start + np.uint32(i)), seed, threshold)
            here[i] = here[i] * scale if kept else _ZERO


@_compiled
def activate(
    values: Floats,
    first_row: int,
    is_tanh: bool,
    seed: np.uint32,
    threshold: np.uint32,
    scale: np.float32,
) -> None:
    """ReLU or tanh, then dropout, in place: float32[rows, width]."""
    width = values.shape[1]
    for row in range(len(values)):
        here = values[row]
        if is_tanh:
            for i in range(width):
                here[i] = np.tanh(here[i])
        else:
            for i in range(width):
                here[i] = max(here[i], _ZERO)
    if threshold > np.uint32(0):
        drop(values, first_row, seed, threshold, scale)


@_compiled
def activate_backward(
    gradient: Floats, values: Floats, is_tanh: bool, scale: np.float32, bias_gradient: Floats
) -> None:
    """d loss / d output to d loss / d input of `activate`, in place; adds it up for the bias.

    values          float32[rows, width]   the outputs of `activate`; 0 where dropped or inactive
    bias_gradient   float32[width], added to
    """
    width = values.shape[1]
    for row in range(len(values)):
        here, slope = values[row], gradient[row]
        if is_tanh:
            for i in range(width):
                undropped = here[i] / scale
                steep = scale * (_ONE - undropped * undropped)
                slope[i] = slope[i] * steep if here[i] != _ZERO else _ZERO
        else:
            for i in range(width):
                slope[i] = slope[i] * scale if here[i] > _ZERO else _ZERO
        for i in range(width):
            bias_gradient[i] += slope[i]


@_compiled
def output(inputs: Floats, weight: Floats, bias: Floats, deep: Floats) -> None:
    """The last layer, one number a row: inputs float32[B, width] to deep float32[B]."""
    for row in range(len(inputs)):
        total = bias[0]
        for i in range(len(weight)):
            total += inputs[row, i] * weight[i]
        deep[row] = total


@_compiled
def output_backward(
    slopes: Floats,
    inputs: Floats,
    weight: Floats,
    input_slopes: Floats,
    weight_gradient: Floats,
    bias_gradient: Floats,
) -> None:
    """d loss / d logit, float32[B], to its inputs' slopes; adds to the last layer's gradients."""
    bias = _ZERO
    for row in range(len(inputs)):
        slope, here, below = slopes[row], inputs[row], input_slopes[row]
        bias += slope
        for i in range(len(weight)):
            weight_gradient[i] += slope * here[i]
            below[i] = slope * weight[i]
    bias_gradient[0] += bias


@_compiled
def loss_and_slope(
    linear_sums: Floats,
    linear_scale: np.float32,
    linear_bias: np.float32,
    pairwise: Floats,
    deep: Floats,
    labels: Floats,
    rows_in_batch: int,
    logits: Floats,
    logit_gradient: Floats,
    sums: NDArray[np.float64],
) -> None:
    """Terms to logits, their BCE, and d loss / d logit of the mean over the batch.

    sums   float64[3], added to: Σ loss, Σ slope · Σw (gradient of a), Σ slope (gradient of b)
    """
    loss = scale_gradient = bias_gradient = 0.0
    share = np.float32(1.0 / rows_in_batch)
    for row in range(len(labels)):
        logit = linear_scale * linear_sums[row] + linear_bias + pairwise[row] + deep[row]
        logits[row] = logit
        decay = np.exp(-abs(logit))
        loss += max(logit, _ZERO) - logit * labels[row] + np.log1p(decay)
        probability = _ONE / (_ONE + decay) if logit >= _ZERO else decay / (_ONE + decay)
        slope = (probability - labels[row]) * share
        logit_gradient[row] = slope
        scale_gradient += slope * linear_sums[row]
        bias_gradient += slope
    sums[0] += loss
    sums[1] += scale_gradient
    sums[2] += bias_gradient


class AdamConstants(NamedTuple):
    """What one step of Adam needs, float32 each."""

    rate: np.float32
    """Learning rate / (1 − β1^t)."""
    root: np.float32
    """1 / √(1 − β2^t)."""
    weight_decay: np.float32


BETA_1: Final = np.float32(0.9)
BETA_2: Final = np.float32(0.999)
_REST_1: Final = np.float32(1 - 0.9)
_REST_2: Final = np.float32(1 - 0.999)
EPSILON: Final = np.float32(1e-8)


@_exact
def adam(
    weights: Floats, gradients: Floats, mean: Floats, square: Floats, constants: AdamConstants
) -> None:
    """One step of Adam over flat arrays, float32[n] each; the gradients are set back to 0."""
    for i in range(len(weights)):
        slope = gradients[i] + constants.weight_decay * weights[i]
        gradients[i] = _ZERO
        mean[i] = BETA_1 * mean[i] + _REST_1 * slope
        square[i] = BETA_2 * square[i] + _REST_2 * slope * slope
        weights[i] -= constants.rate * mean[i] / (np.sqrt(square[i]) * constants.root + EPSILON)


@_exact
def adam_rows(
    rows: NDArray[np.int64],
    table: Floats,
    gradient: Floats,
    mean: Floats,
    square: Floats,
    constants: AdamConstants,
    lazy: bool,
) -> None:
    """One step of Adam for some rows of the table; lazily as torch's SparseAdam writes it.

    gradient   float32[len(rows), S], set back to 0
    """
    width = table.shape[1]
    rate, root = constants.rate, constants.root
    if lazy:
        rate, root = constants.rate / constants.root, _ONE
    for place in range(len(rows)):
        row, slopes = rows[place], gradient[place]
        weights, means, squares = table[row], mean[row], square[row]
        for i in range(width):
            slope = slopes[i]
            slopes[i] = _ZERO
            means[i] = BETA_1 * means[i] + _REST_1 * slope
            squares[i] = BETA_2 * squares[i] + _REST_2 * slope * slope
            weights[i] -= rate * means[i] / (np.sqrt(squares[i]) * root + EPSILON)


@_exact
def _moves(weights: Floats, means: Floats, squares: Floats, rate: float, root: float) -> bool:
    """Whether a step of Adam without a gradient would still change one of the weights."""
    for i in range(len(weights)):
        size = np.sqrt(BETA_2 * squares[i]) * root + EPSILON
        if weights[i] - rate * (BETA_1 * means[i]) / size != weights[i]:
            return True
    return False


@_exact
def catch_up(
    rows: NDArray[np.int64],
    until: int,
    last: NDArray[np.int64],
    table: Floats,
    mean: Floats,
    square: Floats,
    rates: Floats,
    roots: Floats,
) -> None:
    """Give rows the steps of Adam that they missed while their gradient was 0, up to `until`.

    last           int64[V]      the last step that each row has had; 0 for none
    rates, roots   float32[≥ until + 1]   AdamConstants by step

    Exact: what is left out are only steps too small to change a weight in float32. A row stays at
    the step before the first of those, so that it makes no difference to the last digit when, and
    how often, its weights were asked for.
    """
    width = table.shape[1]
    for row in rows:
        step = last[row] + 1
        if step == 1:
            continue  # never touched: without moments nothing moves
        weights, means, squares = table[row], mean[row], square[row]
        while step <= until and _moves(weights, means, squares, rates[step], roots[step]):
            rate, root = rates[step], roots[step]
            for i in range(width):
                means[i] *= BETA_1
                squares[i] *= BETA_2
                weights[i] -= rate * means[i] / (np.sqrt(squares[i]) * root + EPSILON)
            step += 1
        last[row] = step - 1


@_exact
def decay_moments(
    rows: NDArray[np.int64], until: int, last: NDArray[np.int64], mean: Floats, square: Floats
) -> None:
    """The moments of rows whose weights have caught up, at the step `until`: for the next one."""
    width = mean.shape[1]
    for row in rows:
        left = until - last[row]
        last[row] = until
        if left > 0:
            decay_1, decay_2 = np.float32(0.9**left), np.float32(0.999**left)
            for i in range(width):
                mean[row, i] *= decay_1
                square[row, i] *= decay_2


@_compiled
def find_places(
    ids: Ids,
    first_field: int,
    last_field: int,
    marks: NDArray[np.int32],
    step: int,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    features: NDArray[np.int64],
    places: Ids,
) -> None:
    """Give the distinct features of these fields in the batch a place each, one after the other.

    marks          int32[V, 2]   the step in which each feature was last found, and its place then
    begins, ends   int64[F]      of each field's places; begins[first_field] is given
    features       int64[n]      the feature in each place
    places         int32[B, F]   the place of each lookup
    """
    place = begins[first_field]
    for field in range(first_field, last_field):
        begins[field] = place
        for row in range(len(ids)):
            feature = ids[row, field]
            if marks[feature, 0] != step:
                marks[feature, 0] = step
                marks[feature, 1] = place
                features[place] = feature
                place += 1
            places[row, field] = marks[feature, 1]
        ends[field] = place
