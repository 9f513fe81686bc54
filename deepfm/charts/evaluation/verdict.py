"""A verdict to two lines of words: does it rank, and can its probabilities be trusted?"""

from typing import Final

from deepfm.charts.palette import format_count, format_loss, format_probability
from deepfm.evaluation import CalibrationVerdict, UseVerdict, Verdict
from deepfm.evaluation.verdict import grade_of

_GRADES: Final = {
    "weak": "It ranks better than a coin, but weakly",
    "fair": "It ranks fairly well",
    "strong": "It ranks well",
}
_SPREADS: Final = {
    "overconfident": "overconfident (high ones too high, low ones too low)",
    "underconfident": "underconfident (high ones too low, low ones too high)",
}


def verdict_lines(verdict: Verdict) -> tuple[str, str]:
    """How it ranks; how right its probabilities are, and of what use. **Bold** is the answer."""
    return (
        ranking_sentence(verdict),
        f"{calibration_sentence(verdict)} {use_sentence(verdict.use)}",
    )


def ranking_sentence(verdict: Verdict) -> str:
    """ "It ranks fairly well: … 71 times in 100 (95 %: 66 to 76; a coin: 50)."."""
    found = verdict.ranking
    if found.against_coin == "unclear":
        answer = f"Whether it ranks better than a coin, {_rows(verdict)} cannot tell"
    elif found.against_coin == "worse":
        answer = "It ranks worse than a coin"
    else:
        answer = _GRADES[found.grade]
        if grade_of(found.low) != found.grade:
            answer += f", as far as {_rows(verdict)} can tell"
    auc, low, high = (f"{100 * value:.0f}" for value in (found.auc, found.low, found.high))
    return (
        f"**{answer}**: shown a clicked and an unclicked impression, it puts the clicked one "
        f"higher {auc} times in 100 (95 %: {low} to {high}; a coin: 50)."
    )


def calibration_sentence(verdict: Verdict) -> str:
    """Whether the probabilities are right, beside what chance alone gives on so many rows."""
    found = verdict.calibration
    evidence = ""
    if found.spread:
        evidence = (
            f"a line fitted through its logits has slope {found.slope:.2f} where 1 is right, "
            "which is beyond chance; "
        )
    alone = found.beyond_chance and not found.error_beyond_chance
    return (
        f"**{_calibration_answer(found, _rows(verdict))}**: {evidence}calibration error "
        f"{format_probability(found.error, 2)}; probabilities that are just right would show "
        f"about {format_probability(found.chance, 2)} on so many rows, seldom over "
        f"{format_probability(found.chance_high, 2)}"
        + (", so the error alone would not tell." if alone else ".")
    )


def _calibration_answer(found: CalibrationVerdict, rows: str) -> str:
    if not found.beyond_chance:
        return f"Its probabilities are right as far as {rows} can tell"
    slightly = "slightly " if found.slight else ""
    parts = []
    if found.spread:
        parts.append(f"are {slightly}{_SPREADS[found.spread]}")
    if found.level:
        parts.append(
            f"are {slightly}{found.level}, {format_probability(found.predicted)} predicted and "
            f"{format_probability(found.seen)} clicked"
        )
    return "Its probabilities " + (" and ".join(parts) or f"are {slightly}off in places")


def use_sentence(found: UseVerdict) -> str:
    """Whether the log loss is below that of always giving the base rate, beyond chance."""
    if not found.base:
        return ""
    less, low, high = (value / found.base for value in (found.gained, found.low, found.high))
    figures = (
        f"log loss {format_loss(found.log_loss)} against {format_loss(found.base)}, "
        f"{_less(less)} (95 %: {_less(low)} to {_less(high)})"
    )
    answer = {
        "better": "They beat always giving the base rate",
        "worse": "Always giving the base rate would be better",
        "unclear": "They may be no better than always giving the base rate",
    }[found.against_base]
    return f"**{answer}**: {figures}."


def _less(share: float) -> str:
    """ "2.1 % less", "0.4 % more"."""
    return f"{format_probability(abs(share))} {'less' if share >= 0 else 'more'}"


def _rows(verdict: Verdict) -> str:
    return f"{format_count(verdict.rows)} rows"
