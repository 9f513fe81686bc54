"""Meaning to colour, mark and text: the one home of colours and the template.

A figure holds colours by name, `var(--dfm-linear)`, so that one figure serves light and dark:
the page's component resolves the names in the browser, `resolved` does it for other renderers.
Colour never stands alone: linear is plain, pairwise hatched, deep dotted.
"""

import copy
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

import plotly.graph_objects as go
import plotly.io

from deepfm.config import TERM_SETS
from deepfm.formats import (  # noqa: F401  charts and pages take their formats from here
    NO_VALUE,
    decimals_of,
    format_auc,
    format_bytes,
    format_count,
    format_duration,
    format_epoch,
    format_logit,
    format_loss,
    format_probability,
    format_rate,
    format_time_left,
)

Mode = Literal["light", "dark"]
Term = Literal["linear", "pairwise", "deep"]

COLOURS: Final[Mapping[Mode, Mapping[str, str]]] = MappingProxyType(
    {
        "light": {
            "ground": "#ffffff",
            "surface": "#f5f6f8",
            "text": "#31333f",
            "muted": "#6a6d7a",
            "grid": "#e7e8ec",
            "zero": "#9a9da8",
            "linear": "#c25700",
            "pairwise": "#2b7bc9",
            "deep": "#45108a",
            "accent": "#0b7a6b",
            "raises": "#0b7a6b",
            "lowers": "#b3385f",
            "run1": "#0b7a6b",
            "run2": "#b8336a",
            "run3": "#7a7400",
            "run4": "#5b6472",
            "run5": "#9c3d2a",
            "run6": "#2f8f3e",
            "blackblack": "#000000",
            "blackwhite": "#000000",
            "whiteblack": "#ffffff",
            "whitewhite": "#ffffff",
        },
        "dark": {
            "ground": "#0e1117",
            "surface": "#181c25",
            "text": "#fafafa",
            "muted": "#a3a8b4",
            "grid": "#262b36",
            "zero": "#6b7280",
            "linear": "#f79433",
            "pairwise": "#2f7be0",
            "deep": "#d8b4ff",
            "accent": "#3cc9b0",
            "raises": "#3cc9b0",
            "lowers": "#f0749a",
            "run1": "#3cc9b0",
            "run2": "#ff7fab",
            "run3": "#d6cf4a",
            "run4": "#aab4c4",
            "run5": "#e58a76",
            "run6": "#79d67f",
            "blackblack": "#000000",
            "blackwhite": "#ffffff",
            "whiteblack": "#000000",
            "whitewhite": "#ffffff",
        },
    }
)
"""Chosen by measure: the terms keep 4.4:1 on their ground and differ for protan and deutan eyes.

The last four are for words on a filled ground: black or white in light, black or white in dark.
"""

RUN_COLOURS: Final = tuple(f"run{number}" for number in range(1, 7))
RUN_MARKERS: Final = ("circle", "square", "diamond", "triangle-up", "x", "star")

"""Runs differ by hue and marker, never by dash; six at most in one chart."""

TERM_PATTERNS: Final[Mapping[str, str]] = MappingProxyType(
    {"linear": "", "pairwise": "/", "deep": "."}
)
TERM_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {"linear": "L", "pairwise": "P", "deep": "D"}
)
TERM_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "linear": "Linear: each value on its own.",
        "pairwise": "Pairwise: two values that meet.",
        "deep": "Deep: the network, which sees all fields at once.",
        "logit": "Score (logit): what the three add up to; a curve turns it into a probability.",
    }
)

_NAMED: Final = re.compile(r"var\(--dfm-([a-z0-9]+)(?:,\s*([0-9.]+))?\)")


def colour(name: str, alpha: float = 1.0) -> str:
    """The colour of a meaning, by name: `linear` is "var(--dfm-linear)"; KeyError if unknown."""
    COLOURS["light"][name]
    return f"var(--dfm-{name})" if alpha == 1.0 else f"var(--dfm-{name},{alpha:g})"


def term_marker(term: str, alpha: float = 1.0) -> dict[str, Any]:
    """A plotly bar marker in a term's colour and pattern."""
    return {
        "color": colour(term, alpha),
        "line": {"width": 0},
        "pattern": {
            "shape": TERM_PATTERNS[term],
            "fillmode": "overlay",
            "fgcolor": colour("ground"),
            "fgopacity": 0.55,
            "size": 7 if term == "pairwise" else 6,
            "solidity": 0.22,
        },
    }


LINES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "train": {"width": 1.5, "dash": "solid", "alpha": 0.6},
        "validation": {"width": 3, "dash": "dash", "alpha": 1.0},
        "test": {"width": 2, "dash": "dot", "alpha": 1.0},
        "best possible": {"width": 1, "dash": "longdash", "alpha": 1.0},
    }
)


def line(part: str, name: str = "text") -> dict[str, Any]:
    """A plotly line for a curve of `part` (train, validation, test, best possible)."""
    style = LINES[part]
    return {
        "color": colour(name, style["alpha"]),
        "width": style["width"],
        "dash": style["dash"],
    }


def pairs_colorscale() -> list[list[Any]]:
    """Lowers to nothing to raises, for a colour axis centred on zero."""
    return [
        [0.0, colour("lowers")],
        [0.5, colour("surface")],
        [1.0, colour("raises")],
    ]


Scale = Sequence[Sequence[Any]]
"""A plotly colour scale: places from 0 to 1, each with its colour."""


def inked(text: str, scale: Scale, place: float) -> str:
    """A cell's text in black or white, whichever reads better there, in either theme.

    scale  of named colours; place is 0 at its one end and 1 at its other
    Black or white is at least 4.58:1 on any colour; one ink for a whole scale is not.
    """
    names = [_better_ink(_blended(scale, place, mode)) for mode in COLOURS]
    return f'<span style="color:{colour("".join(names))}">{text}</span>' if text else ""


def _better_ink(ground: Sequence[float]) -> str:
    bright = luminance(ground) + 0.05
    return "black" if bright / 0.05 >= 1.05 / bright else "white"


def luminance(rgb: Sequence[float]) -> float:
    """Relative luminance of a colour (WCAG 2): red, green, blue from 0 to 255; 0 black, 1 white."""
    parts = [part / 255 for part in rgb]
    straight = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * straight[0] + 0.7152 * straight[1] + 0.0722 * straight[2]


def _blended(scale: Scale, place: float, mode: Mode) -> list[float]:
    """The colour at a place of a scale over the theme's ground, red, green, blue."""
    place = min(1.0, max(0.0, place))
    after = next(n for n, (at, _) in enumerate(scale) if at >= place)
    (low, first), (high, last) = scale[max(0, after - 1)], scale[after]
    share = (place - low) / (high - low) if high > low else 0.0
    mixed = [
        a + share * (b - a)
        for a, b in zip(_channels(first, mode), _channels(last, mode), strict=True)
    ]
    ground = _channels(colour("ground"), mode)
    return [mixed[3] * a + (1 - mixed[3]) * b for a, b in zip(mixed[:3], ground[:3], strict=True)]


def _channels(named: str, mode: Mode) -> list[float]:
    """A named colour as red, green, blue from 0 to 255 and alpha from 0 to 1."""
    found = _NAMED.fullmatch(named)
    assert found is not None, named
    hexadecimal = COLOURS[mode][found[1]]
    alpha = 1.0 if found[2] is None else float(found[2])
    return [*(float(int(hexadecimal[place : place + 2], 16)) for place in (1, 3, 5)), alpha]


def label(text: object) -> str:
    """A person's text as plotly shows it: plotly reads tags such as <b>, so & < > are escaped.

    Text that looks like one of our named colours is broken up, so that it stays text.
    """
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("--dfm-", "-&#45;dfm-")


def shortened(text: str, length: int = 28) -> str:
    """At most `length` characters, the middle left out: both ends of a long name tell it apart."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def shortened_apart(names: Sequence[str], length: int = 28) -> dict[str, str]:
    """Each name at most `length` characters long, in such a way that different names stay so.

    Where the ends of several are the same, what tells them apart is kept instead of the end; if
    that is not enough they are numbered.
    """
    found = {name: shortened(name, length) for name in names}
    for text in [text for text, times in Counter(found.values()).items() if times > 1]:
        alike = [name for name in found if found[name] == text]
        columns = zip(*alike, strict=False)
        same = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, columns)))
        head = length // 3
        for name in alike:
            middle = name[max(head, same - 1) :]
            told = f"{name[:head]}…{middle}"
            found[name] = told if len(told) <= length else f"{told[: length - 1]}…"
        if len({found[name] for name in alike}) < len(alike):
            for number, name in enumerate(alike, start=1):
                found[name] = f"{text[: length - 4]} {number}"
    return found


def signed_arrow(value: float) -> str:
    """▲ for what raises the score, ▼ for what lowers it, nothing for zero as shown."""
    return "" if abs(value) < 0.005 else "▲" if value > 0 else "▼"


def resolved(figure: go.Figure, mode: Mode) -> go.Figure:
    """A copy whose named colours are plain ones, for a renderer other than the page."""
    return go.Figure(_resolve(copy.deepcopy(figure.to_plotly_json()), mode))


def _resolve(value: Any, mode: Mode) -> Any:
    if isinstance(value, str):
        return _NAMED.sub(lambda found: _plain_colour(found[1], found[2], mode), value)
    if isinstance(value, dict):
        return {key: _resolve(item, mode) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(item, mode) for item in value]
    return value


def _plain_colour(name: str, alpha: str | None, mode: Mode) -> str:
    hexadecimal = COLOURS[mode][name]
    if alpha is None:
        return hexadecimal
    red, green, blue = (int(hexadecimal[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _template() -> go.layout.Template:
    axis = {
        "gridcolor": colour("grid"),
        "linecolor": colour("grid"),
        "zerolinecolor": colour("zero"),
        "zerolinewidth": 1,
        "tickcolor": colour("grid"),
        "tickfont": {"color": colour("muted"), "size": 12},
        "title": {"font": {"color": colour("muted"), "size": 12}, "standoff": 8},
        "automargin": True,
        # Else each label is measured twice, which is a third of drawing a chart.
        "ticklabeloverflow": "allow",
    }
    return go.layout.Template(
        layout={
            "font": {"color": colour("text"), "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [colour(name) for name in RUN_COLOURS],
            "margin": {"l": 8, "r": 8, "t": 12, "b": 8, "pad": 4},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "yanchor": "bottom",
                "y": 1.02,
                "x": 0,
                "font": {"size": 12},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hoverlabel": {
                "bgcolor": colour("surface"),
                "bordercolor": colour("grid"),
                "font": {"color": colour("text"), "size": 13},
                "align": "left",
            },
            "hovermode": "closest",
            "bargap": 0.35,
            "barcornerradius": 3,
            "separators": ".,",
        }
    )


plotly.io.templates["deepfm"] = _template()
TEMPLATE: Final[dict[str, Any]] = plotly.io.templates["deepfm"].to_plotly_json()
"""Our template as every figure carries it."""


def new_figure(title: str, *, x: str = "", y: str = "", **layout: Any) -> go.Figure:
    """An empty figure in our template: a title that says what it shows, units on the axes."""
    return go.Figure(
        layout={
            "template": "deepfm",
            "title": {"text": label(title)},
            "xaxis": {"title": {"text": label(x)}},
            "yaxis": {"title": {"text": label(y)}},
            **layout,
        }
    )


def run_places(models: Sequence[str]) -> list[int]:
    """Which hue and mark each of several runs has, by its place in RUN_COLOURS and RUN_MARKERS.

    Runs of different models have those of their model, the same in every chart; others go in order.

    models   of each run LR, FM, DNN, Wide & Deep or DeepFM
    """
    known = tuple(TERM_SETS)
    if len(set(models)) == len(models) and set(models) <= set(known):
        return [known.index(model) for model in models]
    return list(range(len(models)))
