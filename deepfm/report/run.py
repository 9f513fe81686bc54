"""A trained run to the report that says what it is, how good it is and how it learned."""

from collections.abc import Mapping
from typing import Any, Final

from deepfm.charts.history import history_of
from deepfm.config import NETWORK_SETTINGS, ModelConfig, TrainConfig, value_in_words
from deepfm.evaluation import Evaluation, evaluate, roc_of, term_shares
from deepfm.evaluation.branches import JudgedBranch, judge_branches
from deepfm.evaluation.counting import count
from deepfm.evaluation.figures import auc_of
from deepfm.events import Notice, Started
from deepfm.explanation.beyond import find_beyond
from deepfm.formats import (
    format_auc,
    format_count,
    format_duration,
    format_logit,
    format_loss,
    format_probability,
    format_rate,
)
from deepfm.report.curves import branches_chart, calibration_chart, roc_chart, training_chart
from deepfm.report.document import (
    document,
    paragraph,
    section,
    side_by_side,
    table,
    tiles,
)
from deepfm.terms import TERM_NAMES
from deepfm.trained import TrainedModel

ALONE: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "FM": (("linear", "linear alone", "one"),),
    "Wide & Deep": (("linear", "linear alone", "one"), ("deep", "deep branch alone", "net dots")),
    "DeepFM": (("fm", "FM branch alone", "fm"), ("deep", "deep branch alone", "net dots")),
}
"""By model: term or branch, its name, and the CSS classes of its ROC curve."""


def run_report(model: TrainedModel, found: Evaluation | None = None, *, name: str = "") -> str:
    """The HTML of one run.

    found  its figures, by default those of the part that the run is judged by; the rows that they
           are of must be there (`Evaluation.judged`), or none were kept
    name   as a person gave it
    """
    found = found or evaluate(model)
    return document(
        name or f"{model.model.name} on {model.dataset_name}",
        paragraph(_what(model, found), "quiet"),
        paragraph(_lead(found), "lead"),
        *(paragraph(each.text, "note") for each in model.events() if isinstance(each, Notice)),
        *(_judged(model, found) if found.judged is not None else ()),
        *_beyond(model),
        section("How it learned", training_chart(history_of(model.events())), _learned(model)),
        section("Settings", _settings(model)),
        section("Data", _data(model)),
        section("Made with", _environment(model)),
    )


def _what(model: TrainedModel, found: Evaluation) -> str:
    """ "DeepFM on demo · 10 fields · 48,000 training rows · judged by 6,000 test rows"."""
    parts = [f"{model.model.name} on {model.dataset_name}", f"{len(model.fields)} fields"]
    if (started := _started(model)) is not None:
        parts.append(f"{format_count(started.train_rows)} training rows")
    if found.judged is not None:
        parts.append(f"judged by {format_count(found.rows)} {found.part} rows")
    return " · ".join(parts)


def _started(model: TrainedModel) -> Started | None:
    return next((each for each in model.events() if isinstance(each, Started)), None)


def _lead(found: Evaluation) -> str:
    if found.auc is None:
        why = (
            "its rows have one class only"
            if found.judged is not None
            else "only training rows were kept"
        )
        return f"How well it ranks cannot be said: {why}."
    clicked = round(100 * found.auc)
    return (
        f"AUC {format_auc(found.auc)}: shown a clicked and an unclicked impression, it ranks the "
        f"clicked one higher {clicked} times in 100."
    )


def _judged(model: TrainedModel, found: Evaluation) -> list[str]:
    """How good it is: figures, ROC, calibration, branches."""
    rows = found.judged_rows
    which = f", {found.selection}" if found.selection else ""
    branches = judge_branches(rows.labels, rows.terms, model.reference.mean, model.model.terms)
    curves = [
        (words, kind, curve, auc_of(counts))
        for attribute, words, kind in ALONE.get(model.model.name, ())
        if (curve := roc_of(counts := count(rows.labels, getattr(rows.terms, attribute))))
    ]
    whole = found.roc
    return [
        section(
            f"How good it is: {format_count(found.rows)} {found.part} rows{which}",
            _figures(found, branches["all"].log_loss_low, branches["all"].log_loss_high),
            side_by_side(
                roc_chart([*curves, (model.model.name, "whole", whole, found.auc)])
                if whole
                else "",
                calibration_chart(found.calibration),
            ),
        ),
        *(_branches(model, found, branches) if len(model.model.terms) > 1 else ()),
    ]


def _branches(
    model: TrainedModel, found: Evaluation, branches: Mapping[str, JudgedBranch]
) -> list[str]:
    """What each ranks alone, and its share of the score; of a single term neither says a thing."""
    return [
        section(
            "The branches",
            branches_chart(branches) if found.auc is not None else "",
            _shares(model, found),
        )
    ]


def _figures(found: Evaluation, loss_low: float, loss_high: float) -> str:
    rows = [
        ("AUC", format_auc(found.auc), _interval(found.auc_low, found.auc_high, "DeLong")),
        (
            "Log loss",
            format_loss(found.log_loss),
            _interval(loss_low, loss_high, "± 1.96 standard errors")
            + f"; always guessing the base rate: {format_loss(found.log_loss_base)}",
        ),
        (
            "Log loss after Platt scaling",
            format_loss(found.log_loss_calibrated),
            "fitted on validation rows",
        ),
        (
            "Accuracy at 50 %",
            format_probability(found.accuracy),
            f"always the commoner label: {format_probability(found.majority_accuracy)}",
        ),
        (
            "Average precision",
            format_auc(found.average_precision),
            f"guessing: {format_auc(found.base_rate)}",
        ),
        (
            "Calibration error",
            format_probability(found.calibration_error, 2),
            "mean distance of predicted and seen click rate",
        ),
        ("Base rate", format_probability(found.base_rate, 2), "share of rows that were clicked"),
    ]
    known = [row for row in rows if found.log_loss_calibrated is not None or "Platt" not in row[0]]
    return tiles(known)


def _interval(low: float | None, high: float | None, how: str) -> str:
    if low is None or high is None:
        return "too few rows of one class for an interval"
    return f"95 % interval {low:.4f} to {high:.4f} ({how})"


def _shares(model: TrainedModel, found: Evaluation) -> str:
    """How the score's variance divides between the terms."""
    shares = term_shares(found.judged_rows.terms)
    names = [name for name in TERM_NAMES if name in model.model.terms]
    rows = [
        (
            name,
            f"{100 * shares.shares[name]:.1f} %".replace("-", "−"),
            *(
                format_logit(float(shares.covariance[i, TERM_NAMES.index(other)]), 3)
                for other in names
            ),
        )
        for i, name in enumerate(TERM_NAMES)
        if name in names
    ]
    headings = ("term", "share of the score's variance", *(f"covariance with {n}" for n in names))
    return table(headings, rows, numbers=1 + len(names)) + paragraph(
        "A share is cov(term, score) / var(score); the shares add up to 100 %, and one may be "
        "below zero.",
        "quiet",
    )


def _beyond(model: TrainedModel) -> list[str]:
    """What the network adds beyond pairs, where that was worked out."""
    found = find_beyond(model)
    if found is None or found.is_idle:
        return []
    rows = [
        (words, f"{100 * share.value:.1f} %", f"± {100 * share.standard_error:.1f}")
        for words, share in (
            ("single fields", found.deep.singles),
            ("pairs of fields", found.deep.pairs),
            ("three fields or more (at most)", found.deep.beyond),
        )
    ]
    return [
        section(
            "Beyond pairs: what the network adds that no list of pairs could say",
            table(("explained by", "share of the network's variance", "error"), rows, numbers=2),
        )
    ]


def _learned(model: TrainedModel) -> str:
    result = model.result
    started = _started(model)
    chosen = started is None or started.validation_rows > 0
    which = "best" if chosen else "last"
    kept = f", the {which} one, {result.best_epoch}, kept" if result.best_epoch else ""
    return paragraph(
        f"{result.epochs} epochs in {format_duration(result.seconds)}{kept}; "
        f"{format_rate(result.examples_per_second)} training rows end to end."
        + (" It was stopped by hand." if result.stopped else "")
    )


def _settings(model: TrainedModel) -> str:
    given: dict[str, Any] = {**model.model.to_dict(), **model.train.to_dict()}
    rows = [
        (setting.label, value_in_words(setting, value), "" if usual == shown else usual)
        for setting in (*ModelConfig.settings(), *TrainConfig.settings())
        if "deep" in model.model.terms or setting.name not in NETWORK_SETTINGS
        for value in (given[setting.name],)
        for shown, usual in (
            (value_in_words(setting, value), value_in_words(setting, setting.default)),
        )
    ]
    return table(("setting", "value", "default, where it differs"), rows, numbers=0)


def _data(model: TrainedModel) -> str:
    started = _started(model)
    words = f"Dataset {model.dataset_name}, fingerprint {model.dataset_fingerprint}. "
    if started is not None:
        words += (
            f"{format_count(started.train_rows)} training, "
            f"{format_count(started.validation_rows)} validation and "
            f"{format_count(started.test_rows)} test rows. "
        )
    words += (
        f"{len(model.fields)} fields with {format_count(model.vocabulary.num_features)} features; "
        f"label {model.schema.label.name}: clicked is {', '.join(model.schema.positive)}."
    )
    rows = [
        (field.name, field.role, format_count(field.size), format_count(distinct))
        for field, distinct in zip(model.fields, model.vocabulary.distinct, strict=True)
    ]
    headings = ("field", "role", "features", "values in training")
    return paragraph(words) + table(headings, rows, numbers=2)


def _environment(model: TrainedModel) -> str:
    rows = [
        (
            name,
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value,
        )
        for name, value in model.environment.items()
    ]
    return table(("", ""), [(name, str(value)) for name, value in rows], numbers=0)
