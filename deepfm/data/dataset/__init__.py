"""Click files to an encoded dataset folder, a folder to a Dataset, a Dataset to its profile."""

from deepfm.data.dataset.folder import Dataset, Part, PartSummary, Summary, open_dataset
from deepfm.data.dataset.making import prepare
from deepfm.data.dataset.profiling import FieldProfile, Profile, ValueProfile, profile

__all__ = [
    "Dataset",
    "FieldProfile",
    "Part",
    "PartSummary",
    "Profile",
    "Summary",
    "ValueProfile",
    "open_dataset",
    "prepare",
    "profile",
]
