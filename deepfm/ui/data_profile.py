"""A dataset to its profile: parts, skipped rows, fields, and click rates by value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.charts import data as charts
from deepfm.charts.palette import format_count, format_probability
from deepfm.data.dataset import Dataset, FieldProfile, Profile, profile
from deepfm.ui import links, state
from deepfm.ui.data_understood import show_skipped
from deepfm.ui.plot import plot
from deepfm.ui.text import plain, show_notice

PART_NAMES: Final[Mapping[str, str]] = {
    "train": "Training rows",
    "validation": "Validation rows",
    "test": "Test rows",
}
TOP: Final = 24
"""How many values of a field are shown."""
ORDERS: Final[Mapping[charts.Order, str]] = {
    "rows": "Commonest",
    "rate": "Click rate",
    "name": "Name",
}


def show_profile(dataset: Dataset) -> None:
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
    fields = _profile(dataset.folder, dataset.fingerprint, dataset).fields
    with st.container(key="stack_profile"):
        left, right = st.columns([6, 5], gap="large")
    with left:
        _fields(dataset, fields)
    with right:
        _click_rates(dataset, fields)


@st.cache_resource(show_spinner="Reading the vocabulary…", max_entries=16)
def _profile(folder: Path, fingerprint: str, _dataset: Dataset) -> Profile:
    return profile(_dataset, top=TOP)


def _address(dataset: Dataset) -> str:
    return state.DEMO if dataset.name == state.DEMO else dataset.fingerprint


def _tiles(dataset: Dataset) -> None:
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


def _features(dataset: Dataset) -> str:
    return f"{format_count(dataset.vocabulary.num_features)} features"


def _skipped(dataset: Dataset) -> None:
    skipped = dataset.skipped
    if not skipped.count:
        return
    with st.expander(f"{format_count(skipped.count)} rows are left out, and why"):
        for reason, count in sorted(skipped.reasons.items(), key=lambda item: -item[1]):
            st.markdown(f"- {format_count(count)} × {plain(reason)}")
        show_skipped([(row.line, row.reason) for row in skipped.examples])


def _fields(dataset: Dataset, fields: tuple[FieldProfile, ...]) -> None:
    table = charts.fields_table(fields)
    st.markdown("**How the model sees each field**")
    st.dataframe(
        table,
        hide_index=True,
        height=min(560, 38 + 35 * len(table)),
        column_config={
            "Values": st.column_config.NumberColumn(
                help="Different values in the training rows.", format="localized"
            ),
            "Rare": st.column_config.NumberColumn(
                help=f"Values seen in fewer than {dataset.prepare.min_count} training rows: they "
                "share one feature, “rare or unseen”.",
                format="localized",
            ),
            "Empty": st.column_config.NumberColumn(
                help="Training rows without a value.", format="localized"
            ),
            "Coverage": st.column_config.ProgressColumn(
                help="Training rows whose value has a feature of its own.",
                min_value=0,
                max_value=100,
                format="%.1f %%",
            ),
        },
    )
    with st.expander("As a chart"):
        lowest = min(fields, key=lambda field: field.coverage)
        plot(
            charts.coverage_figure(fields),
            key="coverage",
            height=320,
            caption="a field low and far right has many values, few of which the model can know.",
            alt=f"Lowest coverage: {lowest.name}, {format_probability(lowest.coverage)}.",
            table=table,
        )


def _click_rates(dataset: Dataset, fields: tuple[FieldProfile, ...]) -> None:
    by_name = {field.name: field for field in fields}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Field", list(by_name), key=f"field_{dataset.fingerprint}", width=200)
        field = by_name[name]
        order = st.segmented_control(
            "Order",
            list(ORDERS),
            default=charts.usual_order(field),
            format_func=lambda order: ORDERS[order],
            required=True,
            disabled=field.role == "numeric",
            key=f"order_{dataset.fingerprint}_{name}",
            width="content",
        )
    values = charts.seen_values(field, order)
    base_rate = dataset.summary().parts["train"].base_rate
    shown = f" The {TOP} commonest of {format_count(field.kept)}." if field.kept > TOP else ""
    plot(
        charts.click_rate_figure(name, values, base_rate),
        key="click_rates",
        height=charts.click_rate_height(len(values)),
        caption="a dot is the click rate of the training rows with this value (their number in "
        f"brackets), the bar its 95 % interval; the dashed line is all rows.{shown}",
        alt=charts.click_rate_words(name, values, base_rate),
        table=lambda: charts.click_rate_table(values),
    )
