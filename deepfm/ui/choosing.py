"""The address to one impression of a run: which row, by which list, with which values changed.

?part=test&row=12&list=clicks&change=device%3Dphone: a link opens the same thing elsewhere. The
list of rows with the same values names these: ?list=alike&with=device%3Dphone.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from deepfm.charts.palette import format_count, format_probability
from deepfm.errors import RunError
from deepfm.evaluation import disagreement
from deepfm.explanation import Explanation, explain
from deepfm.trained import Reference, TrainedModel
from deepfm.ui import state

LISTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "all": "All rows, in file order",
        "clicks": "Clicked, lowest score first",
        "others": "Not clicked, highest score first",
        "apart": "Branches pull apart, strongest first",
        "alike": "Rows with the same values",
        "pinned": "Pinned impressions",
    }
)
ALIKE: Final = "alike"
"""The list of the rows that have chosen values, those of ?with=."""
PINNED: Final = "pinned"
"""The list whose rows are the impressions that were watched in training; they are no file's."""
LONGEST_LIST: Final = 1_000


@dataclass(frozen=True)
class Choice:
    """One row of a run and the values that were changed in it.

    rows       int64[M], the list that is gone through
    position   where `row` stands in it
    """

    part: str
    row: int
    list_name: str
    rows: NDArray[np.int64]
    position: int
    changes: dict[str, str]

    @property
    def composed(self) -> bool:
        """Whether it is a pinned impression, so no row of a file: nobody saw or clicked it."""
        return self.list_name == PINNED


def original_of(
    model: TrainedModel, choice: Choice, reference: Reference | None = None
) -> Explanation:
    """The explanation of the row, or of the pinned impression, with its own values."""
    if choice.composed:
        return explain(model, model.pinned[choice.row], reference=reference)
    return explain(model, part=choice.part, row=choice.row, reference=reference)


def lists_of(model: TrainedModel, choice: Choice) -> list[str]:
    """The lists that can be gone through."""
    absent = {PINNED} if not model.pinned else set()
    if choice.list_name != ALIKE:
        absent.add(ALIKE)  # it needs values, which have a button of their own
    return [name for name in LISTS if name not in absent]


def choice_in_address(model: TrainedModel) -> Choice:
    """What the address names; what it does not name or names wrongly is the first of its kind."""
    if PINNED in st.query_params:
        show_list(PINNED, st.query_params.pop(PINNED))
    part = st.query_params.get("part", model.part)
    part = part if part in model.parts else model.part
    list_name = st.query_params.get("list", "all")
    list_name = list_name if list_name in LISTS else "all"
    rows = rows_of(model, part, list_name)
    if not len(rows):
        rows, list_name = rows_of(model, part, "all"), "all"
    if not len(rows):
        raise RunError(
            f"This run keeps no rows of its {part} part, so there is no impression to choose. "
            "Train it again, or choose another run."
        )
    row, position = _row_in_address(rows)
    return Choice(part, row, list_name, rows, position, values_in_address(model, "change"))


def _row_in_address(rows: NDArray[np.int64]) -> tuple[int, int]:
    try:
        row = int(st.query_params.get("row", rows[0]))
    except ValueError:
        row = int(rows[0])
    found = np.flatnonzero(rows == row)
    return (row, int(found[0])) if len(found) else (int(rows[0]), 0)


def values_in_address(model: TrainedModel, name: str) -> dict[str, str]:
    """Field to value from ?change= or ?with=; fields that the model lacks are left out."""
    names = {field.name for field in model.fields}
    pairs = (text.partition("=") for text in st.query_params.get_all(name))
    return {field: value for field, sign, value in pairs if sign and field in names}


def show_row(row: int, part: str | None = None) -> None:
    """Go to a row; what was changed in another one is put back."""
    _go(row=str(row), change=(), **({} if part is None else {"part": part}))


def show_alike(values: Mapping[str, str], row: int) -> None:
    """Go through the rows that have these values, from the one that has them all."""
    having = [f"{name}={value}" for name, value in values.items()]
    _go(**{"list": ALIKE, "row": str(row), "change": (), "with": having})


def show_list(list_name: str, row: str = "") -> None:
    """Go through another list, from its first row or from the one given."""
    _go(**{"list": list_name, "row": row, "change": (), "with": ()})


def change_value(choice: Choice, original: Mapping[str, str], field: str, value: str) -> None:
    """Change one value; the row's own value is no change."""
    change_values(choice, original, {field: value})


def change_values(choice: Choice, original: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Change several values at once, beside those that are changed already."""
    changes = {**choice.changes, **values}
    kept = {name: text for name, text in changes.items() if text != original[name]}
    _go(change=[f"{name}={text}" for name, text in kept.items()])


def put_back() -> None:
    """Undo every change."""
    _go(change=())


def _go(**changed: str | Sequence[str]) -> None:
    """Change what the address names, in one step of the browser's Back; nothing takes a name out.

    From the first step on it names the run too: the newest may be another one tomorrow.
    """
    names = {name: st.query_params.get_all(name) for name in st.query_params} | changed
    if "run" not in names:
        names = {"run": state.run_in_address(), **names}
    st.query_params.from_dict({name: value for name, value in names.items() if value})


def step(choice: Choice, by: int) -> None:
    """The next or the previous row of the list, round its end."""
    show_row(int(choice.rows[(choice.position + by) % len(choice.rows)]))


def random_step(choice: Choice) -> None:
    """Any other row of the list."""
    others = len(choice.rows) - 1
    step(choice, random.randint(1, others) if others else 0)


def rows_of(model: TrainedModel, part: str, list_name: str) -> NDArray[np.int64]:
    """The rows of a list, int64[M]: those whose raw values the run keeps."""
    if list_name == PINNED:
        return np.arange(len(model.pinned))
    if list_name == ALIKE:
        return rows_with(model, part, values_in_address(model, "with"))
    return _lists(model.folder, state.run_time(model.folder), part, model)[list_name]


def rows_with(model: TrainedModel, part: str, values: Mapping[str, str]) -> NDArray[np.int64]:
    """The kept rows of a part that have all of these values as the model sees them, int64[M]."""
    ids = model.impression_ids(part)
    fits = np.ones(len(ids), dtype=bool)
    for name, value in values.items():
        place = model.fields.index(model.vocabulary.field(name))
        fits &= ids[:, place] == model.vocabulary.encode_column(name, [value])[0]
    return np.flatnonzero(fits)


@st.cache_resource(show_spinner=False, max_entries=16)
def _lists(
    folder: Path, time: float, part: str, _model: TrainedModel
) -> dict[str, NDArray[np.int64]]:
    kept = len(_model.impression_ids(part))
    scores = _model.scores(part)
    logit = np.asarray(scores.terms.logit, dtype=np.float64)[:kept]
    clicked = scores.labels[:kept] == 1
    apart = disagreement(scores.terms, _model.reference.mean)[:kept]
    return {
        "all": np.arange(kept),
        "clicks": _first(np.flatnonzero(clicked), logit),
        "others": _first(np.flatnonzero(~clicked), -logit),
        "apart": _first(np.flatnonzero(apart > 0), -apart),
    }


def _first(rows: NDArray[np.int64], key: NDArray[np.float64]) -> NDArray[np.int64]:
    return rows[np.argsort(key[rows], kind="stable")][:LONGEST_LIST]


def place_in_words(choice: Choice) -> str:
    """ "Row 1,234 of the test part · 3 of 1,000 in this list"."""
    if choice.composed:
        return f"{choice.row + 1} of {len(choice.rows)} pinned impressions"
    words = f"Row {format_count(choice.row)} of the {choice.part} part"
    if choice.list_name == "all":
        return words
    return f"{words} · {choice.position + 1} of {format_count(len(choice.rows))} in this list"


def outcome_in_words(label: float | None, truth: float | None) -> list[str]:
    """What happened and the true probability, as far as they are known."""
    figures = []
    if label is not None:
        figures.append("clicked" if label == 1 else "not clicked")
    if truth is not None:
        figures.append(f"true probability {format_probability(truth)}")
    return figures
