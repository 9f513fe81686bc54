"""The deep branch to the factorization machine that comes nearest to it, by least squares.

Squared error over the product of the marginals, factor size 32, fresh draws for each sweep. A
factorization machine is linear in the weight and factors of one field's features once the other
fields are held, so a sweep solves field after field exactly (alternating least squares) instead
of taking small steps: about ten sweeps come as far as thousands of gradient steps.

Each feature's normal equations are kept from sweep to sweep and fade slowly, and a sweep only
solves for the change: so the fit averages over its draws instead of following the last ones. A
ridge on the change, as wide as the factors are long, steadies what few draws say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from deepfm.explanation.beyond.marginals import FoldedNetwork, Marginals, Places
from deepfm.explanation.beyond.pair_model import PairModel, pairs_of, purified, sum_of
from deepfm.trained.weights import Float32s, Float64s

FACTOR_SIZE: Final = 32
SWEEP_DRAWS: Final = 50_000
LINEAR_SWEEPS: Final = 3
MOST_SWEEPS: Final = 24
PATIENCE: Final = 4
"""So many sweeps must gain at least ENOUGH together, or the fit is done."""
ENOUGH: Final = 0.002
"""A share of the variance."""
NOTHING_LEFT: Final = 1e-5
FADE: Final = 0.9
"""How much of the normal equations the next sweep keeps."""
START_SHARE: Final = 0.1
"""How much of what single fields leave unexplained the factors' random start may vary by."""


@dataclass
class _State:
    """The fit in work, on targets of mean 0 and variance 1.

    linear        float32[V']
    factors       float32[V', K]
    counts        float64[V']             draws that each feature has had, faded
    equations     float32[V', K+1, K+1]   Σ [1, s][1, s]ᵀ over these draws
    left          the share of the variance that was unexplained on the last fresh draws
    history       that share, sweep by sweep
    """

    marginals: Marginals
    linear: Float32s
    factors: Float32s
    counts: Float64s
    equations: Float32s
    left: float = 1.0
    history: list[float] = field(default_factory=list)


def fit_pairs(
    network: FoldedNetwork,
    marginals: Marginals,
    rng: np.random.Generator,
    on_sweep: Callable[[int, int], None],
    heed: Callable[[], None],
) -> PairModel:
    """The fit, as a PairModel of the network's own output.

    on_sweep   called with sweeps done and sweeps at most
    heed       called often; what it raises ends the fit
    """
    outputs = network(marginals.balanced(rng, SWEEP_DRAWS), heed)
    mean, spread = float(outputs.mean()), float(outputs.std())
    state = _start(marginals)
    most = LINEAR_SWEEPS + (MOST_SWEEPS if marginals.num_fields > 1 else 0)
    if spread > 0:
        for sweep in range(most):
            on_sweep(sweep, most)
            places = marginals.balanced(rng, SWEEP_DRAWS)
            target = ((network(places, heed) - mean) / spread).astype(np.float32)
            if sweep < LINEAR_SWEEPS:
                _linear_sweep(state, places, target)
                continue
            if sweep == LINEAR_SWEEPS:
                _begin_factors(state, rng)
            _pair_sweep(state, places, target, heed)
            if _settled(state.history):
                break
    on_sweep(most, most)
    return purified(
        marginals,
        mean,
        spread * state.linear.astype(np.float64),
        np.float32(np.sqrt(spread)) * state.factors,
    )


def _start(marginals: Marginals) -> _State:
    features, size = len(marginals.features), FACTOR_SIZE + 1
    return _State(
        marginals,
        np.zeros(features, np.float32),
        np.zeros((features, FACTOR_SIZE), np.float32),
        np.zeros(features),
        np.zeros((features, size, size), np.float32),
    )


def _linear_sweep(state: _State, places: Places, target: Float32s) -> None:
    """Main effects by backfitting: each feature moves by its mean residual over all its draws."""
    residual = target - sum_of(state.linear, places).astype(np.float32)
    for number, span in enumerate(state.marginals.fields()):
        local = places[number] - span.start
        size = span.stop - span.start
        state.counts[span] += np.bincount(local, minlength=size)
        change = np.bincount(local, residual, size) / state.counts[span]
        state.linear[span] += change.astype(np.float32)
        residual -= change.astype(np.float32)[local]
    state.left = float((residual**2).mean())


def _begin_factors(state: _State, rng: np.random.Generator) -> None:
    """Small random factors, and equations that know how well the weights are known already."""
    fields = state.marginals.num_fields
    variance = START_SHARE * state.left / (fields * (fields - 1) / 2 * FACTOR_SIZE)
    state.factors[:] = variance**0.25 * rng.standard_normal(state.factors.shape)
    state.equations[:, 0, 0] = state.counts


def _pair_sweep(state: _State, places: Places, target: Float32s, heed: Callable[[], None]) -> None:
    """Solve for the weights and factors of each field in turn, the others held."""
    fitted = sum_of(state.linear, places) + pairs_of(state.factors, places)
    residual = target - fitted.astype(np.float32)
    fresh = float((residual**2).mean())
    state.history.append(fresh)
    state.left = min(state.left, fresh)
    total = np.zeros((places.shape[1], FACTOR_SIZE), np.float32)
    for row in places:
        total += state.factors[row]
    for number, span in enumerate(state.marginals.fields()):
        heed()
        local = places[number] - span.start
        total -= state.factors[places[number]]
        change = _solve_field(state, span, local, total, residual)
        residual -= change[local, 0] + np.einsum("nk,nk->n", change[local, 1:], total)
        state.linear[span] += change[:, 0]
        state.factors[span] += change[:, 1:]
        total += state.factors[places[number]]


def _solve_field(
    state: _State, span: slice, local: Places, others: Float32s, residual: Float32s
) -> Float32s:
    """By how much each feature's weight and factors change, float32[features, K + 1].

    others   float32[n, K]   the sum of the other fields' factors, s
    """
    order = np.argsort(local, kind="stable")
    inputs = np.ones((len(local), FACTOR_SIZE + 1), np.float32)
    inputs[:, 1:] = others[order]
    sorted_residual = residual[order]
    ends = np.cumsum(np.bincount(local, minlength=span.stop - span.start)).tolist()
    equations = state.equations[span]
    equations *= np.float32(FADE)
    right = np.empty(equations.shape[:2], np.float32)
    for feature, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        rows = inputs[start:end]
        equations[feature] += rows.T @ rows
        right[feature] = rows.T @ sorted_residual[start:end]
    solvable = equations.astype(np.float64)
    diagonal = np.arange(1, FACTOR_SIZE + 1)
    length = float((state.factors[span] ** 2).mean())
    solvable[:, diagonal, diagonal] += state.left / max(length, 1e-12)
    return np.linalg.solve(solvable, right[..., None])[..., 0].astype(np.float32)


def _settled(history: list[float]) -> bool:
    """Whether the last sweeps together gained too little to go on, or nothing is left to gain."""
    if history[-1] < NOTHING_LEFT:
        return True
    return len(history) > PATIENCE and history[-1 - PATIENCE] - history[-1] < ENOUGH
