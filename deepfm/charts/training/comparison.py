"""Several runs' histories to one chart of their curves and one table of their results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd
import plotly.graph_objects as go

from deepfm.charts.history import History, Metric, metrics_of, value_of
from deepfm.charts.palette import (
    RUN_COLOURS,
    RUN_MARKERS,
    TERM_LETTERS,
    colour,
    format_auc,
    label,
    line,
    new_figure,
    shortened,
)
from deepfm.charts.training.axes import epoch_axis, kept_off, spread_labels, value_range
from deepfm.charts.training.curves import METRIC_NAMES, add_level

Along = Literal["epochs", "seconds"]
"""What the curves of several runs are drawn along: the work done, or the time it took."""

MOST_RUNS: Final = len(RUN_COLOURS)
KEPT_SIZE: Final = 13
COMPARISON_CAPTION: Final = (
    "one line a run, after each epoch; each has its hue and mark. The large mark is the "
    "best epoch, whose weights are kept; the name stands at its height, or as near as the others "
    "leave room, with its value."
)


@dataclass(frozen=True)
class ComparedRun:
    """One run in a comparison: its name for the reader, its terms, what it has said so far."""

    name: str
    terms: tuple[str, ...]
    history: History
    state: str = ""


def lamps(terms: Sequence[str]) -> str:
    """The letters of the terms a model has: FM is "L P"."""
    return " ".join(letter for term, letter in TERM_LETTERS.items() if term in terms)


def comparison_figure(
    runs: Sequence[ComparedRun], metric: Metric = "auc", along: Along = "epochs"
) -> go.Figure:
    """At most six runs' validation (else test, else train) curves, a mark after each epoch."""
    shown = list(runs[:MOST_RUNS])
    figure = new_figure(
        f"{METRIC_NAMES[metric]} by {_AXIS_NAMES[along]}, run by run",
        x="epoch" if along == "epochs" else "seconds of training",
        y=f"{_parts_in_words(shown)} {METRIC_NAMES[metric] if metric == 'auc' else metric}",
        showlegend=False,
        margin={"r": 150, "t": 12},
        uirevision=f"{metric},{along}",
    )
    for place, run in enumerate(shown):
        figure.add_trace(_run_trace(run, place, metric, along))
    best = _best_possible(shown) if metric == "auc" else None
    values = [value for trace in figure.data for value in trace.y]
    low, high = value_range([*values, *([best] if best is not None else [])], metric)
    figure.update_xaxes(**_along_axis(shown, along))
    figure.update_yaxes(range=(low, high), zeroline=False)
    if best is not None:
        add_level(figure, best, f"best possible {best:.2f}")
    _name_lines(figure, shown, (high - low) * 0.062, best)
    return figure


_AXIS_NAMES: Final[dict[Along, str]] = {"epochs": "epoch", "seconds": "time"}


def _along_axis(runs: Sequence[ComparedRun], along: Along) -> dict[str, Any]:
    histories = [run.history for run in runs]
    if along == "epochs":
        return epoch_axis(histories)
    taken = [epoch.seconds for history in histories for epoch in history.epochs[-1:]]
    return {"range": (0.0, max([0.1, *taken])), "zeroline": False}


def _parts_in_words(runs: Sequence[ComparedRun]) -> str:
    """ "validation", or "validation or test" where runs differ in what they can be judged by."""
    known = {run.history.judged_by for run in runs if run.history.epochs}
    return " or ".join(sorted(known, reverse=True)) or "validation"


def _best_possible(runs: Sequence[ComparedRun]) -> float | None:
    """The level, where all runs that know one know the same."""
    known = {
        run.history.started.best_possible_auc
        for run in runs
        if run.history.started and run.history.started.best_possible_auc is not None
    }
    return known.pop() if len(known) == 1 else None


def _run_trace(run: ComparedRun, place: int, metric: Metric, along: Along) -> go.Scatter:
    part = run.history.judged_by
    known = [
        (epoch, value)
        for epoch in run.history.epochs
        if (value := value_of(metrics_of(epoch, part), metric)) is not None and math.isfinite(value)
    ]
    name = label(shortened(run.name))
    kept = _kept_epoch(run)
    epochs = [float(epoch.epoch) for epoch, _ in known]
    return go.Scatter(
        x=epochs if along == "epochs" else [epoch.seconds for epoch, _ in known],
        y=[value for _, value in known],
        customdata=epochs,
        name=name,
        mode="lines+markers",
        line={**line("test"), "color": colour(RUN_COLOURS[place]), "dash": "solid"},
        cliponaxis=False,
        marker={
            "symbol": RUN_MARKERS[place],
            "size": [KEPT_SIZE if epoch == kept else 7 for epoch in epochs],
            "color": colour(RUN_COLOURS[place]),
        },
        hovertemplate=f"{name}<br>{part} {metric} %{{y:.4f}} after epoch %{{customdata:g}}"
        + (", %{x:.1f} s" if along == "seconds" else "")
        + "<extra></extra>",
    )


def _kept_epoch(run: ComparedRun) -> float | None:
    """The epoch whose weights are kept, as far as it is known: the best one."""
    return float(run.history.best.epoch) if run.history.best else None


def _kept_value(trace: go.Scatter, run: ComparedRun) -> float:
    """A line's value at the epoch whose weights are kept, else at its end."""
    values = dict(zip(trace.customdata, trace.y, strict=True))
    return float(values.get(_kept_epoch(run), trace.y[-1]))


def _name_lines(
    figure: go.Figure, runs: Sequence[ComparedRun], gap: float, best: float | None
) -> None:
    """Each line's name and its value at the kept epoch, right of the panel.

    At the height of that value, not of the line's end, so that names stand in the order of their
    values; pushed apart if need be. None stands at the best possible, as if it had reached it.
    """
    kept = [
        (place, _kept_value(trace, runs[place]))
        for place, trace in enumerate(figure.data)
        if len(trace.y)
    ]
    values = [value for _, value in kept]
    heights = spread_labels(values, gap)
    if best is not None:
        heights = kept_off(values, best, heights, gap)
    for (place, value), height in zip(kept, heights, strict=True):
        figure.add_annotation(
            xref="paper",
            x=1.0,
            xshift=8,
            y=height,
            text=f"{label(shortened(runs[place].name, 16))} {value:.4f}",
            showarrow=False,
            xanchor="left",
            font={"color": colour(RUN_COLOURS[place]), "size": 12},
        )


def comparison_finding(runs: Sequence[ComparedRun]) -> str:
    """Which run stands highest, in one sentence."""
    ends = []
    for run in runs:
        _, values = run.history.curve("auc", run.history.judged_by)
        if values:
            ends.append((max(values), run))
    if not ends:
        return "No run has finished an epoch yet."
    best, run = max(ends, key=lambda end: end[0])
    part = run.history.judged_by
    return f"{run.name} reaches the highest {part} AUC, {format_auc(best)}, of {len(ends)} runs."


def unfinished(runs: Sequence[ComparedRun]) -> str:
    """Which runs were still getting better when they ended, in one sentence; "" where none was."""
    names = [run.name for run in runs if _best_at_the_end(run.history)]
    if not names:
        return ""
    who = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    was = "was" if len(names) == 1 else "were"
    return f"{who} {was} best at the last epoch: with more epochs the comparison would be fairer."


def _best_at_the_end(history: History) -> bool:
    """Whether a run used all its epochs, and of them the last did best on the validation rows."""
    ended = history.finished
    if ended is None or ended.stopped or history.best is None:
        return False
    return ended.epochs > 1 and ended.best_epoch == ended.epochs


def comparison_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """One row an epoch of a run: its time, and every figure of the part it is judged by."""
    return pd.DataFrame(
        [
            {
                "run": run.name,
                "epoch": epoch.epoch,
                "seconds": epoch.seconds,
                "part": run.history.judged_by,
                "loss": value_of(metrics, "loss"),
                "accuracy": value_of(metrics, "accuracy"),
                "auc": value_of(metrics, "auc"),
            }
            for run in runs
            for epoch in run.history.epochs
            if (metrics := metrics_of(epoch, run.history.judged_by)) is not None
        ]
    )


def compared_runs_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """One row a run: its best validation AUC so far, and its results once it has ended.

    The results are of the test rows; of validation rows where no run has any to test with.
    """
    parts = {run.history.finished.part for run in runs if run.history.finished}
    part = "test" if "test" in parts else min(parts, default="test")
    return pd.DataFrame([_table_row(run, part) for run in runs])


def _table_row(run: ComparedRun, part: str) -> dict[str, object]:
    history, result, latest = run.history, run.history.finished, run.history.latest
    best = history.best or (history.epochs[-1] if history.epochs else None)
    shown = result if result and result.part == part else None
    return {
        "model": run.name,
        "terms": lamps(run.terms),
        "state": run.state,
        "validation AUC": value_of(best.validation, "auc") if best else None,
        "test AUC": shown.auc if shown and part == "test" else None,
        f"{part} log loss": shown.log_loss if shown else None,
        f"{part} accuracy": shown.accuracy if shown else None,
        "best epoch": best.epoch if best else None,
        "parameters": history.started.parameters if history.started else None,
        "seconds": latest.seconds if latest else None,
    }
