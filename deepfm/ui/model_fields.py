"""How far each field moves the score on average, and what its “rare or unseen” does."""

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import bar_height
from deepfm.charts.overall import defaults_figure, field_sizes_figure
from deepfm.charts.overall.fields import MOST_FIELDS
from deepfm.charts.palette import format_count, format_logit
from deepfm.explanation.overall import (
    DefaultEffect,
    FieldSizes,
    deep_field_sizes,
    default_effects,
    exact_field_sizes,
)
from deepfm.trained import Scores, TrainedModel
from deepfm.ui.model_kept import kept, kept_slowly
from deepfm.ui.plot import plot
from deepfm.ui.text import mistakes_in_words, plain


@st.fragment
@mistakes_in_words()
def show_fields(model: TrainedModel, scores: Scores) -> None:
    """Mean absolute contribution by field and branch."""
    ids = model.impression_ids(scores.part)
    if not len(ids):
        st.caption("The run keeps no values of these rows, so nothing can be divided by field.")
        return
    sizes = _sizes(model, scores)
    order = sizes.by_size
    plot(
        field_sizes_figure(sizes),
        key="model_fields",
        height=bar_height(min(len(order), MOST_FIELDS), least=160, each=26, around=70),
        caption=caption_of(sizes),
        alt=fields_in_words(sizes),
        table=lambda: fields_table(sizes),
    )


def caption_of(sizes: FieldSizes) -> str:
    """How to read the bars; of pairs and of samples only where the model has them."""
    words = "how far, up or down, a field moves the score of an impression on average, against a "
    words += "typical one"
    if "pairwise" in sizes.mean:
        words += "; a pair's effect is shared between its two fields"
    words += f". Whiskers are one standard error.{sampled_in_words(sizes)}"
    if len(sizes.mean) > 1:
        words += " Fields stand in the order of the sum of their bars."
    if len(sizes.fields) > MOST_FIELDS:
        words += f" The {MOST_FIELDS} strongest fields."
    return words


def _sizes(model: TrainedModel, scores: Scores) -> FieldSizes:
    ids = model.impression_ids(scores.part)
    terms = model.model.terms
    deep = (
        kept_slowly(
            model,
            ("deep field sizes", scores.part),
            lambda tell: deep_field_sizes(model, ids, on_row=tell),
            "Dividing the network between the fields, impression by impression",
        )
        if "deep" in terms
        else None
    )
    if terms == ("deep",):
        assert deep is not None
        return deep
    with st.spinner("Measuring every field…"):
        exact = kept(model, ("field sizes", scores.part), lambda: exact_field_sizes(model, ids))
    return exact if deep is None else exact.with_deep(deep)


def sampled_in_words(sizes: FieldSizes) -> str:
    """How the network's part was had; "" without a network."""
    if not sizes.draws:
        return ""
    return (
        f" The network's part is sampled: {sizes.rows['deep']} impressions, {sizes.draws} random "
        "orders of the fields each, whose noise makes it a few percent too large."
    )


def fields_in_words(sizes: FieldSizes) -> str:
    """Which field moves each term most."""
    return (
        "; ".join(
            f"{term}: {sizes.fields[int(values.argmax())]} most, by {values.max():.2f}"
            for term, values in sizes.mean.items()
        )
        + "."
    )


def fields_table(sizes: FieldSizes) -> pd.DataFrame:
    """One row a field; each term's mean and standard error."""
    table = pd.DataFrame({"field": sizes.fields})
    for term, values in sizes.mean.items():
        table[f"{term} (logit)"] = values
        table[f"{term}, standard error"] = sizes.error[term]
    return table.iloc[list(sizes.by_size)]


@st.fragment
@mistakes_in_words()
def show_defaults(model: TrainedModel) -> None:
    """What each field's default does, and how many training rows it stands for."""
    effects = kept_slowly(
        model,
        ("defaults",),
        lambda tell: default_effects(model, on_field=tell),
        "Trying “rare or unseen” in every field",
    )
    ordered = sorted(effects, key=lambda each: (not each.trained, -each.rows, each.field))
    plot(
        defaults_figure(ordered, model.model.terms),
        key="model_defaults",
        height=bar_height(min(len(ordered), MOST_FIELDS), least=160, each=26, around=90),
        caption=(
            f"what happens to the score, on average over {format_count(len(model.reference))} "
            "training rows, when this one field becomes “rare or unseen” and all else stays. In "
            "brackets: the training rows that it stands for. Where there are none, its weights "
            "were never trained: what it does is chance, and a new value gets just that."
        ),
        alt=defaults_in_words(effects),
        table=lambda: defaults_table(ordered),
    )
    untrained = [each.field for each in effects if not each.trained]
    if untrained:
        names = ", ".join(untrained[:6]) + (" …" if len(untrained) > 6 else "")
        st.caption(
            plain(
                f"In {len(untrained)} of {len(effects)} fields ({names}) no training row was rare: "
                "a value that was never seen meets weights that never learned. A higher min count "
                "when preparing would give them rows to learn from."
            )
        )


def defaults_in_words(effects: tuple[DefaultEffect, ...]) -> str:
    """The default that does most."""
    most = max(effects, key=lambda each: abs(each.total))
    return (
        f"Rare or unseen does most in {most.field}: {format_logit(most.total)} on average; it "
        f"stands for {format_count(most.rows)} training rows there."
    )


def defaults_table(effects: list[DefaultEffect]) -> pd.DataFrame:
    """One row a field with all digits."""
    return pd.DataFrame(
        [
            {
                "field": each.field,
                "training rows": each.rows,
                "distinct values among them": each.values,
                "click rate": each.click_rate,
                "linear": each.linear,
                "pairwise": each.pairwise,
                "deep": each.deep,
                "score (logit)": each.total,
                "spread over rows": each.spread,
            }
            for each in effects
        ]
    )
