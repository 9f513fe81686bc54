"""Where a run went on after an interruption, to an upright line in each panel over epochs."""

from deepfm.charts.draft import Draft, axis_number
from deepfm.charts.history import History
from deepfm.charts.palette import colour


def add_resumed_marks(draft: Draft, history: History, panels: int = 1) -> None:
    """A thin upright line at each position from which the run was resumed, named once."""
    for resumed in history.resumed:
        for panel in range(1, panels + 1):
            axis = axis_number(panel)
            draft.add_shape(
                type="line",
                xref=f"x{axis}",
                yref=f"y{axis} domain",
                x0=resumed.epoch,
                x1=resumed.epoch,
                y0=0,
                y1=1,
                layer="below",
                line={"width": 1.5, "dash": "dot", "color": colour("muted")},
            )
    if history.resumed:
        # The name stands on the side where there is more room.
        right = history.resumed[-1].epoch < draft.layout["xaxis"]["range"][1] / 2
        draft.add_annotation(
            xref="x",
            yref="y domain",
            x=history.resumed[-1].epoch,
            y=1,
            xshift=3 if right else -3,
            text="resumed",
            showarrow=False,
            xanchor="left" if right else "right",
            yanchor="top",
            font={"size": 11, "color": colour("muted")},
        )
