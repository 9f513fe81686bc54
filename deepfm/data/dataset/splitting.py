"""Labels, groups or times of the rows to a mask: which rows are held out for validation."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import SchemaError

_CHUNK: Final = 1 << 20

Mask: TypeAlias = NDArray[np.bool_]


def split_at_random(labels: NDArray[np.uint8], fraction: float, seed: int) -> Mask:
    """Hold out this fraction of each class, drawn without replacement: bool[N].

    labels    uint8[N], 1 or 0
    A class with two rows or more has at least one row on each side. Rows are drawn chunk by
    chunk with hypergeometric counts, so that no permutation of all rows is ever in memory.
    """
    rng = np.random.default_rng(seed)
    clicks = int(labels.sum(dtype=np.int64))
    rows = np.array([len(labels) - clicks, clicks])
    wanted = np.array([_held_out(count, fraction) for count in rows.tolist()])
    mask = np.zeros(len(labels), dtype=np.bool_)
    for start in range(0, len(labels), _CHUNK):
        chunk = labels[start : start + _CHUNK]
        for label in (0, 1):
            here = np.flatnonzero(chunk == label)
            drawn = int(rng.hypergeometric(wanted[label], rows[label] - wanted[label], len(here)))
            mask[start + rng.choice(here, drawn, replace=False)] = True
            wanted[label] -= drawn
            rows[label] -= len(here)
    return mask


def _held_out(rows: int, fraction: float) -> int:
    wanted = int(np.floor(rows * fraction + 0.5))
    return max(wanted, 1) if rows > 1 else 0


def split_by_group(groups: NDArray[np.int32], fraction: float, seed: int) -> Mask:
    """Hold out whole groups, drawn at random, whose rows come closest to the fraction: bool[N].

    groups   int32[N], codes from 0. SchemaError where there is one group only.
    """
    sizes = np.bincount(groups)
    present = np.flatnonzero(sizes)
    if len(present) < 2:
        raise SchemaError(
            "All rows belong to one group, so that no group can be held out. "
            "Choose another column, or the random split."
        )
    order = np.random.default_rng(seed).permutation(present)
    held = np.cumsum(sizes[order])[:-1]
    count = int(np.argmin(np.abs(held - fraction * len(groups)))) + 1
    is_held = np.zeros(len(sizes), dtype=np.bool_)
    is_held[order[:count]] = True
    return is_held[groups]


def split_by_time(times: NDArray[np.float64], fraction: float) -> Mask:
    """Hold out the latest rows: bool[N].

    times   float64[N]; NaN is unknown and never held out
    Rows of one time stay together, on the side that brings the share closest to the fraction.
    SchemaError where all rows have one time.
    """
    known = times[~np.isnan(times)]
    moments, counts = np.unique(known, return_counts=True)
    if len(moments) < 2:
        raise SchemaError(
            "All rows have the same time, so that there are no latest ones to hold out. "
            "Choose another column, or the random split."
        )
    held = np.cumsum(counts[::-1])[:-1]
    count = int(np.argmin(np.abs(held - fraction * len(times)))) + 1
    return times >= moments[-count]
