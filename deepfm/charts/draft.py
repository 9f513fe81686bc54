"""A chart's parts as plain dicts to a plotly figure that nobody has checked.

Plotly checks each property as it is set, and copies the template: of the time in which a small
chart is made, nine tenths go there. What is drawn several times a second, while someone looks on,
is put together here. A test lets plotly check each such figure whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from deepfm.charts.palette import TEMPLATE, label

GAP: Final = 0.12
"""Of the figure's width, between two panels beside each other."""


class Draft:
    """A figure while it is put together; every part has the form that plotly's JSON has.

    Its methods are called as those of plotly's Figure are, but take nested dicts only: no
    `title_text` for the text of a title.
    """

    def __init__(
        self, title: str, *, x: str = "", y: str = "", panels: int = 1, **layout: Any
    ) -> None:
        self._traces: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {"template": TEMPLATE, "title": {"text": label(title)}}
        for panel in range(1, panels + 1):
            self.layout[axis_name("x", panel)] = {"title": {"text": label(x)}}
            self.layout[axis_name("y", panel)] = {"title": {"text": label(y)}}
            if panels > 1:
                self._place(panel, panels)
        self.update_layout(**layout)

    def _place(self, panel: int, panels: int) -> None:
        """Room for one of several panels beside each other."""
        width = (1.0 - GAP * (panels - 1)) / panels
        left = (panel - 1) * (width + GAP)
        number = axis_number(panel)
        self.update_axis("x", panel, anchor=f"y{number}", domain=[left, left + width])
        self.update_axis("y", panel, anchor=f"x{number}", domain=[0.0, 1.0])

    def add_trace(self, kind: str, *, panel: int = 1, **properties: Any) -> None:
        """One trace, of a kind as plotly names it ("scatter", "bar", …)."""
        trace: dict[str, Any] = {"type": kind, **properties}
        if panel > 1:
            trace |= {"xaxis": f"x{panel}", "yaxis": f"y{panel}"}
        self._traces.append(trace)

    def add_shape(self, **shape: Any) -> None:
        """One more shape, behind or over the traces."""
        self.layout["shapes"] = [*self.layout.get("shapes", ()), shape]

    def add_annotation(self, **annotation: Any) -> None:
        """One more piece of text on the drawing."""
        self.layout["annotations"] = [*self.layout.get("annotations", ()), annotation]

    def update_layout(self, **parts: Any) -> None:
        """Parts of the layout: a dict is merged into the one that is there, all else replaces."""
        self.layout = _merged(self.layout, parts)

    def update_axis(self, letter: str, panel: int = 1, **parts: Any) -> None:
        """Parts of one panel's "x" or "y" axis, in the same way."""
        self.update_layout(**{axis_name(letter, panel): parts})

    def figure(self) -> go.Figure:
        """The figure; plotly checks nothing in it."""
        return go.Figure({"data": self._traces, "layout": self.layout}, _validate=False)


def set_frames(figure: go.Figure, frames: Sequence[Mapping[str, Any]]) -> None:
    """Give the figure frames, unchecked too: a hundred checked ones take half a second.

    frames   data, traces and layout each, as plotly's JSON has them; they are named by number
    """
    figure._frame_objs = [
        go.Frame({"name": str(number), **frame}, _validate=False)
        for number, frame in enumerate(frames)
    ]


Canvas = go.Figure | Draft
"""What a shape, a piece of text or a part of the layout is added to."""


def axis_name(letter: str, panel: int = 1) -> str:
    """How a layout names an axis: "xaxis", "yaxis2"."""
    return f"{letter}axis{axis_number(panel)}"


def axis_number(panel: int) -> str:
    """What follows "x" or "y" in the name of a panel's axes: "" for the first, then "2", "3" …"""
    return "" if panel == 1 else str(panel)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        if isinstance(value, Mapping):
            merged[name] = _merged(merged.get(name) or {}, value)
        else:
            # Plotly reads lists of what it has not coerced itself.
            merged[name] = list(value) if isinstance(value, tuple) else value
    return merged
