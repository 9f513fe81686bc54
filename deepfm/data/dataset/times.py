"""Texts of a column to times that sort: numbers, ISO dates, and dates as people write them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.errors import SchemaError

_CLOCK: Final = (
    r"(?:[T :]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d+)?))?"
    r"\s*(?P<half>[AaPp])?[Mm]?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST: Final = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_DAY_FIRST: Final = r"(?P<day>\d{1,2})[-/.](?P<month>\d{1,2})[-/.](?P<year>\d{4}|\d{2})"
_MONTH_FIRST: Final = r"(?P<month>\d{1,2})[-/.](?P<day>\d{1,2})[-/.](?P<year>\d{4}|\d{2})"
_DAY_NAME: Final = (
    r"(?:\p{L}{3,9},? )?(?P<day>\d{1,2})[-/. ]+(?P<month>\p{L}{3,})\.?[-/. ,]+"
    r"(?P<year>\d{4}|\d{2})"
)
_NAME_DAY: Final = r"(?:\p{L}{3,9},? )?(?P<month>\p{L}{3,})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})"
_MONTHS: Final = (
    *(("jan",), ("feb",), ("mar", "mär"), ("apr",), ("may", "mai"), ("jun",)),
    *(("jul",), ("aug",), ("sep",), ("oct", "okt"), ("nov",), ("dec", "dez")),
)
_MONTH_NAMES: Final = {name: month for month, names in enumerate(_MONTHS, 1) for name in names}

Texts: TypeAlias = Callable[[], Iterable[pa.StringArray]]
Parse: TypeAlias = Callable[[pa.StringArray], NDArray[np.float64]]


def read_times(column: str, texts: Texts) -> NDArray[np.float64]:
    """A column of times to numbers that sort as the times do: float64[N]; NaN for empty cells.

    texts   gives the column from its start, array by array, each time it is called
    Reads numbers as they are (epochs, 14102915 …), and dates with or without a clock in the
    usual orders, as seconds since 1970; all rows must be written in one order. SchemaError names
    the first text that cannot be read, or says that day and month cannot be told apart.
    """
    furthest = (-1, "")
    for order in ("", _YEAR_FIRST, _DAY_FIRST, _MONTH_FIRST, _DAY_NAME, _NAME_DAY):
        parse = partial(_dates, order) if order else _numbers
        times, rows, failed = _parse_all(texts(), parse)
        if failed is None:
            if order == _DAY_FIRST:
                _refuse_two_readings(column, times, texts)
            return times
        furthest = max(furthest, (rows, failed))
    raise SchemaError(
        f"Column {column!r} cannot split the rows by time: {furthest[1]!r} in data row "
        f"{furthest[0] + 1:,} cannot be read as a time like those before it. Known are numbers "
        "and dates such as 2024-01-31 12:00, 31/01/2024 or 31 Jan 2024."
    )


def _parse_all(
    texts: Iterable[pa.StringArray], parse: Parse
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


def _refuse_two_readings(column: str, times: NDArray[np.float64], texts: Texts) -> None:
    others, _, failed = _parse_all(texts(), partial(_dates, _MONTH_FIRST))
    if failed is None and not np.array_equal(_ranks(others), _ranks(times)):
        raise SchemaError(
            f"In column {column!r} day and month cannot be told apart: no day is past the 12th. "
            "Write the times as 2024-01-31, or use the random split."
        )


def _ranks(times: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.unique(times, return_inverse=True)[1]


def _numbers(texts: pa.StringArray) -> NDArray[np.float64]:
    """float64[n]; NaN everywhere if one text of them is no plain number."""
    try:
        numbers = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        texts = pc.if_else(pc.match_substring_regex(texts, r"^\s*[+-]?\d+\.?\d*\s*$"), texts, None)
        numbers = pc.cast(pc.utf8_trim_whitespace(texts), pa.float64())
        numbers = numbers.to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _dates(order: str, texts: pa.StringArray) -> NDArray[np.float64]:
    """Seconds since 1970, float64[n]; NaN where a text is not written in this order."""
    found = pc.extract_regex(texts, rf"^\s*{order}{_CLOCK}\s*$")
    parts = {field.name: found.field(i) for i, field in enumerate(found.type)}
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    year, day = _integers(parts["year"], fits), _integers(parts["day"], fits)
    month = _months(parts["month"], fits)
    year = np.where(year < 100, year + np.where(year < 70, 2000, 1900), year)
    fits &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (year - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + day - 1
    seconds, known = _seconds_of_day(parts, fits)
    return np.where(fits & known, days * 86_400.0 + seconds, np.nan)


def _integers(texts: pa.StringArray, fits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64[n], 0 where there is nothing."""
    filled = pc.if_else(pc.and_(pa.array(fits), pc.not_equal(texts, "")), texts, "0")
    return pc.cast(pc.fill_null(filled, "0"), pa.int64()).to_numpy()


def _months(texts: pa.StringArray, fits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Months by number or name, int64[n]; 0 for a name that is none."""
    if not pc.any(pc.match_substring_regex(texts, r"\p{L}")).as_py():
        return _integers(texts, fits)
    names = pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 3))
    places = pc.fill_null(pc.index_in(names, value_set=pa.array([*_MONTH_NAMES])), -1)
    return np.array([*_MONTH_NAMES.values(), 0])[places.to_numpy()]


def _seconds_of_day(
    parts: dict[str, pa.StringArray], fits: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Seconds since midnight in UTC, float64[n], and whether the clock can show that."""
    hour, minute = _integers(parts["hour"], fits), _integers(parts["minute"], fits)
    second = pc.replace_substring(parts["second"], ",", ".")
    second = pc.if_else(pc.not_equal(second, ""), second, "0")
    seconds = pc.cast(pc.fill_null(second, "0"), pa.float64()).to_numpy()
    half = pc.fill_null(pc.utf8_lower(parts["half"]), "")
    is_half = pc.not_equal(half, "").to_numpy(zero_copy_only=False)
    is_afternoon = pc.equal(half, "p").to_numpy(zero_copy_only=False)
    known = (minute <= 59) & (seconds < 61) & (hour <= np.where(is_half, 12, 24))
    hour = np.where(is_half, hour % 12 + 12 * is_afternoon, hour)
    return hour * 3600.0 + minute * 60.0 + seconds - _zone_seconds(parts["zone"]), known


def _zone_seconds(zones: pa.StringArray) -> NDArray[np.float64]:
    """How far clocks are ahead of UTC, float64[n]; 0 where no zone is written."""
    found = pc.extract_regex(zones, r"^(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})$")
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    hours, minutes = _integers(found.field(1), fits), _integers(found.field(2), fits)
    behind = pc.fill_null(pc.equal(found.field(0), "-"), False).to_numpy(zero_copy_only=False)
    return np.where(behind, -1.0, 1.0) * (hours * 3600.0 + minutes * 60.0)
