"""A dataset and settings to queued runs, with the impressions that are watched as they learn."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.ui import state

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset, Part

PICKED: Final = 3
"""Impressions watched on data that are not the demo: a click, a non-click, another click."""
LOOKED_AT: Final = 20_000
"""Rows looked through for them."""


def queue_one(dataset: "Dataset", name: str, model: ModelConfig, train: TrainConfig) -> str:
    """Queue one run; its id. LimitError where too many wait already.

    A name that another run has is numbered: "DeepFM on the demo 2".
    """
    store = state.store()
    return store.queue_run(
        free_name(name, {row.name for row in store.runs()}),
        dataset.folder,
        dataset.name,
        model.to_dict(),
        train.to_dict(),
        pinned=pinned_of(dataset),
        fingerprint=dataset.fingerprint,
    )


def queue_all_five(dataset: "Dataset", model: ModelConfig, train: TrainConfig) -> str:
    """Queue LR, FM, DNN, Wide & Deep and DeepFM with the same settings as one group; its id."""
    from deepfm.runs.store import NewRun

    pinned = pinned_of(dataset)
    runs = [
        NewRun(
            name,
            dataset.folder,
            dataset.name,
            model.with_values(terms=terms).to_dict(),
            train.to_dict(),
            pinned,
            fingerprint=dataset.fingerprint,
        )
        for name, terms in TERM_SETS.items()
    ]
    store = state.store()
    name = free_name(f"All five on {dataset.name}", {row.group_name for row in store.runs()})
    ids = store.queue_group(name, runs)
    return store.run(ids[0]).group or ""


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or the first of "name 2", "name 3" … that is not taken."""
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)


def pinned_of(dataset: "Dataset") -> list[dict[str, str]]:
    """The impressions to watch: the demo's composed ones, else the first of a few kinds of row."""
    if is_demo(dataset):
        from deepfm.data.catalog import PINNED

        return [dict(impression.values) for impression in PINNED]
    return [dict(values) for values in _picked(str(dataset.folder), dataset.fingerprint)]


def is_demo(dataset: "Dataset") -> bool:
    """Whether this is the bundled demo, whose truth and pinned impressions are known."""
    return dataset.name == state.DEMO


@st.cache_data(show_spinner=False, max_entries=50)
def _picked(folder: str, fingerprint: str) -> list[dict[str, str]]:
    """The first click, the first non-click and the second click of the part that is judged."""
    from deepfm.data.dataset import open_dataset

    dataset = open_dataset(Path(folder))
    part = dataset.parts[dataset.figures_part]
    if not part.has_rows and any(field.role == "numeric" for field in dataset.fields):
        # Training rows are kept as indices alone, and a bucket is not a number to score again.
        return []
    labels = part.labels[:LOOKED_AT]
    clicks, others = (labels > 0.5).nonzero()[0], (labels <= 0.5).nonzero()[0]
    rows = [*clicks[:1], *others[:1], *clicks[1:2], *others[1:2]][:PICKED]
    return [_raw_values(dataset, part, int(row)) for row in rows]


def _raw_values(dataset: "Dataset", part: "Part", row: int) -> dict[str, str]:
    """One row as field to raw value; an empty cell is empty text, training rows are decoded."""
    if not part.has_rows:
        return dataset.vocabulary.decode(part.ids[row])
    values = part.rows(row, 1).to_pylist()[0]
    names = [field.name for field in dataset.fields]
    return {name: "" if values.get(name) is None else str(values[name]) for name in names}
