"""What is over-represented in a region to a chart of shares inside against outside."""

from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go

from deepfm.charts.palette import colour, format_count, label, new_figure, shortened

if TYPE_CHECKING:
    from deepfm.evaluation.regions import ValueShare

MOST_VALUES: Final = 12


def region_figure(values: "tuple[ValueShare, ...]") -> go.Figure:
    """Share of the rows inside (filled) and outside (hollow) that have each value, in percent."""
    shown = values[:MOST_VALUES]
    places = list(range(len(shown)))
    figure = new_figure(
        "Which values are commoner inside the region than outside",
        x="share of the impressions (%)",
        legend={"itemclick": False, "itemdoubleclick": False},
    )
    for place, value in zip(places, shown, strict=True):
        figure.add_shape(
            type="line",
            x0=100 * value.share_outside,
            x1=100 * value.share_inside,
            y0=place,
            y1=place,
            line={"color": colour("muted"), "width": 2},
            layer="below",
        )
    for inside in (True, False):
        figure.add_scatter(
            x=[100 * (each.share_inside if inside else each.share_outside) for each in shown],
            y=places,
            mode="markers",
            name="inside" if inside else "outside",
            marker={
                "symbol": "circle" if inside else "circle-open",
                "size": 11,
                "color": colour("accent" if inside else "text"),
                "line": {"width": 2, "color": colour("accent" if inside else "text")},
            },
            customdata=[
                [label(_name(each)), format_count(each.inside if inside else each.outside)]
                for each in shown
            ],
            hovertemplate=(
                "%{customdata[0]}<br>%{x:.1f} % of the impressions "
                + ("inside" if inside else "outside")
                + " (%{customdata[1]})<extra></extra>"
            ),
        )
    figure.update_yaxes(
        tickvals=places,
        ticktext=[label(_name(each)) for each in shown],
        range=[len(shown) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        tickfont={"size": 13, "color": colour("text")},
    )
    figure.update_xaxes(rangemode="tozero")
    return figure


def _name(value: "ValueShare") -> str:
    return f"{shortened(value.field, 20)} = {shortened(value.value or '(empty)', 24)}"
