"""The branches alone, together and trained alone; how the score's variance divides."""

from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.branches import (
    BRANCH_WORDS,
    BranchRow,
    alone_figure,
    covariance_figure,
    shares_figure,
    whole_percents,
    whole_shares,
)
from deepfm.charts.palette import format_auc
from deepfm.errors import DeepFMError
from deepfm.evaluation import TermShares, term_shares
from deepfm.evaluation.branches import JudgedBranch, judge_branches
from deepfm.evaluation.figures import base_rate_log_loss
from deepfm.terms import TERM_NAMES
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import links, state
from deepfm.ui.model_kept import kept
from deepfm.ui.model_network import network_sentence, wide_sentence
from deepfm.ui.model_trained import (
    COUNTERPARTS,
    Counterparts,
    counterparts,
    dataset_to_train_on,
    judge_counterpart,
)
from deepfm.ui.plot import plot
from deepfm.ui.queueing import queue_all_five
from deepfm.ui.text import plain, show_error, show_notice

ONE_BRANCH: Final = "the model has one branch. The whiskers are 95 % intervals."
ALONE: Final = (
    "a dot is one branch with the others held at their mean{diamonds}; whiskers are 95 % "
    "intervals (AUC: DeLong, log loss: ± 1.96 standard errors). A branch silenced is not a model "
    "trained without it: trained together, they share the work."
)
DIAMONDS: Final = ", a diamond a model that never had them"


def branch_rows(run_id: str, model: TrainedModel, scores: Scores) -> list[BranchRow]:
    """Each branch of the model with its counterpart, the whole last."""
    found = judged(model, scores)
    beside = counterparts(run_id, model)
    rows = []
    for branch, figures in found.items():
        if branch == "fm" and model.model.name == "FM":
            continue
        if branch != "all" and len(found) == 2:
            continue
        name = COUNTERPARTS.get(branch, "")
        other = beside.trained.get(name)
        rows.append(
            BranchRow(
                branch,
                figures,
                None if other is None else _counterpart(model, other, scores),
                name,
            )
        )
    return rows


def judged(model: TrainedModel, scores: Scores) -> dict[str, JudgedBranch]:
    """Each branch's figures with intervals, computed once."""
    return kept(
        model,
        ("judged", scores.part),
        lambda: judge_branches(
            scores.labels, scores.terms, model.reference.mean, model.model.terms
        ),
    )


def _counterpart(model: TrainedModel, run_id: str, scores: Scores) -> JudgedBranch | None:
    return kept(
        model,
        ("counterpart", run_id, scores.part),
        lambda: judge_counterpart(run_id, scores, scores.part),
    )


def show_branches(run_id: str, model: TrainedModel, scores: Scores) -> None:
    """AUC and log loss of each branch, and beside them of the models trained without the other."""
    with st.spinner("Ranking the rows by each branch…", show_time=False):
        rows = branch_rows(run_id, model, scores)
    if rows[-1].silenced.auc is None:
        show_notice(f"All rows of the {scores.part} part have one label, so nothing can be ranked.")
        return
    beside = counterparts(run_id, model)
    missing = () if beside.group else beside.missing
    name, count = model.model.name, len(scores)
    for sentence in (
        network_sentence(name, rows, count, missing),
        wide_sentence(name, rows, count),
    ):
        if sentence:
            st.markdown(sentence)
    base_loss = base_rate_log_loss(float(scores.labels.mean()))
    compared = any(row.trained for row in rows)
    alone = ALONE.format(diamonds=DIAMONDS if compared else "")
    plot(
        alone_figure(rows, base_loss),
        key="model_branches",
        height=max(140, 80 + (56 if compared else 38) * len(rows)),
        caption=alone if len(rows) > 1 else ONE_BRANCH,
        alt=in_words(rows),
        table=lambda: branches_table(rows),
    )
    if len(rows) > 1:
        offer_all_five(model, beside)


def in_words(rows: list[BranchRow]) -> str:
    """ "FM branch alone 0.7182 (FM trained alone 0.7431), deep branch …"."""
    parts = []
    for row in rows:
        words = BRANCH_WORDS[row.branch]
        alone = "" if row.branch == "all" else " alone"
        beside = (
            f" ({row.trained_name}, trained without the others: {format_auc(row.trained.auc)})"
            if row.trained
            else ""
        )
        parts.append(f"{words}{alone} {format_auc(row.silenced.auc)}{beside}")
    return "AUC: " + ", ".join(parts) + "."


def branches_table(rows: list[BranchRow]) -> pd.DataFrame:
    """Every figure with its interval and how far it is behind the whole model."""
    found = []
    for row in rows:
        what = BRANCH_WORDS[row.branch]
        silenced = what if row.branch == "all" else f"{what}, others silenced"
        found.append(_table_row(silenced, row.silenced))
        if row.trained:
            found.append(_table_row(f"{row.trained_name}, trained without the others", row.trained))
    return pd.DataFrame(found)


def _table_row(what: str, figures: JudgedBranch) -> dict[str, object]:
    behind = figures.behind
    return {
        "scores": what,
        "AUC": figures.auc,
        "AUC low (DeLong 95 %)": figures.auc_low,
        "AUC high": figures.auc_high,
        "log loss": figures.log_loss,
        "log loss low (95 %)": figures.log_loss_low,
        "log loss high": figures.log_loss_high,
        "AUC behind the whole model": behind.difference if behind else None,
        "p (DeLong, paired)": behind.p_value if behind else None,
    }


def offer_all_five(model: TrainedModel, beside: Counterparts) -> None:
    """The button that trains what is missing, or where it is being trained."""
    if not beside.missing:
        return
    if beside.group:
        links.link(
            "train",
            "The models trained without the other branch are on their way: watch",
            group=beside.group,
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Compare all five", icon=":material/stacked_line_chart:", key="model_five"
        )
        names = plain(_and(beside.missing))
        stand = "stands" if len(beside.missing) == 1 else "stand"
        st.caption(
            "Trains LR, FM, DNN, Wide & Deep and DeepFM with these settings and this seed; then "
            f"{names} {stand} beside the branches.",
            width="content",
        )
    if pressed:
        try:
            with st.spinner("Queueing…"):
                group = queue_all_five(dataset_to_train_on(model), model.model, model.train)
        except DeepFMError as error:
            show_error(error)
            return
        links.go_to("train", group=group)


def _and(names: tuple[str, ...]) -> str:
    """ "LR, FM and DNN"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def show_shares(model: TrainedModel, scores: Scores) -> None:
    """How much of the score's ups and downs goes with each term, and the covariances."""
    terms = model.model.terms
    if len(terms) == 1:
        st.caption(f"This run is {model.model.name}: its {terms[0]} term is the whole score.")
        return
    found = kept(model, ("shares", scores.part), lambda: term_shares(scores.terms))
    names, whole = [name for name in TERM_NAMES if name in terms], whole_shares(found)
    left, right = st.columns(2, gap="large")
    with left:
        plot(
            shares_figure(found, terms),
            key="model_shares",
            height=70 + 54 * len(names),
            caption=(
                "how much of the score's ups and downs goes with each term: its covariance with "
                "the score over the score's variance. Below zero, a term works against the sum."
            ),
            alt=", ".join(f"{name} {whole[name]} %" for name in names),
            table=lambda: shares_table(found, terms),
        )
    with right:
        plot(
            covariance_figure(found.covariance, terms),
            key="model_covariance",
            height=70 + 54 * len(names),
            caption=(
                "each term's variance on the diagonal, each pair's covariance beside it, in "
                "percent of the score's variance: all cells add up to 100. A row adds up to that "
                "term's share. Green: they rise together; red: one takes back what the other gives."
            ),
            alt=covariance_in_words(found),
            table=lambda: shares_table(found, terms),
        )


def covariance_in_words(found: TermShares) -> str:
    """Which two terms go together most, and which against each other."""
    i, j = max(((0, 1), (0, 2), (1, 2)), key=lambda pair: abs(found.covariance[pair]))
    percent = 2 * whole_percents(found.covariance)[i, j]
    way = "rise together" if found.covariance[i, j] >= 0 else "work against each other"
    name = f"{TERM_NAMES[i]} and {TERM_NAMES[j]}"
    return f"The covariance of {name} is largest: {percent:+d} % of the variance; they {way}."


def shares_table(found: TermShares, terms: tuple[str, ...]) -> pd.DataFrame:
    """Shares, and the covariances in logit²."""
    table = pd.DataFrame(found.covariance, columns=[f"covariance with {n}" for n in TERM_NAMES])
    table.insert(0, "share of the variance", list(found.shares.values()))
    table.insert(0, "term", list(TERM_NAMES))
    return table[[name in terms for name in TERM_NAMES]]


def headline(model: TrainedModel, scores: Scores) -> str:
    """The page's finding in one sentence, with its numbers."""
    figures = judged(model, scores)
    whole = figures["all"]
    if whole.auc is None:
        return ""
    together = f"The model ranks with an AUC of {format_auc(whole.auc)}"
    if len(model.model.terms) == 1:
        return f"{together}. It has one branch alone: {lacking(model)}"
    found = term_shares(scores.terms)
    most = max(model.model.terms, key=lambda name: found.shares[name])
    alone = ", ".join(
        f"{BRANCH_WORDS[branch]} alone {format_auc(figures[branch].auc)}"
        for branch in _two_sides(model)
    )
    network = "the network" if most == "deep" else f"the {most} term"
    return (
        f"{together}; {alone}. {whole_shares(found)[most]} % of the score's ups and downs over "
        f"these rows go with {network}. {lacking(model)}"
    ).strip()


def _two_sides(model: TrainedModel) -> tuple[str, ...]:
    sides = {"FM": ("linear", "pairwise"), "Wide & Deep": ("linear", "deep")}
    return sides.get(model.model.name, ("fm", "deep"))


def lacking(model: TrainedModel) -> str:
    """What this model does not have, in a sentence; "" for DeepFM."""
    return {
        "LR": "each value adds its own weight, so there is no network and there are no pairs.",
        "FM": "This model has no network: pairs are all that goes beyond single values.",
        "DNN": "the network; there are no weights of single values and no pairs.",
        "Wide & Deep": (
            "This model has no pairwise term; its wide part is linear only, since these data "
            "have no crossed fields."
        ),
    }.get(model.model.name, "")


def rows_in_words(model: TrainedModel, scores: Scores) -> str:
    """ "DeepFM · 500 of 6,000 test rows · weights of epoch 10, the kept one"."""
    seen = ", which the model was trained on" if scores.part == "train" else ""
    rows = state.rows_of_all(model, scores.part, len(scores))
    epoch = model.result.best_epoch
    what = f"{model.model.name} · {rows} {scores.part} rows{seen}"
    return f"{what} · weights of epoch {epoch}, the kept one"
