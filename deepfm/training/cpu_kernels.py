"""The loops of the CPU step, compiled by numba: gather, activation, loss, scatter.

Every function runs on one thread, releases Python's lock, and works on a range of rows or fields,
so that two threads share a batch without meeting. Sums over a feature's occurrences run in row
order, and dropout is a hash of its position: results do not depend on how the work is divided.

tables.weights   float32[V, S]     one row per feature: linear weight, factors of the pairwise term,
                                   factors of the network, as far as the model has them;
                                   `tables.columns` says where
ids              int32[B, F]
embedded         float32[B, F·K]   what the network reads
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepfm.training.cpu_tables import Fields, Floats, Ids, Order, Tables

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


class Dropout(NamedTuple):
    """The hash below which an element is dropped, 0 for none, and the scale of those kept."""

    threshold: np.uint32
    scale: np.float32


class RowTerms(NamedTuple):
    """What a model says of some rows on the way to their logits, and the slopes back.

    factor_sums   float32[B, K]
    slopes        float32[B]      d loss / d logit; all without a shape here are float32[B]
    spread        float32[B, C]   the slopes in the columns of the folded tables; C = 0 without
    """

    factor_sums: Floats
    linear_sums: Floats
    pairwise: Floats
    deep: Floats
    logits: Floats
    slopes: Floats
    spread: Floats


@_compiled
def gather(tables: Tables, ids: Ids, embedded: Floats, terms: RowTerms) -> None:
    """Look up every feature of every row: Σ w, the pairwise term, Σ v, and the network's input."""
    table, columns = tables.weights, tables.columns
    factor_sums, linear_sums, pairwise = terms.factor_sums, terms.linear_sums, terms.pairwise
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
    tables: Tables,
    ids: Ids,
    places: Ids,
    fields: Fields,
    slopes: Floats,
    linear_scale: np.float32,
    factor_sums: Floats,
    embedded_gradient: Floats,
    l2: np.float32,
) -> None:
    """Add to each feature's gradient what its occurrences in these fields ask for.

    places              int32[B, F]       the row of the gradient for each lookup
    slopes              float32[B]        d loss / d logit
    embedded_gradient   float32[B, F·K]   d loss / d embedded
    l2                  2 λ / B of the penalty on occurrences
    """
    table, columns = tables.weights, tables.columns
    size, width = columns.factors, table.shape[1]
    for field in range(fields.begin, fields.end):
        start = field * size
        for row in range(len(ids)):
            feature = ids[row, field]
            values, sums, slope = table[feature], factor_sums[row], slopes[row]
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
def drop(values: Floats, first_row: int, seed: np.uint32, dropout: Dropout) -> None:
    """Dropout in place, float32[rows, width]; the same call on a gradient is its backward."""
    threshold, scale = dropout.threshold, dropout.scale
    width = values.shape[1]
    for row in range(len(values)):
        start = np.uint32((first_row + row) * width)
        here = values[row]
        for i in range(width):
            kept = _kept(np.uint32(start + np.uint32(i)), seed, threshold)
            here[i] = here[i] * scale if kept else _ZERO


@_compiled
def activate(
    values: Floats, first_row: int, is_tanh: bool, seed: np.uint32, dropout: Dropout
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
    if dropout.threshold > np.uint32(0):
        drop(values, first_row, seed, dropout)


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
    terms: RowTerms,
    linear_scale: np.float32,
    linear_bias: np.float32,
    labels: Floats,
    rows_in_batch: int,
    sums: NDArray[np.float64],
) -> None:
    """Terms to logits, their BCE, and d loss / d logit of the mean over the batch.

    sums   float64[3], added to: Σ loss, Σ slope · Σw (gradient of a), Σ slope (gradient of b)
    """
    linear_sums, pairwise, deep = terms.linear_sums, terms.pairwise, terms.deep
    logits, slopes = terms.logits, terms.slopes
    loss = scale_gradient = bias_gradient = 0.0
    share = np.float32(1.0 / rows_in_batch)
    for row in range(len(labels)):
        linear = linear_scale * linear_sums[row] + linear_bias
        logit = linear + pairwise[row] + deep[row]
        logits[row] = logit
        decay = np.exp(-abs(logit))
        loss += max(logit, _ZERO) - logit * labels[row] + np.log1p(decay)
        probability = _ONE / (_ONE + decay) if logit >= _ZERO else decay / (_ONE + decay)
        slope = (probability - labels[row]) * share
        slopes[row] = slope
        scale_gradient += slope * linear_sums[row]
        bias_gradient += slope
    sums[0] += loss
    sums[1] += scale_gradient
    sums[2] += bias_gradient


@_compiled
def find_places(
    ids: Ids, fields: Fields, marks: NDArray[np.int32], step: int, order: Order, places: Ids
) -> None:
    """Give the distinct features of these fields in the batch a place each, one after the other.

    marks    int32[V, 2]   the step in which each feature was last found, and its place then
    order    of the places, written anew but for where the first of these fields begins
    places   int32[B, F]   the place of each lookup
    """
    features, begins, ends = order.features, order.begins, order.ends
    place = begins[fields.begin]
    for field in range(fields.begin, fields.end):
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
