"""A group of runs to one chart, one table, and a stop for all of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from deepfm.charts.history import Metric, value_of
from deepfm.charts.palette import NO_VALUE
from deepfm.charts.training.comparison import (
    COMPARISON_CAPTION,
    MOST_RUNS,
    ComparedRun,
    compared_runs_table,
    comparison_figure,
    comparison_finding,
    comparison_table,
    unfinished,
)
from deepfm.charts.training.curves import METRIC_NAMES
from deepfm.charts.training.ranking import has_two_branches
from deepfm.terms import TERM_NAMES
from deepfm.ui import feed, links, state
from deepfm.ui.feed import SHARED
from deepfm.ui.five_models import show_answers
from deepfm.ui.plot import plot
from deepfm.ui.shared import once, recent
from deepfm.ui.text import mistakes_in_words, plain, told
from deepfm.ui.unchanged import drawn_until
from deepfm.ui.watching import LIVE, PACE, STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

RESULT_HELP: Final = "Of the kept weights, once the run has ended."
COMPARED_METRIC: Final = "compared_metric"


def watch_group(group_id: str) -> None:
    """Show a group's curves and results, drawn again as long as one of its runs goes on."""
    rows = _rows(group_id)
    interval = None if all(row.ended for row in rows) else LIVE
    st.fragment(_group, run_every=interval)(group_id, interval)


def _rows(group_id: str) -> list["RunRow"]:
    store = state.store()
    return [store.run(run_id) for run_id in store.group(group_id).runs]


@mistakes_in_words()
def _group(group_id: str, interval: float | None) -> None:
    rows = _rows(group_id)
    if all(row.ended for row in rows) != (interval is None):
        st.rerun()
    _show_group(rows, interval)
    key = "group", group_id, state.home()
    drawn_until(lambda: recent(key, SHARED, lambda: _rows(group_id)) != rows, pace=PACE)


def _show_group(rows: Sequence["RunRow"], interval: float | None) -> None:
    with st.container(
        key="group_head",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        with st.container(width="content", gap=None):
            st.markdown(f"**{plain(rows[0].group_name)}**")
            st.caption(plain(_progress_in_words(rows)))
        if interval is not None:
            _stop_all_button(rows)
    with st.container():
        if interval is None:
            show_answers(rows)
    compare(rows, key="group")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Open one:", width="content")
        for row in rows:
            links.link("train", row.name, run=row.id, icon=":material/show_chart:")
    if interval is None and (best := best_of_models(rows)):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Go on:", width="content")
            links.link("evaluate", "Evaluate them together", run=best.id, view="Other runs")
            links.link("model", f"Look into {best.name}, best on validation rows", run=best.id)
            if has_two_branches(tuple(best.model.get("terms", TERM_NAMES))):
                words = "Where its branches pull apart"
                links.link("impression", words, run=best.id, list="apart")


def best_of_models(rows: Sequence["RunRow"]) -> "RunRow | None":
    """The run whose kept weights have the highest validation AUC; None where none is trained.

    Its figures of the test rows choose no run: they would then say too much of it.
    """
    trained = [row for row in rows if state.is_trained(row) and row.result]
    key = "best of models", state.home(), tuple((row.id, row.last_event) for row in trained)
    return once(key, lambda: max(trained, key=_validation_auc, default=None))


def _validation_auc(row: "RunRow") -> float:
    best = feed.history(row.id)[1].best
    known = value_of(best.validation, "auc") if best else row.auc
    return -1.0 if known is None else known


def _progress_in_words(rows: Sequence["RunRow"]) -> str:
    """ "FM is training; 1 of 5 done"."""
    done = sum(row.ended for row in rows)
    now = [row.name for row in rows if row.state == "training"]
    if done == len(rows):
        bad = [f"{row.name} {STATE_WORDS[row.state]}" for row in rows if row.state != "finished"]
        return "All done" + (f"; {', '.join(bad)}" if bad else "")
    return f"{', '.join(now)} is training; " * bool(now) + f"{done} of {len(rows)} done"


def _stop_all_button(rows: Sequence["RunRow"]) -> None:
    stopping = all(row.ended or row.wanted == "stop" for row in rows)
    st.button(
        "Stopping…" if stopping else "Stop all",
        key="group_stop",
        icon=":material/stop_circle:",
        disabled=stopping,
        on_click=told(_stop_all),
        args=([row.id for row in rows],),
    )


def _stop_all(run_ids: Sequence[str]) -> None:
    # The last first: otherwise the worker takes the next one while we stop the one before.
    for run_id in reversed(run_ids):
        state.store().request_stop(run_id)


def compare(rows: Sequence["RunRow"], *, key: str) -> None:
    """The curves of several runs in one chart, and their results in one table."""
    read = [feed.history(row.id) for row in rows]
    runs = [
        ComparedRun(
            row.name, tuple(row.model.get("terms", TERM_NAMES)), history, STATE_WORDS[row.state]
        )
        for row, (_, history) in zip(rows, read, strict=True)
    ]
    metrics: list[Metric] = ["auc", "loss", "accuracy"]
    metric = st.segmented_control(
        "Curve",
        metrics,
        format_func=lambda name: METRIC_NAMES[name],
        default="auc",
        required=True,
        key=f"{key}_{COMPARED_METRIC}",
        label_visibility="collapsed",
    )
    names = tuple((row.id, row.name, cursor) for row, (cursor, _) in zip(rows, read, strict=True))
    plot(
        _figure(names, metric or "auc", runs),
        key=f"{key}_curves",
        height=340,
        caption=COMPARISON_CAPTION
        + (f" The first {MOST_RUNS} of {len(rows)} runs." if len(rows) > MOST_RUNS else ""),
        alt=comparison_finding(runs),
        table=lambda: comparison_table(runs),
    )
    if words := unfinished(runs):
        st.caption(f":material/info: {plain(words)}")
    show_results(compared_runs_table(runs), key=f"{key}_table")


@st.cache_resource(show_spinner=False, max_entries=64)
def _figure(
    names: tuple[tuple[str, str, int], ...], metric: Metric, _runs: Sequence[ComparedRun]
) -> go.Figure:
    """One figure for all who watch; not to be changed. names: id, name, cursor of each run."""
    return comparison_figure(_runs, metric)


def show_results(table: pd.DataFrame, *, key: str) -> None:
    """One row a run; figures with the digits that the rest of the app gives them.

    Once all have ended well their state is left out, so that the figures have its room.
    """
    config = st.column_config
    told = set(table["state"]) != {STATE_WORDS["finished"]}
    st.dataframe(
        table,
        key=key,
        hide_index=True,
        placeholder=NO_VALUE,
        column_config={
            "validation AUC": config.NumberColumn(
                format="%.4f", help="Of the best epoch so far, whose weights are kept."
            ),
            "test AUC": config.NumberColumn(format="%.4f", help=RESULT_HELP),
            **{
                f"{part} {figure}": config.NumberColumn(format="%.4f", help=RESULT_HELP)
                for part in ("test", "validation", "train")
                for figure in ("log loss", "accuracy")
            },
            "parameters": config.NumberColumn(format="localized"),
            "seconds": config.NumberColumn(format="%.1f"),
            "terms": config.TextColumn(help="L linear, P pairwise, D deep"),
        },
        column_order=[name for name in table.columns if told or name != "state"],
    )
