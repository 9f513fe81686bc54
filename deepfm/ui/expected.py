"""A model and a dataset to what training will cost: parameters, memory, about how long."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from deepfm.charts.palette import format_duration
from deepfm.config import (
    BYTES_A_PARAMETER,
    ModelConfig,
    Settings,
    TrainConfig,
    machine_memory,
    parameter_count,
)
from deepfm.errors import ConfigError, DeepFMError
from deepfm.ui import state
from deepfm.ui.person import person
from deepfm.ui.shared import recent

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import RunRow

ROUGH_RATE: Final = 3e9
"""Multiply-adds a second of one CPU core, where no run has been measured yet."""
EVALUATION_COST: Final = 0.4
"""Scoring a row costs this share of training on it."""
SIMILAR: Final = 4.0
"""A run is of similar size if its work per row is within this factor."""
RUNS_LOOKED_AT: Final = 12
LONG: Final = 1_800.0
"""Seconds of a training that are many for those who wait for it."""
SOMETIMES: Final = 2.0
"""Seconds between looks at who waits."""
MOST_ALIKE: Final = 3

Figure = tuple[str, str, str]
"""What is told of a cost: its name, its value, and a few small words beside that."""


@dataclass(frozen=True)
class Size:
    """How large a dataset is, as far as training costs go."""

    train_rows: int
    scored_rows: int
    features: int
    fields: int


@dataclass(frozen=True)
class Expected:
    """What a training will cost. measured: the time comes of runs that were trained here."""

    parameters: int
    memory_bytes: float
    seconds: float
    measured: bool


def size_of(dataset: "Dataset") -> Size:
    """Rows of the parts, features and fields."""
    rows = {name: len(part) for name, part in dataset.parts.items()}
    return Size(
        rows["train"],
        sum(count for name, count in rows.items() if name != "train"),
        dataset.vocabulary.num_features,
        len(dataset.fields),
    )


def work_per_row(size: Size, model: ModelConfig, train: TrainConfig) -> float:
    """About how many multiply-adds one training row costs: network, tables, optimiser."""
    network = 0
    if "deep" in model.terms:
        widths = (size.fields * model.num_factors, *model.mlp_dims, 1)
        network = sum(before * after for before, after in pairwise(widths))
    tables = size.fields * (model.num_factors + 1)
    # Adam moves every parameter once a step, some ten operations each; a step has its own cost.
    step = 10 * parameter_count(size.features, size.fields, model) + 2_000_000
    return 3 * network + 12 * tables + step / min(train.batch_size, size.train_rows)


def expected(
    size: Size, model: ModelConfig, train: TrainConfig, rates: Iterable[float] = ()
) -> Expected:
    """Parameters, memory and time of a training.

    rates   multiply-adds a second of similar runs, see `measured_rates`
    """
    parameters = parameter_count(size.features, size.fields, model)
    measured = list(rates)
    rate = median(measured) if measured else ROUGH_RATE
    rows = train.epochs * (size.train_rows + EVALUATION_COST * size.scored_rows)
    activations = 12 * min(train.batch_size, size.train_rows) * size.fields * model.num_factors
    return Expected(
        parameters,
        BYTES_A_PARAMETER * parameters + activations,
        rows * work_per_row(size, model, train) / rate,
        bool(measured),
    )


def measured_rates(size: Size, model: ModelConfig, train: TrainConfig) -> list[float]:
    """Multiply-adds a second of those of the newest finished runs that are most alike in size."""
    work = work_per_row(size, model, train)
    rates = []
    for row in state.store().runs(states=("finished",), limit=RUNS_LOOKED_AT):
        known = _work_and_speed(row)
        if known is None or row.train.get("device", "auto") != train.device:
            continue
        unlike = abs(math.log(known[0] / work))
        if unlike <= math.log(SIMILAR):
            rates.append((unlike, known[0] * known[1]))
    return [rate for _, rate in sorted(rates)[:MOST_ALIKE]]


def _work_and_speed(row: "RunRow") -> tuple[float, float] | None:
    """Work per row and rows a second of a finished run; None where its dataset is gone."""
    try:
        size = size_of(state.dataset(row.fingerprint))
        model, train = ModelConfig.from_dict(row.model), TrainConfig.from_dict(row.train)
    except DeepFMError:
        return None
    speed = float((row.result or {}).get("examples_per_second") or 0.0)
    return (work_per_row(size, model, train), speed) if speed > 0 else None


def check_fits(size: Size, model: ModelConfig, settings: Settings) -> None:
    """ConfigError, in the name of the setting to lower, where the model cannot fit here."""
    count = parameter_count(size.features, size.fields, model)
    needed, there = count * BYTES_A_PARAMETER, machine_memory()
    if count <= settings.max_parameters and needed <= there:
        return
    tables = parameter_count(
        size.features, size.fields, model.with_values(terms=("linear", "pairwise"))
    )
    name = "num_factors" if tables * 2 >= count else "mlp_dims"
    label = ModelConfig.setting(name).label
    limit = (
        f"at most {settings.max_parameters:,} parameters are allowed here"
        if count > settings.max_parameters
        else f"this machine has {there / 2**30:.1f} GiB"
    )
    raise ConfigError(
        f"{label}: the model would have {count:,} parameters and need about "
        f"{needed / 2**30:.1f} GiB to train; {limit}. Lower it."
    )


def too_long_in_words(cost: Expected, train: TrainConfig, settings: Settings) -> str:
    """What becomes of a training that takes longer than one may here, or than others like to wait.

    "" where it is short enough, or where nobody else waits in the queue.
    """
    minutes = settings.max_train_minutes
    limit = 60.0 * minutes
    if cost.seconds > limit:
        epoch = max(1, math.ceil(train.epochs * limit / cost.seconds))
        unless = ", unless its patience ends it before" if train.patience else ""
        return (
            f"Longer than the {minutes:,} minute{'s' * (minutes > 1)} that a training may take "
            f"here: it would be stopped then, at about epoch {epoch:,}{unless}."
        )
    if cost.seconds <= LONG or not _others_wait():
        return ""
    return (
        "Runs of others wait in the queue: what comes after this one waits about "
        f"{format_duration(60 * round(cost.seconds / 60))} for it."
    )


def _others_wait() -> bool:
    """Whether any of the newest runs in the queue is another person's."""
    me, store = person(), state.store()
    rows = recent(
        ("queued", state.home()),
        SOMETIMES,
        lambda: store.runs(states=("queued",), limit=RUNS_LOOKED_AT),
    )
    return any(row.owner != me for row in rows)


def cost_html(figures: Iterable[Figure]) -> str:
    """Figures beside each other; they are numbers and words of our own."""
    cells = "".join(
        f"<div><span>{name}</span><br><b>{value}</b> <small>{small}</small></div>"
        for name, value, small in figures
    )
    return f'<div class="dfm-cost">{cells}</div>'
