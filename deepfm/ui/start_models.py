"""The sentence of Start to what each of the five models says of it; one of them is chosen."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.contributions import ModelSays, models_figure
from deepfm.charts.palette import format_probability
from deepfm.config import TERM_SETS
from deepfm.data.synthetic import true_probability
from deepfm.ui import links, state
from deepfm.ui.address import chosen_in_address
from deepfm.ui.plot import plot

MODEL: Final = "model"
MODEL_WORDS: Final[Mapping[str, str]] = {
    "LR": "LR adds up single values. A changed word moves its score by the same step in every "
    "sentence, whatever stands beside it.",
    "FM": "FM adds pairs of values. It cannot learn what only three values decide together, such "
    "as long videos at weekends, on a phone.",
    "DNN": "DNN is the network alone. It can learn single values, pairs and more, but its score "
    "has no parts that say which.",
    "Wide & Deep": "Wide & Deep adds single values to the network, which has to find the pairs "
    "by itself.",
    "DeepFM": "DeepFM adds single values, pairs and the network, all trained together.",
}
"""What each set of terms can learn and cannot."""


def choose_model() -> str:
    """Which terms are switched on: one of the five models, from the address, else DeepFM."""
    changed = chosen_in_address(MODEL, TERM_SETS, "DeepFM")
    chosen = st.segmented_control(
        "Which terms it has",
        list(TERM_SETS),
        key=MODEL,
        required=True,
        on_change=changed,
        help="Each is a model of its own, trained on the same rows with the same settings and "
        "seed; no term is silenced afterwards.",
    )
    return str(chosen or "DeepFM")


def show_models(name: str, values: dict[str, str], before: dict[str, str] | None) -> None:
    """What the chosen one can learn, and what all five say of the sentence beside the truth."""
    st.caption(MODEL_WORDS[name])
    models = [says(each, values, before) for each in TERM_SETS]
    truth = true_probability(values)
    plot(
        models_figure(models, truth, true_probability(before) if before else None, chosen=name),
        key="start_models_plot",
        height=210,
        caption=(
            "each dot is one trained model, the dashed line the truth"
            + (", hollow what it was before your change. " if before else ". ")
            + "All have one seed, chosen because DeepFM lies near the truth with it."
        ),
        alt=f"The truth is {format_probability(truth)}. "
        + ", ".join(f"{each.name} {format_probability(each.now)}" for each in models),
        table=lambda: models_table(models, truth),
    )


def says(name: str, values: dict[str, str], before: dict[str, str] | None) -> ModelSays:
    """What one bundled model gives the sentence, and gave it before the change."""
    model = state.demo_model(name)
    sentences = [each for each in (values, before) if each is not None]
    ids = np.stack([model.encode(each) for each in sentences])
    now, *was = model.score(ids).probability.tolist()
    return ModelSays(name, model.model.terms, now, was[0] if was else None)


def models_table(models: Sequence[ModelSays], truth: float) -> pd.DataFrame:
    """What each model says now and said before, beside the truth."""
    return pd.DataFrame(
        [
            {
                "model": each.name,
                "terms": ", ".join(each.terms),
                "probability": each.now,
                "before": each.before,
                "truth": truth,
            }
            for each in models
        ]
    )


def way_on(name: str, values: dict[str, str]) -> None:
    """From DeepFM's score to its page; from another model to training it."""
    if name != "DeepFM":
        links.link("train", f"Train {name} yourself", dataset=state.DEMO, terms=name)
        return
    row, pinned = min(
        enumerate(state.trained(state.DEMO).pinned), key=lambda item: len(changes(item[1], values))
    )
    links.link(
        "impression",
        "Explain this impression in detail",
        run=state.DEMO,
        list="pinned",
        row=str(row),
        change=changes(pinned, values),
    )


def changes(pinned: Mapping[str, str | None], values: Mapping[str, str]) -> list[str]:
    """What of a pinned impression is to be changed: "device=phone"."""
    return [f"{field}={value}" for field, value in values.items() if pinned[field] != value]
