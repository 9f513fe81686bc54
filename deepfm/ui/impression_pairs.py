"""Tab Pairs: the heat map of pairs, and what the training rows say of the pair that is chosen."""

from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import pair_at, pair_order, pairs_figure, pairs_height
from deepfm.charts.palette import format_count, format_logit, format_probability, shortened
from deepfm.explanation import Explanation, PairMeetings, pair_in_training
from deepfm.explanation.meetings import Alone
from deepfm.ui.impression_population import dataset_of
from deepfm.ui.impression_shown import Shown
from deepfm.ui.plot import plot
from deepfm.ui.text import plain

CHOSEN: Final = "impression_pair"
_BY_HAND: Final = "impression_pair_by_hand"
_PLOT: Final = "impression_pairs"
FEW: Final = 14
WIDTHS: Final = (73, 27)
"""Of the heat map and what stands beside it, where there are more than a few fields."""
Pair = tuple[str, str]


def pairs_view(shown: Shown) -> None:
    """The heat map; a click on a cell, or a choice from the list, tells about that pair."""
    if "pairwise" not in shown.model.model.terms:
        st.caption("This model has no pairwise term.")
        return
    if len(shown.model.fields) < 2:
        st.caption("With one field there are no pairs.")
        return
    explanation = shown.explanation
    pairs = ranked_pairs(explanation)
    fields = pair_order(explanation)
    chosen = _chosen(pairs)
    with st.container(key="stack_pairs"):
        left, right = st.columns(WIDTHS if len(fields) > FEW else [8, 5], gap="medium")
    with left:
        plot(
            pairs_figure(explanation, chosen),
            key=_PLOT,
            height=pairs_height(len(fields)),
            caption=_caption(shown, len(fields)),
            alt=_finding(explanation, pairs[0]),
            table=lambda: pairs_table(explanation),
            on_click=lambda: _choose_clicked(fields, list(explanation.values)),
        )
    with right, st.container(key="impression_pair_about"):
        _choose_from_list(explanation, pairs)
        _about(shown, chosen)


def ranked_pairs(explanation: Explanation) -> list[Pair]:
    """All pairs of fields, the one that moves this impression most first."""
    return sorted(explanation.pairs, key=lambda pair: -abs(explanation.pairs[pair]))


def _chosen(pairs: list[Pair]) -> Pair:
    """The pair that was chosen, kept from impression to impression; else the strongest."""
    if not st.session_state.get(_BY_HAND) or st.session_state.get(CHOSEN) not in pairs:
        st.session_state[CHOSEN] = pairs[0]
    chosen: Pair = st.session_state[CHOSEN]
    return chosen


def _choose_clicked(fields: list[str], order: list[str]) -> None:
    """The cell that was clicked to the chosen pair, in the order of the explanation."""
    click = st.session_state[_PLOT].get("click")
    if not click or len(click["point"]) != 2:
        return
    pair = pair_at(fields, *(int(number) for number in click["point"]))
    if pair is not None:
        places = {name: place for place, name in enumerate(order)}
        st.session_state[CHOSEN] = tuple(sorted(pair, key=places.__getitem__))
        _keep()


def _keep() -> None:
    """The pair was chosen by hand: it stays when the impression changes."""
    st.session_state[_BY_HAND] = True


def _choose_from_list(explanation: Explanation, pairs: list[Pair]) -> None:
    ranks = {pair: rank for rank, pair in enumerate(pairs, start=1)}
    st.selectbox(
        "Pair, the strongest first",
        pairs,
        format_func=lambda pair: f"{ranks[pair]}.  {_pair_words(explanation, pair)}",
        key=CHOSEN,
        on_change=_keep,
        help="Or click a cell of the heat map.",
    )


def _pair_words(explanation: Explanation, pair: Pair) -> str:
    values = [shortened(explanation.values[name] or "(empty)", 20) for name in pair]
    amount = format_logit(explanation.pairs[pair])
    return f"{amount}  {values[0]} × {values[1]}  ({pair[0]} × {pair[1]})"


def _about(shown: Shown, pair: Pair) -> None:
    """Both values, how often they meet in the training rows, and their click rate."""
    explanation = shown.explanation
    met = pair_in_training(shown.model, shown.ids, *pair, dataset_of(shown.model))
    amount = explanation.pairs[pair]
    what = "raises" if amount > 0 else "lowers"
    st.markdown(
        f"Together they {what[:-1]} this score by **{plain(format_logit(amount))}**: "
        f"⟨v, v′⟩ is {plain(format_logit(met.product))} for these two values and "
        f"{plain(format_logit(met.product - amount))} on average over the reference."
    )
    st.table(meetings_table(met), border="horizontal")
    if met.rows is not None:
        st.caption(plain(meeting_words(met)))
    elif met.advice:
        st.caption(plain(met.advice))


def meetings_table(met: PairMeetings) -> pd.DataFrame:
    """Training rows and click rate of each value alone and of both together."""
    rows = [
        _meeting_row(
            f"{shortened(met.fields[0], 24)} = {shortened(met.first.value, 24)}", met.first
        ),
        _meeting_row(
            f"{shortened(met.fields[1], 24)} = {shortened(met.second.value, 24)}", met.second
        ),
    ]
    if met.rows is not None:
        rows.append(("both together", format_count(met.rows), format_probability(met.click_rate)))
    table = pd.DataFrame(rows, columns=["in the training rows", "rows", "clicked"])
    return table.set_index("in the training rows").rename_axis(None)


def _meeting_row(name: str, alone: Alone) -> tuple[str, str, str]:
    return plain(name), format_count(alone.rows), format_probability(alone.click_rate)


def meeting_words(met: PairMeetings) -> str:
    """How often the two would meet by chance, and how sure a few meetings are."""
    assert met.rows is not None
    looked = "" if met.looked_at == met.of else f" (among {met.looked_at:,} rows looked at)"
    if met.rows == 0:
        return (
            f"They never meet in the training rows{looked}: the model infers this pair from what "
            "each value does with others."
        )
    expected = met.first.rows * met.second.rows / met.of * (met.looked_at / met.of)
    words = (
        f"They meet {format_count(met.rows)} times{looked}; by chance it would be {expected:,.0f}."
    )
    if met.rows < 20:
        words += " So few meetings say little by themselves."
    return words


def _caption(shown: Shown, fields: int) -> str:
    words = (
        "one cell a pair of values; green raises the score, red lowers it, against the same two "
        f"fields in {shown.explanation.against}. Fields stand in the order of their strength. "
        "Click a cell to read about its pair."
    )
    if fields == len(shown.model.fields):
        return f"{words} All cells add up to the pairwise term."
    return f"{words} The {fields} fields with the strongest pairs are shown."


def _finding(explanation: Explanation, pair: Pair) -> str:
    first, second = pair
    values = explanation.values
    return (
        f"The strongest pair is {first} {values[first]} with {second} {values[second]}: "
        f"{format_logit(explanation.pairs[pair])}."
    )


def pairs_table(explanation: Explanation) -> pd.DataFrame:
    """Every pair with all digits, the strongest first."""
    values = explanation.values
    return pd.DataFrame(
        [
            {
                "field": first,
                "value": values[first],
                "with": second,
                "its value": values[second],
                "logit": explanation.pairs[first, second],
            }
            for first, second in ranked_pairs(explanation)
        ]
    )
