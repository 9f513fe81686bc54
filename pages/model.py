"""What did each part of the model learn, over all impressions?"""

from collections.abc import Callable

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.events import Notice
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import state
from deepfm.ui.beyond import show_beyond
from deepfm.ui.model_branches import headline, rows_in_words, show_branches, show_shares
from deepfm.ui.model_disagreement import show_disagreement
from deepfm.ui.model_embeddings import show_embeddings
from deepfm.ui.model_fields import show_defaults, show_fields
from deepfm.ui.model_pairs import show_pairs
from deepfm.ui.text import plain, show_error, show_notice

VIEW = "view"
"""The address keeps the tab that is open under this name."""


def page() -> None:
    """The finding in a sentence, the branches alone and together; the rest in tabs."""
    st.title("What did each part learn?", anchor=False)
    run_id, model = state.chosen_run()
    try:
        scores = model.scores()
        st.caption(plain(rows_in_words(model, scores)))
        if sentence := headline(model, scores):
            st.markdown(plain(sentence))
        show_branches(run_id, model, scores)
        details(run_id, model, scores)
        for event in model.events():
            if isinstance(event, Notice):
                show_notice(event.text)
    except DeepFMError as error:
        show_error(error)


def details(run_id: str, model: TrainedModel, scores: Scores) -> None:
    """One tab a question; each is computed when it is opened."""
    views: dict[str, Callable[[], None]] = {
        "Fields": lambda: show_fields(model, scores),
        "Pairs": lambda: show_pairs(model),
        "Where they disagree": lambda: show_disagreement(run_id, model, scores),
        "Shares": lambda: show_shares(model, scores),
        "Beyond pairs": lambda: show_beyond(model),
        "Embedding map": lambda: show_embeddings(model),
        "Rare or unseen": lambda: show_defaults(model),
    }
    tabs = st.tabs(list(views), on_change="rerun", key=VIEW, bind="query-params")
    for tab, view in zip(tabs, views.values(), strict=True):
        if tab.open:
            with tab:
                view()


page()
