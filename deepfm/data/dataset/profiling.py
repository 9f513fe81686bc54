"""A dataset to what a person wants to know of each field: values, coverage, click rates."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from deepfm.data.dataset.folder import Dataset, Summary
from deepfm.data.vocabulary import MISSING, Field, FieldRole, Vocabulary
from deepfm.intervals import wilson_interval


@dataclass(frozen=True)
class ValueProfile:
    """One feature over the training rows.

    value       raw text; "" is an empty cell, "rare or unseen" the field's default
    rate        clicks per row, with its 95 % interval low … high; None without rows
    """

    value: str
    index: int
    count: int
    clicks: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FieldProfile:
    """One field over the training rows.

    cardinality   how many different values (of a numeric field: numbers)
    kept          how many values have a feature of their own (numeric: buckets)
    rare          how many values share the default because they are seen too seldom
    coverage      share of the rows whose value has a feature of its own
    missing       rows with an empty cell, or without a number
    values        the commonest features, then the default if it was cut off
    """

    name: str
    role: FieldRole
    cardinality: int
    kept: int
    rare: int
    coverage: float
    missing: int
    values: tuple[ValueProfile, ...]


@dataclass(frozen=True)
class Profile:
    """A dataset in figures, whole and field by field."""

    summary: Summary
    fields: tuple[FieldProfile, ...]

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            "summary": self.summary.to_dict(),
            "fields": [dataclasses.asdict(field) for field in self.fields],
        }


def profile(dataset: Dataset, *, top: int = 20) -> Profile:
    """What is in the data, and how the model will see it; reads the vocabulary only.

    top   how many values of each field to give
    """
    vocabulary = dataset.vocabulary
    fields = [
        _field_profile(vocabulary, field, distinct, top)
        for field, distinct in zip(vocabulary.fields, vocabulary.distinct, strict=True)
    ]
    return Profile(dataset.summary(), tuple(fields))


def _field_profile(vocabulary: Vocabulary, field: Field, distinct: int, top: int) -> FieldProfile:
    rows = int(vocabulary.counts[field.indices].sum())
    rare_rows = int(vocabulary.counts[field.default])
    kept = field.size - (1 if field.role == "categorical" else 2)
    return FieldProfile(
        name=field.name,
        role=field.role,
        cardinality=distinct,
        kept=kept,
        rare=distinct - kept if field.role == "categorical" else 0,
        coverage=1 - rare_rows / rows,
        missing=_missing_rows(vocabulary, field),
        values=_value_profiles(vocabulary, field, top),
    )


def _missing_rows(vocabulary: Vocabulary, field: Field) -> int:
    text = MISSING if field.role == "numeric" else ""
    index = int(vocabulary.encode_column(field.name, [text])[0])
    return int(vocabulary.counts[index]) if index != field.default else 0


def _value_profiles(vocabulary: Vocabulary, field: Field, top: int) -> tuple[ValueProfile, ...]:
    values = vocabulary.values(field.name)
    shown = [*range(min(top, len(values) - 1)), len(values) - 1]
    low, high = wilson_interval(values.clicks[shown], values.count[shown])
    return tuple(
        ValueProfile(
            value=values.value[i],
            index=int(values.index[i]),
            count=int(values.count[i]),
            clicks=int(values.clicks[i]),
            rate=int(values.clicks[i]) / int(values.count[i]) if values.count[i] else None,
            low=float(low[place]) if values.count[i] else None,
            high=float(high[place]) if values.count[i] else None,
        )
        for place, i in enumerate(shown)
    )
