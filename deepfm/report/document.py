"""Sections to one HTML file that needs nothing else: no script, no network, light, dark and paper.

Every text that comes from data goes through `escaped`: <b> and =1+1 are shown as they are.
"""

import datetime
import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

import deepfm
from deepfm.charts.palette import COLOURS

Cell = str | int | float | None

LONG: Final = 16
"""Signs of a word that may be broken where a table has little room."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_RULES: Final = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--ground);
  color: var(--text); font: 16px/1.55 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
h1, h2, h3, p, .tile { overflow-wrap: anywhere; }
.lead { font-size: 1.15rem; }
.quiet, figcaption, footer { color: var(--muted); font-size: .88rem; }
.linear { color: var(--linear); } .pairwise { color: var(--pairwise); }
.deep { color: var(--deep); }
table { border-collapse: collapse; margin: .5rem 0; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1.25rem .25rem 0;
  border-bottom: 1px solid var(--grid); }
.long { overflow-wrap: anywhere; min-width: 9rem; } .scroll { overflow-x: auto; }
th { font-weight: 600; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.n { white-space: normal; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr));
  gap: .75rem; margin: .75rem 0 1.5rem; }
.tile { border: 1px solid var(--grid); border-radius: .5rem; padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile small { color: var(--muted); font-size: .82rem; line-height: 1.35; display: block; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr));
  column-gap: 2rem; align-items: start; }
.note { border-left: 3px solid var(--muted); padding-left: .75rem; }
figure { margin: 1rem 0 1.5rem; }
svg { display: block; width: 100%; height: auto; max-width: 45rem; }
svg.square, svg.narrow { max-width: 27rem; } svg.narrow { display: none; }
@media screen and (max-width: 36rem) { svg.wide { display: none; } svg.narrow { display: block; }
  body { padding-top: 1.25rem; } h1 { font-size: 1.45rem; }
  th, td { padding-right: .75rem; } .tiles { grid-template-columns: 1fr 1fr; } }
svg text { font-size: 13px; fill: var(--text); } svg .m { fill: var(--muted); font-size: 12px; }
svg .b { font-weight: 600; } svg .grid { stroke: var(--grid); } svg .zero { stroke: var(--zero); }
svg .whole { stroke: var(--text); } svg .thin { stroke: var(--muted); }
svg .fm { stroke: var(--pairwise); } svg .net { stroke: var(--deep); }
svg .one { stroke: var(--linear); }
svg .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
svg .dash { stroke-dasharray: 7 5; } svg .dots { stroke-dasharray: 2 4; }
svg .f-linear { fill: var(--linear); } svg .f-pairwise { fill: url(#hatched); }
svg .f-deep { fill: url(#dotted); } svg .f-text { fill: var(--text); }
svg .f-ground { fill: var(--ground); stroke: var(--text); stroke-width: 1.5; }
details { font-size: .9rem; margin-top: .35rem; } summary { cursor: pointer; color: var(--muted); }
footer { margin-top: 3rem; border-top: 1px solid var(--grid); padding-top: .75rem; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; }
  figure, tr, h2, h3, .tiles { break-inside: avoid; } h2, h3 { break-after: avoid; }
  h2 { margin-top: 1.5rem; } .pair { grid-template-columns: 1fr 1fr; }
  .tiles { grid-template-columns: repeat(3, 1fr); } .tile b { font-size: 1.3rem; }
  td, th { padding-top: .15rem; padding-bottom: .15rem; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; max-width: 36rem; }
  svg.square { max-width: 16rem; } figure { margin: .5rem 0 1rem; } h1 { font-size: 1.4rem; }
  .lead { font-size: 1rem; } .quiet, figcaption, footer, .tile small { font-size: .76rem; }
  details:not([open]) { display: none; } }
"""
_PATTERNS: Final = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatched" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="7" height="7" style="fill:var(--pairwise)"/>'
    '<rect width="2" height="7" style="fill:var(--ground);fill-opacity:.55"/></pattern>'
    '<pattern id="dotted" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect width="6" height="6" style="fill:var(--deep)"/>'
    '<circle cx="3" cy="3" r="1.4" style="fill:var(--ground);fill-opacity:.55"/></pattern>'
    "</defs></svg>"
)


def escaped(words: object) -> str:
    """Any text as HTML that shows it: no tag, no entity, no control character gets through."""
    return html.escape(_CONTROL.sub("\ufffd", str(words)))


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], numbers: int) -> str:
    """A table; the last `numbers` columns are numbers, set to the right. Cells are plain text."""
    first = len(headings) - numbers

    def line(tag: str, cells: Sequence[Cell]) -> str:
        return "".join(
            f"<{tag}{' class=n' if place >= first else _class_of(cell)}>"
            f"<bdi>{escaped('' if cell is None else cell)}</bdi></{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{line('th', headings)}</tr></thead>" if any(headings) else ""
    return f"<div class=scroll><table>{head}<tbody>{body}</tbody></table></div>"


def _class_of(cell: Cell) -> str:
    """A cell with a word so long that it must be broken says so."""
    return " class=long" if any(len(word) > LONG for word in str(cell).split()) else ""


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Figures to be seen at a glance: what it is, its value, what it is to be compared with."""
    each = "".join(
        f"<div class=tile>{escaped(name)}<b>{escaped(value)}</b><small>{escaped(beside)}</small>"
        "</div>"
        for name, value, beside in figures
    )
    return f"<div class=tiles>{each}</div>"


def side_by_side(*charts: str) -> str:
    """Charts beside each other where there is room, else below each other."""
    return f"<div class=pair>{''.join(charts)}</div>"


def chart(title: str, svg: str, how_to_read: str, numbers: str = "") -> str:
    """A drawing with its title, how to read it and, folded away, its numbers (a table)."""
    folded = f"<details><summary>Numbers</summary>{numbers}</details>" if numbers else ""
    return (
        f"<figure><h3>{escaped(title)}</h3>{svg}"
        f"<figcaption>How to read this: {escaped(how_to_read)}</figcaption>{folded}</figure>"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and the HTML below it."""
    return f"<section><h2>{escaped(heading)}</h2>{''.join(parts)}</section>"


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{escaped(words)}</p>"


def document(title: str, *parts: str) -> str:
    """The whole file, from a title in plain text and HTML for its body."""
    made = f"Made by DeepFM Lab {deepfm.__version__} on {datetime.date.today().isoformat()}."
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escaped(title)}</title><style>{_style()}</style></head>"
        f"<body>{_PATTERNS}<main><h1>{escaped(title)}</h1>{''.join(parts)}</main>"
        f"<footer>{made} A contribution says what the model did, not what caused the click."
        "</footer></body></html>\n"
    )


def _style() -> str:
    light, dark = _colours("light"), _colours("dark")
    return (
        f":root {{ color-scheme: light dark; {light} }}"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
        f"@media print {{ :root {{ color-scheme: light; {light} }} }}{_RULES}"
    )


def _colours(mode: str) -> str:
    names = COLOURS["dark" if mode == "dark" else "light"]
    return " ".join(f"--{name}: {colour};" for name, colour in names.items() if name[:3] != "run")
