"""An event is the same after its way through JSON; nothing else is taken for one."""

import dataclasses
import json
import typing

import pytest

from deepfm import events
from deepfm.errors import DataError

METRICS = events.Metrics(loss=0.31, accuracy=0.9, auc=0.8125, rows=6000)
ONE_CLASS = events.Metrics(loss=1e-300, accuracy=1.0, auc=None, rows=1)
MOMENTS = events.TermMoments(
    mean=(-0.1, 1 / 3, 2.0), covariance=((1.0, 0.5, 0.0), (0.5, 2.0, -0.25), (0.0, -0.25, 3.0))
)
PINNED = ((0.1, 0.2, -2.2), (float(2**-40), 0.0, 1e9))
EVENTS = [
    events.Progress("Reading rows", 10.0, None, "rows", "line 12"),
    events.Started("DeepFM", 48000, 6000, 0, 24, 15, 1234567, "cpu", "plain", 0.82),
    events.Point(2.25, 1.5, 260216.0, METRICS, ONE_CLASS, MOMENTS, PINNED),
    events.Point(0.0, 0.0, 0.0, METRICS, None, None, ()),
    events.Point(0.5, 1.0, 1.0, METRICS, METRICS, None, (), events.BranchAucs(0.7, None)),
    events.Epoch(1, 0.5, 1e5, 2e5, METRICS, METRICS, None, True, MOMENTS, PINNED),
    events.Resumed(2, 2.25, 7.5),
    events.Notice("memorising", "Training down while validation turns up: “é” — ×."),
    events.Finished(
        epochs=15,
        best_epoch=9,
        seconds=7.5,
        examples_per_second=1e5,
        step_examples_per_second=2e5,
        part="test",
        rows=6000,
        auc=None,
        log_loss=0.2,
        log_loss_calibrated=None,
        accuracy=0.9,
        base_rate=0.225,
        stopped=True,
    ),
    events.Failed("The file ends in the middle of line 17."),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_to_json_and_back_is_the_same_event(event):
    assert events.from_json(events.to_json(event)) == event


@pytest.mark.parametrize(
    "event",
    [e for e in EVENTS if isinstance(e, events.Point | events.Epoch)],
    ids=lambda event: type(event).__name__,
)
def test_an_event_of_a_run_before_branches_were_scored_still_loads(event):
    values = json.loads(events.to_json(event))
    del values["branches"]
    assert events.from_json(json.dumps(values)) == dataclasses.replace(event, branches=None)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_line_of_plain_json(event):
    text = events.to_json(event)
    assert "\n" not in text
    assert json.loads(text) == json.loads(
        json.dumps({"event": type(event).__name__} | dataclasses.asdict(event))
    )


def test_every_kind_of_event_is_tried_here():
    assert {type(event) for event in EVENTS} == set(typing.get_args(events.Event))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        '{"event": "Metrics", "loss": 1, "accuracy": 1, "auc": 1, "rows": 1}',
        '{"event": "__import__", "name": "os"}',
        '{"event": "Failed"}',
        '{"event": "Failed", "message": "x", "colour": "red"}',
        '{"event": ["Failed"], "message": "x"}',
        '{"event": "Epoch", "train": {"loss": 1}}',
    ],
)
def test_anything_else_is_one_clear_error(text):
    with pytest.raises(DataError, match="not an event"):
        events.from_json(text)


@pytest.mark.parametrize("size", range(0, 200, 7))
def test_a_line_cut_short_is_no_event(size):
    """The last line of metrics.jsonl after a crash."""
    with pytest.raises(DataError):
        events.from_json(events.to_json(EVENTS[2])[:size])
