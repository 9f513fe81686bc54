"""How far each field moves the score on average, to bars by branch."""

from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from deepfm.charts.draft import axis_number
from deepfm.charts.palette import colour, label, new_figure, shortened, term_marker
from deepfm.terms import TERM_NAMES

if TYPE_CHECKING:
    from deepfm.explanation.overall import FieldSizes

MOST_FIELDS: Final = 40


def field_sizes_figure(sizes: "FieldSizes") -> go.Figure:
    """One panel a term, one row a field, the strongest first; whiskers are one standard error."""
    order = list(sizes.by_size[:MOST_FIELDS])
    terms = [term for term in TERM_NAMES if term in sizes.mean]
    figure = new_figure(
        "How far each field moves the score, term by term", showlegend=False, bargap=0.25
    )
    reach = max(float((sizes.mean[term] + sizes.error[term]).max()) for term in terms)
    for number, term in enumerate(terms):
        axis = axis_number(number + 1)
        values, errors = sizes.mean[term][order], sizes.error[term][order]
        figure.add_bar(
            x=values,
            y=list(range(len(order))),
            xaxis=f"x{axis}",
            orientation="h",
            name=term.capitalize(),
            marker=term_marker(term),
            error_x={
                "type": "data",
                "array": errors,
                "color": colour("text"),
                "thickness": 1.5,
                "width": 3,
            },
            customdata=[[label(sizes.fields[n])] for n in order],
            hovertemplate="%{customdata[0]}<br>" + term + " %{x:.4f}<extra></extra>",
        )
        width = 1 / len(terms)
        gap = 0.02 if len(terms) > 1 else 0.0
        figure.layout[f"xaxis{axis}"] = {
            "title": {"text": f"<b>{term[0].upper()}</b>  {term} (logit)"},
            "domain": [number * width + gap * (number > 0), (number + 1) * width - gap],
            "range": [min(0.0, float(np.min(values - errors))), 1.05 * (reach or 1.0)],
        }
    figure.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=[label(shortened(sizes.fields[n], 24)) for n in order],
        range=[len(order) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    return figure
