"""What did each part of the model learn, over all impressions?"""

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.branches import (
    branches_figure,
    disagreement_figure,
    shares_figure,
    some_rows,
)
from deepfm.charts.palette import format_auc, format_count
from deepfm.errors import DeepFMError
from deepfm.evaluation import branch_figures, disagreement, term_shares
from deepfm.events import Notice
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import choosing, links, state
from deepfm.ui.plot import plot
from deepfm.ui.text import mistakes_in_words, plain, show_error, show_notice


def page() -> None:
    """The branches alone and together, their shares, and where they pull apart."""
    st.title("What did each part learn?", anchor=False)
    run_id, model = state.chosen_run()
    try:
        scores = model.scores()
        st.caption(plain(rows_in_words(model, scores)))
        if model.model.name == "Wide & Deep":
            st.caption("Its wide part is linear only: these data have no crossed fields.")
        with st.container(key="stack_model"):
            left, right = st.columns(2, gap="large")
        with left:
            branches(model, scores)
        with right:
            shares(model, scores)
        if "deep" in model.model.terms and len(model.model.terms) > 1:
            dots(run_id, model, scores)
        for event in model.events():
            if isinstance(event, Notice):
                show_notice(event.text)
    except DeepFMError as error:
        show_error(error)


def rows_in_words(model: TrainedModel, scores: Scores) -> str:
    """ "DeepFM · 6,000 rows of the test part", and whether the model was trained on them."""
    seen = ", which the model was trained on" if scores.part == "train" else ""
    return f"{model.model.name} · {format_count(len(scores))} rows of the {scores.part} part{seen}"


def branches(model: TrainedModel, scores: Scores) -> None:
    """Each branch scored alone, as base + (branch − its mean)."""
    found = branch_figures(scores.labels, scores.terms, model.reference.mean, model.model.terms)
    aucs = {name: figures.auc for name, figures in found.items()}
    if aucs["all"] is None:
        show_notice(f"All rows of the {scores.part} part have one label, so nothing can be ranked.")
        return
    plot(
        branches_figure(aucs),
        key="model_branches",
        height=270,
        caption=(
            "the share of pairs, one clicked and one not, that a branch ranks rightly when the "
            "other branches are held at their mean. They were trained together: none was meant "
            "to stand alone."
        ),
        alt=", ".join(f"{name} alone {format_auc(auc)}" for name, auc in aucs.items()),
        table=pd.DataFrame(
            [
                {"branch": name, "AUC": figures.auc, "log loss": figures.log_loss}
                for name, figures in found.items()
            ]
        ),
    )


def shares(model: TrainedModel, scores: Scores) -> None:
    """How much of the score's ups and downs goes with each term."""
    found = term_shares(scores.terms)
    names = [*found.shares]
    covariance = pd.DataFrame(found.covariance, columns=names)
    covariance.insert(0, "covariance", names)
    plot(
        shares_figure(found.shares, model.model.terms),
        key="model_shares",
        height=270,
        caption=(
            "how much of the score's ups and downs goes with each term: its covariance with the "
            "score over the score's variance. Below zero, a term works against the sum."
        ),
        alt=", ".join(f"{name} {100 * share:.0f} %" for name, share in found.shares.items()),
        table=covariance,
    )


@st.fragment
@mistakes_in_words()
def dots(run_id: str, model: TrainedModel, scores: Scores) -> None:
    """One dot an impression; a click opens it."""
    kept = len(model.impression_ids(scores.part))
    rows = some_rows(min(len(scores), kept))
    if not len(rows):
        return
    mean = model.reference.mean
    apart = disagreement(scores.terms, mean)
    share = float(np.mean(apart > 0.5))
    result = plot(
        disagreement_figure(rows, scores.terms, mean, scores.labels),
        key="model_dots",
        height=440,
        clicks=True,
        modebar=True,
        caption=(
            f"one dot an impression{_sampled(rows, scores)}, filled where it was clicked. In the "
            "shaded corners one branch raises the score and the other lowers it. Click a dot to "
            "see why."
        ),
        alt=f"In {100 * share:.0f} % of the rows the branches pull apart, each by more than 0.5.",
        table=lambda: pd.DataFrame(
            {
                "row": rows,
                "FM branch": np.asarray(scores.terms.fm)[rows] - mean.fm[0],
                "deep branch": np.asarray(scores.terms.deep)[rows] - mean.deep[0],
                "clicked": scores.labels[rows] == 1,
            }
        ),
    )
    if result.click is not None:
        row = str(int(result.click.customdata))
        links.go_to("impression", run=run_id, part=scores.part, row=row)
    links.link(
        "impression",
        choosing.LISTS["apart"],
        run=run_id,
        part=scores.part,
        list="apart",
    )


def _sampled(rows: np.ndarray, scores: Scores) -> str:
    if len(rows) == len(scores):
        return ""
    return f" ({format_count(len(rows))} of {format_count(len(scores))}, drawn at random)"


page()
