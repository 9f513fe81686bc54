"""What one would pick instead of DeepFM, fitted and judged on the same parts."""

from deepfm.evaluation.baselines.models import FITS, MISSING_WORDS
from deepfm.evaluation.baselines.record import (
    BASELINES_FILE,
    Baseline,
    Baselines,
    read_baselines,
    verdict,
    write_baselines,
)
from deepfm.evaluation.baselines.running import run_baselines

__all__ = [
    "BASELINES_FILE",
    "FITS",
    "MISSING_WORDS",
    "Baseline",
    "Baselines",
    "read_baselines",
    "run_baselines",
    "verdict",
    "write_baselines",
]
