"""(TrainedModel, impression, reference) to why one impression got its score.

explain, more_draws              the parts of one score; more random orders for deep by field
reference_for                    a chosen population to what contributions are measured against
measure_training_rows            all training rows to their means in the run folder, one pass
what_if, what_if_values          one field's values to scores; find_values searches among them
surface                          two fields' values to the surfaces of the two branches
best_change, smallest_flip       the change that does most; the smallest that turns the decision
pair_in_training                 two values to how often they meet in the training rows
pair_strengths                   a population to how strongly each pair of fields works together
arithmetic                       every number between the values and the logit
describe, strongest              the sentence in words, and what moved a term most
"""

from deepfm.explanation.arithmetic import (
    Arithmetic,
    LayerSteps,
    LinearSteps,
    PairwiseSteps,
    arithmetic,
)
from deepfm.explanation.changes import Change, WhatIf, best_change, what_if, what_if_values
from deepfm.explanation.flips import ChangedValue, Flip, FlipSearch, smallest_flip
from deepfm.explanation.meetings import PairMeetings, pair_in_training
from deepfm.explanation.pair_strength import pair_strengths
from deepfm.explanation.populations import (
    AllTrainingRows,
    OtherImpression,
    Population,
    TrainingSample,
    TrainingSlice,
    measure_training_rows,
    reference_for,
)
from deepfm.explanation.reasons import Explanation, explain, more_draws
from deepfm.explanation.surfaces import Interaction, Surface, surface
from deepfm.explanation.words import (
    Contributor,
    Span,
    branches_disagree,
    describe,
    describe_change,
    describe_network,
    strongest,
)
from deepfm.trained import find_values

__all__ = [
    "AllTrainingRows",
    "Arithmetic",
    "Change",
    "ChangedValue",
    "Contributor",
    "Explanation",
    "Flip",
    "FlipSearch",
    "Interaction",
    "LayerSteps",
    "LinearSteps",
    "OtherImpression",
    "PairMeetings",
    "PairwiseSteps",
    "Population",
    "Span",
    "Surface",
    "TrainingSample",
    "TrainingSlice",
    "WhatIf",
    "arithmetic",
    "best_change",
    "branches_disagree",
    "describe",
    "describe_change",
    "describe_network",
    "explain",
    "find_values",
    "measure_training_rows",
    "more_draws",
    "pair_in_training",
    "pair_strengths",
    "reference_for",
    "smallest_flip",
    "strongest",
    "surface",
    "what_if",
    "what_if_values",
]
