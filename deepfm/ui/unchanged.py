"""A timer's question about what has not changed: not answered, so that it costs next to nothing.

A live fragment is asked for by a timer in the browser, several times a second. Each time it would
be drawn whole, by a script in a thread of its own, and all its elements sent again, if only by
name: what is not drawn again is taken off the page. Once drawn, a fragment says here how one
tells whether it would look otherwise by now (`drawn_until`); as long as it would not, the timer's
question goes no further than this middleware, and the page stays as it is. Nor does one that
comes before the last drawing has reached the browser: Streamlit throws away what still waits to
be sent when the next one begins, so a busy server would draw twice and show one. Whatever else
the page asks for passes.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import streamlit as st
from google.protobuf.message import DecodeError
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from deepfm.errors import DeepFMError
from deepfm.ui.person import Application, Message, Receive, Send
from deepfm.ui.timers import this_fragment

HEADER: Final = "x-deepfm-tab"
"""By this header, set here, a script knows the connection to its tab."""
LONGEST: Final = 10.0
"""Seconds after which a fragment is drawn again in any case: some words go by the clock."""
PATIENCE: Final = 5.0
"""Seconds that a drawing may take before it is asked for once more."""
SMALL: Final = 1_000
"""Bytes that the word of a drawing's end does not reach; only so small messages are looked at."""


@dataclass
class Drawn:
    """A fragment as it stands in a tab.

    changed   whether it would look otherwise by now; asked in any thread
    pace      seconds between two drawings, on the average
    at        when it was drawn, by time.monotonic()
    """

    changed: Callable[[], bool]
    pace: float
    at: float

    def moved(self) -> bool:
        """Whether it would look otherwise, or cannot say: then the page says what is wrong."""
        try:
            return self.changed()
        except DeepFMError:
            return True


class Tab:
    """What stands in one open page, as far as it is asked for by timers."""

    def __init__(self) -> None:
        self._drawn: dict[str, Drawn] = {}
        self._due: dict[str, float] = {}
        self._drawing: float | None = None

    def put(self, fragment: str, drawn: Drawn) -> None:
        """The fragment was drawn just now."""
        self._drawn[fragment] = drawn

    def arrived(self) -> None:
        """A drawing has been sent whole."""
        self._drawing = None

    async def answers_itself(self, asked: ClientState) -> bool:
        """Whether the page has already what is asked for, or is about to get it."""
        if asked.is_auto_rerun and asked.fragment_id and await self._has(asked.fragment_id):
            return True
        self._drawing = time.monotonic()
        return False

    async def _has(self, fragment: str) -> bool:
        now, drawn = time.monotonic(), self._drawn.get(fragment)
        if self._drawing is not None and now - self._drawing < PATIENCE:
            return True
        if drawn is None:
            return False
        due = self._due.get(fragment, now)
        if now - drawn.at < LONGEST and (now < due or not await asyncio.to_thread(drawn.moved)):
            return True
        # The questions come by a clock of their own: a drawing that is late brings the next one
        # forward, so that as many come as were meant to.
        self._due[fragment] = max(due, now - drawn.pace) + drawn.pace
        return False


@st.cache_resource(show_spinner=False)
def _tabs() -> dict[str, Tab]:
    """The open tabs by their connection's own word."""
    return {}


def drawn_until(changed: Callable[[], bool], *, pace: float = 0.0) -> None:
    """The fragment that calls this at its end is right until `changed()`.

    pace   seconds between two drawings, on the average, however often it is asked for
    """
    tab = _tabs().get(st.context.headers.get(HEADER, ""))
    if tab is not None and (fragment := this_fragment()):
        tab.put(fragment, Drawn(changed, pace, time.monotonic()))


class AnswerUnchanged:
    """ASGI middleware: a timer's question about what is unchanged does not reach Streamlit."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection; only a tab's own is listened to."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        word, tab = secrets.token_hex(8), Tab()

        async def receive_new() -> Message:
            while True:
                message = await receive()
                asked = _asked(message)
                if asked is None or not await tab.answers_itself(asked):
                    return message

        async def send_known(message: Message) -> None:
            await send(message)
            if _is_end(message):
                tab.arrived()

        name = HEADER.encode()
        headers = [each for each in scope["headers"] if each[0] != name]
        _tabs()[word] = tab
        try:
            known = {**scope, "headers": [*headers, (name, word.encode())]}
            await self._app(known, receive_new, send_known)
        finally:
            _tabs().pop(word, None)


def _asked(message: Message) -> ClientState | None:
    """What a message of the page asks to be drawn; None where it asks for something else."""
    if not (data := message.get("bytes")):
        return None
    try:
        asked = BackMsg.FromString(data)
    except DecodeError:
        return None  # Streamlit says what it thinks of it
    return asked.rerun_script if asked.WhichOneof("type") == "rerun_script" else None


def _is_end(message: Message) -> bool:
    """Whether the server says with it that a drawing has ended."""
    data = message.get("bytes")
    if not data or len(data) > SMALL:
        return False
    return ForwardMsg.FromString(data).WhichOneof("type") == "script_finished"
