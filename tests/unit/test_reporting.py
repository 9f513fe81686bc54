"""Steps of a piece of work to events that say which of its stages they are of."""

import pytest

from deepfm.data.reporting import Reporter
from deepfm.events import Progress


def told(*steps: tuple[str, float], plan: int) -> list[Progress]:
    """What a reporter says at the given steps, of 10 each, after such a plan."""
    events: list[Progress] = []
    reporter = Reporter(events.append)
    reporter.plan(plan)
    for stage, done in steps:
        reporter.step(stage, done, 10, "rows")
    return events


def test_each_stage_counts_the_same_in_one_share_that_only_grows():
    events = told(("a", 0), ("a", 10), ("b", 0), ("b", 10), plan=2)
    assert [(each.number, each.stages, each.share) for each in events] == [
        (1, 2, 0.0),
        (1, 2, 0.5),
        (2, 2, 0.5),
        (2, 2, 1.0),
    ]


def test_the_same_stage_from_its_beginning_is_the_next_one():
    events = told(("Reading log.csv", 10), ("Reading log.csv", 0), plan=2)
    assert [each.number for each in events] == [1, 2]


def test_more_stages_than_planned_never_pass_the_end():
    events = told(("a", 10), ("b", 10), plan=1)
    assert [each.share for each in events] == [1.0, 1.0]


def test_a_plan_in_the_middle_counts_from_there():
    events: list[Progress] = []
    reporter = Reporter(events.append)
    reporter.plan(4)
    reporter.step("a", 0, None, "rows")
    reporter.plan(2)
    reporter.step("b", 10, 10, "rows")
    assert [(each.number, each.stages) for each in events] == [(1, 4), (2, 3)]


def test_without_a_plan_a_share_is_of_its_stage():
    events: list[Progress] = []
    Reporter(events.append).step("a", 5, 10, "rows")
    assert (events[0].number, events[0].stages) == (0, 0)
    assert events[0].share == pytest.approx(0.5)
