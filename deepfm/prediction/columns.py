"""Feature indices to the score columns of a predicted file: terms and, if asked, contributions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from deepfm.errors import ConfigError
from deepfm.explanation.overall.fields import pairwise_by_field_of_all
from deepfm.explanation.reasons import MAX_PERMUTATIONS
from deepfm.explanation.shapley import deep_by_field
from deepfm.terms import TERM_NAMES, Floats
from deepfm.trained import TrainedModel
from deepfm.trained.weights import BLOCK_NUMBERS, Float64s, Ids

Contributions = Literal["none", "terms", "fields"]
CONTRIBUTIONS: Final[tuple[Contributions, ...]] = get_args(Contributions)

SCORES: Final = ("probability", "logit", *TERM_NAMES)
PREFIX: Final = "deepfm_"
_SEED: Final = 0
"""That of `explain`, so that both give the same numbers for the same impression."""

OnShare = Callable[[float], None]


@dataclass(frozen=True)
class ScoreColumns:
    """Which columns are added to each row, and their values.

    none    probability, logit, and the three terms as they are
    terms   also base, and each term minus its mean over the reference: base + these = logit
    fields  also the latter by field, linear:FIELD and pairwise:FIELD, exact; and with permutations
            deep:FIELD and deep_standard_error:FIELD, sampled as `explain` does
    """

    model: TrainedModel
    contributions: Contributions
    permutations: int

    def __post_init__(self) -> None:
        """ConfigError for permutations out of bounds, or without fields to share them out to."""
        if self.contributions not in CONTRIBUTIONS:
            raise ConfigError(
                f"Contributions are {', '.join(CONTRIBUTIONS)}, not {self.contributions!r}."
            )
        if not 0 <= self.permutations <= MAX_PERMUTATIONS:
            raise ConfigError(
                f"Permutations is {self.permutations}. It must be at least 0 and at most "
                f"{MAX_PERMUTATIONS:,}."
            )
        if self.permutations and self.contributions != "fields":
            raise ConfigError(
                "Permutations share the network's part out to the fields. "
                "Ask for contributions by field too: --contributions fields."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in their order."""
        names = [*SCORES]
        if self.contributions != "none":
            names += ["base", *(f"{term}_contribution" for term in TERM_NAMES)]
        names += [f"{kind}:{field.name}" for kind in self._by_field for field in self.model.fields]
        return tuple(names)

    @property
    def rows_at_once(self) -> int:
        """How many rows may be computed together, so that memory stays bounded."""
        widest = max(len(self.names), len(self.model.fields) * (1 + self.model.model.num_factors))
        return max(1, BLOCK_NUMBERS // widest)

    def of(self, ids: Ids, on_share: OnShare = lambda share: None) -> list[Floats]:
        """A value a row for every column, for int32[N, F]; NaN where there is none.

        on_share  called with the share of the rows that is done; what it raises ends the work
        """
        terms = self.model.score(ids)
        columns: list[Floats] = [terms.probability, terms.logit, *terms]
        if self.contributions != "none":
            mean = self.model.reference.mean
            columns.append(np.full(len(ids), self.model.reference.base))
            columns += [own - typical for own, typical in zip(terms, mean, strict=True)]
        for term in self._exact_terms:
            columns += [*self._exact(term, ids).T]
        if self._samples:
            columns += [*np.hstack(self._sampled(ids, on_share)).T]
        return columns

    @property
    def _samples(self) -> bool:
        return self.permutations > 0 and "deep" in self.model.model.terms

    @property
    def _exact_terms(self) -> tuple[str, ...]:
        """The terms with a column for every field that needs no sampling."""
        if self.contributions != "fields":
            return ()
        return tuple(term for term in ("linear", "pairwise") if term in self.model.model.terms)

    @property
    def _by_field(self) -> tuple[str, ...]:
        """What has a column for every field; a term that the model lacks has none."""
        return self._exact_terms + (("deep", "deep_standard_error") if self._samples else ())

    def _exact(self, term: str, ids: Ids) -> Float64s:
        """Linear or pairwise by field, float64[N, F]."""
        weights, reference = self.model.weights, self.model.reference
        if term == "linear":
            return weights.linear_effects[ids] - reference.linear_means
        return pairwise_by_field_of_all(weights, reference, ids)

    def _sampled(self, ids: Ids, on_share: OnShare) -> tuple[Float64s, Float64s]:
        """Deep by field and its standard error, float64[N, F] each; rows alike are sampled once."""
        different, places = np.unique(ids, axis=0, return_inverse=True)
        values = np.empty(different.shape)
        errors = np.full(different.shape, np.nan)
        for number, row in enumerate(different):
            found = deep_by_field(
                self.model.weights, self.model.reference, row, self.permutations, _SEED
            )
            values[number] = found.values
            if found.standard_error is not None:
                errors[number] = found.standard_error
            on_share((number + 1) / len(different))
        return values[places], errors[places]
