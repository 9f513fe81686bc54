"""The address to the population that an impression is measured against.

?against=all, ?against=test:12 (one other impression) or ?where=device%3Dphone (training rows with
that value; several values and fields repeat it). Nothing means the sample of training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from deepfm.data.catalog import DEMO_NAME
from deepfm.data.dataset import Dataset
from deepfm.errors import DataError, DeepFMError
from deepfm.explanation import (
    AllTrainingRows,
    OtherImpression,
    Population,
    TrainingSample,
    TrainingSlice,
    reference_for,
)
from deepfm.explanation.populations import training_ids
from deepfm.trained import Reference, TrainedModel
from deepfm.trained.training_means import TRAINING_MEANS, measure
from deepfm.ui import state

MEASURED_AT_ONCE: Final = 50_000
"""Up to so many training rows are measured on the spot; more are a job for the worker."""


@dataclass(frozen=True)
class Against:
    """What an impression is measured against.

    population  what the address asks for
    reference   what is measured against now: the sample, while the other is not to be had
    trouble     why it is not, and the way out; "" where nothing is amiss
    unmeasured  the training rows have to be measured first, by a job
    """

    population: Population
    reference: Reference
    trouble: str = ""
    unmeasured: bool = False

    @property
    def row(self) -> tuple[str, int] | None:
        """Part and row of the other impression, if it is one."""
        return _row_in_address() if isinstance(self.population, OtherImpression) else None


def against_in_address(model: TrainedModel) -> Against:
    """The population that the address names; the sample, with a word on why, where it cannot be."""
    population: Population = TrainingSample()
    try:
        population = _population_in_address(model)
        if isinstance(population, AllTrainingRows) and must_be_measured(model):
            return Against(population, model.reference, unmeasured=True)
        return Against(population, reference_of(model, population))
    except DeepFMError as error:
        return Against(population, model.reference, str(error))


def _population_in_address(model: TrainedModel) -> Population:
    if where := conditions_in_address(model):
        return TrainingSlice.of({field: tuple(values) for field, values in where.items()})
    if st.query_params.get("against") == "all":
        return AllTrainingRows()
    if (place := _row_in_address()) is not None:
        return OtherImpression.row(model, *place)
    return TrainingSample()


def _row_in_address() -> tuple[str, int] | None:
    part, colon, row = st.query_params.get("against", "").partition(":")
    return (part, int(row)) if colon and row.isascii() and row.isdigit() else None


def conditions_in_address(model: TrainedModel) -> dict[str, list[str]]:
    """Field to the values that it may have, from ?where=; fields the model lacks are left out."""
    names = {field.name for field in model.fields}
    found: dict[str, list[str]] = {}
    for text in st.query_params.get_all("where"):
        field, sign, value = text.partition("=")
        if sign and field in names:
            found.setdefault(field, []).append(value)
    return found


def reference_of(model: TrainedModel, population: Population) -> Reference:
    """The population with its means, worked out once for everybody."""
    if isinstance(population, TrainingSample):
        return model.reference
    stamps = (state.run_time(model.folder), _stamp(model.folder / TRAINING_MEANS))
    return _reference(model.folder, stamps, repr(population), model, population)


@st.cache_resource(show_spinner=False, max_entries=32)
def _reference(
    folder: Path,
    stamps: tuple[float, float],
    name: str,
    _model: TrainedModel,
    _population: Population,
) -> Reference:
    if isinstance(_population, AllTrainingRows) and _model.training_means() is None:
        return measure(_model.weights, training_ids(_model, own_dataset(_model))).reference(
            _model.weights
        )
    wanted = isinstance(_population, TrainingSlice)
    return reference_for(_model, _population, dataset_of(_model) if wanted else None)


def _stamp(file: Path) -> float:
    return file.stat().st_mtime if file.exists() else 0.0


def dataset_of(model: TrainedModel) -> Dataset | None:
    """The dataset that the run was trained on; None where it is not on this server."""
    try:
        return own_dataset(model)
    except DataError:
        return None


def own_dataset(model: TrainedModel) -> Dataset:
    """The run's dataset; the demo's is made where it is not yet. DataError without one."""
    if model.dataset_name == DEMO_NAME:
        dataset = state.dataset(state.DEMO)
        if dataset.fingerprint == model.dataset_fingerprint:
            return dataset
    return state.dataset(model.dataset_fingerprint)


def must_be_measured(model: TrainedModel) -> bool:
    """Whether the training rows are so many that a job has to measure them first."""
    if model.training_means() is not None:
        return False
    return len(own_dataset(model).parts["train"]) > MEASURED_AT_ONCE


def measure_against_sample() -> None:
    """Back to the default."""
    for name in ("against", "where"):
        st.query_params.pop(name, None)


def measure_against_slice(conditions: Mapping[str, list[str]]) -> None:
    """Put a slice into the address."""
    measure_against_sample()
    st.query_params["where"] = [
        f"{field}={value}" for field, values in conditions.items() for value in values
    ]


def measure_against(words: str) -> None:
    """Put “all”, or a part and row, into the address."""
    measure_against_sample()
    st.query_params["against"] = words
