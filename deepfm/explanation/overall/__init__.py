"""A model to what each of its parts does over all impressions: fields, pairs, embeddings."""

from deepfm.explanation.overall.defaults import DefaultEffect, default_effects
from deepfm.explanation.overall.embeddings import EmbeddingMap, embedding_map
from deepfm.explanation.overall.fields import (
    FieldSizes,
    deep_draws,
    deep_field_sizes,
    exact_field_sizes,
)
from deepfm.explanation.overall.pairs import (
    PairOfValues,
    PairStrengths,
    PairValues,
    pair_strengths,
    pair_values,
)

__all__ = [
    "DefaultEffect",
    "EmbeddingMap",
    "FieldSizes",
    "PairOfValues",
    "PairStrengths",
    "PairValues",
    "deep_draws",
    "deep_field_sizes",
    "default_effects",
    "embedding_map",
    "exact_field_sizes",
    "pair_strengths",
    "pair_values",
]
