"""Rows of a batch through a folded first layer and a narrow network, forward and back, in one call.

Where every hidden layer is narrow, a matrix product of some rows takes a few microseconds: less
than to call it, and less than two threads wait for Python's lock between so many calls. So all
that happens to a row stands in one compiled loop over blocks of rows, small enough to stay next
to the processor. The equations are those of cpu_kernels.py and cpu_folded.py, and the products
are written out.

plan      int64[L, 6]   of each linear layer: its output and input width; where its weight begins
                        in the network's flat array; where its input, the slopes of that, and its
                        transposed weight begin in the room
room      float32[n]    of one thread
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from deepfm.training import cpu_folded as folding
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_kernels import Dropout, RowTerms
from deepfm.training.cpu_tables import Floats, Ids

FIRST_LAYER_AT: Final = 2
"""Where the first layer begins in the network's flat array: after the linear term's a and b."""
BLOCK: Final = 32
"""Rows that go through the network at once."""
WIDEST: Final = 64
"""Hidden width up to which the products written out here are faster than torch's (measured)."""
_ZERO = np.float32(0)
_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


@dataclass(frozen=True)
class NarrowPlan:
    """Where a narrow network's layers are, and each thread's room for a block of rows."""

    plan: NDArray[np.int64]
    rooms: Floats

    @classmethod
    def of(cls, shapes: list[tuple[int, int]], parts: int) -> Self | None:
        """Of layers of these (out, in) shapes; None where one is too wide, or there is none."""
        if not shapes or max(out for out, _ in shapes) > WIDEST:
            return None
        plan, start, end = np.zeros((len(shapes), 6), np.int64), FIRST_LAYER_AT, 0
        for i, (out, into) in enumerate(shapes):
            inputs = BLOCK * into if i else 0  # the first layer's are folded
            plan[i] = out, into, start, end, end + inputs, end + 2 * inputs
            start += out * (into + 1)
            end += 2 * inputs + (out * into if i else 0)
        return cls(plan, torch.zeros(parts, end).numpy())


@_compiled
def _matrix(flat: Floats, start: int, rows: int, width: int) -> Floats:
    return flat[start : start + rows * width].reshape((rows, width))


@_compiled
def _add_product(inputs: Floats, matrix: Floats, outputs: Floats) -> None:
    """outputs += inputs · matrix, which has a multiple of 8 rows: eight at a time."""
    into, out = matrix.shape
    for k in range(0, into, 8):
        a, b, c, d = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        e, f, g, h = matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7]
        for row in range(len(inputs)):
            values, target = inputs[row], outputs[row]
            p, q, r, s = values[k], values[k + 1], values[k + 2], values[k + 3]
            t, u, v, w = values[k + 4], values[k + 5], values[k + 6], values[k + 7]
            for i in range(out):
                target[i] += ((p * a[i] + q * b[i]) + (r * c[i] + s * d[i])) + (
                    (t * e[i] + u * f[i]) + (v * g[i] + w * h[i])
                )


@_compiled
def _add_outer(slopes: Floats, inputs: Floats, gradient: Floats) -> None:
    """gradient += slopesᵀ · inputs: float32[out, in] from float32[B, out] and float32[B, in]."""
    out, into = gradient.shape
    in_fours = len(inputs) // 4 * 4
    for row in range(0, in_fours, 4):
        first, second, third, fourth = (
            inputs[row],
            inputs[row + 1],
            inputs[row + 2],
            inputs[row + 3],
        )
        for j in range(out):
            a, b = slopes[row, j], slopes[row + 1, j]
            c, d = slopes[row + 2, j], slopes[row + 3, j]
            target = gradient[j]
            for i in range(into):
                target[i] += (a * first[i] + b * second[i]) + (c * third[i] + d * fourth[i])
    for row in range(in_fours, len(inputs)):
        values = inputs[row]
        for j in range(out):
            slope, target = slopes[row, j], gradient[j]
            for i in range(into):
                target[i] += slope * values[i]


@_compiled
def _forward(
    plan: NDArray[np.int64],
    rows: int,
    first_row: int,
    weights: Floats,
    seeds: NDArray[np.uint32],
    is_tanh: bool,
    dropout: Dropout,
    room: Floats,
    deep: Floats,
) -> None:
    """The deep term of a block, from the second layer's input before its activation."""
    for layer in range(1, len(plan)):
        out, into, start, inputs_at, _, transposed_at = plan[layer]
        inputs = _matrix(room, inputs_at, rows, into)
        kernels.activate(inputs, first_row, is_tanh, seeds[layer], dropout)
        bias = weights[start + out * into : start + out * into + out]
        if layer == len(plan) - 1:
            kernels.output(inputs, weights[start : start + into], bias, deep)
        else:
            outputs = _matrix(room, plan[layer + 1, 3], rows, out)
            for row in range(rows):
                outputs[row] = bias
            _add_product(inputs, _matrix(room, transposed_at, into, out), outputs)


@_compiled
def _backward(
    plan: NDArray[np.int64],
    rows: int,
    slopes: Floats,
    weights: Floats,
    gradients: Floats,
    is_tanh: bool,
    scale: np.float32,
    room: Floats,
) -> None:
    """Adds a block's part to the gradients of all layers but the first one's weight."""
    for layer in range(len(plan) - 1, 0, -1):
        out, into, start, inputs_at, below_at, _ = plan[layer]
        end = start + out * into
        inputs = _matrix(room, inputs_at, rows, into)
        below = _matrix(room, below_at, rows, into)
        if layer == len(plan) - 1:
            kernels.output_backward(
                slopes, inputs, weights[start:end], below, gradients[start:end], gradients[end:]
            )
        else:
            above = _matrix(room, plan[layer + 1, 4], rows, out)
            _add_outer(above, inputs, _matrix(gradients, start, out, into))
            below[:] = _ZERO
            _add_product(above, _matrix(weights, start, out, into), below)
        bias = plan[layer - 1, 2] + plan[layer - 1, 0] * plan[layer - 1, 1]
        kernels.activate_backward(
            below, inputs, is_tanh, scale, gradients[bias : bias + plan[layer - 1, 0]]
        )


@_compiled
def _rows_of(terms: RowTerms, start: int, end: int) -> RowTerms:
    return RowTerms(
        terms.factor_sums[start:end],
        terms.linear_sums[start:end],
        terms.pairwise[start:end],
        terms.deep[start:end],
        terms.logits[start:end],
        terms.slopes[start:end],
        terms.spread[start:end],
    )


@_compiled
def rows_through(
    folded: Floats,
    places: Ids,
    labels: Floats,
    rows_in_batch: int,
    first_row: int,
    plan: NDArray[np.int64],
    weights: Floats,
    gradients: Floats,
    seeds: NDArray[np.uint32],
    is_tanh: bool,
    dropout: Dropout,
    room: Floats,
    total: Floats,
    terms: RowTerms,
    sums: NDArray[np.float64],
) -> None:
    """A share of a batch: terms, loss, the network's gradients, and the slopes of its features.

    first_row   the share's first row in the batch
    weights     the network's flat array; gradients are written anew, but for the first weight's
    total       float32[C], room for one row
    sums        as in loss_and_slope
    """
    gradients[:] = _ZERO
    sums[:] = 0.0
    hidden = plan[0, 0]
    first_bias = plan[0, 2] + hidden * plan[0, 1]
    bias = weights[first_bias : first_bias + hidden]
    for layer in range(1, len(plan) - 1):
        out, into, start, _, _, transposed_at = plan[layer]
        transposed = _matrix(room, transposed_at, into, out)
        transposed[:] = _matrix(weights, start, out, into).T
    for start in range(0, len(labels), BLOCK):
        end = min(start + BLOCK, len(labels))
        rows, here = end - start, _rows_of(terms, start, end)
        before = _matrix(room, plan[1, 3], rows, hidden)
        folding.gather_folded(folded, places[start:end], bias, total, before, here)
        _forward(
            plan,
            rows,
            first_row + start,
            weights,
            seeds,
            is_tanh,
            dropout,
            room,
            here.deep,
        )
        kernels.loss_and_slope(here, weights[0], weights[1], labels[start:end], rows_in_batch, sums)
        _backward(plan, rows, here.slopes, weights, gradients, is_tanh, dropout.scale, room)
        folding.spread_slopes(_matrix(room, plan[1, 4], rows, hidden), here)
