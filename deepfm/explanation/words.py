"""An explanation to the sentence that a person reads, as spans that a page escapes itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from deepfm.data.vocabulary import MISSING, RARE
from deepfm.explanation.changes import Change
from deepfm.explanation.reasons import Explanation
from deepfm.formats import format_count, format_logit, format_probability

Emphasis = Literal["", "strong", "value", "linear", "pairwise", "deep"]
Term = Literal["linear", "pairwise", "deep"]

SLIGHT: Final = 0.05
"""A term nearer to typical than this is not spoken of: it hardly moves the score."""
OPPOSED: Final = 0.5
"""Beyond this, and with opposite signs, the two branches are said to pull apart."""
LONGEST: Final = 40
"""Characters of a value that stand in the sentence."""

MOST_OF_NETWORK: Final = 3
"""Fields of the network that are named."""

_SUBJECTS: Final[Mapping[Term, tuple[str, bool]]] = {
    "linear": ("single values", True),
    "pairwise": ("pairs", True),
    "deep": ("the network", False),
}


class Span(NamedTuple):
    """A piece of the sentence as plain text, and how it is set."""

    text: str
    emphasis: Emphasis = ""


@dataclass(frozen=True)
class Contributor:
    """What moved a term most in the term's own direction: one field, or a pair of fields."""

    term: Term
    fields: tuple[str, ...]
    value: float
    share: float
    """value over the term; beyond 1 where others pull back."""


def strongest(explanation: Explanation, term: Term) -> Contributor | None:
    """The strongest contributor of a term; None where there is none or fields are not known.

    A field of the network counts only beyond two standard errors.
    """
    total = getattr(explanation, term)
    candidates = _contributors(explanation, term)
    if not candidates or total == 0:
        return None
    fields, value = max(candidates.items(), key=lambda item: item[1] * total)
    if value * total <= 0:
        return None
    return Contributor(term, fields, value, value / total)


def _contributors(explanation: Explanation, term: Term) -> dict[tuple[str, ...], float]:
    if term == "pairwise":
        return {(a, b): value for (a, b), value in explanation.pairs.items()}
    if term == "linear":
        return {(name,): value for name, value in explanation.linear_by_field.items()}
    errors = explanation.deep_standard_error
    if explanation.deep_by_field is None or errors is None:
        return {}
    return {
        (name,): value
        for name, value in explanation.deep_by_field.items()
        if abs(value) > 2 * errors[name]
    }


def branches_disagree(explanation: Explanation) -> bool:
    """Whether the FM and the deep branch pull apart, each by more than 0.5."""
    fm, deep = explanation.linear + explanation.pairwise, explanation.deep
    return fm * deep < 0 and min(abs(fm), abs(deep)) > OPPOSED


def describe(explanation: Explanation, change: Change | None = None) -> list[Span]:
    """The explanation in words, and the best change if one is given.

    "Chance of a click: 31.0 %, against 18.0 % for a typical impression. Single values (+0.52) and
    pairs (+2.40, mostly kitchenware × recipes) raise it; the network lowers it (−2.20). With phone
    instead of laptop (seen 9,120 times, 24.1 % clicked): 96.0 %."
    """
    spans = [
        Span("Chance of a click: "),
        Span(format_probability(explanation.probability), "strong"),
        Span(f", against {format_probability(explanation.typical)} for {explanation.against}. "),
        *_movers(explanation),
    ]
    if change is not None:
        spans += [Span(" "), *describe_change(explanation, change)]
    if explanation.seen_in_training:
        spans.append(Span(" The model was trained on this very row."))
    return spans


def _movers(explanation: Explanation) -> list[Span]:
    """Which terms raise the score and which lower it, the stronger side first."""
    terms: list[Term] = [
        term
        for term in _SUBJECTS
        if term in explanation.terms and abs(getattr(explanation, term)) >= SLIGHT
    ]
    if not terms:
        return [Span("No part of the model moves it far from there.")]
    raising = [term for term in terms if getattr(explanation, term) > 0]
    lowering = [term for term in terms if getattr(explanation, term) < 0]
    sides = [
        (sum(abs(getattr(explanation, term)) for term in side), _side(explanation, side, verb))
        for side, verb in ((raising, "raise"), (lowering, "lower"))
        if side
    ]
    sides.sort(key=lambda side: -side[0])
    joined = sides[0][1] + [span for _, side in sides[1:] for span in (Span("; "), *side)]
    first = joined[0]
    return [Span(first.text[0].upper() + first.text[1:], first.emphasis), *joined[1:], Span(".")]


def _side(explanation: Explanation, terms: list[Term], verb: str) -> list[Span]:
    """ "single values (+0.52) and pairs (+2.40) raise it", or "the network lowers it (−2.20)"."""
    subject, plural = _SUBJECTS[terms[0]]
    if len(terms) == 1:
        verb = verb if plural else verb + "s"
        return [Span(f"{subject} {verb} it ("), *_amount(explanation, terms[0]), Span(")")]
    spans: list[Span] = []
    for i, term in enumerate(terms):
        joint = "" if i == 0 else " and " if i == len(terms) - 1 else ", "
        spans += [
            Span(f"{joint}{_SUBJECTS[term][0]} ("),
            *_amount(explanation, term),
            Span(")"),
        ]
    return [*spans, Span(f" {verb} it")]


def _amount(explanation: Explanation, term: Term) -> list[Span]:
    """ "+2.40, mostly kitchenware × recipes"; for single values the amount alone."""
    amount = Span(format_logit(getattr(explanation, term)), term)
    contributor = strongest(explanation, term) if term != "linear" else None
    if contributor is None:
        return [amount]
    how = "mostly" if contributor.share >= 0.5 else "led by"
    names = " × ".join(named_value(explanation, name) for name in contributor.fields)
    return [amount, Span(f", {how} "), Span(names, "value")]


def describe_network(explanation: Explanation) -> list[Span]:
    """ "Of the network's part most is Saturday (+1.20), phone (+0.62) and long video (+0.31).".

    At most three fields, each beyond two standard errors; nothing where none moves the score much
    or deep by field is not known.
    """
    known = {names[0]: value for names, value in _contributors(explanation, "deep").items()}
    first = sorted(known, key=lambda name: -abs(known[name]))[:MOST_OF_NETWORK]
    named = [name for name in first if abs(known[name]) >= SLIGHT]
    if not named:
        return []
    spans = [Span("Of the network's part most is ")]
    for place, name in enumerate(named):
        joint = "" if place == 0 else " and " if place == len(named) - 1 else ", "
        spans += [
            Span(joint),
            Span(named_value(explanation, name), "value"),
            Span(" ("),
            Span(format_logit(known[name]), "deep"),
            Span(")"),
        ]
    return [*spans, Span(".")]


def describe_change(explanation: Explanation, change: Change) -> list[Span]:
    """ "With phone instead of laptop (seen 9,120 times, 24.1 % clicked): 96.0 %.".

    A rare value is said to be one, and why it is named nonetheless.
    """
    rate = format_probability(change.clicks / change.count if change.count else None)
    seen = f"seen {_times(change.count)}, {rate} clicked"
    if change.rare:
        does = "turns the decision" if change.flips else "moves it that way"
        seen = f"a rare value, {seen}; no common one {does}"
    return [
        Span("With "),
        Span(_in_words(change.field, change.after), "value"),
        Span(" instead of "),
        Span(_short(change.before), "value"),
        Span(f" ({seen}): "),
        Span(format_probability(change.probability), "strong"),
        Span("."),
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{format_count(count)} times"


def named_value(explanation: Explanation, field: str) -> str:
    """An impression's value as it reads best."""
    return _in_words(field, explanation.seen_as[field])


def _in_words(field: str, value: str) -> str:
    """A word stands for itself, a code or number needs its field."""
    speaks = len(value) > 1 and not any(character.isdigit() for character in value)
    if speaks and value not in (RARE, MISSING):
        return _short(value)
    return f"{_short(field)} {_short(value or 'empty')}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
