"""The charts' script and style to an address of their own: a browser asks for them once.

What stands in a component's definition goes over the wire with every figure that changes, several
times a second while a run is watched; so there stands only a few lines that load the rest.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deepfm.charts.palette import COLOURS, TEMPLATE

_HERE: Final = Path(__file__).parent
_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
"""The address names the content, so a browser need never ask again."""

_LOAD: Final = """
function load() {
  window.deepfmPlotCode ??= (() => {
    const at = (name) => new URL(`code/${name}?__VERSION__`, document.baseURI).href;
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = at('plot.css');
    document.head.append(style);
    return import(at('plot.js'));
  })();
  return window.deepfmPlotCode;
}
"""
_DRAW: Final = """
export default function (figure) {
  let close, over = false;
  load().then(
    (code) => { if (!over) close = code.default(figure); },
    () => {
      window.deepfmPlotCode = undefined;
      const failure = figure.parentElement.querySelector('.dfm-failure');
      failure.textContent = 'This chart could not be drawn: its script did not come from this '
        + 'server. Load the page again.';
      failure.hidden = false;
    },
  );
  return () => { over = true; close?.(); };
}
"""
_WARM: Final = """
export default function () {
  if (window.deepfmWarm) return;
  window.deepfmWarm = true;
  const whenIdle = window.requestIdleCallback ?? setTimeout;
  // What goes wrong here goes wrong again at the first chart, which says it in words.
  const giveUp = () => { window.deepfmPlotCode = undefined; };
  whenIdle(() => load().then((code) => code.warm()).catch(giveUp));
}
"""


@cache
def script() -> str:
    """The module that draws a figure, with the colours of both themes."""
    colours = json.dumps({mode: dict(names) for mode, names in COLOURS.items()})
    text = (_HERE / "plot.js").read_text(encoding="utf-8")
    parts = {
        "__COLOURS__": colours,
        "__TEMPLATE__": json.dumps(TEMPLATE),
        "__VIEW__": (_HERE / "plot_view.js").read_text(encoding="utf-8"),
        "__PICTURE__": (_HERE / "plot_picture.js").read_text(encoding="utf-8"),
    }
    for name, part in parts.items():
        text = text.replace(name, part)
    return text


@cache
def style() -> str:
    """The look of what stands round a drawing."""
    return (_HERE / "plot.css").read_text(encoding="utf-8")


def loader() -> str:
    """The lines that stand in a chart's definition."""
    return _load() + _DRAW


def warmer() -> str:
    """The lines that load the script before the first chart is asked for."""
    return _load() + _WARM


def _load() -> str:
    content = (script() + style()).encode("utf-8")
    version = hashlib.blake2s(content, digest_size=6).hexdigest()
    return _LOAD.replace("__VERSION__", version)


def plot_routes() -> list[Route]:
    """Where a browser gets the script and the style."""
    return [
        Route("/code/plot.js", _answers(script, "text/javascript")),
        Route("/code/plot.css", _answers(style, "text/css")),
    ]


def _answers(content: Callable[[], str], kind: str) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        return Response(content(), media_type=kind, headers=_FOREVER)

    return answer
