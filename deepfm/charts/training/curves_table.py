"""One run's history to the numbers that its curves are drawn from, as a table."""

from typing import Any

import pandas as pd

from deepfm.charts.history import METRICS, PARTS, History, metrics_of, value_of
from deepfm.charts.training.curves import Detail, tracks_of
from deepfm.events import Epoch, Point


def curves_table(
    history: History, detail: Detail = "by epoch", smoothing: float = 0.0
) -> pd.DataFrame:
    """One row an observation that is drawn, with every figure of every part.

    detail      "within epochs" has the points between the ends of epochs too; their validation
                figures are of a sample
    smoothing   of the curves that are drawn, in epochs; above 0 it adds their smoothed values
    """
    drawn = history.observations if detail == "within epochs" else history.epochs
    table = pd.DataFrame([_table_row(each) for each in drawn])
    if smoothing > 0 and len(table):
        for track in tracks_of(history, detail):
            name = {"within": "train", "sample": "validation sample"}.get(track, track)
            for metric in METRICS:
                series = history.series(metric, track)
                at = dict(zip(series.positions, series.smoothed(smoothing), strict=True))
                column = f"{name} {metric}, smoothed over {smoothing:g} epochs"
                table[column] = table["epoch"].map(at)
    return table


def _table_row(each: Point | Epoch) -> dict[str, Any]:
    end = each if isinstance(each, Epoch) else None
    row: dict[str, Any] = {
        "epoch": float(each.epoch),
        "at": "end of epoch" if end else "within epoch",
        "seconds": each.seconds,
    }
    for part in PARTS:
        metrics = metrics_of(each, part)
        for metric in METRICS:
            row[f"{part} {metric}"] = value_of(metrics, metric)
    row["examples per second"] = each.examples_per_second
    row["step examples per second"] = end.step_examples_per_second if end else None
    row["best so far"] = end.best if end else None
    return row
