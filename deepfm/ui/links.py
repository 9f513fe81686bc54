"""The pages, and links between them that carry the dataset or run in the address."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.navigation.page import StreamlitPage

from deepfm.ui.text import plain

PAGES_FOLDER: Final = Path(__file__).resolve().parents[2] / "pages"

Context = Literal["", "dataset", "run"]


@dataclass(frozen=True)
class PageInfo:
    """One page: file pages/NAME.py, its title, and what its address names."""

    name: str
    title: str
    icon: str
    context: Context

    @property
    def file(self) -> Path:
        """The page's script."""
        return PAGES_FOLDER / f"{self.name}.py"

    @property
    def url(self) -> str:
        """The page's address on this server."""
        return "/" if self.name == "start" else f"/{self.name}"


PAGES: Final = (
    PageInfo("start", "Start", ":material/play_circle:", ""),
    PageInfo("data", "Data", ":material/table_view:", "dataset"),
    PageInfo("train", "Train", ":material/show_chart:", "dataset"),
    PageInfo("evaluate", "Evaluate", ":material/speed:", "run"),
    PageInfo("impression", "Impression", ":material/search:", "run"),
    PageInfo("model", "Model", ":material/hub:", "run"),
    PageInfo("runs", "Runs", ":material/list:", ""),
)


def navigation_pages() -> list[StreamlitPage]:
    """The pages for st.navigation, in the order of the first minute."""
    return [
        st.Page(
            page.file,
            title=page.title,
            icon=page.icon,
            url_path="" if page.name == "start" else page.name,
            default=page.name == "start",
        )
        for page in PAGES
        if page.file.exists()
    ]


def page_of(url_path: str) -> PageInfo:
    """The page of an address; the start page for an empty one."""
    return next((page for page in PAGES if page.name == url_path), PAGES[0])


def page_named(name: str) -> PageInfo:
    """The page called `name`; StopIteration is a mistake of the caller."""
    return next(page for page in PAGES if page.name == name)


def go_to(name: str, **parameters: str) -> None:
    """Leave for another page; from a page that runs alone, say where the link leads."""
    page = page_named(name)
    try:
        st.switch_page(str(page.file), query_params=parameters)
    except StreamlitAPIException:
        st.link_button(page.title, _address(page, parameters))


def link(
    name: str,
    label: str,
    *,
    icon: str | None = None,
    **parameters: str | Sequence[str],
) -> None:
    """A link to another page, with parameters for its address; `label` is shown as it is.

    A parameter of several values stands several times in the address.
    """
    page = page_named(name)
    try:
        st.page_link(
            str(page.file),
            label=plain(label),
            icon=icon or page.icon,
            query_params=parameters,
        )
    except StreamlitAPIException:
        st.link_button(plain(label), _address(page, parameters))


def button(
    name: str,
    label: str,
    *,
    key: str,
    kind: Literal["primary", "secondary", "tertiary"] = "secondary",
    before: Callable[[], dict[str, str]] | None = None,
    icon: str | None = None,
    **parameters: str,
) -> None:
    """A button that leaves for another page; `before` runs first and may give parameters."""
    if st.button(plain(label), key=key, type=kind, icon=icon):
        go_to(name, **{**parameters, **(before() if before else {})})


def _address(page: PageInfo, parameters: Mapping[str, str | Sequence[str]]) -> str:
    return page.url + (f"?{urlencode(parameters, doseq=True)}" if parameters else "")
