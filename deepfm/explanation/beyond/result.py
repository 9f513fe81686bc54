"""What the network adds beyond pairs: the figures of a model, and one impression's parts."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from deepfm.explanation.beyond.marginals import (
    NOWHERE,
    FoldedNetwork,
    Marginals,
    fold,
)
from deepfm.explanation.beyond.measures import Division, Share
from deepfm.explanation.beyond.pair_model import PairModel
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Float32s, Float64s, Ids

MOST_PAIRS_TOLD: Final = 20
UNSEEN_DRAWS: Final = 2_000
"""Draws for the effects of a value that no reference row has."""


@dataclass(frozen=True)
class PairStrength:
    """How strongly the network ties two fields together, beyond what each says alone.

    spread   of the pair's effect over the product of the marginals, logit units
    share    of the deep branch's variance
    """

    first: str
    second: str
    spread: float
    share: float


@dataclass(frozen=True, eq=False)
class Beyond:
    """The deep branch of one model, divided over the product of the reference's marginals.

    deep            its variance: single fields, pairs, three or more
    score           the same of the whole logit, whose FM branch is singles and pairs by its form
    terms           the raw split of the same logit's variance: cov(term, logit)/var(logit)
    on_reference    1 − R² of the same fit on the reference rows, whose fields belong together
    taking_part     field → the share beyond pairs that it takes part in (they overlap)
    draws           fresh independent draws behind `deep` and `score`
    """

    fields: tuple[str, ...]
    deep: Division
    score: Division
    terms: dict[str, float]
    on_reference: Share
    reference_rows: int
    taking_part: dict[str, Share]
    draws: int
    seed: int
    seconds: float
    marginals: Marginals
    model: PairModel

    @property
    def is_idle(self) -> bool:
        """Whether the network gives every impression the same, so that nothing can be divided."""
        return self.deep.variance == 0.0

    def pairs(self) -> list[PairStrength]:
        """Every pair of fields in the network, the strongest first."""
        spreads = self.model.pair_spreads(self.marginals)
        variance = self.deep.variance or 1.0
        found = [
            PairStrength(first, second, float(spreads[i, j]), float(spreads[i, j] ** 2 / variance))
            for i, first in enumerate(self.fields)
            for j, second in enumerate(self.fields)
            if i < j
        ]
        return sorted(found, key=lambda pair: -pair.spread)

    def singles(self) -> dict[str, float]:
        """Field → spread of its single effect in the network, logit units."""
        spreads = self.model.single_spreads(self.marginals)
        return dict(zip(self.fields, spreads.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types, as the command line prints it; the 20 strongest pairs."""
        return {
            "deep": asdict(self.deep),
            "score": asdict(self.score),
            "terms": self.terms,
            "on_reference": asdict(self.on_reference),
            "reference_rows": self.reference_rows,
            "singles": self.singles(),
            "pairs": {
                f"{pair.first} × {pair.second}": pair.spread
                for pair in self.pairs()[:MOST_PAIRS_TOLD]
            },
            "taking_part": {name: asdict(share) for name, share in self.taking_part.items()},
            "draws": self.draws,
            "seed": self.seed,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class BeyondOfOne:
    """One impression's deep branch: mean + Σ singles + Σ pairs + beyond = deep, exactly.

    mean          of the deep branch over the product of the marginals
    singles       field → what its value says alone
    pairs         (field, later field) → what two values say by meeting, beyond each alone
    beyond        deep − fit: what no list of pairs says
    typical       the root mean square of `beyond` over the population, to compare it with
    unseen        fields whose value no reference row has; their effects were fitted when asked
    """

    deep: float
    mean: float
    singles: dict[str, float]
    pairs: dict[tuple[str, str], float]
    beyond: float
    typical: float
    unseen: tuple[str, ...]

    @property
    def singles_total(self) -> float:
        """What single values say together."""
        return sum(self.singles.values())

    @property
    def pairs_total(self) -> float:
        """What pairs of values say together."""
        return sum(self.pairs.values())

    @property
    def centred(self) -> float:
        """deep − mean, which the three parts add up to."""
        return self.deep - self.mean

    def strongest_pairs(self) -> list[tuple[tuple[str, str], float]]:
        """The pairs, the strongest first."""
        return sorted(self.pairs.items(), key=lambda item: -abs(item[1]))


def beyond_of_one(model: TrainedModel, found: Beyond, ids: Ids) -> BeyondOfOne:
    """The parts of one impression's deep branch, for ids int32[F]."""
    places = found.marginals.places_of(ids[None])[:, 0]
    known = np.maximum(places, 0)
    single, factors = found.model.single[known].copy(), found.model.factors[known].copy()
    unseen = np.flatnonzero(places == NOWHERE)
    if len(unseen):
        network = fold(model.weights, found.marginals)
        for field in unseen.tolist():
            single[field], factors[field] = _effects_of(network, found, int(ids[field]), field)
    products = factors.astype(np.float64) @ factors.T.astype(np.float64)
    deep = float(model.weights.deep(ids[None])[0])
    pairs = {
        (first, second): float(products[i, j])
        for i, first in enumerate(found.fields)
        for j, second in enumerate(found.fields)
        if i < j
    }
    fitted = found.model.mean + float(single.sum()) + sum(pairs.values())
    return BeyondOfOne(
        deep=deep,
        mean=found.model.mean,
        singles=dict(zip(found.fields, single.tolist(), strict=True)),
        pairs=pairs,
        beyond=deep - fitted,
        typical=float(np.sqrt(found.deep.beyond.value * found.deep.variance)),
        unseen=tuple(found.fields[field] for field in unseen),
    )


def _effects_of(
    network: FoldedNetwork, found: Beyond, feature: int, field: int
) -> tuple[float, Float32s]:
    """The single effect and the factors of a feature that no reference row has.

    The same least squares that the fit solves for every other feature, the other fields held.
    """
    rng = np.random.default_rng(found.seed)
    places = found.marginals.balanced(rng, UNSEEN_DRAWS)
    own = network.weights.first_layer(np.array([feature], np.int32), field)
    sums = network.first_sums(places) - network.folded[places[field]] + own
    outputs = network.weights.deep_after_first_layer(sums)
    others = np.delete(places, field, axis=0)
    target = outputs - found.model.singles(others) - found.model.pairs(others)
    inputs = np.ones((len(target), found.model.factors.shape[1] + 1))
    inputs[:, 1:] = sum(found.model.factors[row] for row in others) if len(others) else 0.0
    return _ridge(inputs, target, found, field)


def _ridge(inputs: Float64s, target: Float64s, found: Beyond, field: int) -> tuple[float, Float32s]:
    """Weight and factors; the ridge expects factors as long as those of the field's others."""
    equations = inputs.T @ inputs
    length = float((found.model.factors[found.marginals.field(field)] ** 2).mean())
    noise = max(found.deep.beyond.value * found.deep.variance, 1e-12)
    diagonal = np.arange(1, len(equations))
    equations[diagonal, diagonal] += noise / max(length, 1e-12)
    solution = np.linalg.solve(equations, inputs.T @ target)
    return float(solution[0]), solution[1:].astype(np.float32)
