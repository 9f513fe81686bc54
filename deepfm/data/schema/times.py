"""A column's texts to whether they are times, and in which writing."""

from typing import Final

from deepfm.data.schema.facts import Facts
from deepfm.data.schema.words import is_time_name

_ZONE: Final = r"(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
_CLOCK: Final = r"(?:[T :]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp][Mm])?\s*" + _ZONE + ")"
_MONTHS: Final = r"(?i:jan|feb|m[aä]r|apr|ma[yi]|jun|jul|aug|sep|o[ck]t|nov|de[cz])\p{L}*\.?"

_ALWAYS: Final = (
    (r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}" + _CLOCK + "?", "dates"),
    (r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}" + _CLOCK + "?", "dates"),
    (r"(?:\p{L}{3,9},? )?\d{1,2}[-/. ]+" + _MONTHS + r"[-/. ,]+\d{2,4}" + _CLOCK + "?", "dates"),
    (r"(?:\p{L}{3,9}, )?" + _MONTHS + r" \d{1,2},? \d{4}" + _CLOCK + "?", "dates"),
)
"""Writings that are a time whatever the column is called."""

_MONTH_DAY: Final = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_NAMED: Final = (
    (r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}" + _CLOCK + "?", "dates"),
    (r"(?:19|20)\d{2}" + _MONTH_DAY + r"(?:(?:[01]\d|2[0-3])(?:[0-5]\d){0,2})?", "dates in digits"),
    (r"\d{2}" + _MONTH_DAY + r"(?:[01]\d|2[0-3])", "hours written YYMMDDHH"),
    (r"(?:9[5-9]\d|1\d\d\d|20\d\d)\d{6}(?:\.\d+)?", "seconds since 1970"),
    (r"(?:9[5-9]\d|1\d\d\d|20\d\d)\d{9}", "milliseconds since 1970"),
    (r"(?:9[5-9]\d|1\d\d\d|20\d\d)\d{12}", "microseconds since 1970"),
)
"""Writings that could be other numbers too, so that the column's name has to speak of time."""


def time_writing(facts: Facts) -> str:
    """How the column writes moments in time, in words; "" if it holds none."""
    if _cannot_be(facts):
        return ""
    patterns = _ALWAYS + (_NAMED if is_time_name(facts.name) else ())
    for pattern, writing in patterns:
        if facts.share_matching(r"\s*" + pattern + r"\s*") >= 0.98:
            return writing
    return ""


def _cannot_be(facts: Facts) -> bool:
    """Whether a common text is too short for a time, or without digits: told without patterns."""
    commonest = zip(facts.values.slice(0, 10).to_pylist(), facts.counts[:10], strict=True)
    return any(
        count > 0.02 * facts.filled and (len(text) < 6 or not any(map(str.isdigit, text)))
        for text, count in commonest
    )
