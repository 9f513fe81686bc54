"""A sweep's results to its charts: what a setting does, and all configurations side by side.

A configuration's mark is the mean over its seeds; the bar is one standard deviation to each side,
and the small hollow marks are the seeds themselves. The best one so far is the diamond.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.palette import colour, format_count, label, new_figure, shortened
from deepfm.config import parameter_count
from deepfm.sweeps import (
    Axis,
    Configuration,
    Point,
    Record,
    Results,
    SeedRun,
    Spread,
    axis_label,
)

EFFECT_CAPTION: Final = (
    "each mark is the mean over the seeds, its bar one standard deviation to each side, the "
    "hollow dots are the seeds. Where bars overlap, chance may have decided. The diamond has the "
    "best mean."
)
PARALLEL_CAPTION: Final = (
    "one line a configuration, from its settings on the left to what came of it on the right. "
    "The thick line with diamonds has the best mean; the fainter a line, the worse. On the two "
    "uprights at the right, AUC and log loss, better is higher; the others have no better end."
)
_LABELLED: Final = 24
"""Most marks under an axis that are still told apart."""


def parameters_of(record: Record, configuration: Configuration) -> int:
    """How many numbers a configuration's model learns."""
    place = record.place_of(configuration.point)
    model = record.sweep.model_of(configuration.point)
    return parameter_count(place.features, place.fields, model)


# --- what one setting does ----------------------------------------------------------------------


def effect_figure(results: Results, place: int = 0) -> go.Figure:
    """The objective against one swept setting.

    place   which of the sweep's axes
    With several axes a value has one mark for each combination with the others, and the line goes
    through their means.
    """
    axis, sweep = results.sweep.axes[place], results.sweep
    name = axis_label(axis)
    figure = new_figure(
        f"{_capital(sweep.metric)} by {name}",
        x=name,
        y=f"{sweep.metric}, mean over seeds",
        showlegend=False,
        uirevision=f"{place}",
    )
    shown = list(results.ranked)
    positions = _positions(results, place)
    _add_line(figure, results, place)
    _add_seeds(figure, results, place, positions)
    for each in reversed(shown):
        _add_mark(figure, results, each, positions[each.point])
    figure.update_xaxes(**_x_axis(axis))
    figure.update_yaxes(zeroline=False, tickformat=".4f", range=_y_range(results))
    return figure


_LEAST_WIDTH: Final = 0.01
"""Of the axis: of one value alone, plotly would draw an axis from below 0 to above 1."""


def _y_range(results: Results) -> tuple[float, float]:
    """All means with their bars and all seeds, with some air; never below 0, nor an AUC above 1."""
    most = 1.0 if results.sweep.objective == "auc" else math.inf
    seeds = [_seed_value(run, results) for each in results.ranked for run in each.trained]
    values = [value for value in seeds if value is not None]
    for each in results.ranked:
        spread = _figure(each, results)
        reach = spread.deviation or 0.0
        values += [spread.mean - reach, spread.mean + reach]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    air = max(0.08 * (high - low), (_LEAST_WIDTH - (high - low)) / 2)
    return max(0.0, low - air), min(most, high + air)


def _seed_value(run: SeedRun, results: Results) -> float | None:
    """A trained seed's figure that the sweep goes by."""
    assert run.validation is not None
    return run.validation.auc if results.sweep.objective == "auc" else run.validation.loss


def _positions(results: Results, place: int) -> dict[Point, float]:
    """Where each configuration stands.

    Values of a range are where they are; listed ones have a column each, in which combinations
    with other settings stand beside each other, in the same order in every column.
    """
    axis = results.sweep.axes[place]
    if axis.is_range:
        return {each.point: float(each.point[place]) for each in results.ranked}
    others = sorted({_others(each.point, place) for each in results.ranked}, key=str)
    step = min(0.13, 0.66 / len(others)) if others else 0.0
    middle = (len(others) - 1) / 2
    return {
        each.point: axis.values.index(each.point[place])
        + step * (others.index(_others(each.point, place)) - middle)
        for each in results.ranked
    }


def _others(point: Point, place: int) -> Point:
    return (*point[:place], *point[place + 1 :])


def _x_axis(axis: Axis) -> dict[str, Any]:
    if axis.is_range and axis.log:
        assert axis.low is not None and axis.high is not None
        marks = _decades(axis.low, axis.high)
        texts = [f"{mark:g}" for mark in marks]
        return {"type": "log", "tickvals": marks, "ticktext": texts, "zeroline": False}
    if axis.is_range:
        return {"zeroline": False}
    count = len(axis.values)
    return {
        "range": (-0.5, count - 0.5),
        "tickvals": list(range(count)),
        "ticktext": [label(shortened(axis.short_name(value), 18)) for value in axis.values],
        "showgrid": False,
        "zeroline": False,
    }


def _decades(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, 50 … from low to high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]


def _add_line(figure: go.Figure, results: Results, place: int) -> None:
    """Through the mean of each value, where values are listed and grow."""
    axis = results.sweep.axes[place]
    if axis.is_range or not _grow(axis):
        return
    means = []
    for value in axis.values:
        figures = [
            _figure(each, results).mean for each in results.ranked if each.point[place] == value
        ]
        means.append(sum(figures) / len(figures) if figures else None)
    figure.add_trace(
        go.Scatter(
            x=list(range(len(means))),
            y=means,
            mode="lines",
            line={"color": colour("muted", 0.7), "width": 1.5},
            hoverinfo="skip",
            connectgaps=False,
        )
    )


def _grow(axis: Axis) -> bool:
    """Whether the values are numbers in order, or networks of more and more neurons."""
    if axis.declared.kind not in ("int", "float", "ints"):
        return False
    sizes = [sum(value) if isinstance(value, tuple) else value for value in axis.values]
    return all(before < after for before, after in pairwise(sizes))


def _add_seeds(
    figure: go.Figure, results: Results, place: int, positions: dict[tuple[Any, ...], float]
) -> None:
    """The seeds one by one, a little beside their mean so that it does not hide them."""
    listed = not results.sweep.axes[place].is_range
    beside = (0.06 if len(results.sweep.axes) == 1 else 0.025) * listed
    xs, ys, texts = [], [], []
    for each in results.ranked:
        for run in each.trained:
            if (value := _seed_value(run, results)) is not None:
                xs.append(positions[each.point] + beside)
                ys.append(value)
                texts.append(f"{label(each.name)}<br>seed {run.seed}: {value:.4f}")
    figure.add_trace(
        go.Scatter(
            x=xs,
            y=ys,
            mode="markers",
            marker={
                "symbol": "circle-open",
                "size": 6,
                "color": colour("muted", 0.8),
                "line": {"width": 1},
            },
            text=texts,
            hovertemplate="%{text}<extra></extra>",
        )
    )


def _add_mark(
    figure: go.Figure, results: Results, configuration: Configuration, position: float
) -> None:
    spread, best = _figure(configuration, results), configuration is results.best
    shade = colour("accent") if best else colour("text", 0.75)
    figure.add_trace(
        go.Scatter(
            x=[position],
            y=[spread.mean],
            mode="markers",
            marker={"symbol": "diamond" if best else "circle", "size": 13 if best else 9}
            | {"color": shade},
            error_y={
                "type": "data",
                "array": [spread.deviation or 0.0],
                "visible": spread.deviation is not None,
                "color": shade,
                "thickness": 1.5,
                "width": 5,
            },
            name=label(shortened(configuration.name)),
            hovertemplate=f"{label(configuration.name)}<br>{spread} over {spread.count} "
            f"seed{'s' * (spread.count > 1)}<extra></extra>",
            cliponaxis=False,
        )
    )


# --- all configurations beside each other -------------------------------------------------------


@dataclass(frozen=True)
class _Dimension:
    """One upright of the parallel coordinates.

    heights   of each configuration, 0 to 1
    texts     what stands at a height, for some heights
    """

    title: str
    heights: tuple[float, ...]
    marks: tuple[tuple[float, str], ...]


def parallel_figure(results: Results) -> go.Figure:
    """Each configuration as one line through its settings, parameters and figures."""
    shown = list(results.ranked)
    dimensions = [
        *(_setting_dimension(axis, place, shown) for place, axis in enumerate(results.sweep.axes)),
        *_result_dimensions(results),
    ]
    figure = new_figure(
        "All configurations, from settings to results",
        showlegend=False,
        margin={"l": 56, "r": 56, "t": 34, "b": 12},
        xaxis={
            "tickvals": list(range(len(dimensions))),
            "ticktext": [f"<b>{label(dimension.title)}</b>" for dimension in dimensions],
            "side": "top",
            "range": (-0.12, len(dimensions) - 0.55),
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "tickfont": {"color": colour("text"), "size": 12},
        },
        yaxis={"visible": False, "range": (-0.06, 1.06), "fixedrange": True},
    )
    for place in range(len(dimensions)):
        figure.add_vline(place, line={"color": colour("zero"), "width": 1})
    for place in reversed(range(len(shown))):
        _add_path(figure, results, place, dimensions)
    for place, dimension in enumerate(dimensions):
        _add_marks(figure, place, dimension)
    return figure


def _setting_dimension(axis: Axis, place: int, shown: Sequence[Configuration]) -> _Dimension:
    title = _capital(axis_label(axis))
    if axis.is_range:
        values = [float(each.point[place]) for each in shown]
        scale = math.log if axis.log else float
        low, high = scale(axis.low or 0), scale(axis.high or 0)
        heights = tuple((scale(value) - low) / (high - low) for value in values)
        return _Dimension(title, heights, ((0.0, f"{axis.low:g}"), (1.0, f"{axis.high:g}")))
    last = max(1, len(axis.values) - 1)
    marks = tuple(
        (index / last, shortened(axis.short_name(value), 14))
        for index, value in enumerate(axis.values)
    )
    heights = tuple(axis.values.index(each.point[place]) / last for each in shown)
    return _Dimension(title, heights, marks[:_LABELLED])


def _result_dimensions(results: Results) -> list[_Dimension]:
    """Parameters, then the two validation figures, the objective last; good is always up."""
    shown = results.ranked
    parameters = [float(parameters_of(results.record, each)) for each in shown]
    losses = [each.log_loss.mean if each.log_loss else math.nan for each in shown]
    aucs = [each.auc.mean if each.auc else math.nan for each in shown]
    figures = [
        _number_dimension("Val. log loss", losses, "{:.4f}", reverse=True),
        _number_dimension("Val. AUC", aucs, "{:.4f}"),
    ]
    if results.sweep.objective == "log_loss":
        figures.reverse()
    return [_number_dimension("Parameters", parameters, "{:,.0f}"), *figures]


def _number_dimension(
    title: str, values: Sequence[float], form: str, *, reverse: bool = False
) -> _Dimension:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return _Dimension(title, (0.5,) * len(values), ())
    low, high = min(known), max(known)
    if low == high:
        return _Dimension(title, (0.5,) * len(values), ((0.5, form.format(low)),))
    heights = [(value - low) / (high - low) for value in values]
    ends = ((0.0, form.format(low)), (1.0, form.format(high)))
    if reverse:
        heights = [1.0 - height for height in heights]
        ends = ((1.0, form.format(low)), (0.0, form.format(high)))
    return _Dimension(title, tuple(heights), ends)


def _add_path(
    figure: go.Figure, results: Results, place: int, dimensions: Sequence[_Dimension]
) -> None:
    configuration, count = results.ranked[place], len(results.ranked)
    best = place == 0
    alpha = 1.0 if best else 0.75 - 0.55 * place / max(1, count - 1)
    shade = colour("accent") if best else colour("text", round(alpha, 2))
    figure.add_trace(
        go.Scatter(
            x=list(range(len(dimensions))),
            y=[dimension.heights[place] for dimension in dimensions],
            mode="lines+markers",
            line={"color": shade, "width": 4 if best else 1.5, "shape": "linear"},
            marker={
                "symbol": "diamond" if best else "circle",
                "size": 10 if best else 5,
                "color": shade,
            },
            name=label(shortened(configuration.name)),
            hovertemplate=f"{place + 1}. {label(configuration.name)}<br>"
            f"AUC {configuration.auc or '–'}<br>log loss {configuration.log_loss or '–'}<br>"
            f"{format_count(parameters_of(results.record, configuration))} parameters"
            "<extra></extra>",
            cliponaxis=False,
        )
    )


def _add_marks(figure: go.Figure, place: int, dimension: _Dimension) -> None:
    for height, text in dimension.marks:
        figure.add_annotation(
            x=place,
            y=height,
            text=label(text),
            showarrow=False,
            xanchor="left",
            xshift=9,
            # One value for all: every line runs through it, level, so it stands above them.
            yshift=12 if len(dimension.marks) == 1 else 0,
            font={"size": 11, "color": colour("text")},
            bgcolor=colour("ground"),
            borderpad=1,
        )


# --- as a table and in words --------------------------------------------------------------------


def sweep_table(results: Results) -> pd.DataFrame:
    """One line a configuration, the best first; those without a figure at the end."""
    return pd.DataFrame(
        [
            _table_row(results, place, configuration)
            for place, configuration in enumerate(results.configurations)
        ]
    )


def _table_row(results: Results, place: int, configuration: Configuration) -> dict[str, Any]:
    auc, loss = configuration.auc, configuration.log_loss
    seconds = [run.row.result["seconds"] for run in configuration.trained if run.row.result]
    return {
        "rank": place + 1 if place < len(results.ranked) else None,
        **{
            _capital(axis_label(axis)): axis.name(value)
            for axis, value in zip(results.sweep.axes, configuration.point, strict=True)
        },
        "val. AUC": auc and auc.mean,
        "± AUC": auc and auc.deviation,
        "val. log loss": loss and loss.mean,
        "± log loss": loss and loss.deviation,
        "seeds": f"{len(configuration.trained)} of {len(configuration.runs)}",
        "parameters": parameters_of(results.record, configuration),
        "seconds a run": sum(seconds) / len(seconds) if seconds else None,
    }


def _figure(configuration: Configuration, results: Results) -> Spread:
    figure = configuration.figure(results.sweep.objective)
    assert figure is not None
    return figure


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
