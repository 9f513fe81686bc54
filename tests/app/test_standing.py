"""How a run stands, in a few words under its name."""

from types import SimpleNamespace

import pytest

from deepfm.charts.history import history_of
from deepfm.events import Finished
from deepfm.ui.watching import state_in_words

NO_FIGURES = {"auc": None, "log_loss": None, "log_loss_calibrated": None}


@pytest.mark.parametrize(
    ("state", "best", "words"),
    [
        ("stopped", 10, "stopped in epoch 69; the weights of epoch 10 are kept, the best one"),
        ("stopped", 69, "stopped in epoch 69; the weights of this one are kept"),
        ("finished", 10, "finished after 69 epochs; the weights of epoch 10 are kept"),
        ("finished", 69, "finished after 69 epochs; the weights of the last one are kept"),
    ],
)
def test_a_run_is_stopped_within_an_epoch_and_finishes_after_one(state, best, words):
    end = Finished(
        69, best, 39.0, 1e5, 1e5, "test", 900, **NO_FIGURES, accuracy=None, base_rate=None
    )
    run = SimpleNamespace(state=state, owner="user:ann", stopped_by="user:ann")
    assert state_in_words(run, history_of([end])).startswith(words)
