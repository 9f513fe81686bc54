"""A dataset to its profile: parts, skipped rows, fields, and click rates by value."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from deepfm.charts import data as charts
from deepfm.charts.palette import format_count, format_probability
from deepfm.ui import links, state
from deepfm.ui.data_understood import show_skipped
from deepfm.ui.plot import plot
from deepfm.ui.text import plain, show_notice

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

PART_NAMES: Final[Mapping[str, str]] = {
    "train": "Training rows",
    "validation": "Validation rows",
    "test": "Test rows",
}
ORDERS: Final[Mapping[charts.Order, str]] = {
    "rows": "Commonest",
    "rate": "Click rate",
    "name": "Name",
}


def show_profile(dataset: "Dataset") -> None:
    """How the model will see this dataset; ends with training on it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        name = "Bundled demo" if dataset.name == state.DEMO else dataset.name
        st.subheader(plain(name), anchor=False)
        st.space("stretch")
        links.button(
            "train",
            "Train on this",
            key="train_on_this",
            kind="primary",
            icon=":material/show_chart:",
            dataset=_address(dataset),
        )
    _tiles(dataset)
    for notice in dataset.notices:
        show_notice(notice)
    _skipped(dataset)
    left, right = st.columns([6, 5], gap="large")
    with left:
        _fields(dataset)
    with right:
        _click_rates(dataset)


def _address(dataset: "Dataset") -> str:
    return state.DEMO if dataset.name == state.DEMO else dataset.fingerprint


def _tiles(dataset: "Dataset") -> None:
    summary = dataset.summary()
    tiles = [
        (
            words,
            format_count(part.rows),
            f"{format_probability(part.base_rate)} clicked",
        )
        for name, words in PART_NAMES.items()
        if (part := summary.parts.get(name)) is not None
    ]
    tiles.append(("Fields", format_count(summary.fields), _features(dataset)))
    if summary.skipped_rows:
        share = summary.skipped_rows / (summary.rows + summary.skipped_rows)
        skipped = format_count(summary.skipped_rows)
        tiles.append(("Rows left out", skipped, f"{format_probability(share)} of the rows"))
    for place, (words, value, beside) in zip(st.columns(len(tiles)), tiles, strict=True):
        place.metric(words, value, beside, delta_color="off", delta_arrow="off")


def _features(dataset: "Dataset") -> str:
    return f"{format_count(dataset.vocabulary.num_features)} features"


def _skipped(dataset: "Dataset") -> None:
    skipped = dataset.skipped
    if not skipped.count:
        return
    with st.expander(f"{format_count(skipped.count)} rows are left out, and why"):
        for reason, count in sorted(skipped.reasons.items(), key=lambda item: -item[1]):
            st.markdown(f"- {format_count(count)} × {plain(reason)}")
        show_skipped([(row.line, row.reason) for row in skipped.examples])


def _fields(dataset: "Dataset") -> None:
    coverages = charts.field_coverages(dataset.vocabulary)
    table = pd.DataFrame(
        {
            "Field": [field.name for field in coverages],
            "Role": [field.role for field in coverages],
            "Values": [field.distinct for field in coverages],
            "Features": [field.features for field in coverages],
            "Coverage": [100 * field.coverage for field in coverages],
        }
    )
    st.markdown("**How the model sees each field**")
    st.dataframe(
        table,
        hide_index=True,
        height=min(560, 38 + 35 * len(table)),
        column_config={
            "Values": st.column_config.NumberColumn(
                help="Different values in the training rows.", format="localized"
            ),
            "Features": st.column_config.NumberColumn(
                help="Values with a feature of their own, and one shared by all others.",
                format="localized",
            ),
            "Coverage": st.column_config.ProgressColumn(
                help="Training rows whose value has a feature of its own "
                f"(seen at least {dataset.prepare.min_count} times).",
                min_value=0,
                max_value=100,
                format="%.1f %%",
            ),
        },
    )
    with st.expander("As a chart"):
        lowest = min(coverages, key=lambda field: field.coverage)
        plot(
            charts.coverage_figure(coverages),
            key="coverage",
            height=320,
            caption="a field low and far right has many values, few of which the model can know.",
            alt=f"Lowest coverage: {lowest.name}, {format_probability(lowest.coverage)}.",
            table=table,
        )


def _click_rates(dataset: "Dataset") -> None:
    names = [field.name for field in dataset.fields]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Field", names, key=f"field_{dataset.fingerprint}", width=280)
        numeric = dataset.vocabulary.field(name).role == "numeric"
        order = st.segmented_control(
            "Order",
            list(ORDERS),
            default="rows",
            format_func=lambda order: ORDERS[order],
            required=True,
            disabled=numeric,
            key="click_rate_order",
        )
    rates = charts.value_rates(dataset.vocabulary, name)
    rates = rates if numeric else rates.in_order(order)
    base_rate = dataset.summary().parts["train"].base_rate
    size = dataset.vocabulary.field(name).size
    shown = "" if len(rates) >= size - 1 else f" The {len(rates)} commonest of {size:,} features."
    plot(
        charts.click_rate_figure(name, rates, base_rate),
        key="click_rates",
        height=charts.click_rate_height(len(rates)),
        caption="a dot is the click rate of the training rows with this value (their number in "
        f"grey), the bar its 95 % interval; the dashed line is all rows.{shown}",
        alt=charts.click_rate_words(name, rates, base_rate),
        table=lambda: pd.DataFrame(
            {
                "value": rates.names,
                "rows": rates.rows,
                "clicks": rates.clicks,
                "click rate": rates.seen,
                "low": rates.low,
                "high": rates.high,
            }
        ),
    )
