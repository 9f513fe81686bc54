"""Two fields of an impression to the surfaces of its two branches, and the sentence on rank."""

from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import surface_values, surfaces_figure, surfaces_height
from deepfm.charts.palette import format_count
from deepfm.explanation import Surface, surface
from deepfm.ui.impression_pairs import ranked_pairs
from deepfm.ui.impression_shown import Shown
from deepfm.ui.plot import plot
from deepfm.ui.text import plain

MOST_OF_IT = 0.95
"""The share of a surface's interaction that its few strongest parts are counted for."""
HOW_MADE: Final = (
    "All else in the impression stays as it is. The maps of the two branches add up to their sum, "
    "cell by cell. Numbers, weekdays and months stand in their own order, other values by their "
    "training rows."
)
_FIRST, _OTHER = "impression_surface_first", "impression_surface_other"


def surface_view(shown: Shown) -> None:
    """FM branch, deep branch and their sum over the values of two fields."""
    names = [field.name for field in shown.model.fields]
    if len(names) < 2:
        st.caption("With one field there is no pair of fields.")
        return
    first, other = _two_fields(shown, names)
    if first == other:
        st.caption("Choose two different fields.")
        return
    found = surface(shown.model, shown.ids, first, other)
    together = st.toggle(
        "Only what both say together",
        key="impression_surface_together",
        help="Without what each of the two fields says by itself: the part in which the two "
        "branches differ in kind.",
    )
    values = surface_values(found, shown.reference, together=together)
    if len(shown.explanation.terms) == 1 or not found.deep_rank_limit:
        values = {"Sum": values["Sum"]}
    words = rank_in_words(found, shown.model.model.num_factors)
    plot(
        surfaces_figure(found, values),
        key="impression_surface",
        height=surfaces_height(found),
        caption=(
            "one cell a pair of values: green raises the score, red lowers it; the ring is this "
            "impression."
        ),
        alt=words,
        table=lambda: surface_table(shown, found),
    )
    with st.expander("How it is made, and what to look for"):
        st.markdown(plain(f"{HOW_MADE} {words}"))


def _two_fields(shown: Shown, names: list[str]) -> tuple[str, str]:
    """The two fields, at first those of the impression's strongest pair."""
    pairs = ranked_pairs(shown.explanation)
    start = pairs[0] if pairs else (names[0], names[1])
    for key, name in zip((_FIRST, _OTHER), start, strict=True):
        if st.session_state.get(key) not in names:
            st.session_state[key] = name
    with st.container(horizontal=True):
        first = st.selectbox("Field", names, key=_FIRST, width=320)
        other = st.selectbox("with field", names, key=_OTHER, width=320)
    return first, other


def rank_in_words(found: Surface, size: int) -> str:
    """What a student should see: the FM surface is of low rank whatever it learned.

    "Take away what each of the two fields says by itself. What is left of the FM branch is at most
    10 products of one curve for each field, whatever it learned, since an embedding has 10 numbers:
    here 3 hold 95 % of it. What is left of the network has no such bound: …"

    size  how many numbers an embedding has
    """
    fm, deep = _fm_in_words(found, size), _deep_in_words(found)
    if not fm and not deep:
        return "This model says nothing about two fields together: it only adds up what each says."
    return " ".join(("Take away what each of the two fields says by itself.", *fm, *deep))


def _fm_in_words(found: Surface, size: int) -> list[str]:
    limit = found.fm_rank_limit
    if not limit:
        return []
    if not found.fm.rank:
        return ["Nothing is left of the FM branch."]
    why = (
        f"since an embedding has {format_count(size)} numbers"
        if limit == size
        else "since the fields have no more values"
    )
    return [
        f"What is left of the FM branch is at most {format_count(limit)} products of one curve for "
        f"each field, whatever it learned, {why}: here {_hold(found.fm.parts_for(MOST_OF_IT))} of "
        "it."
    ]


def _deep_in_words(found: Surface) -> list[str]:
    if not found.deep_rank_limit:
        return []
    if not found.deep.rank:
        return ["Nothing is left of the network: it only adds up what each field says."]
    rank = found.deep.rank
    return [
        "What is left of the network has no such bound but the number of values: here "
        f"{format_count(rank)} such {'product is' if rank == 1 else 'products are'} more than "
        f"noise, and {_hold(found.deep.parts_for(MOST_OF_IT))} of it."
    ]


def _hold(number: int) -> str:
    verb = "one holds" if number == 1 else f"{format_count(number)} hold"
    return f"{verb} {round(100 * MOST_OF_IT)} %"


def surface_table(shown: Shown, found: Surface) -> pd.DataFrame:
    """One row a cell: both values and the centred terms."""
    values = surface_values(found, shown.reference)
    rows = []
    for row, first in enumerate(found.values.value):
        for column, other in enumerate(found.other_values.value):
            cell = {name: float(grid[row, column]) for name, grid in values.items()}
            rows.append((first, other, *cell.values()))
    return pd.DataFrame(rows, columns=[found.field, f"{found.other_field} (with)", *values])
