"""What the network adds beyond pairs: the deep branch divided by functional analysis of variance.

Whatever single fields and pairs of fields can say, a factorization machine could have said too.
So the deep branch is compared with the factorization machine that comes nearest to it, and what
that leaves over needs three fields or more (DESIGN.md, "Beyond pairs"; Lengerich et al. 2020).

marginals.py    the population: reference rows with each field drawn alone
pair_model.py   a factorization machine whose single and pair effects stand apart
fit.py          the deep branch to the nearest one, by alternating least squares
measures.py     draws to shares of variance with standard errors
result.py       Beyond, the figures of a model; BeyondOfOne, the parts of one impression
measuring.py    measure_beyond: a trained model to Beyond
files.py        save_beyond, find_beyond: the run folder
"""

from deepfm.explanation.beyond.files import FIGURES, FIT, find_beyond, save_beyond
from deepfm.explanation.beyond.measures import Division, Share
from deepfm.explanation.beyond.measuring import (
    expected_seconds,
    measure_beyond,
    require_deep,
)
from deepfm.explanation.beyond.result import Beyond, BeyondOfOne, PairStrength, beyond_of_one

__all__ = [
    "FIGURES",
    "FIT",
    "Beyond",
    "BeyondOfOne",
    "Division",
    "PairStrength",
    "Share",
    "beyond_of_one",
    "expected_seconds",
    "find_beyond",
    "measure_beyond",
    "require_deep",
    "save_beyond",
]
