"""Labels, times or groups of the rows to a mask: which rows are held out for validation."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.errors import SchemaError

_DATE_FORMATS: Final = ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_CLOCK_FORMATS: Final = ("", " %H:%M", " %H:%M:%S")
_DAY_FIRST: Final = {"%d/%m": "%m/%d", "%d-%m": "%m-%d"}
_CHUNK: Final = 1 << 20

Mask = NDArray[np.bool_]
ParseTimes = Callable[[pa.StringArray], NDArray[np.float64]]


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


def read_times(column: str, texts: Callable[[], Iterable[pa.StringArray]]) -> NDArray[np.float64]:
    """A column of times to numbers that sort as the times do: float64[N]; NaN for empty cells.

    texts   gives the column from its start, array by array, each time it is called
    Reads numbers (epochs, 14102915 …), ISO dates and times, and the usual dates with slashes,
    dots or dashes; all rows must be written the same way. SchemaError names the first text that
    cannot be read, or says that day and month cannot be told apart.
    """
    furthest = (-1, "")
    for parse in (_numbers, _iso_times, _zoned_times):
        times, rows, failed = _parse_all(texts(), parse)
        if failed is None:
            return times
        furthest = max(furthest, (rows, failed))
    for form in (date + clock for date in _DATE_FORMATS for clock in _CLOCK_FORMATS):
        times, rows, failed = _parse_all(texts(), partial(_formatted, form))
        if failed is None:
            _refuse_two_readings(column, form, times, texts)
            return times
        furthest = max(furthest, (rows, failed))
    raise SchemaError(
        f"Column {column!r} cannot split the rows by time: {furthest[1]!r} in data row "
        f"{furthest[0] + 1:,} cannot be read as a time like those before it. Known are numbers, "
        "2024-01-31 12:00:00, and dates with slashes, dots or dashes."
    )


def _parse_all(
    texts: Iterable[pa.StringArray], parse: ParseTimes
) -> tuple[NDArray[np.float64], int, str | None]:
    """Times; or, where a text cannot be read, how many rows were fine before it, and the text."""
    parsed = [np.empty(0)]
    rows = 0
    for array in texts:
        times = parse(array)
        failed = np.isnan(times) & pc.is_valid(array).to_numpy(zero_copy_only=False)
        if failed.any():
            first = int(np.argmax(failed))
            return times, rows + first, array[first].as_py()
        parsed.append(times)
        rows += len(times)
    return np.concatenate(parsed), rows, None


def _refuse_two_readings(
    column: str,
    form: str,
    times: NDArray[np.float64],
    texts: Callable[[], Iterable[pa.StringArray]],
) -> None:
    for day_first, month_first in _DAY_FIRST.items():
        if form.startswith(day_first):
            swapped = partial(_formatted, form.replace(day_first, month_first))
            others, _, failed = _parse_all(texts(), swapped)
            if failed is None and not np.array_equal(np.argsort(others), np.argsort(times)):
                raise SchemaError(
                    f"In column {column!r} day and month cannot be told apart: no day is past "
                    "the 12th. Write the times as 2024-01-31, or use the random split."
                )


def _numbers(texts: pa.StringArray) -> NDArray[np.float64]:
    return _cast(texts, pa.float64())


def _iso_times(texts: pa.StringArray) -> NDArray[np.float64]:
    return _cast(texts, pa.timestamp("us"))


def _zoned_times(texts: pa.StringArray) -> NDArray[np.float64]:
    return _cast(texts, pa.timestamp("us", "UTC"))


def _formatted(form: str, texts: pa.StringArray) -> NDArray[np.float64]:
    return _to_floats(pc.strptime(texts, format=form, unit="s", error_is_null=True))


def _cast(texts: pa.StringArray, kind: pa.DataType) -> NDArray[np.float64]:
    """Texts cast as Arrow does; from the first text that does not fit on, NaN."""
    try:
        return _to_floats(pc.cast(texts, kind))
    except pa.ArrowInvalid:
        fitting = list(_fitting(texts, kind))
        return _to_floats(pa.array(fitting + [None] * (len(texts) - len(fitting)), kind))


def _fitting(texts: pa.StringArray, kind: pa.DataType) -> Iterator[pa.Scalar]:
    for text in texts:
        try:
            yield text.cast(kind)
        except pa.ArrowInvalid:
            return


def _to_floats(values: pa.Array) -> NDArray[np.float64]:
    """Numbers or timestamps to float64; null and what is not finite to NaN."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(floats), floats, np.nan)
