"""The theme that goes with every drawing is what Streamlit would say, and is looked up once."""

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import NewSession
from streamlit.runtime import app_session

from deepfm.ui.theme_message import NAME, put_theme_together_once

SECTIONS = ("theme", *(f"theme.{part.value}" for part in config.CustomThemeCategories))


@pytest.fixture(autouse=True)
def streamlit_as_it_comes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app_session, NAME, getattr(app_session, NAME))


def told() -> NewSession:
    """A session's beginning, as far as the theme goes, put together as Streamlit does it."""
    populate = getattr(app_session, NAME)
    message = NewSession()
    theme = message.custom_theme
    for part, section in (
        (theme, SECTIONS[0]),
        (theme.light, "theme.light"),
        (theme.dark, "theme.dark"),
        (theme.sidebar, "theme.sidebar"),
        (theme.light.sidebar, "theme.light.sidebar"),
        (theme.dark.sidebar, "theme.dark.sidebar"),
    ):
        populate(part, section)
    return message


def test_it_says_the_same_the_first_time_and_later():
    before = told()
    assert before.custom_theme.ListFields()
    assert put_theme_together_once()
    assert told() == before
    assert told() == before
    assert told().SerializeToString(deterministic=True) == before.SerializeToString(
        deterministic=True
    )


def test_it_is_looked_up_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    look_up = config.get_options_for_section
    monkeypatch.setattr(
        config, "get_options_for_section", lambda name: asked.append(name) or look_up(name)
    )
    assert put_theme_together_once()
    told()
    told()
    assert sorted(asked) == sorted(SECTIONS)


def test_a_new_config_file_is_followed():
    assert put_theme_together_once()
    before, colour = told().custom_theme.primary_color, config.get_option("theme.primaryColor")
    config.set_option("theme.primaryColor", "#123456")
    try:
        assert told().custom_theme.primary_color == before
        config._on_config_parsed.send()
        assert told().custom_theme.primary_color == "#123456"
    finally:
        config.set_option("theme.primaryColor", colour)


def test_a_streamlit_without_the_name_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(app_session, NAME)
    assert not put_theme_together_once()
    assert not hasattr(app_session, NAME)
