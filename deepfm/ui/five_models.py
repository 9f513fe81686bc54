"""Models that differ in their terms alone to what that teaches: pairs, network, FM part, tested.

Three questions, each answered by two of the five models on the same rows: what do pairs say
beyond single values (LR, FM), what does a network say beyond pairs (FM, DeepFM), and what do
pairs say beyond a network (DNN, DeepFM).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import streamlit as st

from deepfm.charts.evaluation import NamedDifference, signed
from deepfm.charts.history import History, value_of
from deepfm.charts.palette import format_auc, format_count
from deepfm.config import TERM_SETS
from deepfm.errors import DeepFMError
from deepfm.evaluation import AucDifference, holm, p_in_words
from deepfm.ui import feed, state
from deepfm.ui.evaluation_runs import ScoredRun, compared_aucs
from deepfm.ui.text import plain

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

NEAR: Final = 0.005
"""A model whose validation AUC is so near its own best has learned nearly all that it will."""


@dataclass(frozen=True)
class Question:
    """What a part of the model adds, asked of two models that differ in that part alone.

    without, having   the two, by name
    better            what it means where the one that has the part ranks better; worse where it
                      ranks worse
    alike             where the rows cannot tell them apart
    """

    without: str
    having: str
    better: str
    worse: str
    alike: str


QUESTIONS: Final = (
    Question(
        "LR",
        "FM",
        "Pairs say what single values cannot",
        "With pairs it ranks worse",
        "Pairs add nothing to single values",
    ),
    Question(
        "FM",
        "DeepFM",
        "The network says what pairs cannot",
        "With a network it ranks worse",
        "The network adds nothing to pairs",
    ),
    Question(
        "DNN",
        "DeepFM",
        "Pairs say what the network has not learned",
        "The network does better alone",
        "The network does as well alone",
    ),
)


@dataclass(frozen=True)
class Answer:
    """A question, how far the two models' AUCs lie apart, and p by Holm over all questions."""

    question: Question
    found: AucDifference
    corrected: float

    @property
    def in_words(self) -> str:
        """The finding in **bold**, without a full stop, and what it rests on."""
        question, found = self.question, self.found
        numbers = (
            f"AUC {format_auc(found.first)} against {format_auc(found.second)}, "
            f"{signed(found.difference)} (95 % {signed(found.low)} to {signed(found.high)}, "
            f"p {p_in_words(self.corrected)})"
        )
        named = NamedDifference(question.having, found, self.corrected)
        if not named.significant:
            return f"**{question.alike}, as far as these rows can tell**: {numbers}"
        return f"**{question.better if found.difference > 0 else question.worse}**: {numbers}"


def show_answers(rows: Sequence["RunRow"]) -> None:
    """One line a question that these runs can answer; nothing where they can answer none.

    All words in it are our own: models are called by their terms, not by their runs' names.
    """
    by_name = models_of(rows)
    answers = answers_of(by_name)
    if not answers:
        return
    lines = []
    for answer in answers:
        question = answer.question
        line = f"- {question.without} → {question.having}: {answer.in_words}."
        if question.without == "DNN":
            line += sooner_in_words(
                (question.having, feed.history(by_name[question.having].id)[1]),
                (question.without, feed.history(by_name[question.without].id)[1]),
            )
        lines.append(line)
    result = by_name[answers[0].question.having].result or {}
    counted = f"{format_count(result.get('rows'))} {result.get('part')} rows"
    st.markdown("**What that says of single values, pairs and the network**")
    st.markdown("\n".join(lines))
    st.caption(
        plain(
            f"DeLong's paired test on the same {counted}; p corrected for all questions (Holm). "
            "Each model was trained once: another seed can turn a small difference round."
        )
    )


def models_of(rows: Sequence["RunRow"]) -> dict[str, "RunRow"]:
    """Model name to its run, for those that are trained; the first of several alike."""
    names = {terms: name for name, terms in TERM_SETS.items()}
    found: dict[str, RunRow] = {}
    for row in rows:
        name = names.get(tuple(row.model.get("terms", ())))
        if name and row.result and state.is_trained(row):
            found.setdefault(name, row)
    return found


def answers_of(by_name: dict[str, "RunRow"]) -> list[Answer]:
    """What can be answered: both models are there and were judged by the same rows."""
    found = []
    for question in QUESTIONS:
        having, without = by_name.get(question.having), by_name.get(question.without)
        if having and without and (difference := _difference(having, without)):
            found.append((question, difference))
    corrected = holm(np.array([difference.p_value for _, difference in found]))
    return [
        Answer(question, difference, float(p))
        for (question, difference), p in zip(found, corrected, strict=True)
    ]


def _difference(first: "RunRow", second: "RunRow") -> AucDifference | None:
    part = str((first.result or {}).get("part", ""))
    try:
        return compared_aucs(
            ScoredRun(first.name, first.folder), ScoredRun(second.name, second.folder), part
        )
    except (DeepFMError, OSError):
        return None  # a damaged folder: its run's own page says so


def sooner_in_words(first: tuple[str, History], second: tuple[str, History]) -> str:
    """Which of two came near its best sooner: " DeepFM comes … in epoch 6, DNN in 14."; "" if none.

    first, second   name and history
    """
    epochs = [_near_its_best(history) for _, history in (first, second)]
    if None in epochs or epochs[0] == epochs[1]:
        return ""
    (sooner, at), (later, at_last) = sorted(
        zip((first[0], second[0]), epochs, strict=True), key=lambda each: each[1] or 0
    )
    return (
        f" {sooner} gets there sooner: within {NEAR:g} of its best validation AUC after epoch "
        f"{at}, {later} after epoch {at_last}."
    )


def _near_its_best(history: History) -> int | None:
    """The first epoch whose validation AUC is near the best one; None where there is none."""
    known = [
        (epoch.epoch, auc)
        for epoch in history.epochs
        if (auc := value_of(epoch.validation, "auc")) is not None
    ]
    best = max((auc for _, auc in known), default=0.0)
    return next((epoch for epoch, auc in known if auc >= best - NEAR), None)
