"""Named values for some settings: a book's recipe, click logs large and small, the demo."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True)
class Preset:
    """Named values for some settings of all three configurations; explicit values win."""

    name: str
    help: str
    prepare: Mapping[str, Any]
    model: Mapping[str, Any]
    train: Mapping[str, Any]


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "d2l",
                "The recipe of the book Dive into Deep Learning: factor size 10, MLP 30-20-10, "
                "Adam 0.01, 30 epochs; nothing held out, the last epoch is kept.",
                {"validation": 0.0, "min_count": 4},
                {"num_factors": 10, "mlp_dims": (30, 20, 10), "drop_rate": 0.1},
                {"learning_rate": 0.01, "batch_size": 2048, "epochs": 30, "drop_last": True},
            ),
            Preset(
                "real-data",
                "For large click logs: wide embeddings with dropout and L2, small batches, "
                "stops early on validation AUC.",
                {"validation": 0.1, "min_count": 1},
                {
                    "num_factors": 128,
                    "mlp_dims": (30, 20, 10),
                    "drop_rate": 0.5,
                    "embedding_drop_rate": 0.2,
                },
                {
                    "learning_rate": 0.01,
                    "batch_size": 512,
                    "epochs": 100,
                    "patience": 3,
                    "embedding_l2": 0.001,
                },
            ),
            Preset(
                "your-data",
                "A start for a click log of your own: the book's model in batches of 256, until "
                "validation AUC has not risen for 5 epochs.",
                {"validation": 0.1, "min_count": 4},
                {"num_factors": 10, "mlp_dims": (30, 20, 10), "drop_rate": 0.1},
                {"learning_rate": 0.01, "batch_size": 256, "epochs": 60, "patience": 5},
            ),
            Preset(
                "quick",
                "The book's model for the bundled demo: a few seconds, best epoch kept.",
                {"validation": 0.1, "min_count": 4},
                {"num_factors": 10, "mlp_dims": (30, 20, 10), "drop_rate": 0.1},
                {"learning_rate": 0.01, "batch_size": 2048, "epochs": 20},
            ),
        )
    }
)
