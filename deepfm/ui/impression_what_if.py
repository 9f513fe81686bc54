"""Tab What if: one field's values, two fields' surfaces, the smallest change that turns it."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.contributions import (
    ScoredValues,
    Variant,
    bar_height,
    field_rows,
    values_figure,
    what_if_figure,
)
from deepfm.charts.palette import format_count, format_probability
from deepfm.explanation import WhatIf, find_values, what_if, what_if_values
from deepfm.terms import sigmoid
from deepfm.trained import Reference
from deepfm.ui.impression_flip import flip_view
from deepfm.ui.impression_shown import Shown
from deepfm.ui.impression_surface import surface_view
from deepfm.ui.plot import plot

Question = Literal["one", "two", "turn"]

QUESTIONS: Final[Mapping[Question, str]] = MappingProxyType(
    {"one": "One field", "two": "Two fields", "turn": "What turns the decision?"}
)
AS_BARS: Final = 24
"""Up to so many values each has its bars; of more, the highest, the lowest and the own one."""
AT_EACH_END: Final = 8
FOUND: Final = 12
"""Values that a search shows."""
_ALL: Final = "impression_all_values"


def what_if_view(shown: Shown) -> None:
    """One of three questions; each is worked out when it is asked."""
    question = st.segmented_control(
        "What if",
        list(QUESTIONS),
        format_func=QUESTIONS.__getitem__,
        default="one",
        required=True,
        key="impression_question",
        label_visibility="collapsed",
    )
    if question == "one":
        _one_field(shown)
    elif question == "two":
        surface_view(shown)
    else:
        flip_view(shown)


def _one_field(shown: Shown) -> None:
    names = [field.name for field in shown.model.fields]
    if "impression_what_if" not in st.session_state:
        changed = list(shown.choice.changes)
        strongest = field_rows(shown.explanation)[0].field
        st.session_state["impression_what_if"] = changed[-1] if changed else strongest
    with st.container(horizontal=True, vertical_alignment="bottom"):
        field = st.selectbox("Field", names, key="impression_what_if", width=320)
        text = st.text_input(
            "Find values",
            key=f"impression_find_{field}",
            placeholder="type a part of a value",
            width=260,
        )
    found = _scored(shown, field)
    scored = scored_values(found, shown.reference, shown.explanation.terms)
    _bars(shown, field, scored, _searched(shown, field, text) if text else None)
    if len(scored) > AS_BARS:
        _curve(field, found, scored)


def _scored(shown: Shown, field: str) -> WhatIf:
    """The commonest values at once; all of them where that was asked for."""
    if st.session_state.get(_ALL) == field:
        return what_if(shown.model, shown.ids, field, most=_size(shown, field))
    return what_if(shown.model, shown.ids, field)


def _size(shown: Shown, field: str) -> int:
    return shown.model.vocabulary.field(field).size


def _searched(shown: Shown, field: str, text: str) -> ScoredValues:
    """The commonest values that hold a text, and the impression's own."""
    hits = find_values(shown.model.vocabulary, field, text, FOUND)
    place = shown.model.fields.index(shown.model.vocabulary.field(field))
    own = np.array([shown.ids[place]], dtype=np.int32)
    index = hits.index if own[0] in hits.index else np.append(hits.index, own)
    found = what_if_values(shown.model, shown.ids, field, index.astype(np.int32))
    return scored_values(found, shown.reference, shown.explanation.terms)


def scored_values(found: WhatIf, reference: Reference, terms: tuple[str, ...]) -> ScoredValues:
    """The values with their terms centred on the reference population."""
    mean = reference.mean
    return ScoredValues(
        found.values.value,
        {
            term: np.asarray(getattr(found.terms, term) - getattr(mean, term)[0], np.float64)
            for term in terms
        },
        np.asarray(found.terms.logit, np.float64),
        found.values.count,
        found.current,
    )


def variants_of(scored: ScoredValues) -> list[Variant]:
    """All values, or the highest, the lowest and the impression's own; the highest score first."""
    order = scored.order().tolist()
    if len(order) > AS_BARS:
        kept = {*order[:AT_EACH_END], *order[-AT_EACH_END:], scored.current}
        order = [place for place in order if place in kept]
    return [
        Variant(
            scored.value[place] or "(empty)",
            {term: float(values[place]) for term, values in scored.terms.items()},
            float(scored.logit[place]),
            place == scored.current,
        )
        for place in order
    ]


def _bars(shown: Shown, field: str, scored: ScoredValues, found: ScoredValues | None) -> None:
    variants = variants_of(scored if found is None else found)
    if found is not None and len(found) == 1:
        st.caption("No value holds this text. The impression's own value is shown.")
    best = max(variants, key=lambda variant: variant.logit)
    plot(
        what_if_figure(field, variants, shown.explanation.against),
        key="impression_what_if_plot",
        height=bar_height(len(variants), each=26),
        caption=_bars_caption(scored, len(variants), searched=found is not None),
        alt=f"{best.value} would give the highest score: {format_probability(best.probability)}.",
        table=lambda: variants_table(field, scored if found is None else found),
    )


def _bars_caption(scored: ScoredValues, shown: int, *, searched: bool) -> str:
    words = (
        "one row a value, all else staying as it is, the highest score first; the diamond is the "
        "sum of the bars, ▸ the value it has."
    )
    if searched:
        return f"{words} The commonest values that hold the text are shown."
    if shown < len(scored):
        words += (
            f" The {AT_EACH_END} highest and the {AT_EACH_END} lowest of "
            f"{format_count(len(scored))} are shown, and its own."
        )
    return words


def variants_table(field: str, scored: ScoredValues) -> pd.DataFrame:
    """Every scored value with all digits, the highest score first."""
    order = scored.order()
    table = pd.DataFrame({field: [scored.value[place] for place in order]})
    for name, numbers in scored.terms.items():
        table[_apart(name, field)] = numbers[order]
    table[_apart("logit", field)] = scored.logit[order]
    table[_apart("probability", field)] = sigmoid(scored.logit[order])
    table[_apart("training rows", field)] = scored.count[order]
    return table


def _apart(name: str, field: str) -> str:
    """A column's name, told apart from a field that is called the same."""
    return f"{name} (model)" if name == field else name


def _curve(field: str, found: WhatIf, scored: ScoredValues) -> None:
    """All scored values as curves, and the rest on demand."""
    branches = scored.branches()
    spread = {name: float(values.max() - values.min()) for name, values in branches.items()}
    widest = max(spread, key=lambda name: spread[name])
    plot(
        values_figure(field, scored),
        key="impression_values",
        height=320,
        caption=curve_caption(branches),
        alt=(
            f"Over {format_count(len(scored))} values the {widest.lower()} moves most, by "
            f"{spread[widest]:.2f}."
        ),
        table=lambda: variants_table(field, scored),
    )
    if not found.complete:
        st.caption(
            f"The {format_count(len(found.values))} commonest of {format_count(found.of)} values."
        )
        st.button(
            f"Score all {format_count(found.of)} values",
            icon=":material/functions:",
            on_click=_score_all,
            args=(field,),
        )


def curve_caption(branches: Collection[str]) -> str:
    """How to read the curve; a model of one branch has no marks beside its line."""
    words = "one place a value, the highest score leftmost; the line is the sum"
    if len(branches) < 2:
        return (
            f"{words}, to which the model's one branch adds all. Where it lies level, the model "
            "does not care about the value."
        )
    return (
        f"{words}, the marks its two branches. Where the marks of a branch lie level, it does not "
        "care about the value."
    )


def _score_all(field: str) -> None:
    st.session_state[_ALL] = field
