"""A trained run's history to frames that take its charts back through the training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from deepfm.charts.draft import axis_number, set_frames
from deepfm.charts.history import History, metrics_of
from deepfm.charts.palette import colour, format_auc, format_duration, format_loss
from deepfm.charts.training.pinned import PinnedBars, bar_text, pinned_bars, pinned_layout
from deepfm.events import Epoch, Point
from deepfm.terms import TERM_NAMES

MOST_FRAMES: Final = 120
Labels = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Replay:
    """The moments of a training that a slider steps through, from its start to its end.

    moments    None is the moment before the first step; the last one is that of the weights the
               run has, which may be an earlier epoch than the one before it
    readouts   what each moment says in words
    """

    moments: tuple[Point | Epoch | None, ...]
    readouts: tuple[str, ...]

    @property
    def positions(self) -> tuple[float, ...]:
        """Epochs trained at each moment."""
        return tuple(float(moment.epoch) if moment else 0.0 for moment in self.moments)


def replay_of(history: History) -> Replay:
    """At most `MOST_FRAMES` moments, evenly over the observations, then the weights kept."""
    seen = [each for each in history.observations if each.moments is not None]
    stride = max(1, -(-len(seen) // MOST_FRAMES))
    chosen: list[Point | Epoch | None] = [None, *seen[::-stride][::-1]]
    if history.kept is not None and history.kept.moments and history.kept is not chosen[-1]:
        chosen.append(history.kept)
    return Replay(tuple(chosen), tuple(_readout(history, moment) for moment in chosen))


def _readout(history: History, moment: Point | Epoch | None) -> str:
    if moment is None:
        return "Before the first step"
    part = history.judged_by
    # The figures of the part that is judged stand until the next end of an epoch.
    judged = [epoch for epoch in history.epochs if epoch.epoch <= moment.epoch]
    metrics = metrics_of(judged[-1], part) if judged else None
    place = f"{moment.epoch:g}, kept" if moment is history.kept else f"{moment.epoch:.2f}"
    words = f"Epoch {place} · {format_duration(moment.seconds)}"
    words += f" · train loss {format_loss(moment.train.loss)}"
    if metrics is not None and part != "train":
        words += f" · {part} AUC {format_auc(metrics.auc)}"
    return words


def with_curtain(
    figure: go.Figure,
    replay: Replay,
    panels: int = 1,
    labels: Callable[[Point | Epoch | None], Labels] | None = None,
) -> go.Figure:
    """The figure with frames in which a curtain covers, in each panel, what came later.

    labels   what stands right of the panel at a moment, in the place of the figure's own labels;
             in the last frame, which hides nothing, a line says which moment that is
    """
    standing = [shape.to_plotly_json() for shape in figure.layout.shapes]
    notes = [note for note in figure.layout.annotations if note.xref != "paper"]
    notes = [note.to_plotly_json() for note in notes]
    *moments, last = zip(replay.moments, replay.positions, strict=True)
    layouts = [
        _frame_layout([*_curtains(position, panels), *standing], notes, labels, moment)
        for moment, position in moments
    ]
    moment, position = last
    is_behind = labels is not None and position < max(replay.positions)
    shapes = [*([_upright(position, "")] if is_behind else []), *standing]
    kept = [_kept_note(position)] if is_behind else []
    layouts.append(_frame_layout(shapes, [*notes, *kept], labels, moment))
    set_frames(figure, [{"traces": [], "layout": layout} for layout in layouts])
    return figure


def _frame_layout(
    shapes: Sequence[Mapping[str, Any]],
    notes: Sequence[Mapping[str, Any]],
    labels: Callable[[Point | Epoch | None], Labels] | None,
    moment: Point | Epoch | None,
) -> dict[str, Any]:
    layout: dict[str, Any] = {"shapes": list(shapes)}
    if labels is not None:
        layout["annotations"] = [*notes, *labels(moment)]
    return layout


def _kept_note(position: float) -> dict[str, Any]:
    """Names the line at the epoch whose weights the run has, and the labels with it."""
    return {
        "xref": "x",
        "yref": "y domain",
        "x": position,
        "y": 0,
        "xshift": 3,
        "text": "kept",
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "bgcolor": colour("ground", 0.8),
        "font": {"size": 11, "color": colour("text")},
    }


def _curtains(position: float, panels: int) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = []
    for panel in range(1, panels + 1):
        axis = axis_number(panel)
        shapes += [
            {
                "type": "rect",
                "layer": "above",
                "xref": f"x{axis}",
                "yref": f"y{axis} domain",
                "x0": position,
                "x1": 1e6,
                "y0": 0,
                "y1": 1,
                "fillcolor": colour("ground", 0.84),
                "line": {"width": 0},
            },
            _upright(position, axis),
        ]
    return shapes


def _upright(position: float, axis: str) -> dict[str, Any]:
    return {
        "type": "line",
        "layer": "above",
        "xref": f"x{axis}",
        "yref": f"y{axis} domain",
        "x0": position,
        "x1": position,
        "y0": 0,
        "y1": 1,
        "line": {"width": 1.5, "color": colour("text")},
    }


def with_pinned_frames(
    figure: go.Figure,
    replay: Replay,
    place: int,
    terms: Sequence[str] = TERM_NAMES,
    truth: float | None = None,
) -> go.Figure:
    """The bars of pinned impression number `place` with one frame a moment of the replay."""
    shown = [TERM_NAMES.index(term) for term in TERM_NAMES if term in terms]
    set_frames(
        figure,
        [_bars_frame(pinned_bars(moment, place), shown, truth) for moment in replay.moments],
    )
    return figure


def _bars_frame(bars: PinnedBars, shown: Sequence[int], truth: float | None) -> dict[str, Any]:
    values = [bars.centred[place] for place in shown]
    return {
        "data": [
            {"type": "bar", "x": [value], "text": [bar_text(bars, value)]} for value in values
        ],
        "traces": list(range(len(shown))),
        "layout": pinned_layout(bars, truth),
    }
