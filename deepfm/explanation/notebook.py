"""An explanation to HTML that a notebook shows: the sentence, a bar for each term, the fields.

A notebook's ground may be light or dark and does not say which: text takes the notebook's own
colour, and a term's colour lies between those of the two palettes and is outlined.
"""

from collections.abc import Mapping
from html import escape
from typing import Final

from deepfm.explanation.reasons import Explanation
from deepfm.explanation.words import describe
from deepfm.formats import format_count, format_logit, format_probability

MOST_FIELDS: Final = 12
_COLOURS: Final = {"linear": "#d9701a", "pairwise": "#2d7bd1", "deep": "#8e5fd6"}
_LETTERS: Final = {"linear": "L", "pairwise": "P", "deep": "D"}
_TABLE: Final = "border-collapse:collapse;margin-top:8px;font:inherit;color:inherit"
_BREAKS: Final = "overflow-wrap:anywhere;min-width:80px"
_WIDTH: Final = 560
_LEFT: Final = 120
_ROOM: Final = 80
_ROW: Final = 28


def explanation_html(found: Explanation) -> str:
    """The sentence, the way from the typical score to this one, and what moved it, by field."""
    return (
        "<div style='font:13px/1.5 system-ui,sans-serif;max-width:760px'>"
        f"<p style='font-size:15px;margin:0 0 8px;overflow-wrap:anywhere'>{_sentence(found)}</p>"
        f"{_waterfall(found)}{_fields(found)}<p style='opacity:.75;margin:6px 0 0'>In logit units, "
        f"each minus its mean over {_shown(found.reference)}: they add up to the score.</p></div>"
    )


def _shown(words: str) -> str:
    """Text of data as text: no tag, and its own direction of writing."""
    return f"<bdi>{escape(words)}</bdi>"


def _sentence(found: Explanation) -> str:
    return "".join(
        f"<b>{_shown(span.text)}</b>" if span.emphasis else escape(span.text)
        for span in describe(found)
    )


def _waterfall(found: Explanation) -> str:
    """Each term's bar from where the last one ended, between the two scores."""
    levels = [found.base]
    for term in found.terms:
        levels.append(levels[-1] + getattr(found, term))
    low, high = min(levels), max(levels)
    scale = (_WIDTH - _LEFT - 2 * _ROOM) / ((high - low) or 1.0)

    def at(level: float) -> float:
        return _LEFT + _ROOM + scale * (level - low)

    start = "The other's score" if found.reference_kind == "other" else "Typical score"
    shapes = _score(0, start, at(found.base), found.typical, found.base)
    for row, term in enumerate(found.terms, start=1):
        shapes += _bar(row, term, at(levels[row - 1]), at(levels[row]), getattr(found, term))
    last = len(levels)
    shapes += _score(last, "This score", at(found.logit), found.probability, found.logit)
    said = ", ".join(f"{term} {format_logit(getattr(found, term))}" for term in found.terms)
    finding = (
        f"From {format_probability(found.typical)} to {format_probability(found.probability)}: "
        f"{said}."
    )
    height = _ROW * (last + 1)
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' style='width:100%;max-width:{_WIDTH}px' role='img' "
        f"aria-label='{escape(finding)}' font-size='13' fill='currentColor'>{shapes}</svg>"
    )


def _score(row: int, name: str, x: float, probability: float, logit: float) -> str:
    y = _ROW * row + _ROW / 2
    words = f"{format_probability(probability)} · {format_logit(logit)}"
    left = x < (_LEFT + _WIDTH) / 2
    return (
        f"{_name(y, name)}<circle cx='{x:.1f}' cy='{y:.1f}' r='5'/>"
        f"<text x='{x + (10 if left else -10):.1f}' y='{y + 4.5:.1f}' font-weight='600' "
        f"text-anchor='{'start' if left else 'end'}'>{words}</text>"
    )


def _bar(row: int, term: str, start: float, end: float, value: float) -> str:
    y = _ROW * row + _ROW / 2
    raises = value >= 0
    return (
        f"{_name(y, f'{_LETTERS[term]} {term}')}"
        f"<rect x='{min(start, end):.1f}' y='{y - 9:.1f}' width='{abs(end - start):.1f}' "
        f"height='18' fill='{_COLOURS[term]}' stroke='currentColor' stroke-opacity='.6'/>"
        f"<text x='{end + (6 if raises else -6):.1f}' y='{y + 4.5:.1f}' "
        f"text-anchor='{'start' if raises else 'end'}'>{format_logit(value)} "
        f"{'▲' if raises else '▼'}</text>"
    )


def _name(y: float, name: str) -> str:
    return f"<text x='{_LEFT - 8}' y='{y + 4.5:.1f}' text-anchor='end'>{escape(name)}</text>"


def _by_term(found: Explanation) -> dict[str, Mapping[str, float]]:
    """By term that is known by field: field to value."""
    known = {
        "linear": found.linear_by_field,
        "pairwise": found.pairwise_by_field,
        "deep": found.deep_by_field or {},
    }
    return {term: known[term] for term in found.terms if known[term]}


def _fields(found: Explanation) -> str:
    """The fields that move the score most, by term; "" where none is known by field."""
    terms = _by_term(found)
    if not terms:
        return ""
    sizes = {field: sum(abs(values[field]) for values in terms.values()) for field in found.values}
    shown = sorted(sizes, key=lambda field: -sizes[field])[:MOST_FIELDS]
    head = "".join(
        _cell("th", escape(name), name not in ("field", "value"))
        for name in ("field", "value", *terms, "sum")
    )
    rows = "".join(_field_row(found, field, terms) for field in shown)
    left = len(sizes) - len(shown)
    more = f"<p style='margin:4px 0 0'>{format_count(left)} more fields move it less.</p>"
    return (
        f"<table style='{_TABLE}'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        + (more if left else "")
    )


def _field_row(found: Explanation, field: str, terms: Mapping[str, Mapping[str, float]]) -> str:
    parts = [values[field] for values in terms.values()]
    numbers = (format_logit(value, 3) for value in (*parts, sum(parts)))
    return (
        f"<tr>{_cell('td', _shown(field))}{_cell('td', _shown(found.seen_as[field] or '(empty)'))}"
        f"{''.join(_cell('td', number, number=True) for number in numbers)}</tr>"
    )


def _cell(tag: str, content: str, number: bool = False) -> str:
    set_so = "text-align:right;white-space:nowrap" if number else "text-align:left;" + _BREAKS
    return f"<{tag} style='{set_so};padding:2px 14px 2px 0'>{content}</{tag}>"
