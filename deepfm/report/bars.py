"""One impression's parts to drawings: the waterfall, its fields, its pairs."""

import math
from typing import Final

from deepfm.charts.contributions import FieldRow, field_rows, waterfall_steps
from deepfm.charts.palette import TERM_LETTERS, shortened, shortened_apart
from deepfm.explanation import Explanation
from deepfm.formats import format_logit, format_probability
from deepfm.report.document import chart, table
from deepfm.report.drawing import WIDTH, Drawing, Scale
from deepfm.terms import TERM_NAMES

MOST_FIELDS: Final = 40
MOST_PAIRS: Final = 12
PROBABILITIES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)


def waterfall_chart(explanation: Explanation) -> str:
    """From the population's mean logit through the terms to this score, on both scales."""
    steps = waterfall_steps(explanation)
    marks = [explanation.base, *(step.end for step in steps)]
    room = max(1.0, 0.3 * (max(marks) - min(marks)))
    bottom = 62 + 40 * (len(steps) + 2)
    drawing = Drawing(bottom + 48)
    x = Scale(min(marks) - room, max(marks) + room, 150, 690)
    drawing.across(x, 50, bottom, "score (logit)", [_signed(tick) for tick in x.ticks()])
    drawing.words(420, 10, "probability of a click", "middle", "m")
    for probability in PROBABILITIES:
        logit = math.log(probability / (1 - probability))
        if x.low <= logit <= x.high:
            drawing.words(x.at(logit), 34, f"{100 * probability:g} %", "middle", "m")
            drawing.line(x.at(logit), 42, x.at(logit), 50, "zero")
    start = "The other's score" if explanation.reference_kind == "other" else "Typical score"
    _end(drawing, x, 72, start, explanation.base, explanation.typical)
    for place, step in enumerate(steps):
        y = 72 + 40 * (place + 1)
        drawing.words(140, y, f"{TERM_LETTERS[step.term]}  {step.name}", "end")
        drawing.line(x.at(step.start), y - 40, x.at(step.start), y, "zero dots")
        drawing.bar(x.at(step.start), x.at(step.end), y - 12, 24, f"f-{step.term}")
        change = step.end - step.start
        right = change >= 0
        drawing.words(
            x.at(step.end) + (6 if right else -6),
            y,
            f"{format_logit(change)} {'▲' if right else '▼'}",
            "start" if right else "end",
        )
    last = 72 + 40 * (len(steps) + 1)
    drawing.line(x.at(explanation.logit), last - 40, x.at(explanation.logit), last, "zero dots")
    _end(drawing, x, last, "This score", explanation.logit, explanation.probability)
    numbers = table(
        ("step", "change", "logit"),
        [
            (start, "", f"{explanation.base:.6f}"),
            *((step.name, f"{step.end - step.start:+.6f}", f"{step.end:.6f}") for step in steps),
        ],
        numbers=2,
    )
    said = ", ".join(f"{step.term} {format_logit(step.end - step.start)}" for step in steps)
    return chart(
        f"From {shortened(explanation.against, 90)} to this one",
        drawing.svg(
            f"From {format_probability(explanation.typical)} to "
            f"{format_probability(explanation.probability)}: {said}."
        ),
        f"start at the score of {explanation.against}; each term moves it on, and where the last "
        "one ends is this score. Below in logit units, which add up; above, the same places as "
        "probabilities.",
        numbers,
    )


def _end(drawing: Drawing, x: Scale, y: float, name: str, logit: float, probability: float) -> None:
    drawing.words(140, y, name, "end", "b")
    drawing.dot(x.at(logit), y, size=6)
    left = x.at(logit) < (x.start + x.end) / 2
    drawing.words(
        x.at(logit) + (12 if left else -12),
        y,
        f"{format_probability(probability)} · {format_logit(logit)}",
        "start" if left else "end",
        "b",
    )


def fields_chart(explanation: Explanation) -> str:
    """Stacked bars by field, the one that moves the score most first, beside its raw value."""
    rows = field_rows(explanation)
    shown = rows[:MOST_FIELDS]
    names = shortened_apart([row.field for row in rows], 20)
    ends = [_reach(row, explanation) for row in shown]
    reach = max([abs(end) for pair in ends for end in pair], default=0.0) or 1.0
    bottom = 34 + 28 * len(shown)
    drawing = Drawing(bottom + 48)
    x = Scale(-1.08 * reach, 1.08 * reach, 290, 690)
    for place, term in enumerate(explanation.terms):
        drawing.bar(290 + 110 * place, 306 + 110 * place, 4, 14, f"f-{term}")
        drawing.words(312 + 110 * place, 11, f"{TERM_LETTERS[term]} {term}")
    drawing.across(x, 26, bottom, "raises or lowers the score (logit)", _ticks(x))
    drawing.line(x.at(0), 26, x.at(0), bottom, "zero")
    for place, row in enumerate(shown):
        _field_bar(drawing, x, 44 + 28 * place, row, names[row.field], explanation)
    strongest = rows[0]
    more = len(rows) - len(shown)
    return chart(
        "Which fields moved this impression",
        drawing.svg(
            f"{strongest.field} = {strongest.value} moves this score most: "
            f"{format_logit(strongest.total)}."
        ),
        "bars to the right raise the score, to the left lower it; the dot is their sum. Linear and "
        "pairwise are exact; deep is sampled, and the thin line at its end is one standard error."
        + (f" {more} fields that move it less stand in the numbers alone." if more else ""),
        _fields_table(rows, explanation),
    )


def _reach(row: FieldRow, explanation: Explanation) -> tuple[float, float]:
    """How far the stacked bars of a field go to the left and to the right."""
    values = [value for value in _by_term(row, explanation).values() if value is not None]
    return sum(v for v in values if v < 0), sum(v for v in values if v > 0)


def _by_term(row: FieldRow, explanation: Explanation) -> dict[str, float | None]:
    values = dict(zip(TERM_NAMES, (row.linear, row.pairwise, row.deep), strict=True))
    return {term: value for term, value in values.items() if term in explanation.terms}


def _field_bar(
    drawing: Drawing, x: Scale, y: float, row: FieldRow, name: str, explanation: Explanation
) -> None:
    value = shortened(explanation.seen_as[row.field] or "(empty)", 16)
    drawing.words(280, y, f"{name} = {value}", "end")
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
    reach = max(abs(value) for _, value in shown) or 1.0
    bottom = 16 + 28 * len(shown)
    drawing = Drawing(bottom + 48)
    x = Scale(-1.25 * reach, 1.25 * reach, 330, WIDTH - 20)
    drawing.across(x, 8, bottom, "raises or lowers the score (logit)", _ticks(x))
    drawing.line(x.at(0), 8, x.at(0), bottom, "zero")
    words = [
        " × ".join(explanation.seen_as[name] or "(empty)" for name in pair) for pair, _ in shown
    ]
    for place, ((_, value), name) in enumerate(zip(shown, words, strict=True)):
        y = 24 + 28 * place
        drawing.words(320, y, shortened(name, 44), "end")
        drawing.bar(x.at(0), x.at(value), y - 9, 18, "f-pairwise")
        right = value >= 0
        drawing.words(
            x.at(value) + (6 if right else -6),
            y,
            format_logit(value),
            "start" if right else "end",
        )
    return chart(
        "Which pairs of values moved this impression most",
        drawing.svg(f"The strongest pair is {words[0]}: {format_logit(shown[0][1])}."),
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


def _ticks(x: Scale) -> list[str]:
    return [_signed(tick) for tick in x.ticks()]


def _signed(number: float) -> str:
    return f"{number:.3g}".replace("-", "−")
