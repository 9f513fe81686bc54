"""One impression to the terms of those that differ from it in one field or in two."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import RunError
from deepfm.terms import Terms
from deepfm.trained.weights import BLOCK_NUMBERS, Float32s, Float64s, Ids, Weights, slices

if TYPE_CHECKING:
    from deepfm.trained import TrainedModel

Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The impressions around one, int32[F]; only what changes is computed.

    That is O(U · (K + H)) for U neighbours, before the network's second layer.
    """

    weights: Weights
    ids: Ids

    @cached_property
    def own(self) -> Terms:
        """The terms of the impression itself, float64[1] each."""
        return self.weights.terms(self.ids[None])

    def terms(self, position: int, values: Indices) -> Terms:
        """The terms with each of the values, int32[U], in place of the field at a position."""
        return Terms(*self.fm(position, values), self._deep(position, values))

    def fm(self, position: int, values: Indices) -> tuple[Float64s, Float64s]:
        """Linear and pairwise alone of the same neighbours, float64[U] each."""
        old = self.ids[position]
        effects, factors = self.weights.linear_effects, self.weights.factors
        linear = self.own.linear + effects[values] - effects[old]
        partners = self._factor_sum - factors[old]
        return linear, self.own.pairwise + (factors[values] - factors[old]) @ partners

    def deep_of(self, positions: NDArray[np.intp], values: Indices) -> Float64s:
        """The network's output for U neighbours, each of its own field, float64[U].

        positions  int64[U]  which field; quickest where equal ones stand together
        values     int32[U]  its feature
        """
        output = np.zeros(len(values))
        if self.weights.layers:
            for block in slices(len(values), self._rows_at_once):
                output[block] = self.deep_from(self.first_layer_of(positions[block], values[block]))
        return output

    def deep_of_pairs(
        self, positions: NDArray[np.intp], values: Indices, places: NDArray[np.intp]
    ) -> Float64s:
        """The network's output with two changes at once, float64[P].

        positions, values  U changes, as `deep_of` takes them
        places             int64[P, 2]  which two of them, of two fields
        """
        output = np.zeros(len(places))
        if self.weights.layers:
            for block in slices(len(places), self._rows_at_once):
                used, inverse = np.unique(places[block], return_inverse=True)
                sums = self.first_layer_of(positions[used], values[used])
                first, second = inverse.reshape(-1, 2).T
                output[block] = self.deep_from(sums[first] + sums[second] - self.first_layer_sum)
        return output

    def first_layer_of(self, positions: NDArray[np.intp], values: Indices) -> Float32s:
        """The first layer before its bias for U neighbours, float32[U, H]."""
        sums = np.empty((len(values), len(self.first_layer_sum)), np.float32)
        for position in np.unique(positions).tolist():
            here = positions == position
            sums[here] = self.weights.first_layer(values[here], position) + self._others(position)
        return sums

    @property
    def _rows_at_once(self) -> int:
        return max(1, BLOCK_NUMBERS // len(self.first_layer_sum))

    def deep_from(self, sums: Float32s) -> Float64s:
        """The network's output from its first layer, float64[U]; zeros without a network."""
        if not self.weights.layers:
            return np.zeros(len(sums))
        return self.weights.deep_after_first_layer(sums)

    def of_two(
        self, first: int, first_values: Indices, second: int, second_values: Indices
    ) -> Terms:
        """The terms with values int32[U] and int32[U] in two fields at once, pair by pair."""
        linear, pairwise = self.fm(first, first_values)
        other_linear, other_pairwise = self.fm(second, second_values)
        factors = self.weights.factors
        moved = factors[first_values] - factors[self.ids[first]]
        other_moved = factors[second_values] - factors[self.ids[second]]
        together = (moved * other_moved).sum(axis=1, dtype=np.float64)
        return Terms(
            linear + other_linear - self.own.linear,
            pairwise + other_pairwise - self.own.pairwise + together,
            self._deep_of_two(first, first_values, second, second_values),
        )

    def _deep(self, position: int, values: Indices) -> Float64s:
        if not self.weights.layers:
            return np.zeros(len(values))
        sums = self.weights.first_layer(values, position)
        sums += self._others(position)
        return self.deep_from(sums)

    def _deep_of_two(
        self, first: int, first_values: Indices, second: int, second_values: Indices
    ) -> Float64s:
        if not self.weights.layers:
            return np.zeros(len(first_values))
        sums = self.weights.first_layer(first_values, first)
        sums += self.weights.first_layer(second_values, second)
        sums += self._others(first) - self._own_first_layer[second]
        return self.deep_from(sums)

    def _others(self, position: int) -> Float32s:
        """The first layer's sums of all fields but one."""
        others: Float32s = self.first_layer_sum - self._own_first_layer[position]
        return others

    @cached_property
    def _factor_sum(self) -> Float64s:
        return self.weights.factors[self.ids].sum(axis=0, dtype=np.float64)

    @cached_property
    def _own_first_layer(self) -> Float32s:
        """What each field adds to the first layer, float32[F, H]; H is 0 without a network."""
        if not self.weights.layers:
            return np.zeros((len(self.ids), 0), np.float32)
        first_layer, ids = self.weights.first_layer, self.ids
        return np.concatenate([first_layer(ids[i : i + 1], i) for i in range(len(ids))])

    @cached_property
    def first_layer_sum(self) -> Float32s:
        """The impression's own first layer before its bias, float32[H]."""
        return self._own_first_layer.sum(axis=0)


def neighbours_of(model: "TrainedModel", ids: Ids) -> Neighbours:
    """The neighbours of an impression int32[F]; RunError for indices of another model."""
    return Neighbours(model.weights, checked(model, ids))


def checked(model: "TrainedModel", ids: Ids) -> Ids:
    """ids itself; RunError unless int32[F] with each index within its field."""
    fields = model.fields
    if ids.shape != (len(fields),) or any(
        not field.offset <= index <= field.default
        for field, index in zip(fields, ids.tolist(), strict=False)
    ):
        raise RunError(
            f"The feature indices do not fit this run's {len(fields)} fields. "
            "Encode the impression with this run's vocabulary."
        )
    return ids
