"""The network's layers with one impression's numbers, and any unit's sum, part by part."""

from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.contributions import (
    bar_height,
    layer_names,
    layers_figure,
    layers_height,
    unit_bars,
    unit_figure,
    unit_parts,
)
from deepfm.charts.palette import format_count, format_logit
from deepfm.explanation import Arithmetic
from deepfm.ui.impression_shown import Shown
from deepfm.ui.plot import plot
from deepfm.ui.text import plain

_PLOT: Final = "impression_layers"
_LAYER: Final = "impression_layer"
_UNIT: Final = "impression_unit"


def layers_view(shown: Shown, numbers: Arithmetic) -> None:
    """A strip a layer; a click on a cell shows how that unit's number comes about."""
    names = layer_names(numbers)[1:]
    if st.session_state.get(_LAYER) not in names:
        st.session_state[_LAYER] = names[-1]
    layer = names.index(st.session_state[_LAYER]) + 1
    units = len(numbers.layers[layer - 1].sums)
    unit = min(int(st.session_state.get(_UNIT, 1)), units) - 1
    plot(
        layers_figure(numbers, (layer, unit)),
        key=_PLOT,
        height=layers_height(numbers),
        caption=(
            "one row a layer, one cell a unit; the stronger its colour, the further from zero "
            f"(each row by its own largest). {_activation_in_words(numbers)} Click a cell to see "
            "its sum below."
        ),
        alt=_finding(numbers),
        table=lambda: layers_table(numbers),
        on_click=lambda: _choose_clicked(names),
    )
    with st.container(horizontal=True):
        st.selectbox("Layer", names, key=_LAYER, width=200, on_change=_first_unit)
        if units > 1:
            st.session_state[_UNIT] = unit + 1
            st.number_input(
                f"Unit, 1 to {format_count(units)}",
                min_value=1,
                max_value=units,
                key=_UNIT,
                width=160,
            )
    _unit(numbers, layer, unit)


def _choose_clicked(names: list[str]) -> None:
    click = st.session_state[_PLOT].get("click")
    if not click or not 1 <= click["trace"] <= len(names):
        return
    st.session_state[_LAYER] = names[int(click["trace"]) - 1]
    st.session_state[_UNIT] = int(click["point"][1]) + 1


def _first_unit() -> None:
    st.session_state.pop(_UNIT, None)


def _unit(numbers: Arithmetic, layer: int, unit: int) -> None:
    """The parts of one unit's sum, and what it passes on."""
    parts = unit_parts(numbers, layer, unit)
    st.markdown(plain(unit_in_words(numbers, layer, unit)))
    name = layer_names(numbers)[layer]
    title = (
        "What the deep branch adds up"
        if layer == len(numbers.layers)
        else f"What unit {unit + 1} of {name.lower()} adds up"
    )
    plot(
        unit_figure(title, parts),
        key="impression_unit_plot",
        height=bar_height(unit_bars(parts), each=26),
        caption=(
            "one bar a part of the sum, the strongest first, the bias last; "
            + (
                "a field's part is its embedding times the unit's weights for it."
                if layer == 1
                else "a part is the number of a unit in the layer before times its weight."
            )
        ),
        alt=f"{parts[0][0]} adds most: {format_logit(parts[0][1], 3)}.",
        table=lambda: pd.DataFrame(parts, columns=["part", "weight × input"]),
    )


def unit_in_words(numbers: Arithmetic, layer: int, unit: int) -> str:
    """How a unit's number comes about: "… + bias = −0.31; ReLU passes on 0"."""
    steps = numbers.layers[layer - 1]
    total, bias, passed = (float(each[unit]) for each in (steps.sums, steps.bias, steps.outputs))
    words = (
        f"Weights × inputs {format_logit(total - bias, 4)}, bias {format_logit(bias, 4)}: "
        f"the sum is {format_logit(total, 4)}"
    )
    if layer == len(numbers.layers):
        return f"{words}, and that is the deep branch: the last layer has no activation."
    if numbers.activation == "tanh":
        return f"{words}; tanh passes on {format_logit(passed, 4)}."
    return f"{words}; ReLU passes on {format_logit(passed, 4) if passed else '0: it is silent'}."


def _activation_in_words(numbers: Arithmetic) -> str:
    hidden = numbers.layers[:-1]
    if numbers.activation == "tanh" or not hidden:
        return ""
    active = sum(layer.active for layer in hidden)
    units = sum(len(layer.outputs) for layer in hidden)
    return (
        f"{format_count(active)} of {format_count(units)} units pass something on; ReLU silences "
        "the others for this impression."
    )


def _finding(numbers: Arithmetic) -> str:
    deep = numbers.layers[-1].outputs[0]
    return f"{len(numbers.layers)} layers end in {format_logit(float(deep))}."


def layers_table(numbers: Arithmetic) -> pd.DataFrame:
    """Every unit with its sum and what it passes on."""
    frames = [
        pd.DataFrame(
            {
                "layer": name,
                "unit": range(1, len(steps.sums) + 1),
                "sum": steps.sums,
                "passed on": steps.outputs,
            }
        )
        for name, steps in zip(layer_names(numbers)[1:], numbers.layers, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)
