"""Tab Arithmetic: the formula with this impression's own numbers, down to the network's layers."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.palette import format_count, format_logit, format_probability
from deepfm.explanation import Arithmetic, Explanation, LinearSteps, PairwiseSteps, arithmetic
from deepfm.terms import sigmoid
from deepfm.ui.architecture import architecture
from deepfm.ui.impression_layers import layers_view
from deepfm.ui.impression_shown import Shown
from deepfm.ui.plot import data_button
from deepfm.ui.text import plain

DIGITS: Final = 4
MOST_WRITTEN: Final = 12
"""Numbers that are written out in a sum; of more, the first few."""


def arithmetic_view(shown: Shown) -> None:
    """The two branches with this impression's numbers, then each step's formula."""
    numbers = arithmetic(shown.model, shown.ids)
    with st.container(key="stack_arithmetic"):
        left, right = st.columns([6, 7], gap="large")
    with left:
        architecture(shown.model, _figure_numbers(numbers), key="impression_architecture")
    with right:
        _sums(shown, numbers)
    if numbers.layers:
        layers_view(shown, numbers)


def _figure_numbers(numbers: Arithmetic) -> dict[str, float]:
    return {
        "linear": numbers.linear.term if numbers.linear else 0.0,
        "pairwise": numbers.pairwise.term if numbers.pairwise else 0.0,
        "deep": numbers.deep or 0.0,
        "logit": numbers.logit,
        "probability": numbers.probability,
    }


def _sums(shown: Shown, numbers: Arithmetic) -> None:
    """Each term by its formula, then the terms against the reference."""
    st.markdown("**The terms as the model computes them**")
    if numbers.linear is not None:
        _linear(shown.explanation, numbers.linear)
    if numbers.pairwise is not None:
        _pairwise(shown.explanation, numbers.pairwise)
    if numbers.layers:
        _deep(shown, numbers)
    st.markdown(f"**Against {plain(shown.explanation.against)}**")
    table = centred_table(shown.explanation)
    st.table(_rounded(table), border="horizontal")
    st.markdown(sum_in_words(shown.explanation))


def _linear(explanation: Explanation, steps: LinearSteps) -> None:
    st.markdown(
        f":orange[**Linear**]  a · Σ w + b = {_number(steps.scale)} · "
        f"({plain(written_sum(steps.w))}) {plain(_added(steps.bias))} = "
        f"**{_number(steps.term)}**: one number w a value."
    )
    data_button(
        lambda: linear_table(explanation, steps),
        key="arithmetic_linear",
        name="linear",
        label="Value by value",
    )


def _pairwise(explanation: Explanation, steps: PairwiseSteps) -> None:
    fields, size = steps.v.shape
    st.markdown(
        f":blue[**Pairwise**]  ½ Σₖ [(Σ vₖ)² − Σ vₖ²] = ½ · "
        f"({_number(float(steps.squares_of_sums.sum()))} − "
        f"{_number(float(steps.sums_of_squares.sum()))}) = **{_number(steps.term)}**: all "
        f"{format_count(fields * (fields - 1) // 2)} pairs of values at once, over {size} factors."
    )
    with st.container(horizontal=True):
        data_button(
            lambda: pairwise_table(steps),
            key="arithmetic_pairwise",
            name="pairwise",
            label="Factor by factor",
        )
        data_button(
            lambda: embeddings_table(explanation, steps),
            key="arithmetic_embeddings",
            name="embeddings",
            label="The embeddings",
        )


def _deep(shown: Shown, numbers: Arithmetic) -> None:
    widths = [len(numbers.layers[0].inputs), *(len(layer.sums) for layer in numbers.layers)]
    last = numbers.layers[-1]
    whose = "the same embeddings" if shown.model.model.shared_embedding else "embeddings of its own"
    passed = "Σ w · h" if len(numbers.layers) > 1 else "Σ w · v"
    st.markdown(
        f":violet[**Deep**]  {passed} + b = {_number(float(last.into(0).sum()))} "
        f"{plain(_added(float(last.bias[0])))} = **{_number(float(last.outputs[0]))}**: {whose}, "
        f"side by side, through {' → '.join(format_count(width) for width in widths)} units. "
        "Layer by layer below."
    )


def _number(value: float) -> str:
    return plain(format_logit(value, DIGITS))


def _added(value: float) -> str:
    """A number as it stands behind others in a sum: "− 1.68"."""
    text = format_logit(value, DIGITS)
    return f"{text[0]} {text[1:]}" if text[0] in "+−" else f"+ {text}"


def written_sum(numbers: np.ndarray) -> str:
    """ "+0.12 − 0.30 + 0.08": each number, or the first few and how many are left out."""
    first, *others = numbers[:MOST_WRITTEN].tolist()
    words = " ".join([format_logit(first, 2), *(_short_added(value) for value in others)])
    left_out = len(numbers) - MOST_WRITTEN
    return words if left_out <= 0 else f"{words} + … {left_out} more"


def _short_added(value: float) -> str:
    text = format_logit(value, 2)
    return f"{text[0]} {text[1:]}" if text[0] in "+−" else f"+ {text}"


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


def centred_table(explanation: Explanation) -> pd.DataFrame:
    """Each term, its mean over the reference, and the difference that is shown as its part."""
    rows = []
    for name in explanation.terms:
        difference, mean = float(getattr(explanation, name)), explanation.reference_means[name]
        rows.append((name, mean + difference, mean, difference))
    rows.append(
        (
            "sum (logit)",
            explanation.logit,
            explanation.base,
            explanation.logit - explanation.base,
        )
    )
    columns = ["term", "this impression", "mean of the reference", "difference"]
    return pd.DataFrame(rows, columns=columns)


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
        f"The reference: {plain(explanation.reference)}."
    )


def linear_table(explanation: Explanation, steps: LinearSteps) -> pd.DataFrame:
    """w and a·w of each value, and the bias b; the last column adds up to the linear term."""
    names = list(explanation.values)
    return pd.DataFrame(
        {
            "field": [*names, "b"],
            "value": [*(explanation.values[name] for name in names), ""],
            "w": [*steps.w.tolist(), None],
            "a·w": [*(steps.scale * steps.w).tolist(), steps.bias],
        }
    )


def pairwise_table(steps: PairwiseSteps) -> pd.DataFrame:
    """By factor k: (Σ v)², Σ v² and half their difference, which adds up to the term."""
    return pd.DataFrame(
        {
            "factor": np.arange(1, steps.v.shape[1] + 1),
            "Σ v": steps.sums,
            "(Σ v)²": steps.squares_of_sums,
            "Σ v²": steps.sums_of_squares,
            "half the difference": steps.by_factor,
        }
    )


def embeddings_table(explanation: Explanation, steps: PairwiseSteps) -> pd.DataFrame:
    """One row a value: its embedding, factor by factor."""
    names = list(explanation.values)
    table = pd.DataFrame({"field": names, "value": [explanation.values[name] for name in names]})
    for factor, column in enumerate(steps.v.T, start=1):
        table[f"v{factor}"] = column
    return table
