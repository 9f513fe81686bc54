"""A dataset's rows to the few that are looked at again and again while a model learns."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.dataset import Part

REFERENCE_ROWS: Final = 1_000
SAMPLE_ROWS: Final = 2_000


def validation_sample(part: Part | None) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
    """A fixed sample of the validation rows for the look within an epoch."""
    if part is None:
        return None
    chosen = _drawn(SAMPLE_ROWS, len(part.labels))
    return np.array(part.ids[chosen]), np.array(part.labels[chosen])


def draw_reference(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The reference population: 1,000 training rows without replacement, with a fixed seed."""
    return np.array(ids[_drawn(REFERENCE_ROWS, len(ids))])


def _drawn(most: int, rows: int) -> NDArray[np.int64]:
    """At most so many of the row numbers 0 … rows − 1, rising, with a fixed seed."""
    return np.sort(np.random.default_rng(0).choice(rows, min(most, rows), replace=False))
