"""A file that was made for a download, kept until the browser has had time to fetch it.

Streamlit makes such a file on a click, tells its address, and deletes it at the end of the second
script run after that, of anybody on this server: where others watch a run learn, that may be
sooner than the browser asks for it, and the download is cancelled.
"""

import time
from typing import Final

from streamlit.runtime import media_file_manager
from streamlit.runtime.media_file_manager import MediaFileMetadata
from streamlit.runtime.media_file_storage import MediaFileKind

KEPT: Final = 60.0
"""Seconds that a file is kept in any case."""


class KeptFile(MediaFileMetadata):
    """What is known of a file; it cannot be marked to be deleted while it is new."""

    def __init__(self, kind: MediaFileKind = MediaFileKind.MEDIA) -> None:
        super().__init__(kind)
        self._made = time.monotonic()

    def mark_for_delete(self) -> None:
        """Mark it, if it has been there long enough."""
        if time.monotonic() - self._made >= KEPT:
            super().mark_for_delete()


def keep_downloads() -> None:
    """From now on a download is not lost to the script runs of others."""
    media_file_manager.MediaFileMetadata = KeptFile  # type: ignore[misc]
