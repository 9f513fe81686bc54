"""A trained model and one impression to the reasons for its score, field by field."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepfm.data.vocabulary import as_text
from deepfm.errors import ConfigError
from deepfm.explanation import shapley
from deepfm.explanation.populations import Population, TrainingSample, reference_for
from deepfm.explanation.shapley import DeepByField
from deepfm.terms import TERM_NAMES, sigmoid
from deepfm.trained import Impression, PopulationKind, Reference, TrainedModel
from deepfm.trained.reference import TYPICAL
from deepfm.trained.weights import Float64s, Ids

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

MAX_PERMUTATIONS: Final = 100_000


@dataclass(frozen=True)
class Explanation:
    """Why one impression got its score: base + linear + pairwise + deep = logit.

    Each term is centred, that is, minus its mean over the reference population.

    values               field to raw text, as given
    seen_as              field to what the model takes it for: "rare or unseen", "12.5 to 30"
    part, row            where it stands in the run; None for one given by value
    label, truth         what happened, and the true probability; None where not known
    base, typical        mean logit over the reference, and its sigmoid
    linear_by_field      adds up to linear, exactly
    pairwise_by_field    adds up to pairwise, exactly
    pairs                (field, later field) to ⟨v, v'⟩ minus its mean; add up to pairwise;
                         empty for a model without a pairwise term
    deep_by_field        adds up to deep, exactly; None unless asked for
    deep_standard_error  of each of these; None with fewer than 3 permutations
    reference            the reference population in words
    reference_rows       how many impressions the means are over
    seconds              how long it took
    reference_kind       "sample", "slice", "other" or "all"
    against              what base and typical stand for: "a typical impression", "row 3 of the …"
    advice               what to do for a better reference, "" where nothing is amiss
    reference_means      linear, pairwise, deep: means over the reference, which add up to base
    deep_draws           the draws behind deep_by_field, to which `more_draws` adds
    """

    values: dict[str, str]
    seen_as: dict[str, str]
    ids: Ids = field(compare=False)
    part: str | None
    row: int | None
    label: float | None
    truth: float | None
    terms: tuple[str, ...]
    base: float
    typical: float
    linear: float
    pairwise: float
    deep: float
    logit: float
    probability: float
    linear_by_field: dict[str, float]
    pairwise_by_field: dict[str, float]
    pairs: dict[tuple[str, str], float]
    deep_by_field: dict[str, float] | None
    deep_standard_error: dict[str, float] | None
    reference: str
    reference_rows: int
    seconds: float
    reference_kind: PopulationKind = "sample"
    against: str = TYPICAL
    advice: str = ""
    reference_means: dict[str, float] = field(default_factory=dict)
    deep_draws: DeepByField | None = field(default=None, compare=False, repr=False)

    def _repr_html_(self) -> str:
        from deepfm.explanation.notebook import explanation_html

        return explanation_html(self)

    @property
    def permutations(self) -> int:
        """How many random orders deep by field rests on; 0 without."""
        return 0 if self.deep_draws is None else self.deep_draws.draws

    def pair_matrix(self) -> Float64s:
        """The pairs as float64[F, F] in the order of the fields: symmetric, NaN on the diagonal.

        Half of the sum of all cells but the diagonal is the pairwise term. Zeros without one.
        """
        fields = len(self.values)
        matrix = np.zeros((fields, fields))
        if self.pairs:
            matrix[np.triu_indices(fields, 1)] = list(self.pairs.values())
            matrix += matrix.T
        np.fill_diagonal(matrix, np.nan)
        return matrix

    @property
    def seen_in_training(self) -> bool:
        """Whether the model was trained on this very row."""
        return self.part == "train"

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types, as the command line prints it."""
        return {
            "logit": self.logit,
            "probability": self.probability,
            "base": self.base,
            "typical": self.typical,
            "linear": self.linear_by_field,
            "pairwise": {f"{a} × {b}": value for (a, b), value in self.pairs.items()},
            "pairwise_by_field": self.pairwise_by_field,
            "deep": self.deep,
            "deep_by_field": self.deep_by_field,
            "deep_standard_error": self.deep_standard_error,
            "terms": {"linear": self.linear, "pairwise": self.pairwise, "deep": self.deep},
            "values": self.values,
            "seen_as": self.seen_as,
            "part": self.part,
            "row": self.row,
            "label": self.label,
            "truth": self.truth,
            "seen_in_training": self.seen_in_training,
            "reference": self.reference,
            "reference_rows": self.reference_rows,
            "reference_kind": self.reference_kind,
            "reference_means": self.reference_means,
            "advice": self.advice,
            "permutations": self.permutations,
            "seconds": self.seconds,
        }


def explain(
    model: TrainedModel,
    impression: Mapping[str, str | float | None] | None = None,
    *,
    part: str | None = None,
    row: int | None = None,
    permutations: int = 0,
    seed: int = 0,
    reference: Reference | Population | None = None,
    dataset: "Dataset | None" = None,
) -> Explanation:
    """Explain an impression given by value (every field), or row `row` of a part of the run.

    permutations  random orders for deep by field (each with its reverse); 0 leaves it out
    reference     what to measure against: a population (`TrainingSample`, the default,
                  `TrainingSlice`, `OtherImpression`, `AllTrainingRows`), or what `reference_for`
                  made of one, which is quicker for many impressions
    dataset       the run's own, for a slice of all training rows

    SchemaError for an unknown or missing field, RunError for a row that the run does not keep,
    ConfigError for neither or both of impression and row, or permutations out of bounds.
    """
    started = time.perf_counter()
    if (impression is None) == (row is None) or (impression is not None and part is not None):
        raise ConfigError("Give either an impression by value, or a row and its part.")
    _check_permutations(permutations, 0)
    kept = model.impression(part, row) if row is not None else None
    given = kept.fields if kept is not None else impression
    assert given is not None
    ids = model.encode(given) if kept is None else kept.ids
    if not isinstance(reference, Reference):
        reference = reference_for(model, reference or TrainingSample(), dataset)
    parts = _Parts.of(model, reference, ids)
    draws = _draws(model, reference, ids, permutations, seed) if permutations else None
    return _explanation(model, parts, given, kept, draws, started)


def more_draws(
    model: TrainedModel,
    explanation: Explanation,
    permutations: int,
    reference: Reference | None = None,
    seed: int = 0,
) -> Explanation:
    """The same explanation with deep by field from `permutations` draws in all.

    Those it has are kept, and the sequence goes on where it ended: the result is that of asking
    for all of them at once. Fewer than it has are the first of them.

    reference  the population it was explained against; by default the run's own
    ConfigError where the explanation is of another population, or permutations are out of bounds.
    """
    started = time.perf_counter()
    _check_permutations(permutations, 1)
    reference = reference or model.reference
    if (reference.name, reference.base) != (explanation.reference, explanation.base):
        raise ConfigError(
            f"The explanation is against {explanation.reference}, not {reference.name}. "
            "Give the population that it was made with."
        )
    so_far = explanation.deep_draws
    if so_far is not None:
        seed = so_far.seed
    draws = _draws(model, reference, explanation.ids, permutations, seed, so_far)
    names = [field.name for field in model.fields]
    return dataclasses.replace(
        explanation,
        deep_by_field=_named(names, draws.values),
        deep_standard_error=_error(names, draws),
        deep_draws=draws,
        seconds=explanation.seconds + time.perf_counter() - started,
    )


def _check_permutations(permutations: int, least: int) -> None:
    if not least <= permutations <= MAX_PERMUTATIONS:
        raise ConfigError(
            f"Permutations is {permutations}. It must be at least {least} and at most "
            f"{MAX_PERMUTATIONS:,}."
        )


@dataclass(frozen=True)
class _Parts:
    """The numbers of one explanation, fields by position: float64[F], pairs float64[F, F]."""

    ids: Ids
    reference: Reference
    linear: Float64s
    pairwise: Float64s
    pairs: Float64s
    deep: float

    @classmethod
    def of(cls, model: TrainedModel, reference: Reference, ids: Ids) -> "_Parts":
        weights = model.weights
        return cls(
            ids=ids,
            reference=reference,
            linear=shapley.linear_by_field(weights, reference, ids),
            pairwise=shapley.pairwise_by_field(weights, reference, ids),
            pairs=shapley.pairs(weights, reference, ids),
            deep=float(weights.deep(ids[None])[0] - reference.mean.deep[0]),
        )


def _draws(
    model: TrainedModel,
    reference: Reference,
    ids: Ids,
    permutations: int,
    seed: int,
    so_far: DeepByField | None = None,
) -> DeepByField:
    """Deep by field; nothing, and that for sure, in a model without a network."""
    if "deep" in model.model.terms:
        return shapley.deep_by_field(model.weights, reference, ids, permutations, seed, so_far)
    nothing = np.zeros((permutations, len(model.fields)))
    return DeepByField(nothing[0], nothing[0], nothing, nothing[:, 0], seed)


def _explanation(
    model: TrainedModel,
    parts: _Parts,
    given: Mapping[str, str | float | None],
    kept: Impression | None,
    draws: DeepByField | None,
    started: float,
) -> Explanation:
    names = [field.name for field in model.fields]
    base = parts.reference.base
    linear, pairwise = float(parts.linear.sum()), float(parts.pairwise.sum())
    logit = base + linear + pairwise + parts.deep
    typical, probability = sigmoid(np.array([base, logit])).tolist()
    return Explanation(
        values={name: as_text(given[name]) for name in names},
        seen_as=model.decode(parts.ids),
        ids=parts.ids,
        part=kept.part if kept else None,
        row=kept.row if kept else None,
        label=kept.label if kept else None,
        truth=kept.truth if kept else None,
        terms=model.model.terms,
        base=base,
        typical=typical,
        linear=linear,
        pairwise=pairwise,
        deep=parts.deep,
        logit=logit,
        probability=probability,
        linear_by_field=_named(names, parts.linear),
        pairwise_by_field=_named(names, parts.pairwise),
        pairs={
            (first, second): float(parts.pairs[i, i + 1 + j])
            for i, first in enumerate(names)
            for j, second in enumerate(names[i + 1 :])
            if "pairwise" in model.model.terms
        },
        deep_by_field=None if draws is None else _named(names, draws.values),
        deep_standard_error=None if draws is None else _error(names, draws),
        reference=parts.reference.name,
        reference_rows=len(parts.reference),
        seconds=time.perf_counter() - started,
        reference_kind=parts.reference.kind,
        against=parts.reference.against,
        advice=parts.reference.advice,
        reference_means=dict(
            zip(TERM_NAMES, (float(mean[0]) for mean in parts.reference.mean), strict=True)
        ),
        deep_draws=draws,
    )


def _error(names: list[str], draws: DeepByField) -> dict[str, float] | None:
    return None if draws.standard_error is None else _named(names, draws.standard_error)


def _named(names: list[str], values: Float64s) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
