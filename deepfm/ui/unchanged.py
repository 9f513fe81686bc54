"""A timer's question about what has not changed: not answered, so that it costs next to nothing.

A live fragment is asked for by a timer in the browser, several times a second. Each time it would
be drawn whole, by a script in a thread of its own, and all its elements sent again, if only by
name: what is not drawn again is taken off the page. Once drawn, a fragment says here how one
tells whether it would look otherwise by now (`drawn_until`); as long as it would not, the timer's
question goes no further than this middleware, and the page stays as it is. Nor does one that
comes while a drawing is under way. Whatever else the page asks for passes.
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

from deepfm.errors import DeepFMError
from deepfm.ui.person import Application, Message, Receive, Send
from deepfm.ui.timers import this_fragment

HEADER: Final = "x-deepfm-tab"
"""By this header, set here, a script knows the connection to its tab."""
LONGEST: Final = 10.0
"""Seconds after which a fragment is drawn again in any case: some words go by the clock."""
PATIENCE: Final = 2.0
"""Seconds that a drawing may take before it is asked for once more."""


@dataclass
class Drawn:
    """A fragment as it stands in a tab.

    changed   whether it would look otherwise by now; asked in any thread
    pace      seconds between two drawings, on the average
    at        when it was drawn, by time.monotonic()
    asked     when it was asked to be drawn anew, which has not been done yet
    """

    changed: Callable[[], bool]
    pace: float
    at: float
    asked: float | None = None

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

    def put(self, fragment: str, drawn: Drawn) -> None:
        """The fragment was drawn just now."""
        self._drawn[fragment] = drawn

    async def answers_itself(self, asked: ClientState) -> bool:
        """Whether the page has already what is asked for, or is about to get it."""
        now, fragment = time.monotonic(), asked.fragment_id
        if not (asked.is_auto_rerun and fragment):
            for drawn in [self._drawn.get(fragment)] if fragment else self._drawn.values():
                if drawn is not None:
                    drawn.asked = now
            return False
        drawn = self._drawn.get(fragment)
        if drawn is None:
            return False
        if drawn.asked is not None:
            return now - drawn.asked < PATIENCE
        due = self._due.get(fragment, now)
        if now - drawn.at < LONGEST and (now < due or not await asyncio.to_thread(drawn.moved)):
            return True
        # The questions come by a clock of their own: a drawing that is late brings the next one
        # forward, so that as many come as were meant to.
        self._due[fragment] = max(due, now - drawn.pace) + drawn.pace
        drawn.asked = now
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

        name = HEADER.encode()
        headers = [each for each in scope["headers"] if each[0] != name]
        _tabs()[word] = tab
        try:
            known = {**scope, "headers": [*headers, (name, word.encode())]}
            await self._app(known, receive_new, send)
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
