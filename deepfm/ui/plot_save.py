"""A chart to files that can be taken away: its picture, made by the browser, and their names."""

import re
from pathlib import Path
from typing import Final

import streamlit as st

_HERE: Final = Path(__file__).parent
_LONGEST: Final = 60
_SAVE: Final = st.components.v2.component(
    "deepfm_save",
    html='<div class="dfm-save"><span class="dfm-save-words"></span>'
    '<button type="button" data-format="png">Picture (PNG)</button>'
    '<button type="button" data-format="svg">Drawing (SVG)</button>'
    '<span role="status"></span></div>',
    css=(_HERE / "plot_save.css").read_text(encoding="utf-8"),
    js=(_HERE / "plot_save.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def picture_buttons(chart: str, file: str, words: str = "") -> None:
    """PNG and SVG of the chart with that key, as it is on the screen now.

    file   the name of what is saved, without its ending
    words  stand before the buttons, where one menu serves several charts
    """
    _SAVE(key=f"{chart}_picture", data={"chart": chart, "file": file, "words": words})


def file_stem(title: str) -> str:
    """A file's name that says what is in it: the chart's title, then the run and row shown.

    "Which fields moved this impression" of row 7 of the demo run is
    "which-fields-moved-this-impression-run-demo-row-7".
    """
    parts = [plain_stem(title) or "chart"]
    for name in ("run", "row"):
        if value := plain_stem(st.query_params.get(name, "")):
            parts.append(f"{name}-{value}")
    return "-".join(parts)


def plain_stem(text: str, longest: int = _LONGEST) -> str:
    """Letters and digits of any script in small, all else one hyphen: fit for any file system.

    One that is too long ends with a whole word.
    """
    stem = re.sub(r"[\W_]+", "-", text.lower()).strip("-")
    if len(stem) <= longest:
        return stem
    return stem[: longest + 1].rpartition("-")[0] or stem[:longest]
