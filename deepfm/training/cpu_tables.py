"""A model's embedding tables to one array that compiled functions take, and back as views."""

from typing import Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from deepfm.model import DeepFM

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]

ABSENT: Final = -1


class Fields(NamedTuple):
    """Neighbouring fields: from `begin` on, before `end`."""

    begin: int
    end: int


class Columns(NamedTuple):
    """Where a row of the table holds what; ABSENT for a term that the model does not have."""

    linear: int
    pairwise: int
    deep: int
    factors: int
    """K."""


class Tables(NamedTuple):
    """All embedding tables side by side, float32[V, S], with what Adam keeps of each number.

    offsets   int[F + 1]    where each field's rows begin
    marks     int32[V, 2]   the step in which a row was last found in a batch, and its place then
    last      int64[V]      the last step that a row has had
    """

    weights: Floats
    mean: Floats
    square: Floats
    columns: Columns
    offsets: NDArray[np.int64]
    marks: NDArray[np.int32]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, model: DeepFM) -> Self:
        """Move the model's tables into one array; its embeddings become views of it."""
        width = sum(table.embedding_dim for table in model.tables())
        weights = torch.empty(sum(model.field_dims), width)
        places, start = {}, 0
        for table in model.tables():
            place = weights[:, start : start + table.embedding_dim]
            place.copy_(table.weight.data)
            table.weight.data = place
            places[id(table)] = start
            start += table.embedding_dim
        array = weights.numpy()
        return cls(
            array,
            np.zeros_like(array),
            np.zeros_like(array),
            _columns(model, places),
            np.cumsum((0, *model.field_dims), dtype=np.int64),
            np.zeros((len(array), 2), np.int32),
            np.zeros(len(array), np.int64),
        )

    def flat(self, fields: Fields) -> tuple[Floats, Floats, Floats]:
        """Weights, mean and square of some fields' rows as flat views."""
        rows = slice(self.offsets[fields.begin], self.offsets[fields.end])
        weights, mean, square = (
            array[rows].reshape(-1) for array in (self.weights, self.mean, self.square)
        )
        return weights, mean, square


def _columns(model: DeepFM, places: dict[int, int]) -> Columns:
    terms = model.config.terms
    deep_table = model.deep_factors if model.deep_factors is not None else model.factors
    return Columns(
        linear=places[id(model.linear.table)] if model.linear is not None else ABSENT,
        pairwise=places[id(model.factors)] if "pairwise" in terms else ABSENT,
        deep=places[id(deep_table)] if "deep" in terms else ABSENT,
        factors=model.config.num_factors if terms != ("linear",) else 0,
    )


class Order(NamedTuple):
    """Which feature stands in which place, field by field.

    features       int64[n]   the feature in each place
    begins, ends   int64[F]   the places of each field
    """

    features: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def of_fields(self, fields: Fields) -> slice:
        """The places of some neighbouring fields."""
        return slice(self.begins[fields.begin], self.ends[fields.end - 1])
