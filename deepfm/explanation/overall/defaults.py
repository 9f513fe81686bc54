"""Each field's default feature, “rare or unseen”, to what it does to a score."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepfm.trained import Reference, TrainedModel
from deepfm.trained.weights import Float64s


@dataclass(frozen=True)
class DefaultEffect:
    """What the score does on average when one field's value becomes “rare or unseen”.

    linear, pairwise, deep  mean change over the reference population, all else left as it is
    spread                  of the change of their sum over the population (standard deviation)
    rows, clicks            training rows that the default stands for, and clicks among them
    values                  distinct values of the training rows that it stands for
    """

    field: str
    linear: float
    pairwise: float
    deep: float
    spread: float
    rows: int
    clicks: int
    values: int

    @property
    def total(self) -> float:
        """The mean change of the logit."""
        return self.linear + self.pairwise + self.deep

    @property
    def click_rate(self) -> float | None:
        """Clicks per training row; None where it stands for none."""
        return self.clicks / self.rows if self.rows else None

    @property
    def trained(self) -> bool:
        """Whether any training row has it; without one its weights are where they started."""
        return self.rows > 0


def default_effects(
    model: TrainedModel,
    reference: Reference | None = None,
    on_field: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[DefaultEffect, ...]:
    """One for each field, in the order of the model's input.

    on_field  called with fields done and fields in all; what it raises ends the work
    """
    reference = reference or model.reference
    before = np.array(list(model.score(reference.ids)))
    found = []
    for place in range(len(model.fields)):
        on_field(place, len(model.fields))
        found.append(_effect(model, reference, place, before))
    on_field(len(model.fields), len(model.fields))
    return tuple(found)


def _effect(
    model: TrainedModel, reference: Reference, place: int, before: Float64s
) -> DefaultEffect:
    field, vocabulary = model.fields[place], model.vocabulary
    changed = reference.ids.copy()
    changed[:, place] = field.default
    change = np.array(list(model.score(changed))) - before
    linear, pairwise, deep = change.mean(axis=1).tolist()
    return DefaultEffect(
        field.name,
        linear,
        pairwise,
        deep,
        float(change.sum(axis=0).std()),
        int(vocabulary.counts[field.default]),
        int(vocabulary.clicks[field.default]),
        _values_behind(model, place),
    )


def _values_behind(model: TrainedModel, place: int) -> int:
    """Distinct values that share the default; a numeric field's default stands for none."""
    field = model.fields[place]
    if field.role == "numeric":
        return 0
    return max(0, model.vocabulary.distinct[place] - (field.size - 1))
