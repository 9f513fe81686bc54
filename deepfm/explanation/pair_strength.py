"""A population to how strongly each pair of fields works together in it."""

from typing import Final

import numpy as np

from deepfm.trained import Reference, TrainedModel
from deepfm.trained.weights import Float64s, slices

_BLOCK_ROWS: Final = 500


def pair_strengths(model: TrainedModel, reference: Reference | None = None) -> Float64s:
    """Spread of ⟨v_i − v̄_i, v_j − v̄_j⟩ over the reference rows, float64[F, F], in logit units.

    Purified: the raw product carries what single fields do too, since embeddings are not centred.
    Symmetric, zero on the diagonal and without a pairwise term; by default the run's own sample.
    """
    reference = reference or model.reference
    fields = model.weights.num_fields
    sums, squares = np.zeros((2, fields, fields))
    for block in slices(len(reference.ids), _BLOCK_ROWS):
        centred = model.weights.factors[reference.ids[block]] - reference.factor_means
        products = centred @ centred.transpose(0, 2, 1)
        sums += products.sum(axis=0)
        squares += (products**2).sum(axis=0)
    count = len(reference.ids)
    spread = np.sqrt(np.maximum(squares / count - (sums / count) ** 2, 0.0))
    np.fill_diagonal(spread, 0.0)
    return spread
