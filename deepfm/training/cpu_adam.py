"""Gradients to moved weights: Adam's compiled loops, for flat arrays or some rows of the tables.

Every function runs on one thread and releases Python's lock, as those of cpu_kernels.py.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepfm.training.cpu_tables import Floats, Tables

_ZERO = np.float32(0)
_ONE = np.float32(1)
# Adam divides by sums that may be tiny: no reordering that assumes otherwise.
_exact = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})


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
    tables: Tables,
    gradient: Floats,
    constants: AdamConstants,
    lazy: bool,
) -> None:
    """One step of Adam for some rows of the table; lazily as torch's SparseAdam writes it.

    gradient   float32[len(rows), S], set back to 0
    """
    table, mean, square = tables.weights, tables.mean, tables.square
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
    tables: Tables,
    rates: Floats,
    roots: Floats,
) -> None:
    """Give rows the steps of Adam that they missed while their gradient was 0, up to `until`.

    rates, roots   float32[≥ until + 1]   AdamConstants by step

    Exact: what is left out are only steps too small to change a weight in float32. A row stays at
    the step before the first of those, so that it makes no difference to the last digit when, and
    how often, its weights were asked for.
    """
    table, mean, square, last = tables.weights, tables.mean, tables.square, tables.last
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
def decay_moments(rows: NDArray[np.int64], until: int, tables: Tables) -> None:
    """The moments of rows whose weights have caught up, at the step `until`: for the next one."""
    mean, square, last = tables.mean, tables.square, tables.last
    width = mean.shape[1]
    for row in rows:
        left = until - last[row]
        last[row] = until
        if left > 0:
            decay_1, decay_2 = np.float32(0.9**left), np.float32(0.999**left)
            for i in range(width):
                mean[row, i] *= decay_1
                square[row, i] *= decay_2


class Schedule:
    """Each step to Adam's constants, corrected in double precision as torch does.

    rates, roots   float32[≥ steps + 1]   AdamConstants by step, where they are kept
    """

    def __init__(self, learning_rate: float, weight_decay: float, *, keeps: bool) -> None:
        """keeps: whether the constants of every step are kept, which catching up needs."""
        self._learning_rate = learning_rate
        self._weight_decay = np.float32(weight_decay)
        self._keeps = keeps
        self.rates = self.roots = np.zeros(1, np.float32)

    def constants(self, step: int) -> AdamConstants:
        """Those of one step, counted from 1; where they are kept, ask for each."""
        rate = np.float32(self._learning_rate / (1 - 0.9**step))
        root = np.float32(1 / np.sqrt(1 - 0.999**step))
        if self._keeps:
            if step >= len(self.rates):
                more = np.zeros(max(1_024, len(self.rates)), np.float32)
                self.rates = np.concatenate((self.rates, more))
                self.roots = np.concatenate((self.roots, more))
            self.rates[step], self.roots[step] = rate, root
        return AdamConstants(rate, root, self._weight_decay)
