"""Where this machine keeps a Chromium or Chrome, and how Debian gets one.

Standard library only: the test command reads it before anything is installed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deepfm import setup

VARIABLE = "DEEPFM_CHROMIUM"
"""Names the browser's program where the search would miss it."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
)


def find_chromium() -> str | None:
    """The browser's program, or None."""
    names = (os.environ.get(VARIABLE, ""), *NAMES)
    found = next(filter(None, map(shutil.which, names)), None)
    return found or next((place for place in PLACES if Path(place).exists()), None)


def find_or_install_chromium() -> str | None:
    """The browser's program, installed by apt-get where that is possible, or None."""
    return find_chromium() or (
        find_chromium() if setup.install_debian_package("chromium") else None
    )
