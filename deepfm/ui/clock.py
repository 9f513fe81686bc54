"""A moment to the time of day where the reader is, who may be far from the server."""

import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def local(moment: float) -> datetime.datetime:
    """Seconds since 1970 as the browser's clock shows them; the server's where that is unknown."""
    return datetime.datetime.fromtimestamp(moment, _zone())


def _zone() -> datetime.tzinfo | None:
    """The browser's time zone; None, which means the server's, where there is no browser."""
    name, offset = st.context.timezone, st.context.timezone_offset
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A server without the list of zones: the browser's distance from UTC today, in minutes.
        if not isinstance(offset, int | float):
            return None
        return datetime.timezone(-datetime.timedelta(minutes=offset))
