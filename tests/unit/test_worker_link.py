"""A child's events on their way to the store: in batches, but the first point at once."""

from collections.abc import Sequence
from multiprocessing import Pipe

import pytest

from deepfm.events import Event, Metrics, Notice, Point, Started
from deepfm.runs.worker import link

STARTED = Started("DeepFM", 100, 20, 20, 2, 3, 900, "cpu", "compiled")
NOTICE = Notice("order", "The rows stand in order of their label.")


def point(epoch: float) -> Point:
    return Point(epoch, 0.1, 1e5, Metrics(0.5, 0.8, 0.7, 100), None, None, ())


@pytest.mark.parametrize("opening", [[STARTED], [STARTED, NOTICE]])
def test_the_first_point_follows_a_runs_beginning_at_once_and_the_next_in_a_batch(
    opening: list[Event], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(link, "FLUSH_SECONDS", 60.0)
    worker, child = Pipe()
    batches: list[list[Event]] = []

    def write(events: Sequence[Event]) -> None:
        batches.append(list(events))

    line = link.Link(child, write, wanted=lambda: False)
    for event in (*opening, point(0.1), point(0.2), point(0.3)):
        line.report(event)
    assert batches == [[event] for event in (*opening, point(0.1))]
    ends: list[list[Event]] = []
    line.end(lambda events: ends.append(list(events)))
    assert ends == [[point(0.2), point(0.3)]]
    worker.send(link.StopNow("worker"))
    line.leave()
