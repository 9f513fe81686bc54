"""A run's settings and standing to the words that every table and sentence tells them in."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepfm import config
from deepfm.charts.training.comparison import lamps
from deepfm.config import ModelConfig, Setting
from deepfm.terms import TERM_NAMES
from deepfm.ui.clock import local
from deepfm.ui.train_form import all_settings

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow


def settings_of(row: "RunRow") -> dict[str, Any]:
    """Every setting of a run; one it was queued without has its default."""
    given: Mapping[str, Any] = {**row.model, **row.train}
    return {name: given.get(name, setting.default) for name, setting in all_settings().items()}


def settings_in_words(row: "RunRow") -> str:
    """The settings that differ from their default, the five models apart."""
    return config.settings_in_words({**row.model, **row.train})


def shown(setting: Setting, value: Any) -> str:
    """A setting's value in words: terms by lamps and model."""
    if setting.kind == "terms":
        return f"{lamps(value)}  {model_of_terms(value)}"
    return config.value_in_words(setting, value)


def terms_of(row: "RunRow") -> tuple[str, ...]:
    """The terms of a run's model."""
    return tuple(row.model.get("terms", TERM_NAMES))


def model_of_terms(terms: Sequence[str]) -> str:
    """LR, FM, DNN, Wide & Deep or DeepFM."""
    return ModelConfig(terms=tuple(terms)).name


def epochs_in_words(row: "RunRow") -> str:
    """ "2 of 30", within an epoch "2.4 of 30"."""
    position = f"{row.epoch:g}" if float(row.epoch).is_integer() else f"{row.epoch:.1f}"
    return f"{position} of {row.train.get('epochs', '?')}"


def result_of(row: "RunRow") -> Mapping[str, Any]:
    """What was found when a run ended; nothing while it trains, again included."""
    return (row.result or {}) if row.ended else {}


def part_of(row: "RunRow") -> str:
    """Which rows a run was judged by: test, validation or train; "" until it has ended."""
    return str(result_of(row).get("part", ""))


def auc_of(row: "RunRow") -> float | None:
    """Of the rows it was judged by; without a result, the latest that its curve has.

    The store keeps the AUC of an earlier end until a run that goes on has said more.
    """
    if result_of(row):
        return row.auc
    if row.curve:
        return row.curve[-1]
    return None if row.result else row.auc


def when_in_words(moment: float, now: float | None = None) -> str:
    """ "14:05" of today, "24 Nov, 14:05" of this year, else "24 Nov 2025"; the reader's time."""
    then, today = local(moment), local(time.time() if now is None else now)
    if then.date() == today.date():
        return f"{then:%H:%M}"
    day = f"{then.day} {then:%b}"
    return f"{day}, {then:%H:%M}" if then.year == today.year else f"{day} {then.year}"
