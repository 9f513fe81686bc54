"""A figure over epochs to one that a reader can look at otherwise: logarithmic axes, smoothing.

The page does both in the browser, at once and without asking for anything: a figure only says,
as its meta, which of its axes may be logarithmic and which of its curves may be smoothed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.smoothing import Series


def viewed(figure: go.Figure, *, panels: int = 1, log_y: Sequence[str] = ()) -> go.Figure:
    """The figure, with its epochs and the named axes of values free to be logarithmic."""
    epochs = ["xaxis" if panel == 1 else f"xaxis{panel}" for panel in range(1, panels + 1)]
    figure.update_layout(meta={"log_x": epochs, "log_y": list(log_y)})
    return figure


def can_be_smoothed(series: Series) -> dict[str, Any]:
    """A trace's meta: the means that `smoothing.smoothed` takes, where they are not its values."""
    same = series.means == series.values
    return (
        {"smooth": True} if same else {"smooth": True, "means": numbers(series.means, short=True)}
    )


def numbers(values: Sequence[float], *, short: bool = False) -> NDArray[np.floating]:
    """Numbers as plotly sends them in few bytes: float64, or float32 where that is enough."""
    return np.asarray(values, dtype=np.float32 if short else np.float64)
