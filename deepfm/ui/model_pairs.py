"""The strongest pairs of fields over all impressions, and the values of one pair."""

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import bar_height
from deepfm.charts.overall import (
    pair_strengths_figure,
    pair_values_figure,
    shown_fields,
    strongest_pairs_figure,
)
from deepfm.charts.overall.pairs import MOST_PAIRS, MOST_VALUES
from deepfm.charts.palette import format_count, format_logit, format_probability
from deepfm.explanation.overall import (
    PairOfValues,
    PairStrengths,
    PairValues,
    pair_strengths,
    pair_values,
)
from deepfm.trained import TrainedModel
from deepfm.ui.model_kept import kept
from deepfm.ui.model_trained import dataset_of
from deepfm.ui.plot import PlotResult, plot
from deepfm.ui.text import mistakes_in_words, plain

MOST_CHOICES = 500
PAIR = "pair"
"""The address keeps the pair that is looked at under this name."""


@st.fragment
@mistakes_in_words()
def show_pairs(model: TrainedModel) -> None:
    """Heat map and list of all pairs; a click on one shows its strongest values."""
    if "pairwise" not in model.model.terms:
        st.caption(
            "This model has no pairwise term, so no pair of fields has a strength of its own."
        )
        return
    if len(model.fields) < 2:
        st.caption("With one field there are no pairs.")
        return
    with st.spinner("Measuring every pair of fields…"):
        found = kept(model, ("pair strengths",), lambda: pair_strengths(model))
    names = [f"{found.fields[i]} × {found.fields[j]}" for i, j, _ in found.ranked[:MOST_CHOICES]]
    if len(found.fields) == 2:
        on_map, on_list = None, strongest(found)
    else:
        with st.container(key="stack_pairs"):
            left, right = st.columns([7, 6], gap="large")
        with left:
            on_map = heat_map(found)
        with right:
            on_list = strongest(found)
    clicked = _clicked(found, on_map, on_list)
    if clicked is not None:
        st.session_state[PAIR] = names[clicked]
    name = st.selectbox(
        "A pair, and what its values do when they meet",
        names,
        key=PAIR,
        bind="query-params",
        width=460,
        help="The strongest pair stands first. A click on a cell or a bar above chooses it too.",
    )
    first, second, _ = found.ranked[names.index(name or names[0])]
    show_values(model, found.fields[first], found.fields[second])


def heat_map(found: PairStrengths) -> PlotResult:
    """Field × field, the strongest first."""
    shown = len(shown_fields(found))
    some = f" The {shown} fields with the strongest pairs." if shown < len(found.fields) else ""
    (first, second, value) = found.ranked[0]
    return plot(
        pair_strengths_figure(found),
        key="model_pairs",
        height=max(300, 130 + (26 if shown <= 16 else 18) * shown),
        clicks=True,
        caption=(
            "one cell a pair of fields, the darker the stronger: how much what the pair adds to "
            "the score varies over the typical impressions, once what each field does by itself "
            f"is taken out (both embeddings centred).{some} Click a cell to see its values."
        ),
        alt=(
            f"The strongest pair is {found.fields[first]} with {found.fields[second]}: what it "
            f"adds varies by {value:.2f} logit."
        ),
        table=lambda: strengths_table(found),
    )


def strongest(found: PairStrengths) -> PlotResult:
    """The list of the strongest."""
    ranked = found.ranked
    return plot(
        strongest_pairs_figure(found),
        key="model_pairs_top",
        height=bar_height(min(len(ranked), MOST_PAIRS), least=140, each=28, around=60),
        clicks=True,
        caption=(
            "the spread (standard deviation) of what a pair adds to the score. Pairs of unrelated "
            "fields are never quite zero: the smallest bars show what chance leaves."
        ),
        alt="; ".join(
            f"{found.fields[i]} × {found.fields[j]} {strength:.2f}" for i, j, strength in ranked[:5]
        ),
        table=lambda: strengths_table(found),
    )


def strengths_table(found: PairStrengths) -> pd.DataFrame:
    """Every pair with its strength, the strongest first."""
    return pd.DataFrame(
        [
            {"field": found.fields[i], "with": found.fields[j], "spread (logit)": strength}
            for i, j, strength in found.ranked
        ]
    )


def _clicked(found: PairStrengths, on_map: PlotResult | None, on_list: PlotResult) -> int | None:
    """The place in `found.ranked` of the pair that was clicked, if one was."""
    if on_list.click is not None:
        return on_list.click.point[0]
    if on_map is None or on_map.click is None:
        return None
    order = shown_fields(found)
    row, column = on_map.click.point
    if column > row:
        return None
    wanted = tuple(sorted((order[row + 1], order[column])))
    place = next(n for n, (i, j, _) in enumerate(found.ranked) if (i, j) == wanted)
    return place if place < MOST_CHOICES else None


def show_values(model: TrainedModel, first: str, second: str) -> None:
    """The strongest meetings of two fields' values."""
    dataset = dataset_of(model)
    with st.spinner("Counting how often these values meet…"):
        found = kept(
            model,
            ("pair values", first, second, dataset is not None),
            lambda: pair_values(model, first, second, dataset),
        )
    with st.container(key="stack_pair_values"):
        left, right = st.columns([7, 6], gap="large")
    rows = min(MOST_VALUES, len(found.first))
    with left:
        plot(
            pair_values_figure(found),
            key="model_pair_values",
            height=max(220, 130 + 26 * rows),
            caption=(
                "one cell for two values that meet; green raises the score, red lowers it, beyond "
                "what each value does by itself. At most the "
                f"{MOST_VALUES} values that reach furthest, out of the 200 commonest."
            ),
            alt=f"Strongest: {meeting_in_words(found.strongest[0])}" if found.strongest else "",
            table=lambda: cells_table(found),
        )
    with right:
        show_strongest(model, found)


def show_strongest(model: TrainedModel, found: PairValues) -> None:
    """The list beside the map, with how often the two meet."""
    st.markdown("**The strongest meetings**")
    st.dataframe(
        meetings_table(found),
        hide_index=True,
        key="model_meetings",
        height=38 + 35 * max(1, len(found.strongest)),
        column_config={
            "logit": st.column_config.NumberColumn(format="%+.3f"),
            "clicked": st.column_config.NumberColumn("clicked (%)", format="%.1f"),
            "rows": st.column_config.NumberColumn("training rows", format="localized"),
        },
    )
    if not found.looked_at:
        st.caption(
            plain(
                f"How often two values meet is known where the dataset “{model.dataset_name}” is: "
                "open it on this server. Only values with enough training rows of their own are "
                "listed."
            )
        )
    else:
        st.caption(
            f"Counted in {format_count(found.looked_at)} training rows. What the pair adds is "
            "beyond the two single values, so it need not follow the click rate."
        )


def meetings_table(found: PairValues) -> pd.DataFrame:
    """One row a meeting, the strongest first."""
    first, second = found.fields
    other = second if second != first else f"{second} (2)"
    rows = []
    for each in found.strongest:
        row: dict[str, object] = {
            first: each.values[0] or "(empty)",
            other: each.values[1] or "(empty)",
            "logit": each.logit,
        }
        if each.rows is not None:
            row |= {"rows": each.rows, "clicked": _percent(each)}
        rows.append(row)
    return pd.DataFrame(rows)


def _percent(each: PairOfValues) -> float | None:
    rate = _rate(each)
    return None if rate is None else 100 * rate


def _rate(each: PairOfValues) -> float | None:
    return each.clicks / each.rows if each.rows and each.clicks is not None else None


def meeting_in_words(each: PairOfValues) -> str:
    """ "games with video game +2.20, 130 training rows, 81.5 % clicked"."""
    words = f"{each.values[0]} with {each.values[1]} {format_logit(each.logit)}"
    if each.rows is None:
        return words
    return f"{words}, {format_count(each.rows)} training rows, {format_probability(_rate(each))}"


def cells_table(found: PairValues) -> pd.DataFrame:
    """Every pair of the values looked at, with all digits; at most 5,000, the strongest."""
    cells = [
        {
            found.fields[0]: one or "(empty)",
            f"{found.fields[1]} ": other or "(empty)",
            "logit": float(found.logit[a, b]),
        }
        for a, one in enumerate(found.first.value)
        for b, other in enumerate(found.second.value)
    ]
    cells.sort(key=lambda cell: -abs(float(str(cell["logit"]))))
    return pd.DataFrame(cells[:5_000])
