"""Which impressions to measure against, as a person chose them, to a Reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import RunError
from deepfm.trained import Reference, TrainedModel, reference_from_ids
from deepfm.trained.training_means import TRAINING_MEANS, measure, write_training_means
from deepfm.trained.weights import Ids, slices

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

MOST_ROWS: Final = 1_000
"""A slice is measured against at most so many of its rows, drawn without replacement."""
LONGEST: Final = 40
"""Characters of a value in the name of a population."""

_SEED: Final = 0
_BLOCK_ROWS: Final = 2**18


@dataclass(frozen=True)
class TrainingSample:
    """The run's own training rows, 1,000 of them drawn at random: the default."""


@dataclass(frozen=True)
class TrainingSlice:
    """The training rows in which each of some fields has one of some values.

    conditions  (field, its values as text), one entry a field
    """

    conditions: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, conditions: Mapping[str, str | tuple[str, ...] | list[str]]) -> "TrainingSlice":
        """From {field: value} or {field: [value, other value]}."""
        return cls(
            tuple(
                (field, (values,) if isinstance(values, str) else tuple(values))
                for field, values in conditions.items()
            )
        )

    def in_words(self) -> str:
        """ "device = phone or tablet, site = recipes"."""
        return ", ".join(
            f"{field} = {' or '.join(_short(value) for value in values)}"
            for field, values in self.conditions
        )


@dataclass(frozen=True)
class OtherImpression:
    """One other impression, field to raw value: “why this and not that?”.

    name  what it is called, such as "row 12 of the test part"
    """

    values: tuple[tuple[str, str | float | None], ...]
    name: str = "the other impression"

    @classmethod
    def of(
        cls, values: Mapping[str, str | float | None], name: str = "the other impression"
    ) -> "OtherImpression":
        """From {field: value} with every field."""
        return cls(tuple(values.items()), name)

    @classmethod
    def row(cls, model: TrainedModel, part: str | None, row: int) -> "OtherImpression":
        """A row that the run keeps; RunError where it does not."""
        kept = model.impression(part, row)
        return cls.of(kept.fields, f"row {row:,} of the {kept.part} part")


@dataclass(frozen=True)
class AllTrainingRows:
    """Every training row, by means that a job has measured before (`measure_training_rows`)."""


Population: TypeAlias = TrainingSample | TrainingSlice | OtherImpression | AllTrainingRows


def reference_for(
    model: TrainedModel, population: Population, dataset: "Dataset | None" = None
) -> Reference:
    """The reference population that was chosen; every kind can be hashed, so keep the result.

    dataset  the run's own, for a slice of all its training rows; without it a slice is one of
             the training rows that go with the run, and `advice` says so

    RunError for a slice without rows, for all training rows before they were measured, and for
    another dataset; SchemaError for an unknown or missing field.
    """
    if isinstance(population, TrainingSample):
        return model.reference
    if isinstance(population, OtherImpression):
        ids = model.encode(dict(population.values))
        return reference_from_ids(
            model.weights, ids[None], population.name, kind="other", against=population.name
        )
    if isinstance(population, AllTrainingRows):
        return _all_rows(model)
    return _slice(model, population, dataset)


def measure_training_rows(
    model: TrainedModel, dataset: "Dataset", on_block: Callable[[int], None] = lambda done: None
) -> None:
    """Store the means over all training rows in the run folder, once for everybody after.

    on_block  called with the number of rows done; what it raises ends the pass, nothing written
    RunError for another dataset, or where the run folder cannot be written.
    """
    measured = measure(model.weights, training_ids(model, dataset), on_block)
    try:
        write_training_means(model.folder, measured)
    except OSError as error:
        raise RunError(
            f"{TRAINING_MEANS} cannot be written into the run folder {model.folder}: {error}. "
            "Make room there, or copy the run to a folder that you may write."
        ) from error


def training_ids(model: TrainedModel, dataset: "Dataset") -> NDArray[np.int32]:
    """The training rows of the run's own dataset, int32[N, F], memory-mapped."""
    check_dataset(model, dataset)
    return dataset.parts["train"].ids


def check_dataset(model: TrainedModel, dataset: "Dataset") -> None:
    """RunError for a dataset that the run was not trained on: its indices mean other values."""
    if dataset.fingerprint != model.dataset_fingerprint:
        raise RunError(
            f"The run was trained on {model.dataset_name!r}, and {dataset.name!r} is another "
            "dataset or was prepared otherwise. Give the dataset of this run."
        )


def _all_rows(model: TrainedModel) -> Reference:
    measured = model.training_means()
    if measured is None:
        raise RunError(
            "The means over all training rows were not measured for this run yet. Measure them "
            "first (one pass over the dataset), or compare with the sample of training rows."
        )
    return measured.reference(model.weights)


def _slice(model: TrainedModel, population: TrainingSlice, dataset: "Dataset | None") -> Reference:
    """Measured against all matching rows, or 1,000 of them drawn at random."""
    if dataset is None:
        rows, advice = _kept_rows(model)
        whose = f"{len(rows):,} training rows kept with this run"
    else:
        rows, advice = training_ids(model, dataset), ""
        whose = "training rows"
    found = _matching(model, rows, population)
    words = population.in_words()
    if not len(found):
        raise RunError(
            f"None of the {len(rows):,} training rows{' kept with this run' * bool(advice)} has "
            f"{words}. {advice or 'Choose other values.'}"
        )
    chosen = found
    if len(found) > MOST_ROWS:
        rng = np.random.default_rng(_SEED)
        chosen = np.sort(rng.choice(found, size=MOST_ROWS, replace=False))
    return reference_from_ids(
        model.weights,
        np.ascontiguousarray(rows[chosen]),
        _slice_name(len(chosen), len(found), whose, words),
        kind="slice",
        against=f"a typical impression with {words}",
        advice=advice,
    )


def _slice_name(chosen: int, found: int, whose: str, words: str) -> str:
    """ "1,000 of the 12,345 training rows with device = phone, drawn at random"."""
    if chosen < found:
        return f"{chosen:,} of the {found:,} {whose} with {words}, drawn at random"
    if whose == "training rows":
        return f"the {found:,} {'training row' if found == 1 else whose} with {words}"
    return f"the {found:,} of the {whose} with {words}"


def _kept_rows(model: TrainedModel) -> tuple[Ids, str]:
    """Training rows that go with the run, and what to do for all of them."""
    measured = model.training_means()
    ids = model.reference_ids if measured is None else measured.ids
    return ids, (
        f"The dataset {_short(model.dataset_name)!r} is not here, so only {len(ids):,} of its "
        "training rows can be looked at: open it to use all of them."
    )


def _matching(
    model: TrainedModel, rows: NDArray[np.int32], population: TrainingSlice
) -> NDArray[np.int64]:
    """Numbers of the rows that fulfil every condition, in blocks of a memory-mapped array."""
    wanted = [
        (model.fields.index(model.vocabulary.field(name)), _indices(model, name, values))
        for name, values in population.conditions
    ]
    found = []
    for block in slices(len(rows), _BLOCK_ROWS):
        fits = np.ones(len(rows[block]), dtype=bool)
        for position, indices in wanted:
            fits &= np.isin(rows[block, position], indices)
        found.append(block.start + np.flatnonzero(fits))
    return np.concatenate(found)


def _indices(model: TrainedModel, name: str, values: tuple[str, ...]) -> NDArray[np.int32]:
    return model.vocabulary.encode_column(name, values)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
