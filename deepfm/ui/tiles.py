"""A run to one row of figures: epoch or place in the queue, loss, AUC, speed, time, device."""

from html import escape
from typing import TYPE_CHECKING

from deepfm.charts.history import History, metrics_of
from deepfm.charts.pace import time_left
from deepfm.charts.palette import (
    NO_VALUE,
    format_auc,
    format_duration,
    format_loss,
    format_rate,
    format_time_left,
    shortened,
)
from deepfm.ui import state
from deepfm.ui.queue_words import in_training

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

Tile = tuple[str, str, str]
"""Name, value, and a few small words under it."""


def tiles_html(row: "RunRow", history: History) -> str:
    """One row of tiles of the same height."""
    started, latest = history.started, history.latest
    last = history.epochs[-1] if history.epochs else None
    # Once it has ended, what counts is the model that was kept.
    epoch = history.best if history.finished and history.best else last
    part = history.judged_by if epoch else "train"
    shown = metrics_of(epoch, part) if epoch else (latest.train if latest else None)
    whose = f"after epoch {epoch.epoch}" if epoch else "in its last rows" if shown else ""
    if history.finished and history.best:
        whose = f"epoch {history.best.epoch}, kept"
    name = part.capitalize() if shown else ""
    tiles: tuple[Tile, ...] = (
        _place_tile(row) if row.state == "queued" else _epoch_tile(row, history),
        (f"{name} loss".strip().capitalize(), format_loss(shown.loss if shown else None), whose),
        (f"{name} AUC".strip(), format_auc(shown.auc if shown else None), whose),
        ("Speed", format_rate(latest.examples_per_second if latest else None), "examples"),
        _time_tile(row, history),
        ("Device", *_device(started.device if started else "")),
    )
    cells = "".join(
        f'<div class="dfm-tile" role="listitem"><span>{name}</span>'
        f'<b title="{escape(value)}">{escape(value)}</b><small>{escape(small)}</small></div>'
        for name, value, small in tiles
    )
    return f'<div class="dfm-tiles" role="list">{cells}</div>'


def _epoch_tile(row: "RunRow", history: History) -> Tile:
    return "Epoch", f"{int(history.position)}", f"of {int(row.train.get('epochs', 0))}"


def _place_tile(row: "RunRow") -> Tile:
    position = state.store().queue_position(row.id)
    before = max(0, position - 1) + len(in_training())
    small = f"after {before} other{'s' * (before > 1)}" if before else ""
    return "Queue", "next" if position <= 1 else f"{position}", small


def _time_tile(row: "RunRow", history: History) -> Tile:
    """Time left while it trains, and what that is worth; time taken afterwards."""
    latest = history.latest
    if row.ended or row.state == "queued":
        taken = history.finished.seconds if history.finished else latest and latest.seconds
        return "Time", format_duration(taken) if taken else NO_VALUE, "of training"
    left = time_left(history)
    if left is None:
        return "Time left", NO_VALUE, "measuring…" if latest else ""
    if not left.seconds:
        return "Time left", NO_VALUE, "finishing…"
    worth = "at most" if row.train.get("patience") else "about"
    if left.first_guess:
        worth = "a first guess"
    return "Time left", format_time_left(left.seconds), worth


def _device(device: str) -> tuple[str, str]:
    """ "CPU, 2 threads" is CPU with a small "2 threads" under it; a GPU is named by what it is."""
    kind, _, rest = device.partition(", ")
    return shortened(kind, 12) if kind else NO_VALUE, rest or (kind if len(kind) > 12 else "")
