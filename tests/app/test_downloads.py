"""A download is not lost when pages are drawn while the browser has yet to fetch it."""

import pytest
from streamlit.runtime import media_file_manager
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from deepfm.ui import downloads


def test_a_made_file_outlives_the_runs_of_others_for_a_while(monkeypatch) -> None:
    monkeypatch.setattr(
        media_file_manager, "MediaFileMetadata", media_file_manager.MediaFileMetadata
    )
    downloads.keep_downloads()
    storage = MemoryMediaFileStorage("/media")
    files = MediaFileManager(storage)
    made = files.add_deferred(lambda: b"report", "text/html", "0.0", file_name="report.html")
    address = files.execute_deferred(made)
    name = address.rsplit("/", 1)[-1]
    for _ in range(5):
        files.remove_orphaned_files()
    assert storage.get_file(name).content == b"report"
    monkeypatch.setattr(downloads, "KEPT", 0.0)
    for _ in range(2):
        files.remove_orphaned_files()
    with pytest.raises(MediaFileStorageError):
        storage.get_file(name)
