"""A plotly figure to a chart on the page that is redrawn in place: no flash, zoom kept.

Beside the figure stand what every chart owes its reader: a title, one line on how to read it,
a text alternative that states the finding, and one small menu with its data as a table and as CSV
and with its picture as PNG and SVG.
"""

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from _plotly_utils.utils import is_homogeneous_array, is_skipped_key, to_typed_array_spec
from plotly.io.json import to_json_plotly

from deepfm.charts.palette import TEMPLATE
from deepfm.ui.plot_code import loader, warmer
from deepfm.ui.plot_save import file_stem, picture_buttons

_HTML: Final = """
<figure class="dfm-plot">
  <div class="dfm-heading" role="heading" aria-level="4"></div>
  <div class="dfm-zoomed" hidden>Double-click to zoom back out</div>
  <div class="dfm-chart" role="img"></div>
  <div class="dfm-failure" role="alert" hidden></div>
  <div class="dfm-control" hidden>
    <label class="dfm-label"></label>
    <button class="dfm-play" type="button" aria-label="Play" hidden>▶</button>
    <span class="dfm-track">
      <span class="dfm-thumb" aria-hidden="true"></span>
      <input class="dfm-range" type="range" min="0" step="1">
      <span class="dfm-scale" aria-hidden="true"></span>
    </span>
    <output class="dfm-readout"></output>
  </div>
  <figcaption class="dfm-caption" hidden></figcaption>
  <span class="dfm-probe" aria-hidden="true"></span>
</figure>
"""


def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "deepfm_plot",
        html=_HTML,
        js=loader(),
        # Plotly's drag zoom does not work inside a shadow root.
        isolate_styles=False,
    )


_PLOT: Final = _component()
_WARM: Final = st.components.v2.component(
    "deepfm_warm", html="<span></span>", js=warmer(), isolate_styles=False
)


def warm() -> None:
    """Let the browser get ready for charts while it has nothing else to do."""
    _WARM(key="plot_warm")


@dataclass(frozen=True)
class Slider:
    """A range under the chart that moves through the figure's frames while it is dragged.

    label      what the slider sets, e.g. "Threshold"
    readouts   what each frame says in words, one text a frame; shown beside the slider
    values     each frame's value, short; it stands at the thumb, and some under the range
    start      the frame shown first (and again when `revision` changes)
    play       a button that runs through the frames
    report     on release the frame's index comes back to Python as PlotResult.frame
    group      charts with the same group move together; give the slider to one, hide the others'
    hidden     follows its group without a control of its own
    above      stands above the drawing, not under it
    """

    label: str
    readouts: Sequence[str] = ()
    values: Sequence[str] = ()
    start: int = 0
    play: bool = False
    report: bool = False
    group: str = ""
    hidden: bool = False
    above: bool = False
    revision: str = ""


@dataclass(frozen=True)
class Click:
    """One point of the figure that was clicked; numbers as plotly gives them."""

    trace: int
    point: tuple[int, ...]
    name: str
    x: Any
    y: Any
    customdata: Any


@dataclass(frozen=True)
class Box:
    """A rectangle that was drawn on the figure, in the units of its axes."""

    left: float
    right: float
    low: float
    high: float


@dataclass(frozen=True)
class PlotResult:
    """What the reader did: the point clicked and the box drawn in this run, the slider's frame."""

    click: Click | None
    frame: int | None
    box: Box | None = None


@dataclass(frozen=True)
class Shown:
    """A figure as the browser gets it, made once for all who are shown it.

    title, json   its heading, and all of it as plotly's JSON
    """

    title: str
    json: str


def shown(figure: go.Figure) -> Shown:
    """What `plot` sends of a figure; for a figure that is one for all who watch."""
    return Shown(html.unescape(figure.layout.title.text or ""), _as_json(figure))


def plot(
    figure: go.Figure | Shown,
    *,
    key: str,
    height: int = 360,
    caption: str = "",
    alt: str = "",
    table: pd.DataFrame | Callable[[], pd.DataFrame] | None = None,
    slider: Slider | None = None,
    on_click: Callable[[], None] | None = None,
    on_frame: Callable[[int], None] | None = None,
    clicks: bool = False,
    boxes: bool = False,
    modebar: bool = False,
    view: str = "",
    menu: bool = True,
) -> PlotResult:
    """Show a figure, redrawn in place whenever it changes.

    figure    its layout.title becomes a heading; its frames are what `slider` moves through
    key       names the chart on its page; the same key keeps the same drawing and zoom
    height    pixels of the drawing alone
    caption   one line, "How to read this"
    alt       the finding in words, for those who cannot see the chart
    table     the figure's data, or a function that makes them when they are asked for
    clicks    report clicked points; on_click is then called before the page runs again
    boxes     dragging draws a box instead of zooming, and reports it; the figure shows it then
    on_frame  called, before the page runs again, with the frame that a reporting slider was left at
    view      the group of charts whose axes and smoothing one `look_controls` sets
    menu      its own menu; without one, another place offers its data and picture
    """

    def left_at() -> None:
        if on_frame is not None:
            on_frame(int(st.session_state[key]["frame"]))

    slider_data = None
    if slider is not None:
        slider_data = {
            **slider.__dict__,
            "readouts": list(slider.readouts),
            "values": list(slider.values),
        }
    drawn = figure if isinstance(figure, Shown) else shown(figure)
    result = _PLOT(
        key=key,
        data={
            "figure": drawn.json,
            "title": drawn.title,
            "height": height,
            "caption": caption,
            "alt": alt or drawn.title or "chart",
            "slider": slider_data,
            "clicks": clicks or on_click is not None,
            "boxes": boxes,
            "modebar": modebar,
            "view": view,
            "name": key,
        },
        on_click_change=on_click or _nothing,
        on_frame_change=left_at,
        on_box_change=_nothing,
    )
    if menu:
        data_button(table, key=f"{key}_data", name=drawn.title or key, charts={key: ""})
    return PlotResult(_click(result.click), result.frame, _box(result.box))


def draw_ahead(figure: Shown, *, key: str, height: int) -> None:
    """Draw out of sight what the chart of this key is going to look like, before it is there.

    The chart takes that drawing over, and its first points cost half the time. Stands where the
    chart will stand, so that it has the chart's width.
    """
    with st.container(key=f"ahead_{key}"):
        _PLOT(
            key=f"ahead_of_{key}",
            data={
                "figure": figure.json,
                "title": "",
                "height": height,
                "caption": "",
                "alt": "",
                "slider": None,
                "clicks": False,
                "boxes": False,
                "modebar": False,
                "view": "",
                "name": f"ahead_of_{key}",
                "spareFor": key,
            },
        )


def _as_json(figure: go.Figure) -> str:
    """The figure, with our template by its name: the script that draws has it already.

    Plotly's own `to_dict` copies all of it first, text by text; nothing is changed here.
    """
    layout = figure._layout
    if layout.get("template") == TEMPLATE:
        layout = {**layout, "template": "deepfm"}
    parts = {"data": _packed(figure._data), "layout": _packed(layout)}
    if figure._frame_objs:
        parts["frames"] = _packed([frame._props for frame in figure._frame_objs])
    return str(to_json_plotly(parts))


def _packed(part: Any) -> Any:
    """A part of a figure with its arrays of numbers as their bytes, as plotly sends them."""
    if isinstance(part, dict):
        return {
            name: value if is_skipped_key(name) else _packed(value) for name, value in part.items()
        }
    if isinstance(part, list | tuple):
        plain = bool(part) and isinstance(part[0], str | float | int)
        return part if plain else [_packed(value) for value in part]
    return to_typed_array_spec(part) if is_homogeneous_array(part) else part


def data_button(
    table: pd.DataFrame | Callable[[], pd.DataFrame] | None,
    *,
    key: str,
    name: str,
    label: str = "",
    charts: Mapping[str, str] | None = None,
) -> None:
    """A quiet button that opens the data as a table, with files to download; made when opened.

    name    what the files are called after, as a title would say it
    charts  keys of the charts that show these data, each with what stands before its buttons
    """
    said = label or (
        "Data" if not charts else "Data and picture" if table is not None else "Picture"
    )
    with st.popover(
        said, icon=":material/download:", type="tertiary", key=key, on_change="rerun"
    ) as popover:
        if not popover.open:
            return
        for chart, words in (charts or {}).items():
            picture_buttons(chart, file_stem(f"{name} {words}"), words)
        if table is not None:
            _table_and_csv(table() if callable(table) else table, key, file_stem(name))


def _table_and_csv(data: pd.DataFrame, key: str, stem: str) -> None:
    st.download_button(
        "Numbers (CSV)",
        data=lambda: csv_text(data).encode("utf-8"),
        file_name=f"{stem}.csv",
        mime="text/csv",
        key=f"{key}_csv",
        icon=":material/download:",
        on_click="ignore",
    )
    st.dataframe(data, hide_index=True, height=min(420, 38 + 35 * max(1, len(data))))


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which no cell is taken for a formula by a spreadsheet."""
    from deepfm.data.export import neutralise_formulas

    safe = table.rename(columns=lambda name: neutralise_formulas(str(name)))
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = [
                neutralise_formulas(value) if isinstance(value, str) else value
                for value in safe[name]
            ]
    return str(safe.to_csv(index=False, lineterminator="\r\n"))


def revision_of(*parts: object) -> str:
    """A short text that changes when any part does: for Slider.revision."""
    return hashlib.blake2s(repr(parts).encode("utf-8"), digest_size=6).hexdigest()


def _click(value: Any) -> Click | None:
    if not value:
        return None
    return Click(
        int(value["trace"]),
        tuple(int(number) for number in value["point"]),
        str(value["name"]),
        value["x"],
        value["y"],
        value["customdata"],
    )


def _box(value: Any) -> Box | None:
    return (
        Box(*(float(value[name]) for name in ("left", "right", "low", "high"))) if value else None
    )


def _nothing() -> None:
    """A component's state is kept only where a callback is given."""
