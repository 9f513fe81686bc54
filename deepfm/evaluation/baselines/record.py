"""What the other models reached, as a checked file beside the run, and what follows in words."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepfm.errors import RunError
from deepfm.evaluation.comparing import SIGNIFICANT, AucDifference, holm, p_in_words
from deepfm.formats import format_auc, format_duration

BASELINES_FILE: Final = "baselines.json"
VERSION: Final = 1


@dataclass(frozen=True)
class Baseline:
    """One model on the judged rows.

    difference   its AUC less the run's, on the same rows; None where rows of one class have none
    detail       what was fitted, in a few words
    late         its time was up: more might help it
    """

    name: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float
    accuracy: float
    calibration_error: float
    seconds: float
    detail: str
    late: bool
    difference: AucDifference | None


@dataclass(frozen=True)
class Baselines:
    """All models beside one run.

    own         the run itself, by the name of its model
    labels      a digest of what happened in the judged rows: the run's own, or they are stale
    train_rows  that the others saw
    missing     models that could not be tried, and why
    """

    own: Baseline
    part: str
    rows: int
    labels: str
    train_rows: int
    stopping: str
    models: tuple[Baseline, ...]
    missing: Mapping[str, str]

    @property
    def corrected(self) -> dict[str, float]:
        """Model to the p-value of its difference, by Holm over all that differ in ranking."""
        tested = [one for one in self.models if one.difference is not None]
        p_values = holm(np.array([one.difference.p_value for one in tested if one.difference]))
        return dict(zip((one.name for one in tested), p_values.tolist(), strict=True))


def write_baselines(path: Path, found: Baselines) -> None:
    """Write aside and rename; OSError where that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.writing")
    values = {"version": VERSION, **dataclasses.asdict(found)}
    try:
        aside.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_baselines(path: Path) -> Baselines | None:
    """What was written; None where nothing was. RunError for a file that is damaged or foreign."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("version") != VERSION:
            raise ValueError("its version is another one")
        models = tuple(_baseline(each) for each in values.pop("models"))
        own = _baseline(values.pop("own"))
        return _checked(Baselines(**values, own=own, models=models))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path.name} beside this run is damaged or foreign ({error}). "
            "Measure the other models again."
        ) from error


def _baseline(values: dict[str, Any]) -> Baseline:
    difference = values.pop("difference")
    if difference is not None:
        difference = AucDifference(**{name: float(each) for name, each in difference.items()})
    return Baseline(**values, difference=difference)


def _checked(found: Baselines) -> Baselines:
    """ValueError unless each value has its type."""
    texts = [found.part, found.labels, found.stopping]
    numbers: list[Any] = [found.rows, found.train_rows]
    optional: list[Any] = []
    for one in (found.own, *found.models):
        texts += [one.name, one.detail]
        numbers += [one.log_loss, one.accuracy, one.calibration_error, one.seconds]
        optional += [one.auc, one.auc_low, one.auc_high]
    numbers += [each for each in optional if each is not None]
    missing = found.missing
    if not isinstance(missing, dict) or not all(
        isinstance(text, str) for text in (*texts, *missing, *missing.values())
    ):
        raise ValueError("a text is none")
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
        raise ValueError("a number is none")
    return found


def verdict(found: Baselines) -> str:
    """Whether this run is worth it here, in words."""
    ranked = [one for one in found.models if one.difference is not None]
    if not ranked:
        return _without_ranking(found)
    corrected = found.corrected
    best = max(ranked, key=lambda one: one.auc or 0.0)
    assert best.difference is not None
    words = _difference_in_words(best.difference, corrected[best.name])
    if best.difference.difference > 0 and corrected[best.name] < SIGNIFICANT:
        sentence = (
            f"On these rows {found.own.name} is not worth it for the ranking alone: {best.name} "
            f"ranks them better, by {words}."
        )
    elif equal := _as_good(ranked, corrected):
        sentence = (
            f"On these rows {found.own.name} is not worth it for the ranking alone: {equal.name} "
            "ranks them as well, as far as these rows can tell ("
            + _difference_in_words(equal.difference, corrected[equal.name])
            + f"), after {format_duration(equal.seconds)} of fitting."
        )
    else:
        lead = dataclasses.replace(
            best.difference,
            difference=-best.difference.difference,
            low=-best.difference.high,
            high=-best.difference.low,
        )
        sentence = (
            f"{found.own.name} ranks these rows better than every other model here. The nearest, "
            f"{best.name}, is behind by {_difference_in_words(lead, corrected[best.name])}."
        )
    return sentence + _loss_words(found)


def _as_good(ranked: Sequence[Baseline], corrected: Mapping[str, float]) -> Baseline | None:
    """The one that ranks best of those that chance alone could set apart from the run."""
    equal = [
        one
        for one in ranked
        if one.difference and (corrected[one.name] >= SIGNIFICANT or one.difference.difference > 0)
    ]
    return max(equal, key=lambda one: one.auc or 0.0, default=None)


def _difference_in_words(difference: AucDifference | None, p_value: float) -> str:
    assert difference is not None
    return (
        f"{difference.difference:+.4f} AUC, 95 % interval {difference.low:+.4f} to "
        f"{difference.high:+.4f}, p {p_in_words(p_value)} after Holm"
    ).replace("-", "−")


def _loss_words(found: Baselines) -> str:
    better = [one for one in found.models if one.log_loss < found.own.log_loss]
    if not better:
        return " Its log loss is the lowest too."
    best = min(better, key=lambda one: one.log_loss)
    base = next((one for one in better if one is found.models[0]), None)
    if base is not None:
        return (
            f" Its log loss, {format_auc(found.own.log_loss)}, is worse than always guessing the "
            "base rate: its probabilities need recalibration before they are used."
        )
    return f" {best.name} has the lower log loss, {format_auc(best.log_loss)} against " + (
        f"{format_auc(found.own.log_loss)}."
    )


def _without_ranking(found: Baselines) -> str:
    return "These rows have one class only, so nothing says which model ranks better." + (
        _loss_words(found)
    )
