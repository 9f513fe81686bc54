"""What was computed of a run once to everybody who looks at it: kept until the run changes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Final, TypeVar

import streamlit as st

from deepfm.trained import TrainedModel
from deepfm.ui import state

MOST_KEPT: Final = 64
"""Results kept of one run; the one not asked for the longest goes first."""

_Result = TypeVar("_Result")


class Shelf:
    """Results of one run by name; each is made by one person while the others wait for it."""

    def __init__(self) -> None:
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, name: Hashable, make: Callable[[], _Result]) -> _Result:
        """The result of that name, made now if it is not there; what goes wrong is not kept."""
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            if name not in self._results:
                result = make()
                with self._lock:
                    self._results[name] = result
                    while len(self._results) > MOST_KEPT:
                        gone, _ = self._results.popitem(last=False)
                        self._making.pop(gone, None)
            with self._lock:
                self._results.move_to_end(name)
                kept: _Result = self._results[name]
                return kept


@st.cache_resource(show_spinner=False, max_entries=16)
def _shelf(folder: Path, time: float) -> Shelf:
    return Shelf()


def kept(model: TrainedModel, name: Hashable, make: Callable[[], _Result]) -> _Result:
    """What `make` returns, computed once for this run folder as it is now.

    name  tells results of one run apart: what is computed, and with which settings
    """
    return _shelf(model.folder, state.run_time(model.folder)).get(name, make)


def kept_slowly(
    model: TrainedModel,
    name: Hashable,
    make: Callable[[Callable[[int, int], None]], _Result],
    words: str,
) -> _Result:
    """The same for what takes seconds: a bar says how far it is; `make` gets who to tell."""
    place = st.empty()

    def tell(done: int, of: int) -> None:
        if done % max(1, of // 50) == 0:
            place.progress(done / max(1, of), text=f"{words}: {done:,} of {of:,}")

    def make_and_tell() -> _Result:
        return make(tell)

    result = kept(model, name, make_and_tell)
    place.empty()
    return result
