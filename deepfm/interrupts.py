"""Ctrl-C to a wish to stop in order: the first asks for it, the second ends at once."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """While this lasts, Ctrl-C sets `asked`. For the main thread alone."""

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._asked

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, self._before)
        print(
            "\ndeepfm: stopping; what was learned is kept. Ctrl-C again ends at once.",
            file=sys.stderr,
            flush=True,
        )
