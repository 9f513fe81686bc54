"""What a page shows to a link that opens the same thing in another browser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st

_HERE: Final = Path(__file__).parent
_COPY: Final = st.components.v2.component(
    "deepfm_copy_link",
    html='<div class="dfm-copy"><button type="button">'
    '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path fill="none" '
    'stroke="currentColor" stroke-width="2" stroke-linecap="round" d="M10 14a4 4 0 0 0 6 0l3-3a4 '
    '4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1"/></svg>'
    '<span class="dfm-copy-label"></span></button>'
    '<input class="dfm-copy-text" readonly hidden aria-label="Link to copy">'
    '<span class="dfm-copied" role="status"></span></div>',
    css=(_HERE / "copy_link.css").read_text(encoding="utf-8"),
    js=(_HERE / "copy_link.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def copy_link(
    *, key: str, label: str = "Copy link", needed: Mapping[str, str] | None = None
) -> None:
    """A quiet button that copies this page's address.

    needed   what the address must name to open the same thing where it is left out here, since
             this session remembers it: {"run": …}
    """
    _COPY(key=key, data={"label": label, "needed": dict(needed or {})})
