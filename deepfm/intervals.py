"""Counts to the interval in which the rate behind them lies."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

NORMAL_95: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson_interval(
    clicks: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a click rate: low and high, float64 as given; NaN without rows.

    Wilson 1927: the rates p with |clicks/rows − p| ≤ z·√(p(1 − p)/rows). It stays within 0 to 1
    and says something at no click at all, where the usual ± interval does not.
    """
    clicks, rows = np.asarray(clicks, np.float64), np.asarray(rows, np.float64)
    n = np.where(rows > 0, rows, np.nan)
    z2 = NORMAL_95**2
    centre = (clicks + z2 / 2) / (n + z2)
    half = NORMAL_95 / (n + z2) * np.sqrt(clicks * (n - clicks) / n + z2 / 4)
    # At no click, and at clicks alone, rounding would leave the end a hair off 0 or 1.
    low = np.where(clicks == 0, np.where(rows > 0, 0.0, np.nan), centre - half)
    high = np.where(clicks == rows, np.where(rows > 0, 1.0, np.nan), centre + half)
    return low, high
