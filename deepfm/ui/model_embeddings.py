"""A map of one field's embeddings."""

from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.overall import embedding_figure
from deepfm.charts.palette import format_count
from deepfm.explanation.overall import EmbeddingMap, embedding_map
from deepfm.explanation.overall.embeddings import Table
from deepfm.trained import TrainedModel
from deepfm.ui.model_kept import kept
from deepfm.ui.plot import plot
from deepfm.ui.text import mistakes_in_words

FIELD: Final = "map"
"""The address keeps the field whose map is shown under this name."""
_TABLES: Final[dict[Table, str]] = {"fm": "The FM branch's", "deep": "The network's own"}


@st.fragment
@mistakes_in_words()
def show_embeddings(model: TrainedModel) -> None:
    """One circle a value, near those that the model treats alike."""
    if model.model.terms == ("linear",):
        st.caption("This model has no embeddings: each value has one weight, and nothing else.")
        return
    names = [field.name for field in model.fields]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        field = st.selectbox(
            "Field", names, index=_first(model), key=FIELD, bind="query-params", width=320
        )
        table = _choose_table(model)
    with st.spinner("Finding the two directions in which the values differ most…"):
        found = kept(
            model,
            ("embeddings", field, table),
            lambda: embedding_map(model, field or names[0], table),
        )
    plot(
        embedding_figure(found),
        key="model_embeddings",
        height=480,
        modebar=True,
        caption=(
            f"one circle a value, larger with more training rows; near one another stand values "
            f"that the model treats alike. Of the {found.num_factors} numbers of each embedding "
            f"these two directions keep {100 * found.explained.sum():.0f} % of the variance "
            "(principal components, weighted by training rows): what looks near may differ in "
            "the rest. The colour is the click rate, green above the average; the square is "
            f"“rare or unseen”.{_some(found)}"
        ),
        alt=map_in_words(found),
        table=lambda: map_table(found),
    )


def _first(model: TrainedModel) -> int:
    """The field whose map is shown first: one with enough values to see something, but few."""
    sizes = [field.size for field in model.fields]
    return min(range(len(sizes)), key=lambda n: abs(sizes[n] - 14))


def _choose_table(model: TrainedModel) -> Table | None:
    """Whose embeddings, where the two branches have a table each."""
    if model.model.shared_embedding or "pairwise" not in model.model.terms:
        return None
    if "deep" not in model.model.terms:
        return None
    tables: list[Table] = ["fm", "deep"]
    return st.segmented_control(
        "Embeddings",
        tables,
        format_func=_TABLES.__getitem__,
        default="fm",
        required=True,
        key="model_table",
    )


def _some(found: EmbeddingMap) -> str:
    if len(found.values) == found.of:
        return ""
    return f" The {format_count(len(found.values))} commonest of {format_count(found.of)} values."


def map_in_words(found: EmbeddingMap) -> str:
    """How much of the variance is on the map, and which values stand furthest apart on it."""
    positions = found.position[:, 0]
    return (
        f"Two directions hold {100 * found.explained.sum():.0f} % of the variance of "
        f"{found.field}'s embeddings; along the first, {found.values[int(positions.argmin())]} and "
        f"{found.values[int(positions.argmax())]} stand furthest apart."
    )


def map_table(found: EmbeddingMap) -> pd.DataFrame:
    """One row a value, the commonest first."""
    return pd.DataFrame(
        {
            "value": found.values,
            "training rows": found.count,
            "clicks": found.clicks,
            "direction 1": found.position[:, 0],
            "direction 2": found.position[:, 1],
        }
    )
