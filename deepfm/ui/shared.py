"""What is made once for everybody on this server: a figure by its key, the store, a run's feed.

Streamlit's own cache reads the signature of a function and hashes each argument at every call,
which took a third of each look at a live run; here a key is compared and nothing else.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

import streamlit as st

T = TypeVar("T")

MOST: Final = 400
"""Things that are kept; beyond, what nobody has asked for the longest is dropped."""


class Shelf:
    """Things by key. Of many who ask for the same at once, one makes it and the others wait."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What stands under the key, made now where nothing does; an error leaves nothing there."""
        with self._guard:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            while len(self._places) > self._most:
                self._places.popitem(last=False)
        with place.guard:
            if not place.made:
                place.thing, place.made = make(), True
            thing: T = place.thing
            return thing


class _Place:
    """Room for one thing; `guard` is held while it is made."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.made = False
        self.thing: Any = None


class Recent:
    """One thing that is made again once it is too old."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._made = -float("inf")
        self._thing: Any = None

    def get(self, seconds: float, make: Callable[[], T]) -> T:
        """What was made so many seconds ago at most."""
        with self._guard:
            now = time.monotonic()
            if now - self._made >= seconds:
                self._thing, self._made = make(), now
            thing: T = self._thing
            return thing


def recent(key: Hashable, seconds: float, make: Callable[[], T]) -> T:
    """What `make` returned for somebody so many seconds ago at most; not to be changed."""
    return once(("recent", key), Recent).get(seconds, make)


def once(key: Hashable, make: Callable[[], T]) -> T:
    """What `make` returns, made once for the server under this key; not to be changed."""
    return _shelf().get(key, make)


@st.cache_resource(show_spinner=False)
def _shelf() -> Shelf:
    return Shelf()
