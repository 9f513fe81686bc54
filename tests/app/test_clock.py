"""Moments are told in the reader's time, who may be far from the server."""

import datetime
from types import SimpleNamespace

import pytest

from deepfm.ui import clock
from deepfm.ui.run_words import when_in_words

NOON = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC).timestamp()


def reader(monkeypatch: pytest.MonkeyPatch, zone: str | None, offset: int | None) -> None:
    """A browser that tells its time zone and its distance from UTC so."""
    context = SimpleNamespace(timezone=zone, timezone_offset=offset)
    monkeypatch.setattr(clock, "st", SimpleNamespace(context=context))


@pytest.mark.parametrize(
    ("zone", "offset", "said"),
    [
        ("America/New_York", 300, "07:00"),
        ("Asia/Kolkata", -330, "17:30"),
        ("No/Such_Place", -330, "17:30"),
        ("../etc/passwd", 300, "07:00"),
    ],
)
def test_it_is_the_browsers_time(
    zone: str, offset: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(monkeypatch, zone, offset)
    assert when_in_words(NOON, NOON + 60) == said


def test_a_day_is_the_readers_day(monkeypatch: pytest.MonkeyPatch) -> None:
    reader(monkeypatch, "Asia/Tokyo", -540)
    assert when_in_words(NOON, NOON + 4 * 3_600) == "24 Nov, 21:00", "it is the 25th there by now"
    assert when_in_words(NOON, NOON + 400 * 86_400) == "24 Nov 2026"


@pytest.mark.parametrize(("zone", "offset"), [(None, None), ("No/Such_Place", None)])
def test_without_a_browser_it_is_the_servers(
    zone: str | None, offset: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(monkeypatch, zone, offset)
    assert clock.local(NOON) == datetime.datetime.fromtimestamp(NOON)
