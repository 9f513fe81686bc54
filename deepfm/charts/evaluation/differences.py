"""Paired differences of AUC to a figure, a table and one sentence each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.palette import colour, label, new_figure, shortened
from deepfm.evaluation import SIGNIFICANT, AucDifference, p_in_words

DIFFERENCES_CAPTION: Final = (
    "right of the dashed line ranks better, left of it worse; a bar that crosses the line is no "
    "difference that these rows can tell. Bars: 95 % intervals by DeLong's paired test; p-values "
    "are corrected for several comparisons by Holm."
)


@dataclass(frozen=True)
class NamedDifference:
    """How another model ranks the same rows, beside the one it is compared with.

    difference   the other's AUC less that one's
    corrected    the p-value by Holm over all that are compared
    """

    name: str
    difference: AucDifference
    corrected: float

    @property
    def significant(self) -> bool:
        """Whether chance alone would hardly make such a difference."""
        return self.corrected < SIGNIFICANT


def difference_sentence(one: NamedDifference, reference: str) -> str:
    """Which of two ranks better, by how much, and how sure that is."""
    found = one.difference
    numbers = (
        f"95 % interval {signed(found.low)} to {signed(found.high)}, p {p_in_words(one.corrected)}"
    )
    if found.p_value == 1.0 and found.difference == 0:
        return f"{one.name} and {reference} rank these rows alike."
    if not one.significant:
        return (
            f"These rows cannot tell {one.name} and {reference} apart: AUC "
            f"{signed(found.difference)} ({numbers})."
        )
    word = "better" if found.difference > 0 else "worse"
    return (
        f"{one.name} ranks these rows {word} than {reference}: AUC {abs(found.difference):.4f} "
        f"{'higher' if found.difference > 0 else 'lower'} ({numbers})."
    )


def signed(difference: float) -> str:
    """ "+0.0123", "−0.0004"."""
    return f"{difference:+.4f}".replace("-", "−")


def differences_figure(differences: Sequence[NamedDifference], reference: str) -> go.Figure:
    """Each difference with its interval, beside the line of no difference."""
    figure = new_figure(
        f"How much better or worse than {shortened(reference, 40)} they rank",
        x="Difference of AUC (+ ranks better)",
    )
    places = np.arange(len(differences))
    values = np.array([one.difference.difference for one in differences])
    low = np.array([one.difference.low for one in differences])
    high = np.array([one.difference.high for one in differences])
    figure.add_vline(
        x=0, line={"color": colour("muted"), "width": 1.5, "dash": "longdash"}, layer="below"
    )
    figure.add_scatter(
        x=values,
        y=places,
        mode="markers",
        marker={
            "size": 11,
            "color": [
                colour("text") if one.significant else colour("ground") for one in differences
            ],
            "line": {"width": 2, "color": colour("text")},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - values,
            "arrayminus": values - low,
            "color": colour("muted"),
            "thickness": 1.5,
            "width": 5,
        },
        customdata=[label(difference_sentence(one, reference)) for one in differences],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(tickformat=".3~f", zeroline=False)
    figure.update_yaxes(
        tickvals=places,
        ticktext=[label(shortened(one.name)) for one in differences],
        range=[len(differences) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    return figure


def differences_table(differences: Sequence[NamedDifference]) -> pd.DataFrame:
    """One row a comparison, unrounded."""
    return pd.DataFrame(
        {
            "model": [one.name for one in differences],
            "AUC": [one.difference.first for one in differences],
            "difference": [one.difference.difference for one in differences],
            "low": [one.difference.low for one in differences],
            "high": [one.difference.high for one in differences],
            "standard error": [one.difference.standard_error for one in differences],
            "p": [one.difference.p_value for one in differences],
            "p after Holm": [one.corrected for one in differences],
        }
    )
