"""A person's text to the page as it is: nothing in it is Markdown, HTML or a formula."""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, ParamSpec

import streamlit as st

from deepfm.errors import DeepFMError

P = ParamSpec("P")

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@])")
_JOINED: Final = re.compile(r"(:(?=\S)|[<>~=-](?=[<>=-])|(?<=www)(?=\.)|(?=@))")
_JOINER: Final = "\u2060"
"""Has no width; parts what Streamlit joins even when escaped: ":icon:", "->", "http:", "a@b"."""


def plain(text: object) -> str:
    """Text for a Markdown place (caption, button, markdown), every sign of Markdown escaped.

    Line ends become spaces, so that text cannot open a block of its own.
    """
    parted = _JOINED.sub(lambda found: found[0] + _JOINER, " ".join(str(text).split()))
    return _MARKDOWN.sub(r"\\\1", parted)


def numbered_names(names: Sequence[str]) -> list[str]:
    """Names that differ: the second of the same is "name (2)"."""
    found: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for name in names:
        copy, number = name, numbers.get(name, 2)
        while copy in found:
            copy, number = f"{name} ({number})", number + 1
        found[copy], numbers[name] = None, number
    return list(found)


def show_error(error: Exception | str) -> None:
    """The one sentence of a mistake, where it was made."""
    st.error(plain(error), icon=":material/error:")


@contextlib.contextmanager
def mistakes_in_words() -> Iterator[None]:
    """What goes wrong in here is told in its one sentence; around a fragment, as a decorator."""
    try:
        yield
    except DeepFMError as error:
        show_error(error)


def told(act: Callable[P, object]) -> Callable[P, None]:
    """What a button does (its on_click), which has no place of its own for what goes wrong.

    That is told in its one sentence at the edge of the window, until it is closed.
    """

    @functools.wraps(act)
    def act_or_tell(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            act(*args, **kwargs)
        except DeepFMError as error:
            st.toast(plain(error), icon=":material/error:", duration="infinite")

    return act_or_tell


def show_notice(text: str) -> None:
    """Something a person should be told in words; without a colour, since ours mean terms."""
    with st.container(border=True):
        st.markdown(f":material/info: {plain(text)}")
