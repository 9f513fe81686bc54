"""The theme that Streamlit tells with every drawing: put together once, not each time.

Streamlit 1.67 begins the answer to every request, a timer's too, with all of the app's theme, for
which it looks up some three hundred options by name. Where twenty pages are drawn twice a second
that took 7 % of the app's processor. What the theme says changes only with the file it stands in.
"""

from functools import partial
from typing import Final

from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

NAME: Final = "_populate_theme_msg"
"""What is changed; Streamlit does not promise it. Where it is not there nothing is changed."""


def put_theme_together_once() -> bool:
    """From now on, for all sessions of this server; False where Streamlit has not what it takes."""
    make = getattr(app_session, NAME, None)
    if make is None:
        return False
    made: Final[dict[str, CustomThemeConfig]] = {}

    def put(message: CustomThemeConfig, section: str = "theme") -> None:
        theme = made.get(section)
        if theme is None:
            theme = CustomThemeConfig()
            make(theme, section)
            made[section] = theme
        # A section that says nothing is not to be there at all.
        if theme.ListFields():
            message.MergeFrom(theme)

    setattr(app_session, NAME, put)
    config.on_config_parsed(partial(made.clear), force_connect=True)
    return True
