"""Curves and branches to words: what a person should be told about how a training went."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepfm import evaluation
from deepfm.events import Epoch, Notice, Started
from deepfm.terms import Terms
from deepfm.training.order import FullOrder

IDLE_SHARE = 0.01
"""A branch whose standard deviation is below this share of the logit's hardly varies."""
WORSE_AFTER = 3
"""Epochs after the best one before a validation curve that has turned is spoken of."""
AWAY = 2.0
"""A validation loss of so many times that of the base rate, while training is worse than the base
rate too, is no memorising: the steps are too long."""
WORSE_BY = 1.01
"""And its loss must have risen by this factor: a flat curve has not turned."""


def order_notice(words: str) -> Notice | None:
    """Rows that are not all mixed with each other; `words` are those of their order."""
    if words == FullOrder.words:
        return None
    return Notice(
        "order",
        "The training rows take more than half of this machine's memory. So they are not shuffled "
        f"all at once, but read as {words}.",
    )


def curve_notice(epochs: Sequence[Epoch]) -> Notice | None:
    """A validation curve that turned: after the first epoch, or later while training improved."""
    if not epochs:
        return None
    best = max((epoch.epoch for epoch in epochs if epoch.best), default=0)
    last = epochs[-1]
    if last.validation is None or not best or last.epoch - best < WORSE_AFTER:
        return None
    lowest = min(epoch.validation.loss for epoch in epochs if epoch.validation is not None)
    if last.validation.loss < WORSE_BY * lowest:
        return None
    if best == 1:
        return Notice(
            "best-after-first-epoch",
            "Validation was best after epoch 1 and worse from then on: the model learned the "
            "training rows by heart. Epoch 1 is kept. Try a lower learning rate, a higher drop "
            "rate, or the preset real-data with its embedding dropout and L2.",
        )
    if last.train.loss < epochs[best - 1].train.loss:
        return Notice(
            "memorising",
            f"Validation was best after epoch {best} and worse from then on, while training "
            f"improved: the model memorised. Epoch {best} is kept.",
        )
    return None


def ran_away(epoch: Epoch, base_loss: float) -> bool:
    """Whether an epoch's weights are far worse than always giving the base rate.

    base_loss   the log loss of that, in nats
    """
    judged = epoch.validation or epoch.test
    return bool(judged and judged.loss > AWAY * base_loss and epoch.train.loss > base_loss)


def away_notice(epoch: Epoch, base_loss: float, learning_rate: float) -> Notice | None:
    """Weights that are kept though the training has run away: what to lower.

    epoch   the one whose weights are kept; base_loss as for `ran_away`
    """
    judged = epoch.validation or epoch.test
    if judged is None or not ran_away(epoch, base_loss):
        return None
    part = "validation" if epoch.validation else "test"
    return Notice(
        "ran-away",
        f"The training has run away: {part} loss {judged.loss:,.2f}, always giving the base rate "
        f"has {base_loss:.3f}. Lower the learning rate, now {learning_rate:g}.",
    )


def moved_notice(before: Started, now: Started) -> Notice | None:
    """A run that goes on by another step or on another device than it began."""
    if (before.device, before.step) == (now.device, now.step):
        return None
    return Notice(
        "resumed-elsewhere",
        f"This run was begun on {before.device} ({before.step}) and goes on on {now.device} "
        f"({now.step}): the same training, but no longer the same to the last digit.",
    )


def branch_notices(terms: Terms, labels: NDArray[np.float32]) -> list[Notice]:
    """The FM and deep branch of a trained model, where one is not worth explaining by.

    terms, labels   of the validation rows, N each
    A branch is silenced by setting it to its mean; models with one branch have no notice.
    """
    branches = {
        "FM branch": np.asarray(terms.fm, dtype=np.float64),
        "network": np.asarray(terms.deep, dtype=np.float64),
    }
    if not all(values.any() for values in branches.values()):
        return []
    spread = float(np.std(terms.logit)) or 1.0
    together = evaluation.auc(labels, terms.logit)
    notices = []
    for name, values in branches.items():
        silenced = terms.logit - values + values.mean()
        alone = evaluation.auc(labels, silenced)
        if np.std(values) < IDLE_SHARE * spread:
            notices.append(Notice("idle-branch", _HARDLY_VARIES[name]))
        elif together is not None and alone is not None and alone >= together:
            notices.append(
                Notice(
                    "unneeded-branch",
                    f"Without its {name} this model ranks validation rows no worse "
                    f"(AUC {alone:.4f}, with it {together:.4f}), so what that branch says of one "
                    "impression is not used as an explanation.",
                )
            )
    return notices


_HARDLY_VARIES = {
    "network": "The network has learned almost nothing yet. Try another seed, more epochs or a "
    "lower drop rate.",
    "FM branch": "The FM branch hardly varies: nearly all of the score comes from the network. "
    "Try another seed or a larger factor size.",
}
