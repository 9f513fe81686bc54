"""Why did this person click? One impression as a sentence, and what each term makes of it."""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.contributions import term_values, terms_figure
from deepfm.charts.palette import (
    TERM_WORDS,
    format_count,
    format_logit,
    format_probability,
)
from deepfm.data.synthetic import PINNED, demo_values, true_probability
from deepfm.explanation import Explanation, describe, explain
from deepfm.trained import TrainedModel
from deepfm.ui import links, state, training
from deepfm.ui.plot import plot
from deepfm.ui.sentence import Suggestion, chosen_values, sentence
from deepfm.ui.start_models import choose_model, show_models, way_on
from deepfm.ui.text import mistakes_in_words, plain
from deepfm.ui.words import say

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

SENTENCE: Final = (
    "A {format} for {ad}, on a {site} site, {slot}, {weekday} at {hour}, on a {device}."
)
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "slot": {
        "top": "at the top",
        "in text": "in the text",
        "side": "at the side",
        "bottom": "at the bottom",
    },
}
FIRST_PINNED: Final = 2
HISTORY: Final = "start_history"


def page() -> None:
    """The first minute: change a word, see the score divide, train it yourself."""
    st.title("Why did this person click?", anchor=False)
    st.markdown(
        "**DeepFM Lab** trains a model of clicks that adds up three opinions. Change a word and "
        "see which of them changes its mind."
    )
    with mistakes_in_words():
        first_impression()
    ways_in()
    with mistakes_in_words():
        last_runs()


@st.fragment
def first_impression() -> None:
    """The sentence on the left, its score on the right; only this part is drawn again."""
    history: list[dict[str, str]] = st.session_state.setdefault(
        HISTORY, [dict(PINNED[FIRST_PINNED].values)]
    )
    with st.container(key="stack_first_minute"):
        left, right = st.columns([6, 7], gap="large")
    with left:
        values = choose(state.trained(state.DEMO), history)
        train_button()
        with st.container(key="start_models"):
            name = choose_model()
            show_models(name, values, history[-2] if len(history) > 1 else None)
    model = state.demo_model(name)
    explanation = explain(model, values)
    before = explain(model, history[-2]) if len(history) > 1 else None
    with right:
        with st.container(
            horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
        ):
            figures_row(name, explanation, before, true_probability(values))
            way_on(name, values)
        show_score(name, explanation, before, true_probability(values))


def choose(model: TrainedModel, history: list[dict[str, str]]) -> dict[str, str]:
    """The sentence with its suggestions; each change is kept, so that one can go back."""
    values = {**history[-1], **chosen_values("start_sentence")}
    if values != history[-1]:
        history.append(values)
    sentence(
        SENTENCE,
        values,
        {field: field_options(field) for field in sentence_fields()},
        key="start_sentence",
        reference=history[-2] if len(history) > 1 else values,
        tries=suggestions(model, values),
        stories=stories(history),
    )
    return values


def sentence_fields() -> list[str]:
    """The fields that stand in the sentence; the others keep the pinned impression's values."""
    return ["format", "ad", "site", "slot", "weekday", "hour", "device"]


def field_options(field: str) -> list[tuple[str, str]]:
    """(value, its words) of a field in natural order."""
    words = WORDS.get(field, {})
    return [(value, words.get(value, value)) for value in demo_values(field)]


def suggestions(model: TrainedModel, values: dict[str, str], most: int = 3) -> list[Suggestion]:
    """The single words that would move the probability most, one a field."""
    now = float(model.score(model.encode(values)[None, :]).probability[0])
    found = []
    for field in sentence_fields():
        options = [item for item in field_options(field) if item[0] != values[field]]
        ids = np.stack([model.encode({**values, field: value}) for value, _ in options])
        moves = np.abs(model.score(ids).probability - now)
        value, words = options[int(moves.argmax())]
        label = words if field != "weekday" else f"on {words}"
        found.append((float(moves.max()), Suggestion(label, {field: value}, f"{field}: {words}")))
    found.sort(key=lambda item: -item[0])
    return [suggestion for _, suggestion in found[:most]]


def stories(history: list[dict[str, str]]) -> list[Suggestion]:
    """The composed impressions of the demo, and the way back."""
    ways = [
        Suggestion(pinned.name, dict(pinned.values), pinned.note)
        for pinned in PINNED
        if dict(pinned.values) != history[-1]
    ]
    if len(history) > 1:
        ways.insert(0, Suggestion("↶ Undo", history[-2], "Back to the words before"))
    return ways


def train_button() -> None:
    """Two clicks to live curves: queue the demo with the quick preset and go to watch it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if st.button("Train it yourself", type="primary", icon=":material/play_arrow:"):
            with st.spinner("Making the demo's 60,000 impressions…"):
                run_id = training.queue_demo_run()
            links.go_to("train", run=run_id)
        st.caption("60,000 impressions, a few seconds, on this machine.", width="content")


def show_score(
    name: str, explanation: Explanation, before: Explanation | None, truth: float
) -> None:
    """The score in words, then a bar for each term of the model."""
    say(describe(explanation), key="start_words")
    terms = term_values(explanation)
    plot(
        terms_figure(terms, term_values(before) if before else None),
        key="start_terms",
        height=250,
        caption=(
            "bars to the right raise the score, bars to the left lower it, against the average "
            f"of {format_count(explanation.reference_rows)} impressions the model was trained on."
            + (" The outline is the score before your change." if before else "")
        ),
        alt=(
            f"{name} says {format_probability(explanation.probability)}, the truth is "
            f"{format_probability(truth)}. "
            + ", ".join(f"{name} {format_logit(value)}" for name, value in terms.items())
        ),
        table=lambda: pd.DataFrame(list(terms.items()), columns=["term", "logit"]),
    )
    st.caption(
        "  \n".join("**{}:**{}".format(*words.split(":", 1)) for words in TERM_WORDS.values())
    )


def figures_row(
    name: str, explanation: Explanation, before: Explanation | None, truth: float
) -> None:
    """ "DeepFM says 31 % → 96 %, truth 95 %": words and numbers of our own, so HTML is safe."""
    was = f"{format_probability(before.probability, 0)} → " if before else ""
    st.html(
        f"""<div class="dfm-figures-title">Chance of a click</div>
        <div class="dfm-figures" aria-live="polite">
        <div><span class="dfm-figure-name">{html.escape(name)} says</span>
        <span class="dfm-figure"><small>{was}</small>
        {format_probability(explanation.probability, 0)}</span></div>
        <div><span class="dfm-figure-name">Truth</span>
        <span class="dfm-figure dfm-figure-quiet">{format_probability(truth, 0)}</span></div>
        <div title="The average score of many impressions, turned into a chance">
        <span class="dfm-figure-name">Typical impression</span>
        <span class="dfm-figure dfm-figure-quiet">{format_probability(explanation.typical, 0)}
        </span></div></div>""",
        width="content",
    )


def ways_in() -> None:
    """Three ways on: the demo, one's own click log, the book's data."""
    st.subheader("Three ways in", anchor=False)
    cards: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
        (
            "The demo",
            "Made-up clicks whose true probability is known, so you can see how right "
            "a model is. Nothing to fetch.",
            "train",
            "Open the demo",
            {"dataset": state.DEMO},
        ),
        (
            "Your own click log",
            "A file with one row an impression and a column that says whether it was clicked: "
            "CSV, TSV, JSON Lines, Parquet or libsvm.",
            "data",
            "Load a file",
            {},
        ),
        (
            "The book's data",
            "The ctr set of the book Dive into Deep Learning: 15,000 impressions, 34 nameless "
            "fields, and the book's recipe.",
            "data",
            "Fetch the D2L ctr set",
            {"source": "d2l"},
        ),
    )
    for column, (title, text, page_name, label, parameters) in zip(
        st.columns(3, gap="medium"), cards, strict=True
    ):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{title}**")
            st.caption(text)
            links.link(page_name, label, icon=":material/arrow_forward:", **parameters)


def last_runs() -> None:
    """The newest runs of this home, each a link to what is of interest in its state."""
    rows = state.store().runs(limit=5)
    if not rows:
        return
    st.subheader("Last runs", anchor=False)
    with st.container(key="last_runs"):
        for row in rows:
            run_line(row)
        links.link("runs", "All runs")


def run_line(row: "RunRow") -> None:
    """A link to a run, and in few words how it went."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        trained = state.is_trained(row)
        links.link(
            "evaluate" if trained else "train",
            row.name,
            icon=":material/speed:" if trained else ":material/show_chart:",
            run=row.id,
        )
        st.caption(plain(describe_run(row)), width="content")


def describe_run(row: "RunRow") -> str:
    """ "finished · demo · test AUC 0.7903"."""
    return f"{row.state} · {state.run_in_words(row)}"


page()
