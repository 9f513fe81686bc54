"""Who looks at this page: the signed-in user, else this browser, known again by a cookie.

The cookie is set with the page itself, so that nobody has to click anything, and only this
server reads it. What is kept with a run is a digest of it: from a run nobody learns a cookie.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any, Final

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser

from deepfm.errors import DeepFMError
from deepfm.runs.store.people import LONGEST_NAME
from deepfm.ui import state
from deepfm.ui.text import plain, show_error

COOKIE: Final = "deepfm_browser"
YEAR_SECONDS: Final = 365 * 86_400
_VALUE: Final = re.compile(r"[0-9a-f]{32}")
_SESSION: Final = "browser_id"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def person() -> str:
    """The id that this person's runs carry; the same for every page of the same browser.

    Where there are no cookies (another site's frame, a page that runs alone), a browser is
    known as long as its tab is open.
    """
    for name in ("email", "sub", "name"):
        if known := st.user.get(name):
            return f"user:{known}"
    value = str(st.context.cookies.get(COOKIE, ""))
    if not _VALUE.fullmatch(value):
        value = st.session_state.setdefault(_SESSION, secrets.token_hex(16))
    return f"browser:{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def show_person() -> None:
    """The name on this person's runs, and a way to change it."""
    who, store = person(), state.store()
    name = store.person_name(who)
    with st.popover(
        plain(name),
        icon=":material/person:",
        type="tertiary",
        help="The name on your runs. People take turns in the queue.",
    ):
        with st.form("person", border=False):
            typed = st.text_input("Your name, as others see it", name, max_chars=LONGEST_NAME)
            changed = st.form_submit_button("Change")
        if changed:
            try:
                store.name_person(who, typed)
            except DeepFMError as error:
                show_error(error)
            else:
                st.rerun()


class KnowBrowser:
    """ASGI middleware: each page that is opened renews the browser's cookie, or gives it one."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; a page (text/html) goes with the cookie."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return

        async def send_known(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie(Headers(scope=scope)))
            await send(message)

        await self._app(scope, receive, send_known)


def _cookie(request: Headers) -> str:
    """Set-Cookie with the value that the browser has, or a new one."""
    value = cookie_parser(request.get("cookie", "")).get(COOKIE, "")
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = value if _VALUE.fullmatch(value) else secrets.token_hex(16)
    for name, setting in (
        ("max-age", YEAR_SECONDS),
        ("path", "/"),
        ("httponly", True),
        ("samesite", "Lax"),
    ):
        cookie[COOKIE][name] = setting
    return cookie.output(header="").strip()
