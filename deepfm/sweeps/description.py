"""What a sweep is: swept settings, a base, seeds, how trials are chosen; checked in words."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

from deepfm.config import NETWORK_SETTINGS, ModelConfig, PrepareConfig, TrainConfig
from deepfm.errors import ConfigError
from deepfm.sweeps.axes import PREPARED, Axis, axis_label, known_entries, swept_setting
from deepfm.sweeps.sources import DataSource

Sampler = Literal["grid", "random", "tpe"]
Objective = Literal["auc", "log_loss"]
Point = tuple[Any, ...]
"""One value for each axis of a sweep, in their order."""

SAMPLERS: Final[tuple[Sampler, ...]] = get_args(Sampler)
OBJECTIVES: Final[tuple[Objective, ...]] = get_args(Objective)
MOST_RUNS: Final = 100
"""Runs of one sweep: what a machine trains in a night, and a person can still read."""
MOST_SEEDS: Final = 20
MOST_AXES: Final = 6


@dataclass(frozen=True)
class Sweep:
    """Several values for some settings, everything else as in a base.

    axes        the swept settings; a grid tries each combination of their values
    source      the dataset, and how it can be prepared again where a setting of prepare is swept
    seeds       each configuration is trained once with each; the spread over them is its error
    sampler     grid, or optuna's random and TPE samplers
    trials      configurations that random and TPE try; a grid has as many as it has
    objective   what chooses: a figure of the validation rows, never of the test rows
    study       the name of the ready-made study that this is, or empty
    """

    name: str
    axes: tuple[Axis, ...]
    source: DataSource
    prepare: PrepareConfig
    model: ModelConfig
    train: TrainConfig
    seeds: tuple[int, ...] = (0, 1, 2)
    sampler: Sampler = "grid"
    trials: int = 0
    objective: Objective = "auc"
    study: str = ""

    def __post_init__(self) -> None:
        self._check_axes()
        self._check_seeds()
        if self.sampler not in SAMPLERS:
            raise ConfigError(f"Sampler is {self.sampler!r}; choose one of {', '.join(SAMPLERS)}.")
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"Objective is {self.objective!r}; choose one of {', '.join(OBJECTIVES)}."
            )
        (self._check_grid if self.sampler == "grid" else self._check_trials)()
        self._check_effect()

    @cached_property
    def configurations(self) -> int:
        """How many configurations are tried."""
        return self.combinations if self.sampler == "grid" else self.trials

    @property
    def runs(self) -> int:
        """How many runs that is: each configuration with each seed."""
        return self.configurations * len(self.seeds)

    @property
    def combinations(self) -> int:
        """How many different points the lists of values have; 0 where an axis is a range."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def metric(self) -> str:
        """The objective in words: "validation AUC"."""
        return {"auc": "validation AUC", "log_loss": "validation log loss"}[self.objective]

    def grid(self) -> Iterator[Point]:
        """Every combination of the listed values, the last axis moving fastest."""
        return itertools.product(*(axis.values for axis in self.axes))

    def prepare_of(self, point: Point) -> PrepareConfig:
        """What the data are prepared with at a point."""
        return self.prepare.with_values(**self._values(point, PrepareConfig))

    def model_of(self, point: Point) -> ModelConfig:
        """The model at a point."""
        return self.model.with_values(**self._values(point, ModelConfig))

    def train_of(self, point: Point, seed: int) -> TrainConfig:
        """How it is trained at a point, with one of the seeds."""
        return self.train.with_values(**{**self._values(point, TrainConfig), "seed": seed})

    def check_point(self, point: Point) -> None:
        """ConfigError where the values of a point do not go together."""
        self.prepare_of(point)
        self.model_of(point)
        self.train_of(point, self.seeds[0])

    def point_name(self, point: Point) -> str:
        """A point in words: "DeepFM, factor size 8, drop rate 0.2"."""
        return ", ".join(
            axis.name(value)
            if axis.setting == "terms"
            else f"{axis_label(axis)} {axis.name(value)}"
            for axis, value in zip(self.axes, point, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            "name": self.name,
            "axes": [axis.to_dict() for axis in self.axes],
            "source": self.source.to_dict(),
            "prepare": self.prepare.to_dict(),
            "model": self.model.to_dict(),
            "train": self.train.to_dict(),
            "seeds": list(self.seeds),
            "sampler": self.sampler,
            "trials": self.trials,
            "objective": self.objective,
            "study": self.study,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sweep":
        """From JSON's types; ConfigError for anything else."""
        known = known_entries(cls, values)
        try:
            known["axes"] = tuple(Axis.from_dict(axis) for axis in known["axes"])
            known["source"] = DataSource.from_dict(known["source"])
            known["prepare"] = PrepareConfig.from_dict(known["prepare"])
            known["model"] = ModelConfig.from_dict(known["model"])
            known["train"] = TrainConfig.from_dict(known["train"])
            if "seeds" in known:
                known["seeds"] = tuple(known["seeds"])
            return cls(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"This is not the description of a sweep ({error!r}).") from error

    def _values(self, point: Point, config: type[Any]) -> dict[str, Any]:
        """The swept values at a point that belong to one of the three configurations."""
        names = {setting.name for setting in config.settings()}
        return {
            axis.setting: value
            for axis, value in zip(self.axes, point, strict=True)
            if axis.setting in names
        }

    def _check_axes(self) -> None:
        names = [axis.setting for axis in self.axes]
        if not names:
            raise ConfigError("A sweep needs at least one setting with several values.")
        if len(names) > MOST_AXES:
            raise ConfigError(f"{len(names)} settings are swept at once; at most {MOST_AXES}.")
        twice = [name for place, name in enumerate(names) if name in names[:place]]
        if twice:
            raise ConfigError(f"{swept_setting(twice[0]).label} is swept twice.")
        if any(name in PREPARED for name in names) and not self.source.again:
            raise ConfigError(
                "Min count and numeric buckets need the data prepared again for each value, and "
                "the file that this dataset came from is not kept here. Load it again on Data."
            )

    def _check_seeds(self) -> None:
        seed = TrainConfig.setting("seed")
        seeds = tuple(seed.check(value) for value in self.seeds)
        if not 1 <= len(seeds) <= MOST_SEEDS or len(set(seeds)) != len(seeds):
            raise ConfigError(f"Give 1 to {MOST_SEEDS} different seeds.")

    def _check_grid(self) -> None:
        ranges = [axis.declared.label for axis in self.axes if axis.is_range]
        if ranges:
            raise ConfigError(
                f"{ranges[0]} is a range, and a grid needs a list of values. "
                "Choose the sampler random or tpe, which draw from ranges."
            )
        if self.trials:
            raise ConfigError("A grid tries all combinations; trials are for random and tpe.")
        if self.combinations < 2:
            raise ConfigError("Only one configuration is given. Give a setting several values.")
        if self.runs > MOST_RUNS:
            sizes = " × ".join(str(len(axis.values)) for axis in self.axes)
            product = f"{sizes} = {self.combinations:,}" if len(self.axes) > 1 else sizes
            raise ConfigError(
                f"This grid has {product} configurations, with {len(self.seeds)} seeds "
                f"{self.runs:,} runs; a sweep has at most {MOST_RUNS}. Give fewer values or seeds, "
                "or let the sampler random or tpe try some of them."
            )
        for point in self.grid():
            self.check_point(point)

    def _check_trials(self) -> None:
        if self.trials < 2:
            raise ConfigError(f"How many trials? The sampler {self.sampler} needs at least 2.")
        if self.runs > MOST_RUNS:
            raise ConfigError(
                f"{self.trials:,} trials with {len(self.seeds)} seeds are {self.runs:,} runs; "
                f"a sweep has at most {MOST_RUNS}. Give fewer trials or seeds."
            )
        if 0 < self.combinations < self.trials:
            raise ConfigError(
                f"There are only {self.combinations} combinations of these values, fewer than "
                f"{self.trials} trials. Use the sampler grid, or fewer trials."
            )

    def _check_effect(self) -> None:
        """A setting that no model of the sweep has would make runs that only look different."""
        swept = next((axis.values for axis in self.axes if axis.setting == "terms"), ())
        sets = swept or (self.model.terms,)
        for axis in self.axes:
            label = axis.declared.label
            if axis.setting in NETWORK_SETTINGS and not any("deep" in terms for terms in sets):
                raise ConfigError(
                    f"{label} is of the network, which {ModelConfig(terms=sets[0]).name} does not "
                    "have. Choose DeepFM, DNN or Wide & Deep."
                )
            if axis.setting == "shared_embedding" and not any(
                {"pairwise", "deep"} <= set(terms) for terms in sets
            ):
                raise ConfigError(
                    f"{label} is between the pairwise term and the network; only DeepFM has both."
                )
