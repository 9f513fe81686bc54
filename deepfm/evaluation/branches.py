"""Terms to what each branch does alone, and to its share of the score's variance."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.comparing import AucDifference, compare_aucs
from deepfm.evaluation.counting import Float64s, count
from deepfm.evaluation.figures import auc, auc_interval, auc_of, log_loss, log_losses
from deepfm.events import BranchAucs, TermMoments
from deepfm.intervals import NORMAL_95
from deepfm.terms import TERM_NAMES, Terms


@dataclass(frozen=True)
class BranchFigures:
    """How well one branch ranks and predicts alone; auc is None with one class only."""

    auc: float | None
    log_loss: float


def branch_figures(
    labels: NDArray[Any], terms: Terms, mean: Terms, model_terms: tuple[str, ...]
) -> dict[str, BranchFigures]:
    """Figures of each branch that the model has, scored as base + (branch − its mean).

    labels       N of 0 and 1
    mean         means of the terms over the reference population, float[1] each
    model_terms  the terms of the model, such as ("linear", "pairwise")
    returns      "linear", "pairwise", "fm" (both), "deep" as far as they exist, and "all"
    """
    return {
        branch: BranchFigures(auc(labels, logit), log_loss(labels, logit))
        for branch, logit in branch_logits(terms, mean, model_terms).items()
    }


def _members(model_terms: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {
        "linear": ("linear",),
        "pairwise": ("pairwise",),
        "fm": ("linear", "pairwise"),
        "deep": ("deep",),
        "all": model_terms,
    }


def _logit_of(terms: Terms, mean: Terms, names: tuple[str, ...]) -> NDArray[Any]:
    logit: NDArray[Any] = mean.logit + np.sum(
        [getattr(terms, name) - getattr(mean, name) for name in names], axis=0
    )
    return logit


def branch_aucs(labels: NDArray[Any], terms: Terms, model_terms: tuple[str, ...]) -> BranchAucs:
    """AUC of the FM and of the deep branch alone over N rows.

    A branch alone is scored as base + (branch − its mean), which ranks rows as the branch itself
    does: one AUC each, without means.
    """
    return BranchAucs(
        fm=auc(labels, terms.fm) if {"linear", "pairwise"} & set(model_terms) else None,
        deep=auc(labels, terms.deep) if "deep" in model_terms else None,
    )


def moments_of(terms: Terms) -> TermMoments:
    """Means and 3 × 3 population covariances of the terms over N impressions."""
    values = np.array(list(terms), dtype=np.float64)
    return TermMoments(
        mean=tuple(values.mean(axis=1).tolist()),
        covariance=tuple(tuple(row) for row in np.cov(values, ddof=0).tolist()),
    )


@dataclass(frozen=True)
class TermShares:
    """How the variance of the logit divides between the terms.

    shares      term -> cov(term, logit) / var(logit); they add to 1, and one may be negative
    covariance  float64[3, 3] in the order linear, pairwise, deep; its sum is var(logit)
    """

    shares: dict[str, float]
    covariance: Float64s


def term_shares(terms: Terms | TermMoments) -> TermShares:
    """Shares of the terms; all zero where the logit does not vary."""
    moments = terms if isinstance(terms, TermMoments) else moments_of(terms)
    covariance = np.array(moments.covariance)
    with_logit = covariance.sum(axis=1)
    variance = float(covariance.sum())
    shares = with_logit / variance if variance > 0 else np.zeros(3)
    return TermShares(dict(zip(TERM_NAMES, shares.tolist(), strict=True)), covariance)


def disagreement(terms: Terms, mean: Terms) -> Float64s:
    """How strongly the FM and the deep branch pull apart, float64[N].

    The smaller of the two distances from their means over the reference population where they
    point in opposite directions; 0 where they do not.
    """
    fm, deep = terms.fm - mean.fm, terms.deep - mean.deep
    return np.where(fm * deep < 0, np.minimum(np.abs(fm), np.abs(deep)), 0.0)


@dataclass(frozen=True)
class JudgedBranch:
    """How well some scores rank and predict, with 95 % intervals.

    auc_low, auc_high            DeLong et al. 1988
    log_loss_low, log_loss_high  mean ± 1.96 standard errors of the rows' losses
    behind                       how much better the whole model ranks the same rows (DeLong's
                                 paired test); None for the whole itself
    The AUC is None with one class only, its interval with fewer than two rows of a class.
    """

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float
    log_loss_low: float
    log_loss_high: float
    behind: AucDifference | None = None


def judge_scores(
    labels: NDArray[Any], logit: NDArray[Any], whole: NDArray[Any] | None = None
) -> JudgedBranch:
    """N labels of 0 and 1 and N logits to figures with intervals.

    whole  the logits of the model that these are compared with, on the same rows
    """
    counts = count(labels, logit)
    low, high = auc_interval(counts) or (None, None)
    losses = log_losses(np.asarray(labels) > 0.5, logit)
    loss = float(losses.mean())
    error = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return JudgedBranch(
        auc_of(counts),
        low,
        high,
        loss,
        max(0.0, loss - NORMAL_95 * error),
        loss + NORMAL_95 * error,
        None if whole is None else compare_aucs(labels, whole, logit),
    )


def judge_branches(
    labels: NDArray[Any], terms: Terms, mean: Terms, model_terms: tuple[str, ...]
) -> dict[str, JudgedBranch]:
    """Each branch that the model has, scored as base + (branch − its mean), and "all" last.

    The arguments are those of `branch_figures`; five sorts of N scores, twice as many with the
    paired tests.
    """
    logits = branch_logits(terms, mean, model_terms)
    whole = logits["all"]
    return {
        branch: judge_scores(labels, logit, None if branch == "all" else whole)
        for branch, logit in logits.items()
    }


def branch_logits(
    terms: Terms, mean: Terms, model_terms: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """The logit of each branch alone, float[N]: the other branches are held at their mean."""
    return {
        branch: _logit_of(terms, mean, names)
        for branch, names in _members(model_terms).items()
        if set(names) <= set(model_terms)
    }
