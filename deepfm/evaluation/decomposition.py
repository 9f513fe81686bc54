"""Labels and logits to what their log loss is made of: calibration, resolution, uncertainty."""

from dataclasses import dataclass

import numpy as np

from deepfm.evaluation.counting import Counts, Float64s

ROUNDS = 40
SOURCE = "Dimitriadis, Gneiting & Jordan 2021 (CORP), PNAS 118(8)"


@dataclass(frozen=True)
class LogLossParts:
    """The log loss in nats as calibration + uncertainty − resolution, exactly.

    calibration   what the best rising curve from score to probability would take off: ≥ 0
    uncertainty   the log loss of always guessing the base rate
    resolution    what telling rows apart takes off that: ≥ 0
    The rising curve is isotonic regression on these very rows, so calibration is told a little
    too large on few rows. No bins are chosen.
    """

    log_loss: float
    calibration: float
    uncertainty: float
    resolution: float

    @property
    def refinement(self) -> float:
        """The log loss once calibrated: uncertainty − resolution."""
        return self.uncertainty - self.resolution


def log_loss_parts(counts: Counts, log_loss: float) -> LogLossParts:
    """The parts of a log loss of the rows that were counted; by SOURCE.

    log_loss   of those rows, in nats
    """
    refinement = _entropy(*level_blocks(counts))
    uncertainty = _entropy(np.array([counts.positives]), np.array([counts.rows]))
    return LogLossParts(
        log_loss, log_loss - refinement, uncertainty, max(0.0, uncertainty - refinement)
    )


def level_blocks(counts: Counts) -> tuple[Float64s, Float64s]:
    """Clicks and rows of each stretch over which the isotonic click rate is constant.

    Neighbours whose rates do not rise are pooled until all rise, whole falling stretches at a
    time; what that would take too many rounds for is pooled one by one.
    """
    clicks = np.diff(counts.true_positives, prepend=0)[::-1].astype(np.float64)
    rows = clicks + np.diff(counts.false_positives, prepend=0)[::-1]
    for _ in range(ROUNDS):
        rising = clicks[1:] * rows[:-1] > clicks[:-1] * rows[1:]
        if rising.all():
            return clicks, rows
        starts = np.append(0, np.flatnonzero(rising) + 1)
        clicks, rows = np.add.reduceat(clicks, starts), np.add.reduceat(rows, starts)
    return _pooled(clicks, rows)


def _pooled(clicks: Float64s, rows: Float64s) -> tuple[Float64s, Float64s]:
    blocks: list[tuple[float, float]] = []
    for clicked, of in zip(clicks.tolist(), rows.tolist(), strict=True):
        while blocks and blocks[-1][0] * of >= clicked * blocks[-1][1]:
            before = blocks.pop()
            clicked, of = clicked + before[0], of + before[1]
        blocks.append((clicked, of))
    found = np.array(blocks)
    return found[:, 0], found[:, 1]


def _entropy(clicks: Float64s, rows: Float64s) -> float:
    """Mean log loss of guessing each block's own rate."""
    others = rows - clicks
    losses = clicks * np.log(rows / np.maximum(clicks, 1))
    losses += others * np.log(rows / np.maximum(others, 1))
    return float(losses.sum() / rows.sum())
