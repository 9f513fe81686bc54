"""Terms to what each branch does alone, and to its share of the score's variance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.counting import Float64s
from deepfm.evaluation.figures import auc, log_loss
from deepfm.events import BranchAucs, TermMoments
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
    members = {
        "linear": ("linear",),
        "pairwise": ("pairwise",),
        "fm": ("linear", "pairwise"),
        "deep": ("deep",),
        "all": model_terms,
    }
    return {
        branch: _figures_of(labels, terms, mean, names)
        for branch, names in members.items()
        if set(names) <= set(model_terms)
    }


def _figures_of(
    labels: NDArray[Any], terms: Terms, mean: Terms, names: tuple[str, ...]
) -> BranchFigures:
    parts = [getattr(terms, name) - getattr(mean, name) for name in names]
    logit = mean.logit + np.sum(parts, axis=0)
    return BranchFigures(auc(labels, logit), log_loss(labels, logit))


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
