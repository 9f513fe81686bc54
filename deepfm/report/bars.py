"""One impression's parts to drawings: the waterfall, its fields, its pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deepfm.charts.contributions import FieldRow, Step, field_rows, waterfall_steps
from deepfm.charts.palette import TERM_LETTERS, shortened, shortened_apart
from deepfm.explanation import Explanation
from deepfm.explanation.words import named_value
from deepfm.formats import format_logit, format_probability
from deepfm.report.document import chart, table
from deepfm.report.drawing import WIDE, Drawing, Scale, isolated, wide_and_narrow
from deepfm.terms import TERM_NAMES

MOST_FIELDS: Final = 40
MOST_PAIRS: Final = 12
LEAST_SPAN: Final = 0.5
"""Logit units that a waterfall spans at least, so that next to nothing looks like it."""
DOTTED: Final = "zero dots"
PROBABILITIES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)


def waterfall_chart(explanation: Explanation) -> str:
    """From the population's mean logit through the terms to this score, on both scales."""
    steps = waterfall_steps(explanation)
    said = ", ".join(f"{step.term} {format_logit(step.end - step.start)}" for step in steps)
    numbers = table(
        ("step", "change", "logit"),
        [
            (_start_name(explanation), "", f"{explanation.base:.6f}"),
            *((step.name, f"{step.end - step.start:+.6f}", f"{step.end:.6f}") for step in steps),
        ],
        numbers=2,
    )
    return chart(
        f"From {shortened(explanation.against, 90)} to this one",
        wide_and_narrow(
            lambda width: _waterfall(explanation, steps, width),
            f"From {format_probability(explanation.typical)} to "
            f"{format_probability(explanation.probability)}: {said}.",
        ),
        f"start at the score of {explanation.against}; each term moves it on, and where the last "
        "one ends is this score. Below in logit units, which add up; above, the same places as "
        "probabilities.",
        numbers,
    )


def _start_name(explanation: Explanation) -> str:
    return "The other's score" if explanation.reference_kind == "other" else "Typical score"


def _waterfall(explanation: Explanation, steps: Sequence[Step], width: float) -> Drawing:
    rows = _Rows.of(width, count=len(steps) + 2, beside=150, top=52, wide=40)
    drawing = Drawing(rows.bottom + 48, width)
    marks = [explanation.base, *(step.end for step in steps)]
    spare = max(0.0, LEAST_SPAN - (max(marks) - min(marks))) / 2
    x = Scale.with_room(min(marks) - spare, max(marks) + spare, rows.start, rows.end, 64)
    drawing.across(x, 50, rows.bottom, "score (logit)", _ticks(x))
    drawing.words((x.start + x.end) / 2, 10, "probability of a click", "middle", "m")
    _probabilities(drawing, x)
    ends = (
        (0, _start_name(explanation), explanation.base, explanation.typical),
        (len(steps) + 1, "This score", explanation.logit, explanation.probability),
    )
    for place, step in enumerate(steps, start=1):
        y = rows.at(place)
        rows.name(drawing, place, f"{TERM_LETTERS[step.term]}  {step.name}")
        drawing.line(x.at(step.start), rows.at(place - 1), x.at(step.start), y, DOTTED)
        drawing.bar(x.at(step.start), x.at(step.end), y - 12, 24, f"f-{step.term}")
        _amount(drawing, x.at(step.end), y, step.end - step.start, arrow=True)
    last = rows.at(len(steps) + 1)
    drawing.line(x.at(explanation.logit), last - rows.step, x.at(explanation.logit), last, DOTTED)
    for place, name, logit, probability in ends:
        rows.name(drawing, place, name, "b")
        _end(drawing, x, rows.at(place), logit, probability)
    return drawing


def _probabilities(drawing: Drawing, x: Scale) -> None:
    """The scale above the bars; a tick that would touch the one before is left out."""
    reached = 0.0
    for probability in PROBABILITIES:
        logit = math.log(probability / (1 - probability))
        if x.low <= logit <= x.high and x.at(logit) > reached:
            drawing.words(x.at(logit), 34, f"{100 * probability:g} %", "middle", "m")
            drawing.line(x.at(logit), 42, x.at(logit), 50, "zero")
            reached = x.at(logit) + 44


def _end(drawing: Drawing, x: Scale, y: float, logit: float, probability: float) -> None:
    drawing.dot(x.at(logit), y, size=6)
    left = x.at(logit) < (x.start + x.end) / 2
    drawing.words(
        x.at(logit) + (12 if left else -12),
        y,
        f"{format_probability(probability)} · {format_logit(logit)}",
        "start" if left else "end",
        "b",
    )


def _amount(drawing: Drawing, x: float, y: float, value: float, arrow: bool = False) -> None:
    """What a bar adds, beyond its end."""
    right = value >= 0
    sign = f" {'▲' if right else '▼'}" if arrow else ""
    drawing.words(
        x + (6 if right else -6), y, f"{format_logit(value)}{sign}", "start" if right else "end"
    )


@dataclass(frozen=True)
class _Rows:
    """Where bars and their names stand: beside each other, or on a phone below each other.

    start, end  what the bars may fill, in pixels
    """

    top: float
    step: float
    start: float
    end: float
    count: int
    narrow: bool

    @classmethod
    def of(cls, width: float, count: int, beside: float, top: float, wide: float) -> "_Rows":
        """beside  room for the names of a wide drawing; top, wide  its first row, its rows."""
        if width < WIDE:
            return cls(top, 46, 10, width - 10, count, narrow=True)
        return cls(top, wide, beside, width - 20, count, narrow=False)

    @property
    def bottom(self) -> float:
        return self.top + self.step * self.count

    def at(self, place: int) -> float:
        """The middle of a row's bar."""
        return self.top + self.step * place + (31 if self.narrow else self.step / 2)

    def name(self, drawing: Drawing, place: int, words: str, kind: str = "") -> None:
        """What a row is of."""
        if self.narrow:
            drawing.words(2, self.at(place) - 22, words, "start", kind)
        else:
            drawing.words(self.start - 10, self.at(place), words, "end", kind)


def fields_chart(explanation: Explanation) -> str:
    """Stacked bars by field, the one that moves the score most first, beside its raw value."""
    rows = field_rows(explanation)
    shown = rows[:MOST_FIELDS]
    names = shortened_apart([row.field for row in rows], 20)
    strongest = rows[0]
    more = len(rows) - len(shown)
    return chart(
        "Which fields moved this impression",
        wide_and_narrow(
            lambda width: _fields(explanation, shown, names, width),
            f"{strongest.field} = {strongest.value} moves this score most: "
            f"{format_logit(strongest.total)}.",
        ),
        "bars to the right raise the score, to the left lower it"
        + ("; the dot is their sum." if len(explanation.terms) > 1 else ".")
        + _exactness(explanation)
        + (f" {more} fields that move it less stand in the numbers alone." if more else ""),
        _fields_table(rows, explanation),
    )


def _exactness(explanation: Explanation) -> str:
    """Which of the model's terms are exact, and how the network's part is known."""
    exact = [term for term in explanation.terms if term != "deep"]
    words = []
    if exact:
        words.append(f"{' and '.join(exact)} {'are' if len(exact) > 1 else 'is'} exact")
    if "deep" in explanation.terms and explanation.permutations:
        words.append("deep is sampled, and the thin line at its end is one standard error")
    return f" {'; '.join(words).capitalize()}." if words else ""


def _fields(
    explanation: Explanation, shown: list[FieldRow], names: dict[str, str], width: float
) -> Drawing:
    rows = _Rows.of(width, count=len(shown), beside=290, top=30, wide=28)
    drawing = Drawing(rows.bottom + 48, width)
    reach = max((abs(end) for row in shown for end in _reach(row, explanation)), default=0.0) or 1.0
    x = Scale(-1.08 * reach, 1.08 * reach, rows.start, rows.end)
    for place, term in enumerate(explanation.terms):
        left = rows.start + 110 * place
        drawing.bar(left, left + 16, 4, 14, f"f-{term}")
        drawing.words(left + 22, 11, f"{TERM_LETTERS[term]} {term}")
    drawing.across(x, 26, rows.bottom, "raises or lowers the score (logit)", _ticks(x))
    drawing.line(x.at(0), 26, x.at(0), rows.bottom, "zero")
    for place, row in enumerate(shown):
        value = shortened(explanation.seen_as[row.field] or "(empty)", 24 if rows.narrow else 16)
        rows.name(drawing, place, f"{isolated(names[row.field])} = {isolated(value)}")
        _field_bar(drawing, x, rows.at(place), row, explanation)
    return drawing


def _reach(row: FieldRow, explanation: Explanation) -> tuple[float, float]:
    """How far the stacked bars of a field go to the left and to the right."""
    values = [value for value in _by_term(row, explanation).values() if value is not None]
    return sum(v for v in values if v < 0), sum(v for v in values if v > 0)


def _by_term(row: FieldRow, explanation: Explanation) -> dict[str, float | None]:
    values = dict(zip(TERM_NAMES, (row.linear, row.pairwise, row.deep), strict=True))
    return {term: value for term, value in values.items() if term in explanation.terms}


def _field_bar(
    drawing: Drawing, x: Scale, y: float, row: FieldRow, explanation: Explanation
) -> None:
    left = right = 0.0
    for term, value_of_term in _by_term(row, explanation).items():
        if value_of_term is None:
            continue
        start = right if value_of_term > 0 else left
        end = start + value_of_term
        drawing.bar(x.at(start), x.at(end), y - 9, 18, f"f-{term}")
        if term == "deep" and row.error:
            drawing.line(x.at(end - row.error), y, x.at(end + row.error), y, "whole")
        right, left = (end, left) if value_of_term > 0 else (right, end)
    drawing.dot(x.at(row.total), y, "f-ground", 4)


def _fields_table(rows: list[FieldRow], explanation: Explanation) -> str:
    errors = any(row.error is not None for row in rows)
    headings = ["field", "value", "seen as", *explanation.terms, "sum"]
    lines = [
        (
            row.field,
            row.value,
            explanation.seen_as[row.field],
            *(
                "–" if value is None else f"{value:+.4f}"
                for value in _by_term(row, explanation).values()
            ),
            f"{row.total:+.4f}",
            *([f"± {row.error:.4f}" if row.error is not None else ""] if errors else []),
        )
        for row in rows
    ]
    numbers = len(explanation.terms) + 1 + errors
    return table([*headings, *(["error of deep"] if errors else [])], lines, numbers)


def pairs_chart(explanation: Explanation) -> str:
    """The pairs that move the score most; "" in a model without a pairwise term."""
    ranked = sorted(explanation.pairs.items(), key=lambda item: -abs(item[1]))
    if not ranked:
        return ""
    shown = ranked[:MOST_PAIRS]
    words = [
        " × ".join(isolated(shortened(named_value(explanation, name), 21)) for name in pair)
        for pair, _ in shown
    ]
    return chart(
        "Which pairs of values moved this impression most",
        wide_and_narrow(
            lambda width: _pairs(words, [value for _, value in shown], width),
            f"The strongest pair is {words[0]}: {format_logit(shown[0][1])}.",
        ),
        f"each bar is what two values do by meeting, minus what the two fields do on average; the "
        f"{len(shown)} strongest of {len(ranked)} pairs.",
        table(
            ("field", "value", "field", "value", "logit"),
            [
                (a, explanation.seen_as[a], b, explanation.seen_as[b], f"{value:+.4f}")
                for (a, b), value in ranked[: 5 * MOST_PAIRS]
            ],
            numbers=1,
        ),
    )


def _pairs(names: Sequence[str], values: Sequence[float], width: float) -> Drawing:
    rows = _Rows.of(width, count=len(values), beside=330, top=10, wide=28)
    drawing = Drawing(rows.bottom + 48, width)
    x = Scale.with_room(min(0.0, *values), max(0.0, *values), rows.start, rows.end, 52)
    drawing.across(x, 8, rows.bottom, "raises or lowers the score (logit)", _ticks(x))
    drawing.line(x.at(0), 8, x.at(0), rows.bottom, "zero")
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        rows.name(drawing, place, name)
        drawing.bar(x.at(0), x.at(value), rows.at(place) - 9, 18, "f-pairwise")
        _amount(drawing, x.at(value), rows.at(place), value)
    return drawing


def _ticks(x: Scale) -> list[str]:
    return [_signed(tick) for tick in x.ticks()]


def _signed(number: float) -> str:
    return f"{number:.3g}".replace("-", "−")
