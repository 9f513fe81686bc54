"""(TrainedModel, impression, reference) to why one impression got its score."""

from deepfm.explanation.changes import Change, WhatIf, best_change, what_if
from deepfm.explanation.reasons import Explanation, explain
from deepfm.explanation.words import (
    Contributor,
    Span,
    branches_disagree,
    describe,
    strongest,
)

__all__ = [
    "Change",
    "Contributor",
    "Explanation",
    "Span",
    "WhatIf",
    "best_change",
    "branches_disagree",
    "describe",
    "explain",
    "strongest",
    "what_if",
]
