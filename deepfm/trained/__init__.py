"""The one reader of a run folder: open_run(folder) to a TrainedModel. numpy, no torch."""

from deepfm.trained.choices import commonest, find_values, values_at
from deepfm.trained.model import (
    Impression,
    Scores,
    TrainedModel,
    open_beside,
    open_run,
)
from deepfm.trained.reference import PopulationKind, Reference, reference_from_ids
from deepfm.trained.training_means import TRAINING_MEANS, TrainingMeans
from deepfm.trained.weights import Weights

__all__ = [
    "TRAINING_MEANS",
    "Impression",
    "PopulationKind",
    "Reference",
    "Scores",
    "TrainedModel",
    "TrainingMeans",
    "Weights",
    "commonest",
    "find_values",
    "open_beside",
    "open_run",
    "reference_from_ids",
    "values_at",
]
