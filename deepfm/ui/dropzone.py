"""A file under the pointer to an upload on the server: drop or choose, progress, cancel."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import streamlit as st

from deepfm.charts.palette import format_bytes
from deepfm.config import Settings
from deepfm.errors import DataError
from deepfm.ui.upload import Upload, find_upload, ticket, upload_limit

_HERE: Final = Path(__file__).parent

_HTML: Final = """
<div class="dfm-drop" data-state="idle">
  <div class="dfm-drop-frame">
    <label class="dfm-drop-zone">
      <input class="dfm-drop-input" type="file">
      <span class="dfm-drop-icon" aria-hidden="true"></span>
      <span class="dfm-drop-words">
        <span class="dfm-drop-title"></span>
        <span class="dfm-drop-note"></span>
      </span>
    </label>
    <button class="dfm-drop-cancel" type="button">Cancel</button>
    <progress class="dfm-drop-bar" max="1" value="0"></progress>
  </div>
  <div class="dfm-drop-error" role="alert"></div>
</div>
"""


def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "deepfm_dropzone",
        html=_HTML,
        css=(_HERE / "dropzone.css").read_text(encoding="utf-8"),
        js=(_HERE / "dropzone.js").read_text(encoding="utf-8"),
        isolate_styles=False,
    )


_DROPZONE: Final = _component()


def dropzone(
    title: str,
    note: str,
    *,
    key: str,
    settings: Settings,
    current: Upload | None = None,
    height: int = 120,
) -> Upload | None:
    """A place to drop one file; returns the upload in the one run after it has arrived.

    title, note  what to drop, and what is taken
    current      the file that is used now: shown, and replaced by the next one
    """
    result = _DROPZONE(
        key=key,
        data={
            "title": title,
            "note": note,
            "height": height,
            "limit": upload_limit(settings),
            "limit_text": format_bytes(upload_limit(settings)),
            "ticket": ticket(settings),
            "current": None if current is None else {"name": current.name, "size": current.size},
        },
        on_file_change=_nothing,
    )
    return _arrived(result.file, settings)


def _arrived(value: Mapping[str, Any] | None, settings: Settings) -> Upload | None:
    """The upload that the browser names; what it says is checked, it could say anything."""
    if not value:
        return None
    upload_id, name = value.get("id"), value.get("name")
    if not isinstance(upload_id, str) or not isinstance(name, str):
        raise DataError("The upload did not arrive whole. Drop the file again.")
    return find_upload(settings, upload_id, name)


def _nothing() -> None:
    """A component's trigger is kept only where a callback is given."""
