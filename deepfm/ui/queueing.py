"""A dataset and settings to queued runs, with the impressions that are watched as they learn."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.ui import joined, state
from deepfm.ui.person import person

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import NewRun


def queue_one(dataset: "Dataset", name: str, model: ModelConfig, train: TrainConfig) -> str:
    """Queue one run, or join the one that is there; its id. LimitError where too many wait.

    A name that another run has is numbered: "DeepFM on the demo 2".
    """
    submitted = state.store().submit_run(_new_run(dataset, name, model, train))
    if submitted.joined:
        joined.remember(run=submitted.run)
    else:
        joined.forget()
    return submitted.run


def queue_all_five(dataset: "Dataset", model: ModelConfig, train: TrainConfig) -> str:
    """Queue LR, FM, DNN, Wide & Deep and DeepFM with the same settings as one group; its id.

    Where just this group is there already, that one is joined.
    """
    runs = [
        _new_run(dataset, name, model.with_values(terms=terms), train)
        for name, terms in TERM_SETS.items()
    ]
    submitted = state.store().submit_group(f"All five on {dataset.name}", runs)
    if submitted.joined:
        joined.remember(group=submitted.group)
    else:
        joined.forget()
    return submitted.group


def _new_run(dataset: "Dataset", name: str, model: ModelConfig, train: TrainConfig) -> "NewRun":
    from deepfm.runs.store import NewRun

    return NewRun(
        name,
        dataset.folder,
        dataset.name,
        model.to_dict(),
        train.to_dict(),
        pinned_of(dataset),
        person(),
        dataset.fingerprint,
    )


def pinned_of(dataset: "Dataset") -> list[dict[str, str]]:
    """The impressions to watch: the demo's composed ones, else the first of a few kinds of row."""
    return [dict(values) for values in _pinned_of(str(dataset.folder), dataset.fingerprint)]


@st.cache_data(show_spinner=False, max_entries=50)
def _pinned_of(folder: str, fingerprint: str) -> list[dict[str, str]]:
    from deepfm.data.dataset import open_dataset
    from deepfm.data.watched import watched_impressions

    return watched_impressions(open_dataset(Path(folder)))
