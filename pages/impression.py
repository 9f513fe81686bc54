"""Why did this impression get this score?"""

import functools
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import (
    Variant,
    bar_height,
    field_rows,
    fields_figure,
    pairs_figure,
    term_values,
    waterfall_figure,
    what_if_figure,
)
from deepfm.charts.palette import TERM_WORDS, format_logit, format_probability
from deepfm.data.catalog import DEMO_NAME
from deepfm.data.synthetic import true_probability
from deepfm.errors import DeepFMError, SchemaError
from deepfm.explanation import (
    Explanation,
    best_change,
    branches_disagree,
    describe,
    explain,
    what_if,
)
from deepfm.trained import TrainedModel
from deepfm.ui import arithmetic, beyond, choosing, state
from deepfm.ui.card import CardField, card
from deepfm.ui.choosing import Choice
from deepfm.ui.pinned import pinned_words
from deepfm.ui.plot import plot
from deepfm.ui.text import plain, show_error, show_notice
from deepfm.ui.words import say

MOST_OPTIONS = 200
MOST_OPTIONS_ON_CARD = 3_000
MOST_VARIANTS = 20
PERMUTATIONS = 200
CARD_HEIGHT = 372


@st.fragment
def page() -> None:
    """Choose an impression, read why, change a value."""
    st.title("Why did this impression get this score?", anchor=False)
    _, model = state.chosen_run()
    try:
        choice = choosing.choice_in_address(model)
        original = choosing.original_of(model, choice)
        explanation, before = original, None
        if choice.changes:
            explanation = explain(model, {**original.values, **choice.changes})
            before = original
        choose(model, choice, explanation)
        show(model, choice, original, explanation, before)
    except DeepFMError as error:
        show_error(error)
        if "change" in st.query_params:
            st.button("Put the changed values back", on_click=choosing.put_back)


def choose(model: TrainedModel, choice: Choice, explanation: Explanation) -> None:
    """The row to choose: previous, next, random, by list, from a table; then what it is."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            on_click=choosing.step,
            args=(choice, -1),
        )
        st.button(
            "Next impression",
            icon=":material/chevron_right:",
            icon_position="right",
            type="primary",
            on_click=choosing.step,
            args=(choice, 1),
        )
        st.button(
            "Random", icon=":material/shuffle:", on_click=choosing.random_step, args=(choice,)
        )
        st.session_state["impression_list"] = choice.list_name
        st.selectbox(
            "Go through",
            choosing.lists_of(model),
            format_func=choosing.LISTS.__getitem__,
            key="impression_list",
            label_visibility="collapsed",
            width=310,
            on_change=lambda: choosing.show_list(st.session_state["impression_list"]),
        )
        if st.button("Table…", icon=":material/table_rows:"):
            choosing.choose_from_table(model, choice)
    if choice.composed:
        name, _ = pinned_words(model.dataset_name, model.pinned[choice.row], choice.row)
        kind = "a composed impression" if model.dataset_name == DEMO_NAME else "watched in training"
        st.markdown(f"#### {plain(name)}, {kind}")
    place = plain(choosing.place_in_words(choice))
    st.caption("  ·  ".join([place, *marks(model, choice, explanation)]))


def show(
    model: TrainedModel,
    choice: Choice,
    original: Explanation,
    explanation: Explanation,
    before: Explanation | None,
) -> None:
    """The sentence, the card and the waterfall; details in tabs."""
    say(describe(explanation, best_change(model, explanation.ids)), key="impression_words")
    with st.container(key="stack_impression"):
        left, right = st.columns([5, 8], gap="large")
    with left:
        values_card(model, choice, original, explanation)
    with right:
        waterfall(explanation, before)
    if branches_disagree(explanation):
        show_notice(
            "The two branches pull apart here. Neither is right by itself; only the sum was "
            "trained."
        )
    details(model, explanation)


def marks(model: TrainedModel, choice: Choice, explanation: Explanation) -> list[str]:
    """What happened, the truth where it is known, whether the model was trained on this row."""
    if choice.changes or choice.composed:
        figures = choosing.outcome_in_words(None, known_truth(model, explanation.values))
        if choice.changes:
            figures.insert(0, f"{len(choice.changes)} of {len(model.fields)} values changed")
    else:
        figures = choosing.outcome_in_words(explanation.label, explanation.truth)
    if explanation.seen_in_training:
        figures.append("seen in training")
    return [f"**{plain(figure)}**" for figure in figures]


def known_truth(model: TrainedModel, values: Mapping[str, str]) -> float | None:
    """The demo's true probability of changed values; None for other data or an unknown value."""
    if model.dataset_name != DEMO_NAME:
        return None
    try:
        return true_probability(values)
    except SchemaError:
        return None


def values_card(
    model: TrainedModel, choice: Choice, original: Explanation, explanation: Explanation
) -> None:
    """The raw values; changing one scores the impression again at once."""
    with st.container(horizontal=True, vertical_alignment="center", key="impression_heading"):
        st.markdown("**Its values.** Change any of them.", width="content")
        if choice.changes:
            st.button(
                "Put back", icon=":material/undo:", type="tertiary", on_click=choosing.put_back
            )
    card(
        card_fields(model, choice, original, explanation),
        key="impression_card",
        height=CARD_HEIGHT,
        on_change=functools.partial(choosing.change_value, choice, original.values),
    )
    others = other_columns(model, choice)
    if others:
        what = "1 column" if len(others) == 1 else f"{len(others)} columns"
        with st.expander(f"{what} that the model does not read"):
            for name, value in others.items():
                st.text(f"{name}: {value if value is not None else '(empty)'}")


def card_fields(
    model: TrainedModel, choice: Choice, original: Explanation, explanation: Explanation
) -> list[CardField]:
    """Every field with its value, what it was, and what the model takes it for."""
    most = max(10, min(MOST_OPTIONS, MOST_OPTIONS_ON_CARD // len(model.fields)))
    fields = []
    for field in model.fields:
        value, seen = explanation.values[field.name], explanation.seen_as[field.name]
        numeric = field.role == "numeric"
        options = [] if numeric else state.field_values(model, field.name)
        fields.append(
            CardField(
                field.name,
                value,
                original.values[field.name] if field.name in choice.changes else None,
                f"seen as {seen}" if seen != value and value else "",
                options[:most],
                free=numeric or len(options) > most,
            )
        )
    return fields


def other_columns(model: TrainedModel, choice: Choice) -> dict[str, str | None]:
    """Columns of the file that are not fields: identifiers, ignored ones, the label."""
    if choice.composed:
        return {}
    names = {field.name for field in model.fields}
    values = model.impression(choice.part, choice.row).values
    return {name: value for name, value in values.items() if name not in names}


def waterfall(explanation: Explanation, before: Explanation | None) -> None:
    """From the typical score to this one."""
    plot(
        waterfall_figure(explanation, before),
        key="impression_waterfall",
        height=CARD_HEIGHT - 20,
        caption=(
            "start at the score of a typical impression; each term moves it on, and where the "
            "last one ends is this score. Below in logit units, which add up; above, the same "
            "places as probabilities."
        ),
        alt=(
            f"From {format_probability(explanation.typical)} to "
            f"{format_probability(explanation.probability)}: "
            + ", ".join(
                f"{name} {format_logit(value)}" for name, value in term_values(explanation).items()
            )
        ),
        table=lambda: arithmetic.steps_table(explanation),
    )


def details(model: TrainedModel, explanation: Explanation) -> None:
    """Fields, pairs, what if, arithmetic; each is computed when its tab is opened."""
    views = (
        ("Fields", fields_view),
        ("Pairs", pairs_view),
        ("What if", what_if_view),
        ("Beyond pairs", beyond.show_beyond_of_one),
        ("Arithmetic", arithmetic.view),
    )
    tabs = st.tabs([name for name, _ in views], on_change="rerun", key="impression_tabs")
    for tab, (_, view) in zip(tabs, views, strict=True):
        if tab.open:
            with tab:
                view(model, explanation)


def fields_view(model: TrainedModel, explanation: Explanation) -> None:
    """Linear and pairwise by field; deep by field on request, since it is sampled."""
    network_alone = model.model.terms == ("deep",)
    if "deep" in model.model.terms and (network_alone or _network_is_wanted()):
        explanation = explain(model, explanation.values, permutations=PERMUTATIONS)
    rows = field_rows(explanation)
    plot(
        fields_figure(explanation),
        key="impression_fields",
        height=bar_height(min(len(rows), 15)),
        caption=(
            "one row a field, the strongest first; to the right it raises the score. A pair's "
            "effect is shared between its two fields."
            + (error_in_words(explanation) if explanation.deep_by_field else "")
        ),
        alt=f"{rows[0].field} moves this impression most: {format_logit(rows[0].total)}.",
        table=lambda: fields_table(explanation),
    )
    if "deep" in model.model.terms and explanation.deep_by_field is None:
        st.caption(f"The network adds {plain(format_logit(explanation.deep))}, not divided here.")


def _network_is_wanted() -> bool:
    return st.toggle(
        "Divide the network between the fields too",
        key="impression_deep_by_field",
        help=f"Sampled from {PERMUTATIONS} random orders of the fields; with a standard error.",
    )


def error_in_words(explanation: Explanation) -> str:
    """ " The network's parts are sampled: give or take 0.05." """
    errors = explanation.deep_standard_error or {}
    if not errors:
        return ""
    return (
        f" The network's parts are sampled: give or take {max(errors.values()):.2f} "
        "(one standard error) at most."
    )


def fields_table(explanation: Explanation) -> pd.DataFrame:
    """The fields' parts with all digits."""
    errors = explanation.deep_standard_error or {}
    return pd.DataFrame(
        [
            {
                "field": row.field,
                "value": row.value,
                "linear": row.linear,
                "pairwise": row.pairwise,
                "deep": row.deep,
                "deep standard error": errors.get(row.field),
            }
            for row in field_rows(explanation)
        ]
    )


def pairs_view(model: TrainedModel, explanation: Explanation) -> None:
    """The heat map of centred pairs."""
    if "pairwise" not in model.model.terms:
        st.caption("This model has no pairwise term.")
        return
    if len(model.fields) < 2:
        st.caption("With one field there are no pairs.")
        return
    pairs = sorted(explanation.pairs.items(), key=lambda item: -abs(item[1]))
    (first, second), strongest = pairs[0]
    values = explanation.values
    plot(
        pairs_figure(explanation),
        key="impression_pairs",
        height=max(300, 110 + 26 * min(len(model.fields), 24)),
        caption=(
            "one cell a pair of values; green raises the score, red lowers it, against the same "
            "two fields in a typical impression. All cells add up to the pairwise term."
        ),
        alt=(
            f"The strongest pair is {first} {values[first]} with {second} {values[second]}: "
            f"{format_logit(strongest)}."
        ),
        table=lambda: pd.DataFrame(
            [
                {"field": a, "value": values[a], "with": b, "its value": values[b], "logit": x}
                for (a, b), x in pairs
            ]
        ),
    )


def what_if_view(model: TrainedModel, explanation: Explanation) -> None:
    """One field: the score of every value, by term."""
    names = [field.name for field in model.fields]
    strongest = field_rows(explanation)[0].field
    field = st.selectbox(
        "Field",
        names,
        index=names.index(strongest),
        key="impression_what_if",
        width=320,
    )
    variants = variants_of(model, explanation, field)
    best = max(variants, key=lambda variant: variant.logit)
    plot(
        what_if_figure(field, variants),
        key="impression_what_if_plot",
        height=bar_height(len(variants)),
        caption=(
            "one row a value, all else staying as it is, the highest score first; the diamond is "
            f"the sum of the bars. At most the {MOST_VARIANTS} commonest values are shown."
        ),
        alt=f"{best.value} would give the highest score: {format_probability(best.probability)}.",
        table=lambda: pd.DataFrame(
            [
                {
                    field: variant.value,
                    **variant.terms,
                    "logit": variant.logit,
                    "probability": variant.probability,
                }
                for variant in variants
            ]
        ),
    )


def variants_of(model: TrainedModel, explanation: Explanation, field: str) -> list[Variant]:
    """The commonest values and the current one, the highest score first."""
    found = what_if(model, explanation.ids, field)
    places = list(range(min(MOST_VARIANTS, len(found.values))))
    if found.current not in places:
        places[-1] = found.current
    mean = model.reference.mean
    centred = {
        "linear": found.terms.linear - mean.linear[0],
        "pairwise": found.terms.pairwise - mean.pairwise[0],
        "deep": found.terms.deep - mean.deep[0],
    }
    logits = found.terms.logit
    variants = [
        Variant(
            found.values.value[place] or "(empty)",
            {term: float(centred[term][place]) for term in explanation.terms},
            float(logits[place]),
            place == found.current,
        )
        for place in places
    ]
    return sorted(variants, key=lambda variant: -variant.logit)


def explain_terms() -> None:
    """The three terms in words, for who comes here first."""
    with st.expander("What the three terms are"):
        for words in TERM_WORDS.values():
            name, rest = words.split(":", 1)
            st.markdown(f"**{name}:**{rest}")


page()
explain_terms()
