"""A trained model to what its deep branch adds beyond pairs: fit, then look at fresh draws."""

import itertools
import time
from typing import Final

import numpy as np

from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.errors import RunError
from deepfm.evaluation import term_shares
from deepfm.explanation.beyond.fit import fit_pairs
from deepfm.explanation.beyond.marginals import (
    FoldedNetwork,
    Marginals,
    Places,
    fold,
    marginals_of,
)
from deepfm.explanation.beyond.measures import Share, division_of, parts_beyond, unexplained
from deepfm.explanation.beyond.pair_model import PairModel, pairs_of, purified, sum_of
from deepfm.explanation.beyond.result import Beyond
from deepfm.terms import Terms
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Float64s, Weights

DRAWS: Final = 50_000
_EXPECTED_DRAWS: Final = 700_000
"""About fourteen sweeps."""
_SECONDS_GATHERED: Final = 1e-9
_SECONDS_MULTIPLIED: Final = 4e-11
_SECONDS_SOLVED: Final = 4e-7
"""For one number added in the first layer, one weight of a later layer, one field of a draw."""
_FITTING: Final = "Fitting single fields and pairs"
_LOOKING: Final = "Looking at fresh draws"


def measure_beyond(
    model: TrainedModel,
    *,
    seed: int = 0,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Beyond:
    """Divide the deep branch's variance; the same seed gives the same figures.

    RunError for a model without a deep branch; Cancelled once `cancelled` says so.
    """
    started = time.perf_counter()
    require_deep(model)
    reporter = Reporter(on_event, cancelled)
    rng = np.random.default_rng(seed)
    marginals = marginals_of(model.reference_ids)
    network = fold(model.weights, marginals)
    reporter.plan(2)
    progress, looked_at = [0, 1], itertools.count()

    def heed() -> None:
        reporter.step(_FITTING, progress[0], progress[1], "sweeps")

    def on_sweep(done: int, most: int) -> None:
        progress[:] = done, most
        heed()

    fitted = fit_pairs(network, marginals, rng, on_sweep, heed)
    looked = _Looked.at(model.weights, network, marginals, fitted, rng)
    parts = [Share(0.0, 0.0)] * marginals.num_fields
    if looked.deep.var() > 0:
        parts = parts_beyond(
            network,
            marginals,
            fitted,
            float(looked.deep.var()),
            rng,
            lambda: reporter.step(_LOOKING, next(looked_at), marginals.num_fields, "fields"),
        )
    names = tuple(field.name for field in model.fields)
    return Beyond(
        fields=names,
        deep=division_of(looked.deep, looked.deep_singles, looked.deep_fitted),
        score=division_of(looked.score, looked.score_singles, looked.score_fitted),
        terms=_shares(looked.terms, model),
        on_reference=_on_reference(network, marginals, fitted),
        reference_rows=marginals.rows.shape[1],
        taking_part=dict(zip(names, parts, strict=True)),
        draws=DRAWS,
        seed=seed,
        seconds=time.perf_counter() - started,
        marginals=marginals,
        model=fitted,
    )


def expected_seconds(model: TrainedModel) -> float:
    """About how long `measure_beyond` takes on one core of 2024; 0 without a deep branch."""
    layers = model.weights.layers
    if not layers:
        return 0.0
    fields = len(model.fields)
    gathered = fields * len(layers[0].bias)
    multiplied = sum(layer.weight.size for layer in layers[1:])
    draw = gathered * _SECONDS_GATHERED + multiplied * _SECONDS_MULTIPLIED
    return _EXPECTED_DRAWS * (draw + fields * _SECONDS_SOLVED)


def require_deep(model: TrainedModel) -> None:
    """RunError, with the reason in words, for a model without a deep branch."""
    if "deep" not in model.model.terms:
        raise RunError(
            f"This run is {_with_article(model.model.name)}: it has no network, so nothing in it "
            "is beyond pairs. Choose a run with a deep branch, such as DeepFM."
        )


def _with_article(name: str) -> str:
    return f"an {name}" if name in ("LR", "FM") else f"a {name}"


class _Looked:
    """Fresh independent draws of the terms, and what the fit says of them; float64[n] each."""

    def __init__(
        self,
        terms: Terms,
        deep_singles: Float64s,
        deep_fitted: Float64s,
        score_singles: Float64s,
    ) -> None:
        self.terms = terms
        self.deep = np.asarray(terms.deep, np.float64)
        self.score = np.asarray(terms.logit, np.float64)
        self.deep_singles = deep_singles
        self.deep_fitted = deep_fitted
        self.score_singles = score_singles
        self.score_fitted = np.asarray(terms.fm, np.float64) + deep_fitted

    @classmethod
    def at(
        cls,
        weights: Weights,
        network: FoldedNetwork,
        marginals: Marginals,
        fitted: PairModel,
        rng: np.random.Generator,
    ) -> "_Looked":
        places = marginals.independent(rng, DRAWS)
        fm = _fm_branch(weights, marginals)
        deep_singles = fitted.singles(places)
        terms = _terms(weights, marginals, network, places)
        return cls(
            terms,
            deep_singles,
            deep_singles + fitted.pairs(places),
            fm.singles(places) + deep_singles,
        )


def _fm_branch(weights: Weights, marginals: Marginals) -> PairModel:
    """The FM branch over the same population, in the same form: exact."""
    return purified(
        marginals,
        weights.linear_bias,
        weights.linear_effects[marginals.features],
        weights.factors[marginals.features],
    )


def _terms(weights: Weights, marginals: Marginals, network: FoldedNetwork, places: Places) -> Terms:
    linear = sum_of(weights.linear_effects[marginals.features], places) + weights.linear_bias
    pairwise = pairs_of(weights.factors[marginals.features], places)
    return Terms(linear, pairwise, network(places))


def _shares(terms: Terms, model: TrainedModel) -> dict[str, float]:
    shares = term_shares(terms).shares
    return {name: share for name, share in shares.items() if name in model.model.terms}


def _on_reference(network: FoldedNetwork, marginals: Marginals, fitted: PairModel) -> Share:
    rows = marginals.rows
    return unexplained(network(rows), fitted.singles(rows) + fitted.pairs(rows))
