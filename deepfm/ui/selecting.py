"""The address to the rows that Evaluate looks at: a part, and in it a value or a range.

?part=test&field=device&value=phone, or ?field=price&low=2&high=10: a link opens the same rows.
"""

import math
from typing import Final

import numpy as np
import streamlit as st

from deepfm.charts.palette import format_count, format_probability
from deepfm.evaluation import EMPTY, Selection
from deepfm.trained import TrainedModel
from deepfm.ui.address import chosen_in_address
from deepfm.ui.evaluated import Evaluated, rows_of
from deepfm.ui.text import plain

NAMES: Final = ("field", "value", "low", "high")
MOST_VALUES: Final = 1_000
"""Values that can be picked from; the commonest of these rows."""
RANGE: Final = "a range…"


def choose_part(model: TrainedModel) -> str:
    """The part whose rows are looked at; ?part= keeps it in the address."""
    parts = [part for part in model.parts if part != "train"]
    if len(parts) < 2:
        return model.part
    chosen = st.segmented_control(
        "Rows",
        parts,
        format_func=lambda part: f"{part.capitalize()} rows",
        key="part",
        on_change=chosen_in_address("part", parts, model.part),
        required=True,
        label_visibility="collapsed",
    )
    return chosen or model.part


def selection_in_address(model: TrainedModel) -> Selection | None:
    """What the address names; None where it names no field of this run, or nothing of it."""
    field = st.query_params.get("field", "")
    if field not in {each.name for each in model.fields}:
        return None
    if "value" in st.query_params:
        return Selection(field, st.query_params["value"])
    low, high = (_number(st.query_params.get(name, "")) for name in ("low", "high"))
    return None if low is None and high is None else Selection(field, low=low, high=high)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def show_selection(selection: Selection | None) -> None:
    """Put a slice into the address, in the place of another one; None is all rows."""
    for name in NAMES:
        st.query_params.pop(name, None)
    if selection is None:
        return
    st.query_params["field"] = selection.field
    if selection.value is not None:
        st.query_params["value"] = selection.value
    for name, end in (("low", selection.low), ("high", selection.high)):
        if end is not None:
            st.query_params[name] = f"{end:.9g}"


def choose_selection(
    run_id: str, model: TrainedModel, part: str, selection: Selection | None
) -> None:
    """Boxes for a field and one of its values, or a range of its numbers."""
    fields = [each.name for each in model.fields]
    field = selection.field if selection else st.query_params.get("field")
    st.session_state["slice_field"] = field if field in fields else None
    st.selectbox(
        "Only rows where",
        fields,
        key="slice_field",
        placeholder="all rows",
        label_visibility="collapsed",
        icon=":material/filter_alt:",
        width=220,
        on_change=_field_changed,
    )
    field = st.session_state["slice_field"]
    if field is None:
        return
    counts = _values(run_id, model, part, field)
    numeric = model.vocabulary.field(field).role == "numeric"
    options = [*([RANGE] if numeric else []), *counts]
    is_range = selection is not None and selection.value is None
    shown = RANGE if is_range else selection.value if selection else None
    if shown is not None and shown not in options:
        options.append(shown)
    st.session_state["slice_value"] = shown
    st.selectbox(
        "is",
        options,
        key="slice_value",
        format_func=lambda value: _value_words(value, counts),
        placeholder="choose a value",
        label_visibility="collapsed",
        width=280,
        on_change=_value_changed,
        args=(field,),
    )
    if is_range and selection is not None:
        _choose_range(selection)
    st.button(
        "All rows",
        key="all_rows",
        type="tertiary",
        icon=":material/close:",
        on_click=show_selection,
        args=(None,),
    )


def _field_changed() -> None:
    show_selection(None)
    if st.session_state["slice_field"]:
        st.query_params["field"] = st.session_state["slice_field"]


def _value_changed(field: str) -> None:
    value = st.session_state["slice_value"]
    if value is None:
        show_selection(None)
    elif value == RANGE:
        show_selection(Selection(field, low=0.0))
    else:
        show_selection(Selection(field, value))


def _choose_range(selection: Selection) -> None:
    for name in ("low", "high"):
        end = getattr(selection, name)
        st.session_state[f"slice_{name}"] = end
        st.number_input(
            "from" if name == "low" else "to",
            value=None,
            key=f"slice_{name}",
            placeholder="no end",
            label_visibility="collapsed",
            icon=":material/first_page:" if name == "low" else ":material/last_page:",
            width=150,
            on_change=_range_changed,
            args=(selection.field,),
        )


def _range_changed(field: str) -> None:
    low, high = (st.session_state[f"slice_{name}"] for name in ("low", "high"))
    show_selection(Selection(field, low=low, high=high) if (low, high) != (None, None) else None)


def _value_words(value: str, counts: dict[str, int]) -> str:
    rows = counts.get(value)
    words = value or EMPTY
    return words if rows is None else f"{words} ({format_count(rows)})"


def _values(run_id: str, model: TrainedModel, part: str, field: str) -> dict[str, int]:
    """Value to rows among those that are judged, the commonest first."""
    changed = (model.folder / "scores.parquet").stat().st_mtime
    return _counted(run_id, part, field, changed, model)


@st.cache_data(show_spinner=False, max_entries=128)
def _counted(
    run_id: str, part: str, field: str, changed: float, _model: TrainedModel
) -> dict[str, int]:
    rows = rows_of(run_id, _model, part)
    if not len(rows.ids):
        return {}
    counts = np.bincount(rows.codes(field))
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return {rows.value_of(field, int(code)): int(counts[code]) for code in order if counts[code]}


def selection_words(found: Evaluated) -> str:
    """ "Only where device is phone: 2,400 of 6,000 rows (40.0 %)."; "" for all rows."""
    if found.selection is None:
        return ""
    share = found.figures.rows / found.known
    words = (
        f"Only where {found.selection}: {format_count(found.figures.rows)} of "
        f"{format_count(found.known)} rows ({format_probability(share)})"
    )
    if found.known < found.of:
        words += f", of the first {format_count(found.known)}, whose values this run keeps"
    return plain(words)
