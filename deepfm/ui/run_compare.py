"""Ticked runs to their curves and ROC over each other, and to what differs between them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import plotly.graph_objects as go
import streamlit as st

from deepfm.charts.evaluation import (
    RUNS_ROC_CAPTION,
    CurveStyle,
    NamedRoc,
    runs_roc_figure,
    runs_roc_finding,
    runs_roc_table,
)
from deepfm.charts.history import Metric
from deepfm.charts.palette import RUN_COLOURS
from deepfm.charts.training.comparison import (
    COMPARISON_CAPTION,
    MOST_RUNS,
    Along,
    ComparedRun,
    comparison_figure,
    comparison_finding,
    comparison_table,
)
from deepfm.charts.training.curves import METRIC_NAMES
from deepfm.ui import feed
from deepfm.ui.address import chosen_in_address
from deepfm.ui.evaluation_runs import ScoredRun, show_differences_of_auc
from deepfm.ui.plot import plot
from deepfm.ui.run_differences import differences, not_comparable, show_differences
from deepfm.ui.run_roc import Judged, judged
from deepfm.ui.run_words import terms_of
from deepfm.ui.text import numbered_names, plain, show_notice
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

METRIC: Final = "metric"
ALONG: Final = "along"
_METRICS: Final[tuple[Metric, ...]] = ("auc", "loss", "accuracy")
_ALONGS: Final[tuple[Along, ...]] = ("epochs", "seconds")
_ALONG_WORDS: Final[Mapping[Along, str]] = {"epochs": "by epoch", "seconds": "by time"}
HEIGHT: Final = 360
MOST_JUDGED: Final = 60
"""Runs of several datasets whose scored rows are read to see whether they are the same ones."""


def compare_runs(rows: Sequence["RunRow"], *, key: str) -> None:
    """Differences first, then curves and ROC beside each other; the first six runs are drawn."""
    scores = judged(rows[: MOST_RUNS if _of_one_dataset(rows) else MOST_JUDGED])
    why_not = not_comparable(rows, scores)
    if why_not:
        show_notice(why_not)
    show_differences(differences(rows, comparable=not why_not), key=f"{key}_differences")
    if len(rows) > MOST_RUNS:
        st.caption(f"The charts draw the first {MOST_RUNS} of {len(rows):,} runs.")
    drawn = rows[:MOST_RUNS]
    names = numbered_names([row.name for row in rows])[:MOST_RUNS]
    with st.container(key=f"stack_{key}"):
        left, right = st.columns(2, gap="large")
    with left:
        _curves(drawn, names, key)
    with right:
        _rocs(drawn, names, scores, key)


def _of_one_dataset(rows: Sequence["RunRow"]) -> bool:
    return len({row.fingerprint or str(row.dataset_folder) for row in rows}) == 1


# --- curves -----------------------------------------------------------------------------------


def _curves(rows: Sequence["RunRow"], names: Sequence[str], key: str) -> None:
    metric, along = _choose()
    read = [feed.history(row.id) for row in rows]
    runs = [
        ComparedRun(name, terms_of(row), history, STATE_WORDS[row.state])
        for row, name, (_, history) in zip(rows, names, read, strict=True)
    ]
    if not any(history.epochs for _, history in read):
        st.caption("The curves stand here once one of these runs has trained an epoch.")
        return
    which = tuple(
        (row.id, name, cursor) for row, name, (cursor, _) in zip(rows, names, read, strict=True)
    )
    plot(
        _curves_figure(which, metric, along, runs),
        key=f"{key}_curves",
        height=HEIGHT,
        caption=COMPARISON_CAPTION,
        alt=comparison_finding(runs),
        table=lambda: comparison_table(runs),
    )


def _choose() -> tuple[Metric, Along]:
    """Which curve, along what; both live in the address."""
    with st.container(horizontal=True, gap="medium"):
        metric = st.segmented_control(
            "Curve",
            _METRICS,
            format_func=METRIC_NAMES.__getitem__,
            required=True,
            key=METRIC,
            on_change=chosen_in_address(METRIC, _METRICS, "auc"),
            label_visibility="collapsed",
        )
        along = st.segmented_control(
            "Along",
            _ALONGS,
            format_func=_ALONG_WORDS.__getitem__,
            required=True,
            key=ALONG,
            on_change=chosen_in_address(ALONG, _ALONGS, "epochs"),
            label_visibility="collapsed",
        )
    return metric or "auc", along or "epochs"


@st.cache_resource(show_spinner=False, max_entries=64)
def _curves_figure(
    which: tuple[tuple[str, str, int], ...],
    metric: Metric,
    along: Along,
    _runs: Sequence[ComparedRun],
) -> go.Figure:
    """One figure for all who look; not to be changed. which: id, name, cursor of each run."""
    return comparison_figure(_runs, metric, along)


# --- ROC --------------------------------------------------------------------------------------


def _rocs(
    rows: Sequence["RunRow"], names: Sequence[str], scores: Mapping[str, Judged], key: str
) -> None:
    first = next((scores[row.id] for row in rows if row.id in scores), None)
    if first is None:
        st.caption("The ROC curves stand here once these runs have ended and scored their rows.")
        return
    curves, left_out = _same_rows(rows, names, scores, first)
    if curves:
        plot(
            runs_roc_figure(curves),
            key=f"{key}_roc",
            height=HEIGHT + 56,
            caption=RUNS_ROC_CAPTION,
            alt=runs_roc_finding(curves),
            table=lambda: runs_roc_table(curves),
        )
        show_differences_of_auc(*_scored(rows, names, scores, first), key=key)
    else:
        st.caption("The rows of these runs have one class only, so there is no ROC curve.")
    if left_out:
        st.caption(_left_out_in_words(left_out, first))


def _same_rows(
    rows: Sequence["RunRow"], names: Sequence[str], scores: Mapping[str, Judged], first: Judged
) -> tuple[list[NamedRoc], list[str]]:
    """The curves on the very rows of the first run, each in its run's hue; who is left out."""
    curves, left_out = [], []
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        found = scores.get(row.id)
        if found is None or (found.part, found.labels) != (first.part, first.labels):
            left_out.append(name)
        elif found.curve is not None:
            style = cast("CurveStyle", RUN_COLOURS[place])
            curves.append(NamedRoc(name, style, found.curve, found.auc))
    return curves, left_out


def _scored(
    rows: Sequence["RunRow"], names: Sequence[str], scores: Mapping[str, Judged], first: Judged
) -> tuple[ScoredRun, list[ScoredRun], str]:
    """The first run that was judged, the others on its very rows, and the part that these are."""
    same = [
        ScoredRun(name, row.folder)
        for row, name in zip(rows, names, strict=True)
        if (found := scores.get(row.id)) is not None
        and (found.part, found.labels) == (first.part, first.labels)
    ]
    return same[0], same[1:], first.part


def _left_out_in_words(names: Sequence[str], first: Judged) -> str:
    shown = ", ".join(f"“{name}”" for name in names)
    return plain(
        f"On the same {first.rows:,} {first.part} rows. Left out, since it has no scores of these "
        f"rows: {shown}."
    )
