"""Draws of the deep branch and of the fit to shares of variance with their standard errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from deepfm.explanation.beyond.marginals import FoldedNetwork, Marginals, Places
from deepfm.explanation.beyond.pair_model import PairModel
from deepfm.trained.weights import Float32s, Float64s

PART_DRAWS: Final = 4_000
"""Draws for each field when it is asked which fields take part beyond pairs."""


@dataclass(frozen=True)
class Share:
    """A share of a variance, 0.3 for 30 %, and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Division:
    """How a variance divides; the three shares add up to 1, or are 0 where nothing varies.

    singles   what single fields explain, each by itself: 1 − beyond − pairs
    pairs     what pairs of fields explain on top of that
    beyond    what needs three fields or more: an upper bound, since a better fit may be found
    variance  what is divided, in logit units squared
    """

    singles: Share
    pairs: Share
    beyond: Share
    variance: float


def division_of(values: Float64s, singles: Float64s, fitted: Float64s) -> Division:
    """Shares of the variance of `values` over n draws.

    singles   float64[n]   what single fields say of each value
    fitted    float64[n]   what single fields and pairs say

    A share is a ratio a / b of means, b the variance: its standard error is the spread of
    (a_k − share · b_k) / b over √n (delta method).
    """
    centred = (values - values.mean()) ** 2
    variance = float(centred.mean())
    if variance == 0.0:
        nothing = Share(0.0, 0.0)
        return Division(nothing, nothing, nothing, 0.0)
    without_singles, without_pairs = (values - singles) ** 2, (values - fitted) ** 2
    return Division(
        singles=_share(centred - without_singles, centred),
        pairs=_share(without_singles - without_pairs, centred),
        beyond=_share(without_pairs, centred),
        variance=variance,
    )


def unexplained(values: Float64s, fitted: Float64s) -> Share:
    """1 − R² of `fitted` for `values`; 0 where they do not vary."""
    return division_of(values, fitted, fitted).beyond


def _share(parts: Float64s, whole: Float64s) -> Share:
    value, base = float(parts.mean() / whole.mean()), float(whole.mean())
    spread = np.std((parts - value * whole) / base, ddof=1) if len(parts) > 1 else 0.0
    return Share(value, float(spread / np.sqrt(len(parts))))


def parts_beyond(
    network: FoldedNetwork,
    marginals: Marginals,
    model: PairModel,
    variance: float,
    rng: np.random.Generator,
    heed: Callable[[], None],
) -> list[Share]:
    """For each field, the share of the deep branch's variance beyond pairs that it takes part in.

    The total index of what the fit leaves over, ½ E[(e(x) − e(x'))²] / variance, where x' is x
    with that field drawn anew (Jansen 1999). An effect of three fields counts for each of them.
    """
    places = marginals.independent(rng, PART_DRAWS)
    anew = marginals.independent(rng, PART_DRAWS)
    sums = network.first_sums(places)
    before = _deep(network, sums)
    total = np.zeros((PART_DRAWS, model.factors.shape[1]), np.float32)
    for row in places:
        total += model.factors[row]
    shares = []
    for field in range(marginals.num_fields):
        heed()
        old, new = places[field], anew[field]
        changed = sums + (network.folded[new] - network.folded[old])
        others = total - model.factors[old]
        fitted = _change(model, old, new, others)
        moved = (_deep(network, changed) - before - fitted) ** 2 / (2 * variance)
        error = float(moved.std(ddof=1) / np.sqrt(PART_DRAWS))
        shares.append(Share(float(moved.mean()), error))
    return shares


def _deep(network: FoldedNetwork, sums: Float32s) -> Float64s:
    return network.weights.deep_after_first_layer(sums)


def _change(model: PairModel, old: Places, new: Places, others: Float32s) -> Float64s:
    """By how much the fit changes when one field goes from `old` to `new`."""
    singles = model.single[new] - model.single[old]
    pairs = np.einsum("nk,nk->n", model.factors[new] - model.factors[old], others)
    return singles + pairs
