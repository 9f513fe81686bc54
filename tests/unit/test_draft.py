"""What is drawn several times a second is checked here, for nothing checks it then."""

from collections.abc import Callable

import plotly.graph_objects as go
import pytest

from deepfm.charts.draft import Draft
from deepfm.charts.history import History, history_of
from deepfm.charts.palette import TEMPLATE, new_figure
from deepfm.charts.training.curves import curves_figure
from deepfm.charts.training.pinned import NOT_YET, pinned_bars, pinned_figure
from deepfm.charts.training.ranking import ranking_figure
from deepfm.charts.training.replay import replay_of, with_curtain, with_pinned_frames
from deepfm.charts.training.shares import shares_figure
from deepfm.events import Resumed
from tests.unit.checked_figures import checked
from tests.unit.test_training_charts import finished, ranked, run_events, started

HISTORIES = {
    "nothing yet": history_of([started(3)]),
    "whole": history_of(run_events(20)),
    "ranked": history_of([*ranked(), finished(4)]),
    "resumed": history_of([*run_events(3)[:-2], Resumed(2, 1.5, 3.0), Resumed(3, 2.5, 5.0)]),
}
FIGURES: dict[str, Callable[[History], go.Figure]] = {
    "curves": curves_figure,
    "curves by epoch": lambda history: curves_figure(
        history, ("loss", "accuracy"), "by epoch", 0.78
    ),
    "shares": shares_figure,
    "ranking": ranking_figure,
    "pinned": lambda history: pinned_figure(
        pinned_bars(history.observations[-1], 0) if history.observations else NOT_YET,
        2.0,
        truth=0.25,
    ),
}


@pytest.mark.parametrize("state", HISTORIES)
@pytest.mark.parametrize("name", FIGURES)
def test_what_is_drawn_unchecked_is_valid(name: str, state: str) -> None:
    figure = FIGURES[name](HISTORIES[state])
    known = checked(figure)
    assert known.layout.title.text is not None
    assert len(known.data) == len(figure.data) > 0
    assert known.layout.template.to_plotly_json() == TEMPLATE


def test_a_draft_is_as_a_figure_of_the_same_parts() -> None:
    draft = Draft("A <title>", x="epoch", y="AUC", hovermode="x unified", margin={"r": 9})
    figure = new_figure("A <title>", x="epoch", y="AUC", hovermode="x unified", margin={"r": 9})
    draft.add_trace("scatter", x=[1, 2], y=[3, 4], name="one")
    figure.add_trace(go.Scatter(x=[1, 2], y=[3, 4], name="one"))
    for each in (draft, figure):
        each.add_shape(type="line", x0=0, x1=1, y0=0, y1=1)
        each.add_annotation(text="here", x=1, y=2)
        each.update_layout(yaxis={"range": (0, 5)}, margin={"t": 4})
    assert checked(draft.figure()) == figure


def test_panels_stand_beside_each_other_with_axes_of_their_own() -> None:
    draft = Draft("Two", x="epoch", panels=2)
    draft.add_trace("scatter", x=[1], y=[2])
    draft.add_trace("scatter", panel=2, x=[1], y=[2])
    draft.update_axis("y", 2, title={"text": "AUC"})
    figure = checked(draft.figure())
    assert [trace.xaxis for trace in figure.data] == [None, "x2"]
    assert figure.layout.xaxis.domain[0] == 0.0 and figure.layout.xaxis2.domain[1] == 1.0
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert (figure.layout.xaxis2.anchor, figure.layout.yaxis2.anchor) == ("y2", "x2")
    assert figure.layout.xaxis2.title.text == "epoch"
    assert (figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text) == ("", "AUC")


def test_a_part_that_is_merged_leaves_the_one_given_untouched() -> None:
    mine = {"range": (0, 1)}
    draft = Draft("T", yaxis=mine)
    draft.update_axis("y", range=(2, 3), zeroline=False)
    assert mine == {"range": (0, 1)}
    assert draft.figure().layout.yaxis.range == (2, 3)


@pytest.mark.parametrize("state", ["whole", "ranked"])
def test_the_frames_of_a_replay_are_valid(state: str) -> None:
    history = HISTORIES[state]
    replay = replay_of(history)
    pinned = FIGURES["pinned"](history)
    for figure in (
        with_curtain(curves_figure(history), replay, panels=2),
        with_pinned_frames(pinned, replay, 0),
    ):
        known = checked(figure)
        names = [str(number) for number in range(len(replay.moments))]
        assert [frame.name for frame in known.frames] == names
        assert known.to_dict()["frames"] == figure.to_dict()["frames"]
