"""A run to the runs of the same data and settings that were trained with one branch alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepfm.config import TERM_SETS
from deepfm.errors import DeepFMError
from deepfm.evaluation.branches import JudgedBranch, judge_scores
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import state

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import RunRow

COUNTERPARTS: Final[Mapping[str, str]] = {"linear": "LR", "fm": "FM", "deep": "DNN"}
"""A branch, and the model that is trained with that branch alone."""
LATEST: Final = 300
"""So many of the dataset's newest runs are looked through."""


@dataclass(frozen=True)
class Counterparts:
    """The runs that belong beside this one.

    trained   name of the model (LR, FM, …) to the run's id
    missing   those that no run is of yet
    group     the group in which the missing ones are waiting or being trained, "" if none
    """

    trained: Mapping[str, str]
    missing: tuple[str, ...]
    group: str


def counterparts(run_id: str, model: TrainedModel) -> Counterparts:
    """Runs on the same dataset with the same settings but for the terms, newest first."""
    wanted = [
        name
        for branch, name in COUNTERPARTS.items()
        if set(TERM_SETS[name]) < set(model.model.terms)
    ]
    if not wanted:
        return Counterparts({}, (), "")
    rows = state.store().runs(fingerprint=model.dataset_fingerprint, limit=LATEST)
    own_group = next((row.group for row in rows if row.id == run_id), None)
    # A stable sort: of several the one of the same group, else the newest.
    alike = sorted(
        (row for row in rows if differs_in_terms_alone(row, model)),
        key=lambda row: row.group is None or row.group != own_group,
    )
    trained: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for row in alike:
        name = _name_of(row)
        if name not in wanted:
            continue
        if state.is_trained(row):
            trained.setdefault(name, row.id)
        elif not row.ended and row.group:
            waiting.setdefault(name, row.group)
    missing = tuple(name for name in wanted if name not in trained)
    return Counterparts(trained, missing, next((waiting[n] for n in missing if n in waiting), ""))


def _name_of(row: "RunRow") -> str:
    terms = tuple(row.model.get("terms", ()))
    return next((name for name, members in TERM_SETS.items() if members == terms), "")


def differs_in_terms_alone(row: "RunRow", model: TrainedModel) -> bool:
    """Whether all that shapes the result is the same; the device is no part of that."""
    return _settings(row.model, "terms") == _settings(model.model.to_dict(), "terms") and _settings(
        row.train, "device"
    ) == _settings(model.train.to_dict(), "device")


def _settings(values: Mapping[str, Any], but: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != but}


def judge_counterpart(run_id: str, scores: Scores, part: str) -> JudgedBranch | None:
    """Another run's figures on the very rows of these scores; None where it has others."""
    try:
        found = state.trained(run_id).scores(part)
    except DeepFMError:
        return None
    if len(found) != len(scores) or not np.array_equal(found.labels, scores.labels):
        return None
    return judge_scores(scores.labels, found.terms.logit, scores.terms.logit)


def dataset_of(model: TrainedModel) -> "Dataset | None":
    """The run's own dataset where it is on this server, else None; the demo is not made for it."""
    found = {choice.id for choice in state.dataset_choices()}
    folder = state.home() / "datasets" / model.dataset_fingerprint
    if model.dataset_fingerprint not in found and not (folder / "schema.json").is_file():
        return None
    try:
        return state.dataset(model.dataset_fingerprint)
    except DeepFMError:
        return None


def dataset_to_train_on(model: TrainedModel) -> "Dataset":
    """The run's own dataset; the demo is made where it is not there. DataError else."""
    if model.dataset_name == state.DEMO:
        return state.dataset(state.DEMO)
    return state.dataset(model.dataset_fingerprint)
