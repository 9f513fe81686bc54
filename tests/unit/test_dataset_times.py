from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest

from deepfm.data.dataset.times import read_times
from deepfm.errors import SchemaError

MOMENTS = [
    datetime(2024, 1, 31, 23, 59, 58, tzinfo=UTC),
    datetime(1999, 12, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    datetime(2000, 3, 1, 0, 5, 7, tzinfo=UTC),
]


def read(*texts: str | None) -> list[float]:
    """The texts as two arrays, as they come from two blocks."""
    arrays = [pa.array(texts[:2], pa.string()), pa.array(texts[2:], pa.string())]
    return read_times("when", lambda: arrays).tolist()


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y/%m/%d %H:%M:%S",
        "%d/%m/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M:%S",
        "%d.%m.%Y %H:%M:%S",
        "%d-%m-%Y %I:%M:%S %p",
        "%d/%m/%y %H:%M:%S",
        "%d %b %Y %H:%M:%S",
        "%d-%B-%y %H:%M:%S",
        "%b %d, %Y %H:%M:%S",
        "%A, %B %d %Y %H:%M:%S UTC",
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S,%f",
    ],
)
def test_a_writing_reads_as_python_reads_it(form: str) -> None:
    expected = [moment.timestamp() for moment in MOMENTS]
    assert read(*(moment.strftime(form) for moment in MOMENTS)) == expected


def test_zone_is_taken_off() -> None:
    moments = [m.astimezone(timezone(timedelta(hours=-3, minutes=-30))) for m in MOMENTS]
    for form in ("%Y-%m-%dT%H:%M:%S%z", "%d %b %Y %H:%M:%S %z"):
        assert read(*(m.strftime(form) for m in moments)) == [m.timestamp() for m in MOMENTS]
    assert read(*(m.isoformat() for m in moments)) == [m.timestamp() for m in MOMENTS]


def test_dates_need_no_clock_and_numbers_are_taken_as_they_are() -> None:
    assert read("1970-01-02", "1970-01-01") == [86400.0, 0.0]
    assert read("14102915", "14103000") == [14102915.0, 14103000.0]
    assert read(" 1700000000.5", "1700000001") == [1700000000.5, 1700000001.0]


def test_empty_cell_has_no_time() -> None:
    times = read("2024-01-31", None, "2024-02-01", None)
    assert np.isnan(times).tolist() == [False, True, False, True]


def test_day_and_month_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"'when' day and month cannot be told apart"):
        read("01/02/2024", "02/01/2024", "03/03/2024")
    assert read("01/01/2024", "02/02/2024", "03/03/2024") == sorted(
        read("01/01/2024", "02/02/2024", "03/03/2024")
    )


@pytest.mark.parametrize(
    ("texts", "row"),
    [
        (("2024-01-31", "2024-02-01", "soon"), 3),
        (("2024-13-01", "2024-01-01"), 1),
        (("1", "2", "2024-01-01"), 3),
        (("31 Foo 2024", "1 Jan 2024"), 1),
        (("2024-01-01 25:00", "2024-01-02"), 1),
        (("early", "late"), 1),
    ],
)
def test_text_that_is_no_time_is_named_with_its_row(texts: tuple[str, ...], row: int) -> None:
    with pytest.raises(SchemaError) as caught:
        read(*texts)
    assert repr(texts[row - 1]) in str(caught.value) and f"data row {row} " in str(caught.value)
