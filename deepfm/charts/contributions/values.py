"""Every value of one field in one impression to curves: the score by branch, the highest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from deepfm.charts.draft import Draft
from deepfm.charts.palette import (
    colour,
    format_count,
    format_probability,
    label,
    shortened,
)
from deepfm.terms import sigmoid

MOST_POINTS: Final = 600
"""Values that are drawn; of more, some evenly from the highest to the lowest, both ends too."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredValues:
    """U values of one field, each put into the impression in turn.

    value    how each reads
    terms    centred terms, term to float64[U]
    logit    float64[U]
    count    int64[U], training rows with each
    current  which one the impression has; None where it is not among them
    """

    value: Sequence[str]
    terms: dict[str, Floats]
    logit: Floats
    count: NDArray[np.int64]
    current: int | None

    def __len__(self) -> int:
        return len(self.value)

    def order(self) -> NDArray[np.intp]:
        """Places of the values, the highest score first."""
        return np.argsort(-self.logit, kind="stable")

    def branches(self) -> dict[str, Floats]:
        """The FM branch and the deep branch, as far as the model has them, centred."""
        fm = [self.terms[name] for name in ("linear", "pairwise") if name in self.terms]
        branches = {"FM branch": np.sum(fm, axis=0)} if fm else {}
        return branches | ({"Deep branch": self.terms["deep"]} if "deep" in self.terms else {})


def drawn_ranks(count: int, keep: int | None, most: int = MOST_POINTS) -> NDArray[np.intp]:
    """Ranks that are drawn, ascending: all, or some evenly with both ends and `keep`."""
    if count <= most:
        return np.arange(count)
    ranks = np.linspace(0, count - 1, most).round().astype(np.intp)
    return np.unique(ranks if keep is None else np.append(ranks, keep))


def values_figure(field: str, scored: ScoredValues) -> go.Figure:
    """The sum and both branches over the rank of the score, one point a value."""
    order = scored.order()
    own = None if scored.current is None else int(np.flatnonzero(order == scored.current)[0])
    ranks = drawn_ranks(len(scored), own)
    places = order[ranks]
    names = [label(shortened(scored.value[place] or "(empty)", 40)) for place in places]
    draft = Draft(
        f"The score of {format_count(len(scored))} values of {shortened(field, 30)}, by branch",
        x="values, the highest score first (rank)",
        y="raises or lowers the score (logit)",
    )
    looks: dict[str, dict[str, Any]] = {
        "FM branch": {"color": colour("pairwise"), "symbol": "circle", "size": 4},
        "Deep branch": {"color": colour("deep"), "symbol": "diamond", "size": 4},
    }
    for name, values in scored.branches().items():
        draft.add_trace(
            "scatter",
            x=ranks + 1,
            y=values[places],
            mode="markers",
            name=name,
            marker=looks[name],
            customdata=names,
            hovertemplate="%{customdata}: " + name + " %{y:+.3f}<extra></extra>",
        )
    _add_sum(draft, scored, ranks, names)
    if own is not None:
        _mark_own(draft, scored, own)
    draft.update_axis("x", rangemode="tozero", zeroline=False)
    return draft.figure()


def _sum(scored: ScoredValues) -> Floats:
    total: Floats = np.sum(list(scored.terms.values()), axis=0)
    return total


def _add_sum(draft: Draft, scored: ScoredValues, ranks: NDArray[np.intp], names: list[str]) -> None:
    places = scored.order()[ranks]
    probabilities = sigmoid(scored.logit[places])
    draft.add_trace(
        "scatter",
        x=ranks + 1,
        y=_sum(scored)[places],
        mode="lines",
        name="Sum",
        line={"color": colour("text"), "width": 2.5},
        customdata=[
            [name, format_probability(probability), format_count(count)]
            for name, probability, count in zip(
                names, probabilities.tolist(), scored.count[places].tolist(), strict=True
            )
        ],
        hovertemplate=(
            "%{customdata[0]}: %{customdata[1]}<br>sum %{y:+.3f}, "
            "%{customdata[2]} training rows<extra></extra>"
        ),
    )


def _mark_own(draft: Draft, scored: ScoredValues, rank: int) -> None:
    assert scored.current is not None
    name = label(shortened(scored.value[scored.current] or "(empty)", 40))
    draft.add_trace(
        "scatter",
        x=[rank + 1],
        y=[_sum(scored)[scored.current]],
        mode="markers",
        name="This impression's value",
        cliponaxis=False,
        marker={
            "symbol": "diamond",
            "size": 13,
            "color": colour("text"),
            "line": {"color": colour("ground"), "width": 2},
        },
        hovertemplate=f"{name}, as it is: %{{y:+.3f}}<extra></extra>",
    )
