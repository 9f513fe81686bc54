"""A model's scores of rows with labels to the rows that are judged: all of a part, or a slice."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.reader.numbers import to_numbers
from deepfm.errors import DataError, RunError
from deepfm.evaluation.counting import Counts, Float64s, count
from deepfm.evaluation.figures import log_losses
from deepfm.terms import Floats, Terms, sigmoid
from deepfm.trained import Scores, TrainedModel
from deepfm.trained.weights import Ids

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

EMPTY: Final = "(empty)"
"""How an empty cell reads."""


@dataclass(frozen=True)
class Selection:
    """Which rows: those with one value of a field, or with a number of a column within a range.

    value       how the value reads, as the vocabulary decodes it; None for a range
    low, high   the range, both ends in it; None for no end
    """

    field: str
    value: str | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.field} is {self.value or EMPTY}"
        if self.low is None:
            return f"{self.field} is at most {self.high:g}"
        if self.high is None:
            return f"{self.field} is at least {self.low:g}"
        return f"{self.field} is {self.low:g} to {self.high:g}"


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """N rows of a part with what happened in them, and which values they have.

    labels       float32[N]
    ids          int32[M, F] of the first M rows, those whose values are known
    selection    what they were selected by; None for all rows of the part
    of           rows of the part in all
    read_column  raw text of one column of the first rows
    """

    part: str
    model: TrainedModel
    labels: NDArray[Any]
    terms: Terms
    ids: Ids
    of: int
    selection: Selection | None = None
    read_column: Callable[[str], Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def logit(self) -> Floats:
        """linear + pairwise + deep, float[N]."""
        return self.terms.logit

    @cached_property
    def probability(self) -> Float64s:
        """float64[N]."""
        return sigmoid(self.logit)

    @cached_property
    def losses(self) -> Float64s:
        """The log loss of each row in nats, float64[N]."""
        return log_losses(np.asarray(self.labels) > 0.5, self.logit)

    @cached_property
    def counts(self) -> Counts:
        """Counts at every distinct logit: one sort for all curves."""
        return count(self.labels, self.logit)

    @cached_property
    def counts_by_probability(self) -> Counts:
        """The same with probabilities as thresholds."""
        return dataclasses.replace(self.counts, thresholds=sigmoid(self.counts.thresholds))

    @cached_property
    def known(self) -> "JudgedRows":
        """The rows whose values are known; DataError where there are none."""
        if not len(self.ids):
            raise DataError(
                f"The run keeps no values of its {self.part} rows, so they cannot be sliced. "
                "Train it again with the dataset there."
            )
        return self if len(self.ids) == len(self) else self._at(slice(len(self.ids)))

    def codes(self, field: str) -> NDArray[np.int32]:
        """Which of its field's values each known row has, from 0; SchemaError if unknown."""
        place = self.model.vocabulary.field(field)
        codes: NDArray[np.int32] = self.ids[:, self.model.fields.index(place)] - place.offset
        return codes

    def value_of(self, field: str, code: int) -> str:
        """How a value reads."""
        index = np.array([self.model.vocabulary.field(field).offset + code])
        return str(self.model.vocabulary.decode_column(field, index)[0].as_py())

    def numbers(self, column: str) -> Float64s:
        """A numeric column of the known rows, float64[M], nan where there is no number.

        DataError where the run does not keep the column's text.
        """
        if self.read_column is None:
            raise DataError(f"The text of column {column!r} is not kept with these rows.")
        numbers: Float64s = to_numbers(self.read_column(column)).to_numpy(zero_copy_only=False)
        # The text is kept of the first rows alone; the dataset may know the values of more.
        return np.append(numbers, np.full(len(self.ids) - len(numbers), np.nan))

    def where(self, selection: Selection) -> "JudgedRows":
        """The known rows that a selection names; DataError where there are none."""
        chosen = self._chosen(selection)
        if not chosen.any():
            raise DataError(
                f"None of these {self.part} rows has {selection}. Choose another value, or all "
                "rows."
            )
        rows = self.known._at(np.flatnonzero(chosen))
        return dataclasses.replace(rows, selection=selection, read_column=None)

    def _chosen(self, selection: Selection) -> NDArray[np.bool_]:
        if selection.value is not None:
            # Numeric fields are chosen by the name of a bucket, which they read too.
            values = self.model.vocabulary.encode_column(selection.field, [selection.value])
            offset = self.model.vocabulary.field(selection.field).offset
            return self.codes(selection.field) == values[0] - offset
        numbers = self.numbers(selection.field)
        low = -np.inf if selection.low is None else selection.low
        high = np.inf if selection.high is None else selection.high
        return (numbers >= low) & (numbers <= high)

    def _at(self, rows: Any) -> "JudgedRows":
        return dataclasses.replace(
            self, labels=self.labels[rows], terms=self.terms[rows], ids=self.ids[rows]
        )


def judged_rows(
    model: TrainedModel, part: str | None = None, dataset: "Dataset | None" = None
) -> JudgedRows:
    """The rows of a part with their stored scores.

    dataset   where it is there, the values of all rows are known; without it those of the first
              100,000, which the run keeps. One that the run was not trained on is a RunError.
    """
    return rows_of_scores(model, model.scores(part), _ids(model, part or model.part, dataset))


def rows_of_scores(model: TrainedModel, scores: Scores, ids: Ids) -> JudgedRows:
    """Scored rows, of the first of which the feature indices are known."""
    part = scores.part
    kept = part in model.parts
    return JudgedRows(
        part,
        model,
        scores.labels,
        scores.terms,
        ids,
        len(scores),
        read_column=(lambda name: _kept_text(model, part, name)) if kept else None,
    )


def _ids(model: TrainedModel, part: str, dataset: "Dataset | None") -> Ids:
    kept = model.impression_ids(part)
    rows = dataset.parts.get(part) if dataset is not None else None
    if rows is None:
        return kept
    if dataset is not None and dataset.fingerprint != model.dataset_fingerprint:
        raise RunError(
            f"The run was trained on the dataset {model.dataset_name!r}, prepared otherwise than "
            f"{dataset.name!r}: their feature indices differ."
        )
    return rows.ids if len(rows) == len(model.scores(part)) else kept


def _kept_text(model: TrainedModel, part: str, column: str) -> Any:
    table = model.impressions(part)
    if column not in table.column_names:
        raise DataError(f"The run keeps no column {column!r} of its {part} rows.")
    return table[column].combine_chunks()
