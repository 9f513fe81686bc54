"""A group of runs to the one AUC that it is shown and sorted by: the test rows', if it has one.

The run, or the configuration, is the one that the validation rows chose, as the group's own page
names it; its test figures chose nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deepfm.errors import DeepFMError
from deepfm.sweeps import KIND, Results, final_figures, read_results
from deepfm.ui import state
from deepfm.ui.run_words import part_of, result_of
from deepfm.ui.shared import once

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow


def auc_of_sweep(results: Results) -> tuple[float | None, str]:
    """Of its best configuration over the seeds, and of which part; validation without a test."""
    best = results.best
    run = best.best_run(results.sweep.objective) if best else None
    if best is None or run is None:
        return None, ""
    if part_of(run.row) == "test" and (spread := final_figures(best)["auc"]):
        return spread.mean, "test"
    return (best.auc.mean if best.auc else None), "validation"


def test_aucs() -> Mapping[str, float]:
    """Group to the test AUC that its line shows; those that have none yet are left out.

    A group is worked out anew only when one of its runs has moved on, so that a list that is
    drawn again costs one question to the store.
    """
    known = once(("test AUCs of groups", state.home()), dict[str, tuple[str, float | None]])
    found = {}
    for group_id, kind, moved in state.store().group_moves():
        before = known.get(group_id)
        if before is None or before[0] != moved:
            known[group_id] = before = moved, _test_auc(group_id, kind)
        if before[1] is not None:
            found[group_id] = before[1]
    return found


def _test_auc(group_id: str, kind: str) -> float | None:
    if kind != KIND:
        return _of_models(state.store().runs(group=group_id))
    try:
        auc, part = auc_of_sweep(read_results(state.store(), group_id))
    except DeepFMError:
        return None  # Damaged: it says so when it is opened.
    return auc if part == "test" else None


def _of_models(rows: Sequence["RunRow"]) -> float | None:
    """Of the model with the highest validation AUC, once all have ended."""
    trained = [row for row in rows if state.is_trained(row) and result_of(row)]
    if not trained or not all(row.ended for row in rows):
        return None
    epochs = state.store().epochs([row.id for row in trained])

    def validation_auc(row: "RunRow") -> float:
        kept = [each for each in epochs[row.id] if each.epoch == result_of(row).get("best_epoch")]
        known = kept[-1].validation.auc if kept and kept[-1].validation else row.auc
        return -1.0 if known is None else known

    best = max(trained, key=validation_auc)
    return best.auc if part_of(best) == "test" else None
