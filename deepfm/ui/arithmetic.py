"""An impression's ids to the formula with its own numbers, step by step."""

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.palette import format_logit, format_probability
from deepfm.explanation import Explanation
from deepfm.terms import sigmoid
from deepfm.trained import TrainedModel
from deepfm.ui.architecture import architecture
from deepfm.ui.plot import data_button

DIGITS = 4


def view(model: TrainedModel, explanation: Explanation) -> None:
    """The two branches with this impression's numbers, then each step's formula."""
    raw = model.score(explanation.ids[None, :])
    numbers = {
        "linear": float(raw.linear[0]),
        "pairwise": float(raw.pairwise[0]),
        "deep": float(raw.deep[0]),
        "logit": explanation.logit,
        "probability": explanation.probability,
    }
    with st.container(key="stack_arithmetic"):
        left, right = st.columns([6, 7], gap="large")
    with left:
        architecture(model, numbers, key="impression_architecture")
    with right:
        st.markdown("**The three terms as the model computes them**")
        for name in explanation.terms:
            _TERMS[name](model, explanation, numbers[name])
        st.markdown("**Against a typical impression**")
        st.table(_rounded(centred_table(model, explanation, numbers)), border="horizontal")
        st.markdown(sum_in_words(explanation))


def steps_table(explanation: Explanation) -> pd.DataFrame:
    """The waterfall's steps with all digits; the last is the sum of the others."""
    level = explanation.base
    rows = [{"step": "typical score", "change": None, "logit": level}]
    for name in explanation.terms:
        change = float(getattr(explanation, name))
        level += change
        rows.append({"step": name, "change": change, "logit": level})
    rows.append({"step": "this score", "change": None, "logit": explanation.logit})
    table = pd.DataFrame(rows)
    table["probability"] = sigmoid(table["logit"].to_numpy(dtype=np.float64))
    return table


def centred_table(
    model: TrainedModel, explanation: Explanation, numbers: dict[str, float]
) -> pd.DataFrame:
    """Each term, its mean over the reference, and the difference that is shown as its part."""
    mean = model.reference.mean
    rows = [
        {
            "term": name,
            "this impression": numbers[name],
            "mean of the reference": float(getattr(mean, name)[0]),
            "difference": float(getattr(explanation, name)),
        }
        for name in explanation.terms
    ]
    rows.append(
        {
            "term": "sum (logit)",
            "this impression": explanation.logit,
            "mean of the reference": explanation.base,
            "difference": explanation.logit - explanation.base,
        }
    )
    return pd.DataFrame(rows)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.set_index("term").map(lambda value: format_logit(value, DIGITS))
    return shown.rename_axis(None)


def sum_in_words(explanation: Explanation) -> str:
    """The sum as shown; where rounding moves its last digit, that is said."""
    parts = [explanation.base, *(float(getattr(explanation, name)) for name in explanation.terms)]
    shown = [round(part, DIGITS) for part in parts]
    total = round(explanation.logit, DIGITS)
    rest = round(total - sum(shown), DIGITS)
    words = " ".join(format_logit(part, DIGITS) for part in shown)
    note = f" (and {format_logit(rest, DIGITS)} from rounding what is shown)" if rest else ""
    return (
        f"{words}{note} = **{format_logit(total, DIGITS)}**, and 1 / (1 + exp(−logit)) = "
        f"**{format_probability(explanation.probability, 2)}**. "
        f"The reference: {explanation.reference}."
    )


def _linear(model: TrainedModel, explanation: Explanation, value: float) -> None:
    st.markdown(
        f":orange[**Linear**]  b + Σ a·w = **{format_logit(value, DIGITS)}**: one number a value, "
        "added up."
    )
    data_button(
        lambda: linear_table(model, explanation),
        key="arithmetic_linear",
        name="linear",
        label="Its numbers",
    )


def linear_table(model: TrainedModel, explanation: Explanation) -> pd.DataFrame:
    """a·w of each value and the bias b; the column adds up to the linear term."""
    effects = model.weights.linear_effects[explanation.ids]
    names = [field.name for field in model.fields]
    return pd.DataFrame(
        {
            "field": [*names, "b"],
            "value": [*(explanation.values[name] for name in names), ""],
            "a·w": [*effects.tolist(), model.weights.linear_bias],
        }
    )


def _pairwise(model: TrainedModel, explanation: Explanation, value: float) -> None:
    size, fields = model.model.num_factors, len(model.fields)
    st.markdown(
        f":blue[**Pairwise**]  ½ Σ [(Σ v)² − Σ v²] = **{format_logit(value, DIGITS)}**: all "
        f"{fields * (fields - 1) // 2:,} pairs of values at once, over {size} factors."
    )
    data_button(
        lambda: pairwise_table(model, explanation),
        key="arithmetic_pairwise",
        name="pairwise",
        label="Its numbers",
    )


def pairwise_table(model: TrainedModel, explanation: Explanation) -> pd.DataFrame:
    """By factor k: (Σ v)², Σ v² and half their difference, which adds up to the term."""
    factors = model.weights.factors[explanation.ids].astype(np.float64)
    square_of_sum = factors.sum(axis=0) ** 2
    sum_of_squares = (factors**2).sum(axis=0)
    return pd.DataFrame(
        {
            "factor": np.arange(1, len(square_of_sum) + 1),
            "(Σ v)²": square_of_sum,
            "Σ v²": sum_of_squares,
            "half the difference": (square_of_sum - sum_of_squares) / 2,
        }
    )


def _deep(model: TrainedModel, explanation: Explanation, value: float) -> None:
    widths = " → ".join(str(width) for width in network_widths(model))
    whose = "the same embeddings" if model.model.shared_embedding else "embeddings of its own"
    st.markdown(
        f":violet[**Deep**]  MLP, {widths} = **{format_logit(value, DIGITS)}**: {whose}, side by "
        "side, through the network."
    )


def network_widths(model: TrainedModel) -> tuple[int, ...]:
    """F·K, each hidden layer, 1."""
    return (len(model.fields) * model.model.num_factors, *model.model.mlp_dims, 1)


_TERMS = {"linear": _linear, "pairwise": _pairwise, "deep": _deep}
