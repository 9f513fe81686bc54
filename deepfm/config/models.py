"""The five models by the terms of their logit, and their names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TERM_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "LR": ("linear",),
        "FM": ("linear", "pairwise"),
        "DNN": ("deep",),
        "Wide & Deep": ("linear", "deep"),
        "DeepFM": ("linear", "pairwise", "deep"),
    }
)
"""The five models by the terms of their logit."""


def model_name(terms: tuple[str, ...]) -> str:
    """The field's name of a set of terms: ("linear", "pairwise") is "FM"."""
    return next(name for name, members in TERM_SETS.items() if members == terms)


NETWORK_SETTINGS: Final = frozenset(
    {
        *("mlp_dims", "drop_rate", "activation", "embedding_drop_rate"),
        *("mlp_precision", "shared_embedding"),
    }
)
"""Settings that do nothing in a model without the deep term."""
