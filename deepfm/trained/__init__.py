"""The one reader of a run folder: open_run(folder) to a TrainedModel. numpy, no torch."""

from deepfm.trained.model import Impression, Scores, TrainedModel, open_run
from deepfm.trained.reference import Reference, reference_from_ids
from deepfm.trained.weights import Weights

__all__ = [
    "Impression",
    "Reference",
    "Scores",
    "TrainedModel",
    "Weights",
    "open_run",
    "reference_from_ids",
]
