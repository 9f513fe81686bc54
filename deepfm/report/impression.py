"""One impression's explanation to the report that says why it got its score."""

from deepfm.explanation import Explanation, best_change, branches_disagree, describe
from deepfm.explanation.words import Span
from deepfm.formats import format_count, format_logit, format_probability
from deepfm.report.bars import fields_chart, pairs_chart, waterfall_chart
from deepfm.report.document import document, escaped, paragraph, section, table
from deepfm.trained import TrainedModel

_DISAGREE = (
    "The two branches pull apart here. Neither is right by itself; only the sum was trained."
)


def impression_report(
    model: TrainedModel,
    explanation: Explanation,
    *,
    name: str = "",
    before: Explanation | None = None,
) -> str:
    """The HTML of one impression: the sentence, the waterfall, fields, pairs, against whom.

    name    of the run, as a person gave it
    before  the impression whose values were changed to these, if it was one
    """
    return document(
        "Why did this impression get this score?",
        paragraph(_place(model, explanation, name), "quiet"),
        paragraph(_changes(before, explanation)) if before else "",
        _sentence(describe(explanation, best_change(model, explanation.ids))),
        paragraph(_DISAGREE) if branches_disagree(explanation) else "",
        waterfall_chart(explanation),
        section("Field by field", fields_chart(explanation)),
        section("Pairs", pairs) if (pairs := pairs_chart(explanation)) else "",
        section("Measured against", *_population(explanation)),
        section("Its values", _values(model, explanation)),
    )


def _place(model: TrainedModel, explanation: Explanation, name: str) -> str:
    where = (
        f"Row {format_count(explanation.row)} of the {explanation.part} part"
        if explanation.row is not None
        else "An impression given by its values"
    )
    parts = [where]
    if explanation.label is not None:
        parts.append("clicked" if explanation.label > 0.5 else "not clicked")
    if explanation.truth is not None:
        parts.append(f"true probability {format_probability(explanation.truth)}")
    run = f"run “{name}”" if name else f"run folder {model.folder.name}"
    return " · ".join([*parts, f"{model.model.name} on {model.dataset_name}, {run}"])


def _changes(before: Explanation, after: Explanation) -> str:
    """ "Row 7 of the test part with changed values: device from laptop to phone. …"."""
    which = (
        f"Row {format_count(before.row)} of the {before.part} part"
        if before.row is not None
        else "A composed impression"
    )
    changed = ", ".join(
        f"{name} from {old or '(empty)'} to {new or '(empty)'}"
        for (name, old), new in zip(before.values.items(), after.values.values(), strict=True)
        if old != new
    )
    return (
        f"{which} with changed values: {changed}. Before, its score was "
        f"{format_probability(before.probability)}; with them it is "
        f"{format_probability(after.probability)}."
    )


def _sentence(spans: list[Span]) -> str:
    pieces = []
    for span in spans:
        words = escaped(span.text)
        if span.emphasis in ("linear", "pairwise", "deep"):
            words = f'<b class="{span.emphasis}">{words}</b>'
        elif span.emphasis:
            words = f"<b><bdi>{words}</bdi></b>"
        pieces.append(words)
    return f'<p class="lead">{"".join(pieces)}</p>'


def _population(explanation: Explanation) -> list[str]:
    """What every contribution is measured against, and how sure the sampled ones are."""
    words = [
        f"Each term is shown minus its mean over {explanation.reference}, whose mean score "
        f"is {format_logit(explanation.base, 4)}."
        + (
            " A constant can move between the terms without changing the model, so their raw "
            "values mean nothing by themselves. The parts add up to the score."
            if len(explanation.terms) > 1
            else ""
        )
    ]
    if "deep" in explanation.terms and explanation.permutations:
        words.append(
            "The network's part is shared out to the fields by "
            f"{format_count(explanation.permutations)} random orders of the fields; its sum is "
            "exact, each share has a standard error."
        )
    if explanation.advice:
        words.append(explanation.advice)
    return [paragraph(each) for each in words]


def _values(model: TrainedModel, explanation: Explanation) -> str:
    rows = [
        (name, value, seen if (seen := explanation.seen_as[name]) != value else "")
        for name, value in explanation.values.items()
    ]
    others = ""
    if explanation.row is not None:
        raw = model.impression(explanation.part, explanation.row).values
        left = [
            (name, value or "") for name, value in raw.items() if name not in explanation.values
        ]
        if left:
            others = paragraph("Columns that the model does not read:") + table(
                ("column", "value"), left, numbers=0
            )
    if not any(seen for *_, seen in rows):
        return table(("field", "value"), [row[:2] for row in rows], numbers=0) + others
    return table(("field", "value", "the model takes it for"), rows, numbers=0) + others
