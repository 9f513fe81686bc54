"""A browser is known again without a click: by its cookie, which only this server reads."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from streamlit.testing.v1 import AppTest

from deepfm.ui.person import COOKIE, KnowBrowser


def answer(
    cookie: str = "", *, kind: str = "text/html; charset=utf-8", method: str = "GET"
) -> list[str]:
    """The Set-Cookie lines that a page of this kind is answered with."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode()), (b"set-cookie", b"theirs=1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    headers = [(b"cookie", cookie.encode())] if cookie else []
    scope = {"type": "http", "method": method, "path": "/train", "headers": headers}
    anyio.run(KnowBrowser(app), scope, receive, send)
    assert sent[1]["body"] == b"page"
    lines = [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]
    assert lines[0] == "theirs=1"
    return lines[1:]


def value_of(line: str) -> str:
    found = re.fullmatch(
        rf"{COOKIE}=([0-9a-f]{{32}}); HttpOnly; Max-Age=31536000; Path=/; SameSite=Lax", line
    )
    assert found is not None, line
    return found[1]


def test_a_new_browser_gets_a_cookie_of_its_own_with_the_page() -> None:
    values = {value_of(line) for _ in range(5) for line in answer()}
    assert len(values) == 5


def test_a_known_browser_keeps_its_cookie_for_another_year() -> None:
    (first,) = map(value_of, answer())
    (again,) = answer(f"_ga=x; {COOKIE}={first}; b=2")
    assert value_of(again) == first


@pytest.mark.parametrize("bad", ["", "x" * 32, "0" * 31, "0" * 33, '"><script>', "a\r\nb: c"])
def test_a_cookie_that_is_not_ours_is_replaced(bad: str) -> None:
    (line,) = answer(f"{COOKIE}={bad}")
    assert value_of(line) != bad


def test_only_pages_carry_it() -> None:
    assert answer(kind="application/javascript") == []
    assert answer(method="POST") == []


def test_other_kinds_of_connection_pass_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def unused(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    for kind in ("websocket", "lifespan"):
        anyio.run(KnowBrowser(app), {"type": kind}, unused, unused)
    assert seen == ["websocket", "lifespan"]


def who() -> AppTest:
    """A page that says who looks at it."""

    def page() -> None:
        import streamlit as st

        from deepfm.ui.person import person

        st.text(person())

    return AppTest.from_function(page)


def said(page: AppTest) -> str:
    page.run()
    assert not page.exception
    return str(page.text[0].value)


def test_a_signed_in_user_is_known_by_their_address(home: Path) -> None:
    page = who()
    page.user = {"email": "ann@example.com", "name": "Ann"}
    assert said(page) == "user:ann@example.com"
    page.user = {"email": None, "name": "Ann"}
    assert said(page) == "user:Ann"


def test_without_cookies_a_tab_is_known_while_it_is_open(home: Path) -> None:
    page, other = who(), who()
    page.user = other.user = {}
    first = said(page)
    assert re.fullmatch(r"browser:[0-9a-f]{16}", first)
    assert said(page) == first != said(other)


def test_a_browser_is_known_by_a_digest_of_its_cookie(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(cookies={COOKIE: "0" * 32})
    monkeypatch.setattr("streamlit.context", context)
    page, other = who(), who()
    page.user = other.user = {}
    first = said(page)
    assert first == said(other) and first.startswith("browser:") and "0000" not in first
