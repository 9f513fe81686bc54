"""Events to one line on stderr that says how far the work is."""

import sys

from deepfm.events import Epoch, Event, Notice, Point, Progress, Resumed, Started


class ProgressLine:
    """One line on stderr that says how far the work is; plain lines where it is not a terminal."""

    WIDTH = 24

    def __init__(self) -> None:
        self._epochs = 1
        self._open = False
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def show(self, event: Event) -> None:
        """Write what an event says, if a person would want to read it."""
        match event:
            case Started():
                self._epochs = event.epochs
                self._line(
                    f"{event.model}, {event.parameters:,} parameters, "
                    f"{event.train_rows:,} rows, {event.device}"
                )
            case Resumed():
                self._line(f"resumed at epoch {event.epoch:.2f}")
            case Point() if self._terminal:
                self._bar(event.epoch / self._epochs, f"loss {event.train.loss:.4f}")
            case Epoch():
                self._epoch(event)
            case Notice():
                self._line(event.text)
            case Progress() if self._terminal and event.total:
                detail = f"{event.stage} {event.detail}".strip()
                self._bar(event.share, detail)
            case _:
                pass

    def _epoch(self, event: Epoch) -> None:
        shown = [f"train loss {event.train.loss:.4f} accuracy {event.train.accuracy:.4f}"]
        for name, metrics in (("validation", event.validation), ("test", event.test)):
            if metrics is not None:
                auc = "" if metrics.auc is None else f" AUC {metrics.auc:.4f}"
                shown.append(f"{name} loss {metrics.loss:.4f} accuracy {metrics.accuracy:.4f}{auc}")
        rate = f"{event.examples_per_second / 1000:.0f} k/s"
        self._line(f"epoch {event.epoch}/{self._epochs}: " + ", ".join([*shown, rate]))

    def _bar(self, share: float, text: str) -> None:
        filled = round(self.WIDTH * min(max(share, 0), 1))
        bar = "█" * filled + "░" * (self.WIDTH - filled)
        print(f"\r\x1b[2K{bar} {share:4.0%} {text}", end="", file=sys.stderr, flush=True)
        self._open = True

    def _line(self, text: str) -> None:
        start = "\r\x1b[2K" if self._open else ""
        self._open = False
        print(start + text, file=sys.stderr, flush=True)

    def _end_line(self) -> None:
        if self._open:
            print(file=sys.stderr, flush=True)
        self._open = False
