"""A trained model and one impression to the reasons for its score, field by field."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepfm.data.vocabulary import as_text
from deepfm.errors import ConfigError
from deepfm.explanation import shapley
from deepfm.terms import sigmoid
from deepfm.trained import Impression, Reference, TrainedModel
from deepfm.trained.weights import Float64s, Ids

MAX_PERMUTATIONS = 100_000


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
    seconds              how long it took
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
    reference: Reference | None = None,
) -> Explanation:
    """Explain an impression given by value (every field), or row `row` of a part of the run.

    permutations  random orders for deep by field (each with its reverse); 0 leaves it out
    reference     by default the run's own

    SchemaError for an unknown or missing field, RunError for a row that the run does not keep,
    ConfigError for neither or both of impression and row, or permutations out of bounds.
    """
    started = time.perf_counter()
    if (impression is None) == (row is None) or (impression is not None and part is not None):
        raise ConfigError("Give either an impression by value, or a row and its part.")
    if not 0 <= permutations <= MAX_PERMUTATIONS:
        raise ConfigError(
            f"Permutations is {permutations}. It must be at least 0 and at most "
            f"{MAX_PERMUTATIONS:,}."
        )
    kept = model.impression(part, row) if row is not None else None
    given = kept.fields if kept is not None else impression
    assert given is not None
    ids = model.encode(given) if kept is None else kept.ids
    parts = _Parts.of(model, reference or model.reference, ids)
    deep_by_field, deep_error = _deep_by_field(model, parts, permutations, seed)
    return _explanation(model, parts, given, kept, deep_by_field, deep_error, started)


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
            deep=float(weights.deep(ids[None])[0] - reference.deep.mean()),
        )


def _deep_by_field(
    model: TrainedModel, parts: _Parts, permutations: int, seed: int
) -> tuple[Float64s | None, Float64s | None]:
    if not permutations:
        return None, None
    if "deep" not in model.model.terms:
        nothing = np.zeros(len(model.fields))
        return nothing, nothing
    result = shapley.deep_by_field(model.weights, parts.reference, parts.ids, permutations, seed)
    return result.values, result.standard_error


def _explanation(
    model: TrainedModel,
    parts: _Parts,
    given: Mapping[str, str | float | None],
    kept: Impression | None,
    deep_by_field: Float64s | None,
    deep_error: Float64s | None,
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
        deep_by_field=None if deep_by_field is None else _named(names, deep_by_field),
        deep_standard_error=None if deep_error is None else _named(names, deep_error),
        reference=parts.reference.name,
        reference_rows=len(parts.reference),
        seconds=time.perf_counter() - started,
    )


def _named(names: list[str], values: Float64s) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
