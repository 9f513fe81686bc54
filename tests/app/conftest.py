"""Pages as AppTest runs them: a home of their own, and nothing wrong on screen."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty DEEPFM_HOME; what the pages kept for it is let go at the end."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DEEPFM_HOME", str(folder))
    yield folder
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def open_page(home: Path) -> Callable[..., AppTest]:
    """`open_page("train", dataset="demo")`: one page, drawn alone, its address as given."""

    def open_one(name: str, **address: str) -> AppTest:
        page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=60)
        for key, value in address.items():
            page.query_params[key] = value
        page.run()
        assert_nothing_wrong(page)
        return page

    return open_one


def assert_nothing_wrong(page: AppTest) -> None:
    """No exception, error or warning stands on the page."""
    boxes = [*page.exception, *page.error, *page.warning]
    assert [box.value for box in boxes] == []
