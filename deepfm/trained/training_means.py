"""All training rows to their means, kept in the run folder: one pass, numpy, bounded memory.

training_means.npz  rows, linear_means, factor_means, pair_means, deep_mean, and a sample of the
                    rows with their terms, from which random draws come. Written by `measure` (a
                    worker's job or a notebook), aside and renamed into place; read by TrainedModel.
                    A run trained on in the same folder leaves it stale: the terms of the sample
                    are computed anew when it is read, and one that does not fit counts as absent.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfm.terms import Terms
from deepfm.trained.reference import Means, Reference, means_over, reference_from_means
from deepfm.trained.weights import Float64s, Ids, Weights

TRAINING_MEANS: Final = "training_means.npz"
SAMPLE_ROWS: Final = 10_000
"""Training rows kept beside the means, drawn without replacement."""

_SEED: Final = 0
_CHECKED_ROWS: Final = 64
_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, eq=False)
class TrainingMeans:
    """The means over all N training rows, and R of these rows.

    ids    int32[R, F]
    terms  float64[3, R]  linear, pairwise, deep of each
    """

    means: Means
    ids: Ids
    terms: Float64s

    def reference(self, weights: Weights) -> Reference:
        """The population of all training rows; draws come from the sample."""
        return reference_from_means(
            weights,
            self.means,
            self.ids,
            self.terms[2],
            f"all {self.means.rows:,} training rows",
            kind="all",
        )

    def fits(self, weights: Weights) -> bool:
        """Whether these are of this very model: the sample's first rows have the same terms."""
        some = slice(0, _CHECKED_ROWS)
        now = np.array(list(weights.terms(self.ids[some])))
        return bool(np.allclose(now, self.terms[:, some], rtol=_TOLERANCE, atol=_TOLERANCE))


def measure(
    weights: Weights, ids: Ids, on_block: Callable[[int], None] = lambda done: None
) -> TrainingMeans:
    """One pass over the training rows int32[N, F], memory-mapped as they are; N at least 1.

    on_block  called with the number of rows done; what it raises ends the pass
    """
    rng = np.random.default_rng(_SEED)
    places = np.sort(rng.choice(len(ids), size=min(SAMPLE_ROWS, len(ids)), replace=False))
    sample = np.ascontiguousarray(ids[places])
    return TrainingMeans(
        means_over(weights, ids, on_block=on_block), sample, _as_array(weights.terms(sample))
    )


def _as_array(terms: Terms) -> Float64s:
    return np.array(list(terms), dtype=np.float64)


def write_training_means(folder: Path, measured: TrainingMeans) -> None:
    """Put the file into a run folder, in place of one that may be there; OSError if it cannot."""
    means = measured.means
    handle, name = tempfile.mkstemp(dir=folder, prefix=TRAINING_MEANS, suffix=".writing")
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                rows=np.int64(means.rows),
                linear_means=means.linear_means,
                factor_means=means.factor_means,
                pair_means=means.pair_means,
                deep_mean=np.float64(means.deep_mean),
                ids=measured.ids,
                terms=measured.terms,
            )
        aside.replace(folder / TRAINING_MEANS)
    finally:
        aside.unlink(missing_ok=True)


def read_training_means(path: Path, fields: int, num_factors: int) -> TrainingMeans:
    """What `write_training_means` wrote; ValueError, KeyError or OSError where it is not that."""
    # Opened here, since numpy leaves a file open that is no archive.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    means = Means(
        int(arrays["rows"]),
        _checked(arrays["linear_means"], "linear_means", (fields,)),
        _checked(arrays["factor_means"], "factor_means", (fields, num_factors)),
        _checked(arrays["pair_means"], "pair_means", (fields, fields)),
        float(_checked(arrays["deep_mean"], "deep_mean", ())),
    )
    ids = arrays["ids"]
    if not 1 <= len(ids) <= means.rows:
        raise ValueError(f"it holds {len(ids)} of {means.rows} rows")
    return TrainingMeans(means, ids, _checked(arrays["terms"], "terms", (3, len(ids))))


def _checked(array: NDArray[np.float64], name: str, shape: tuple[int, ...]) -> Float64s:
    if array.dtype != np.float64 or array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.dtype}{list(array.shape)}, expected {list(shape)}")
    return array
