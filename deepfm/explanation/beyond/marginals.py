"""Reference rows to the product of their marginals, and the network over it, folded.

Each field is drawn alone, so the fields are independent and the variance of any function of them
divides exactly into single fields, pairs, and what needs three or more (functional ANOVA).

A *place* is the position of a feature among the V' features that the reference rows hold; places
run field by field. Draws are int32[F, n]: one row a field, so that a field's places lie together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.trained.weights import BLOCK_NUMBERS, Float32s, Float64s, Ids, Weights, slices

Places = NDArray[np.int32]

NOWHERE: Final = -1
"""The place of a feature that no reference row holds."""


@dataclass(frozen=True)
class Marginals:
    """R reference rows as a product of marginals.

    features   int32[V']      the features that occur, field by field, ascending
    begins     int64[F + 1]   where each field's places begin, and V'
    shares     float64[V']    how often each occurs in its field; each field's add up to 1
    rows       int32[F, R]    the reference rows themselves, as places
    """

    features: Ids
    begins: NDArray[np.int64]
    shares: Float64s
    rows: Places

    @property
    def num_fields(self) -> int:
        """F."""
        return len(self.rows)

    def field(self, number: int) -> slice:
        """The places of one field."""
        return slice(int(self.begins[number]), int(self.begins[number + 1]))

    def fields(self) -> Iterator[slice]:
        """The places of every field, in order."""
        return (self.field(number) for number in range(self.num_fields))

    def independent(self, rng: np.random.Generator, draws: int) -> Places:
        """Independent draws, int32[F, n]: what a standard error may be taken from."""
        return np.stack([row[rng.integers(len(row), size=draws)] for row in self.rows])

    def balanced(self, rng: np.random.Generator, draws: int) -> Places:
        """At least so many draws, int32[F, n], in which each field has every reference row equally
        often, in an order of its own: less spread than independent draws at the same cost.
        """
        times = -(-draws // self.rows.shape[1])
        return np.stack(
            [np.concatenate([rng.permutation(row) for _ in range(times)]) for row in self.rows]
        )

    def places_of(self, ids: Ids) -> Places:
        """int32[N, F] feature indices to int32[F, N] places, NOWHERE where there is none."""
        places = np.full((self.num_fields, len(ids)), NOWHERE, np.int32)
        for number, field in enumerate(self.fields()):
            found = np.searchsorted(self.features[field], ids[:, number])
            inside = np.minimum(found, field.stop - field.start - 1)
            known = self.features[field][inside] == ids[:, number]
            places[number, known] = (field.start + inside)[known]
        return places

    def field_means(self, values: Float32s | Float64s) -> Float64s:
        """Means over each field of something by place, [V'] or [V', K] to [F] or [F, K]."""
        weighted = (self.shares * values.T).T
        return np.add.reduceat(weighted, self.begins[:-1], axis=0, dtype=np.float64)


def marginals_of(reference: Ids) -> Marginals:
    """The marginals of reference rows int32[R, F], R at least 1."""
    features, rows, shares, begins = [], [], [], [0]
    for column in reference.T:
        found, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        features.append(found.astype(np.int32))
        rows.append((begins[-1] + inverse).astype(np.int32))
        shares.append(counts / len(reference))
        begins.append(begins[-1] + len(found))
    return Marginals(
        np.concatenate(features), np.array(begins), np.concatenate(shares), np.stack(rows)
    )


@dataclass(frozen=True)
class FoldedNetwork:
    """The deep branch over places: what each feature adds to the first layer is made once.

    folded   float32[V', H]
    """

    weights: Weights
    folded: Float32s

    def __call__(self, places: Places, heed: Callable[[], None] | None = None) -> Float64s:
        """The network's output, float64[n], for draws int32[F, n]; `heed` is called in between."""
        draws = places.shape[1]
        output = np.empty(draws)
        widest = max(len(layer.bias) for layer in self.weights.layers)
        for block in slices(draws, max(1, BLOCK_NUMBERS // (4 * widest))):
            if heed is not None:
                heed()
            output[block] = self.weights.deep_after_first_layer(self.first_sums(places[:, block]))
        return output

    def first_sums(self, places: Places) -> Float32s:
        """The first layer's sums without its bias, float32[n, H]."""
        sums = self.folded[places[0]]
        for row in places[1:]:
            sums += self.folded[row]
        return sums


def fold(weights: Weights, marginals: Marginals) -> FoldedNetwork:
    """The network of a model that has one, over the product of the marginals."""
    parts = [
        weights.first_layer(marginals.features[field], number)
        for number, field in enumerate(marginals.fields())
    ]
    return FoldedNetwork(weights, np.concatenate(parts))
