"""A figure over epochs to one that a reader can look at otherwise: logarithmic axes, smoothing.

The page does both in the browser, at once and without asking for anything: a figure only says,
as its meta, which of its axes may be logarithmic and which of its curves may be smoothed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.charts.draft import axis_name
from deepfm.charts.smoothing import Series


def views(*, panels: int = 1, log_y: Sequence[str] = ()) -> dict[str, list[str]]:
    """A layout's meta: epochs and the named axes of values are free to be logarithmic."""
    epochs = [axis_name("x", panel) for panel in range(1, panels + 1)]
    return {"log_x": epochs, "log_y": list(log_y)}


def can_be_smoothed(series: Series) -> dict[str, Any]:
    """A trace's meta: the means that `smoothing.smoothed` takes, where they are not its values."""
    same = np.allclose(series.means, series.values, rtol=0.0, atol=1e-7)
    return {"smooth": True} if same else {"smooth": True, "means": numbers(series.means)}


def numbers(values: Sequence[float]) -> NDArray[np.float32]:
    """Numbers as plotly sends them in the fewest bytes; seven digits are more than are drawn."""
    return np.asarray(values, dtype=np.float32)
