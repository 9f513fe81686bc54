"""Where a model is wrong: the worst slices, one field value by value, and AUC within groups."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.charts.palette import format_auc, format_count
from deepfm.evaluation import (
    FEWEST_ROWS,
    MEASURES,
    GroupedAuc,
    Measure,
    Selection,
    Slice,
    SliceSearch,
    grouped_auc,
    slices_of,
    worst_slices,
)
from deepfm.trained import TrainedModel
from deepfm.ui.evaluated import Evaluated, rows_of
from deepfm.ui.plot import plot
from deepfm.ui.selecting import show_selection
from deepfm.ui.text import plain, show_notice

FEWEST: Final = (20, FEWEST_ROWS, 500, 2_000)
MOST_GROUPS: Final = 1_000
"""Groups in the table of GAUC, the largest first."""


def show_worst(run_id: str, model: TrainedModel, found: Evaluated) -> None:
    """The worst of all slices; a click on one shows the page for it."""
    if not found.known:
        show_notice(
            "This run keeps no values of these rows, and its dataset is not on this server, so "
            "they cannot be sliced."
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        measure = st.segmented_control(
            "Worst by",
            list(MEASURES),
            format_func=lambda name: MEASURES[name],
            default="log_loss",
            required=True,
            key="worst_by",
        )
        fewest = st.selectbox(
            "Rows at least", FEWEST, index=FEWEST.index(FEWEST_ROWS), key="fewest", width=130
        )
    search = _search(run_id, found, measure or "log_loss", fewest, _changed(model), model)
    finding = charts.worst_finding(search)
    st.markdown(plain(finding))
    shown = [one for one in search.found if one.excess > 0]
    if shown:
        result = plot(
            charts.worst_figure(search),
            key="worst",
            height=70 + 26 * len(shown),
            caption=charts.worst_caption(search),
            alt=finding,
            table=lambda: charts.worst_table(search),
            clicks=True,
        )
        if result.click is not None and result.click.point:
            open_slice(shown[result.click.point[0]].selection)
    else:
        st.caption(plain(charts.worst_caption(search)))


def open_slice(selection: Selection) -> None:
    """Show the page for a slice."""
    show_selection(selection)
    st.rerun()


@st.cache_resource(show_spinner="Looking at every value…", max_entries=24)
def _search_of(
    run_id: str,
    part: str,
    selection: Selection | None,
    measure: Measure,
    fewest: int,
    changed: float,
    _model: TrainedModel,
) -> SliceSearch:
    return worst_slices(rows_of(run_id, _model, part, selection), measure, fewest)


def _search(
    run_id: str,
    found: Evaluated,
    measure: Measure,
    fewest: int,
    changed: float,
    model: TrainedModel,
) -> SliceSearch:
    return _search_of(run_id, found.figures.part, found.selection, measure, fewest, changed, model)


def show_by_value(run_id: str, model: TrainedModel, found: Evaluated) -> None:
    """One field value by value, and how well each of its groups is ranked within itself."""
    if not found.known:
        return
    names = [field.name for field in model.fields]
    name = st.selectbox("Field", names, key="by_value_field", width=280)
    which = (run_id, found.figures.part, found.selection, name, _changed(model), model)
    by_value, groups = _by_value(*which)
    finding = charts.slices_finding(by_value)
    result = plot(
        charts.slices_figure(name, by_value),
        key="slices",
        height=120 + 26 * len(by_value),
        caption="a diamond outside its bar is a value for which the model is wrong on average. "
        f"Numbers and weekdays stand in their own order, other values by their rows. {finding} "
        "Click a value to see this whole page for its rows alone.",
        alt=f"Predicted against seen click rate by {name}. {finding}",
        table=lambda: slices_data(by_value),
        clicks=True,
    )
    if result.click is not None and result.click.point:
        value = by_value[result.click.point[0]].value
        if value is not None:
            open_slice(Selection(name, value))
    _show_grouped(name, groups, found, run_id, model)


@st.cache_resource(show_spinner="Measuring…", max_entries=48)
def _by_value(
    run_id: str,
    part: str,
    selection: Selection | None,
    field: str,
    changed: float,
    _model: TrainedModel,
) -> tuple[tuple[Slice, ...], GroupedAuc]:
    rows = rows_of(run_id, _model, part, selection).known
    groups = grouped_auc(rows.labels, rows.logit, rows.codes(field))
    return slices_of(rows, field), groups


def _show_grouped(
    name: str, groups: GroupedAuc, found: Evaluated, run_id: str, model: TrainedModel
) -> None:
    left, right = st.columns([1, 3], gap="large", vertical_alignment="center")
    left.metric(
        f"Grouped AUC by {plain(name)}",
        format_auc(groups.value),
        f"all together {format_auc(found.figures.auc)}",
        delta_color="off",
        delta_arrow="off",
        help="GAUC: the AUC within each group, where only impressions of one group are compared, "
        "averaged with the groups' impressions as weights (Zhou et al. 2018).",
    )
    right.caption(plain(grouped_words(name, groups)))

    def table() -> pd.DataFrame:
        order = np.argsort(-groups.group_rows, kind="stable")[:MOST_GROUPS]
        rows = rows_of(run_id, model, found.figures.part, found.selection)
        return pd.DataFrame(
            {
                name: [rows.value_of(name, int(groups.number[place])) for place in order],
                "rows": groups.group_rows[order],
                "AUC": groups.group_auc[order],
            }
        )

    with right:
        from deepfm.ui.plot import data_button

        data_button(table, key="grouped_data", name="grouped_auc", label="Groups")


def grouped_words(name: str, groups: GroupedAuc) -> str:
    """Over which groups it is, and which are left out."""
    left_out = (
        f" {format_count(groups.left_out_groups)} groups with "
        f"{format_count(groups.left_out_rows)} rows hold one class only, clicked or not, and are "
        "left out: nothing can be ranked in them."
        if groups.left_out_groups
        else " No group is left out."
    )
    return (
        f"Within each {name}, of {format_count(groups.groups)} groups with "
        f"{format_count(groups.rows)} rows, weighted by rows.{left_out} What sets whole groups "
        "apart does not count here, so it is usually below the AUC of all rows together."
    )


def slices_data(by_value: tuple[Slice, ...]) -> pd.DataFrame:
    """One row a value."""
    return pd.DataFrame(
        {
            "value": [charts.slice_name(one) for one in by_value],
            "rows": [one.rows for one in by_value],
            "clicks": [one.clicks for one in by_value],
            "seen": [one.base_rate for one in by_value],
            "predicted": [one.predicted for one in by_value],
            "AUC": [one.auc for one in by_value],
            "log loss": [one.log_loss for one in by_value],
        }
    )


def _changed(model: TrainedModel) -> float:
    return (model.folder / "scores.parquet").stat().st_mtime
