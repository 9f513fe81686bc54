"""One field's embeddings to a two-dimensional map of its values."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import RunError
from deepfm.trained import TrainedModel, commonest
from deepfm.trained.weights import Float32s, Float64s

MOST_VALUES: Final = 2_000
"""Values on the map: the commonest."""

Table = Literal["fm", "deep"]


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """U values of a field on the two directions in which their embeddings differ most.

    values            how each reads; the field's default is the last one
    position          float64[U, 2]  coordinates in embedding units; 0 where there is no second
    count, clicks     int64[U]  over the training rows
    explained         float64[2]  share of the embeddings' variance along each direction
    num_factors       length of an embedding
    of                values of the field in all, the default included
    Principal components (PCA) of the values weighted by their training rows: directions are those
    of the impressions, not of many values that were hardly ever seen.
    """

    field: str
    values: tuple[str, ...]
    position: Float64s
    count: NDArray[np.int64]
    clicks: NDArray[np.int64]
    explained: Float64s
    num_factors: int
    of: int


def embedding_map(model: TrainedModel, field: str, table: Table | None = None) -> EmbeddingMap:
    """The map of a field's commonest values; SchemaError for an unknown field.

    table  whose embeddings: the FM branch's or the network's, where they are not the same; by
           default the FM branch's, and the network's where there is no pairwise term
    RunError for a model without embeddings.
    """
    embeddings = _table(model, table)
    found = commonest(model.vocabulary, field, MOST_VALUES)
    vectors = embeddings[found.index].astype(np.float64)
    seen = found.count.astype(np.float64)
    # The default may stand for no row at all: it has a place on the map, and no say in it.
    weight = seen if seen.sum() > 0 else np.ones(len(seen))
    weight = weight / weight.sum()
    centred = vectors - weight @ vectors
    position, explained = principal_components(centred, weight)
    return EmbeddingMap(
        field,
        found.value,
        position,
        found.count,
        found.clicks,
        explained,
        vectors.shape[1],
        model.vocabulary.field(field).size,
    )


def _table(model: TrainedModel, table: Table | None) -> Float32s:
    weights = model.weights
    wanted = table or ("fm" if weights.factors.shape[1] else "deep")
    embeddings = weights.factors if wanted == "fm" else weights.deep_table
    if not embeddings.shape[1]:
        raise RunError(
            f"{model.model.name} has no embeddings{' of that kind' * bool(table)}: each value has "
            "one weight alone. Choose a run with a pairwise or a deep term."
        )
    return embeddings


def principal_components(centred: Float64s, weight: Float64s) -> tuple[Float64s, Float64s]:
    """Coordinates on the first two principal directions, and their shares of the variance.

    centred  float64[U, K], of weighted mean 0; weight float64[U], of sum 1
    returns  float64[U, 2], float64[2]; zeros for a direction that is not there
    The sign of a direction is arbitrary: its largest component is made positive.
    """
    _, spread, directions = np.linalg.svd(np.sqrt(weight)[:, None] * centred, full_matrices=False)
    position, explained = np.zeros((len(centred), 2)), np.zeros(2)
    total = float((spread**2).sum())
    for number in range(min(2, len(spread))):
        direction = directions[number]
        if spread[number] <= 1e-12 * spread[0] or total == 0:
            continue
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        position[:, number] = centred @ direction
        explained[number] = spread[number] ** 2 / total
    return position, explained
