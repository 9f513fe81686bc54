"""Several runs on the same rows to one ROC figure, its finding and its data."""

from collections.abc import Sequence
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.evaluation.ranking import NamedRoc, roc_figure
from deepfm.charts.palette import RUN_COLOURS, colour, format_auc

MOST_ROCS: Final = len(RUN_COLOURS)
RUNS_ROC_CAPTION: Final = (
    "each line goes through all thresholds of one run. The further up and left, the better it "
    "ranks; lines that cross are better at different thresholds, whatever their AUC."
)


def runs_roc_figure(curves: Sequence[NamedRoc]) -> go.Figure:
    """At most six runs' ROC curves, named with their AUC in the corner that no good curve enters.

    All lines end in the same place, so their names stand below the diagonal, best AUC first.
    """
    figure = roc_figure(list(curves[:MOST_ROCS]))
    _name_lines(figure, curves[:MOST_ROCS])
    figure.update_layout(
        title="Clicked rows found, against others taken for clicks (ROC), run by run",
        legend={
            "orientation": "v",
            "x": 0.99,
            "xanchor": "right",
            "y": 0.03,
            "yanchor": "bottom",
            "bgcolor": colour("ground", 0.75),
            "tracegroupgap": 2,
        },
    )
    return figure


def _name_lines(figure: go.Figure, curves: Sequence[NamedRoc]) -> None:
    """Legend entries with a whole mark each: a line's own first mark has no size."""
    guessing, *traces = figure.data
    guessing.legendrank = 2_000
    order = sorted(range(len(traces)), key=lambda place: -(curves[place].auc or 0.0))
    for rank, place in enumerate(order):
        trace = traces[place]
        trace.legendgroup = curves[place].style
        trace.showlegend = False
        figure.add_scatter(
            x=[None],
            y=[None],
            name=trace.name,
            mode="lines+markers",
            line=trace.line,
            marker={"symbol": trace.marker.symbol, "size": 9},
            legendgroup=curves[place].style,
            legendrank=rank,
        )


def runs_roc_finding(curves: Sequence[NamedRoc]) -> str:
    """Which run ranks best, in one sentence."""
    known = [named for named in curves if named.auc is not None]
    if not known:
        return "These rows have one class only: there is nothing to rank."
    best = max(known, key=lambda named: named.auc or 0.0)
    return f"{best.name} ranks best, with AUC {format_auc(best.auc)}, of {len(known)} runs."


def runs_roc_table(curves: Sequence[NamedRoc]) -> pd.DataFrame:
    """One row a point: run, threshold, false and true positive rate."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "run": named.name,
                    "threshold": named.curve.thresholds,
                    "false positive rate": named.curve.fpr,
                    "true positive rate": named.curve.tpr,
                }
            )
            for named in curves
        ],
        ignore_index=True,
    )
