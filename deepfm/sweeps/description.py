"""What a sweep is: swept settings and their values, a base, seeds, how trials are chosen."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

from deepfm.config import ModelConfig, PrepareConfig, Setting, TrainConfig
from deepfm.errors import ConfigError
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

PREPARED: Final = ("min_count", "numeric_buckets")
"""Settings of prepare that may be swept: they change features, never which rows are held out."""
_NOT_SWEPT: Final[Mapping[str, str]] = {
    "seed": "Seeds are not swept: each configuration is trained with all of the sweep's seeds.",
    "device": "The device changes how fast a run is, not what it learns; choose it for all runs.",
    "monitor": "What chooses the best epoch would change what the sweep is judged by.",
    "validation": "Another validation fraction holds out other rows; such runs do not compare.",
    "split": "Another split holds out other rows; such runs do not compare.",
}
NETWORK: Final = frozenset(
    {
        *("mlp_dims", "drop_rate", "activation", "embedding_drop_rate"),
        *("mlp_precision", "shared_embedding"),
    }
)
"""Settings that do nothing in a model without the deep term."""


def swept_settings() -> dict[str, Setting]:
    """Every setting that may be swept, by name: the model's, training's, some of prepare's."""
    declared = (
        *ModelConfig.settings(),
        *TrainConfig.settings(),
        *(PrepareConfig.setting(name) for name in PREPARED),
    )
    return {setting.name: setting for setting in declared if setting.name not in _NOT_SWEPT}


def swept_setting(name: str) -> Setting:
    """One of them; ConfigError says why another one is not among them."""
    settings = swept_settings()
    if name in settings:
        return settings[name]
    raise ConfigError(
        _NOT_SWEPT.get(name)
        or f"There is no setting {name!r} to sweep; known are {', '.join(settings)}."
    )


@dataclass(frozen=True)
class Axis:
    """One swept setting: the values that are tried, or the range that they are drawn from.

    names       what each value is called where it does not say so itself ("diamond"), or empty
    low, high   of a range, both ends included
    """

    setting: str
    values: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        setting = swept_setting(self.setting)
        if self.is_range:
            self._check_range(setting)
            return
        values = tuple(setting.check(value) for value in self.values)
        if not values:
            raise ConfigError(f"{setting.label}: give the values to try, with commas between.")
        twice = [value for place, value in enumerate(values) if value in values[:place]]
        if twice:
            raise ConfigError(f"{setting.label}: {setting.format(twice[0])} is given twice.")
        if self.names and len(self.names) != len(values):
            raise ConfigError(f"{setting.label}: {len(values)} values, {len(self.names)} names.")
        object.__setattr__(self, "values", values)

    def _check_range(self, setting: Setting) -> None:
        if self.values:
            raise ConfigError(f"{setting.label}: give values or a range, not both.")
        if setting.kind not in ("int", "float") or setting.name in PREPARED:
            why = (
                "each value needs data of its own"
                if setting.name in PREPARED
                else "it is not one number"
            )
            raise ConfigError(f"{setting.label} cannot be drawn from a range: {why}. List values.")
        ends = [
            setting.check(int(end) if setting.kind == "int" and float(end).is_integer() else end)
            for end in (self.low, self.high)
            if end is not None
        ]
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise ConfigError(f"{setting.label}: a range is LOW..HIGH with LOW below HIGH.")
        object.__setattr__(self, "low", ends[0])
        object.__setattr__(self, "high", ends[1])

    @property
    def is_range(self) -> bool:
        """Whether values are drawn from a range."""
        return self.low is not None or self.high is not None

    @property
    def log(self) -> bool:
        """Whether a range is drawn from on a logarithmic scale: over a decade or more."""
        return self.low is not None and self.high is not None and 0 < self.low <= self.high / 10

    @property
    def declared(self) -> Setting:
        """The setting with its label, bounds and help."""
        return swept_setting(self.setting)

    def name(self, value: Any) -> str:
        """A value as a person reads it: "diamond (24, 48, 24)", "0.01", "FM"."""
        text = value_in_words(self.declared, value)
        if self.names and value in self.values:
            return f"{self.names[self.values.index(value)]} ({text})"
        return text

    def short_name(self, value: Any) -> str:
        """The same for a mark on an axis: "diamond"."""
        if self.names and value in self.values:
            return self.names[self.values.index(value)]
        return value_in_words(self.declared, value)

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types; what is empty is left out."""
        values = [list(value) if isinstance(value, tuple) else value for value in self.values]
        entries = {
            "setting": self.setting,
            "values": values,
            "names": list(self.names),
            "low": self.low,
            "high": self.high,
        }
        return {name: value for name, value in entries.items() if value not in ([], None)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Axis":
        """From JSON's types; ConfigError for anything else."""
        known = _known(cls, values)
        for name in ("values", "names"):
            if name in known:
                known[name] = tuple(_hashable(value) for value in known[name])
        return cls(**known)


def value_in_words(setting: Setting, value: Any) -> str:
    """A setting's value as it stands in a sentence: terms by their model's name."""
    if setting.kind == "terms":
        return ModelConfig(terms=value).name
    if setting.kind == "ints":
        return "-".join(str(width) for width in value)
    if setting.kind == "float":
        return f"{value:g}"
    if setting.kind == "bool":
        return {"shared_embedding": ("separate", "shared")}.get(setting.name, ("off", "on"))[value]
    return setting.format(value)


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
        known = _known(cls, values)
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
            if axis.setting in NETWORK and not any("deep" in terms for terms in sets):
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


_SHORT: Final = {"terms": "model", "shared_embedding": "embeddings"}


def axis_label(axis: Axis) -> str:
    """The setting inside a sentence: "factor size", "MLP dims"."""
    label = _SHORT.get(axis.setting, axis.declared.label)
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def parse_axis(name: str, text: str) -> Axis:
    """A setting and its values as they are typed.

    text   values with commas between; lists with semicolons between: "30,20,10;64,32"; a range
           as LOW..HIGH, drawn from on a logarithmic scale where it spans a decade
    """
    setting = swept_setting(name)
    if ".." in text:
        low, _, high = text.partition("..")
        ends = [setting.parse(end) for end in (low, high)] if setting.kind in _NUMBERS else (0, 1)
        return Axis(name, low=ends[0], high=ends[1])
    return Axis(name, tuple(setting.parse(part) for part in _parts(setting, text)))


_NUMBERS: Final = ("int", "float")


def _parts(setting: Setting, text: str) -> list[str]:
    """The texts of single values. Widths may be joined by dashes: "30-20-10, 64-32"."""
    lists = setting.kind in ("ints", "terms")
    if setting.kind == "terms" and ";" not in text and text.count(",") and "linear" not in text:
        lists = False  # names of models: "LR, FM, DeepFM"
    separator = ";" if lists and (";" in text or "-" not in text) else ","
    parts = [part.strip() for part in text.replace("\n", separator).split(separator)]
    if not lists and ";" in text:
        parts = [part.strip() for part in text.split(";")]
    return [part for part in parts if part] or [""]


def format_axis(axis: Axis) -> str:
    """The text that `parse_axis` reads back."""
    if axis.is_range:
        return f"{axis.low:g}..{axis.high:g}"
    setting = axis.declared
    if setting.kind == "terms":
        return ", ".join(value_in_words(setting, value) for value in axis.values)
    if setting.kind == "ints":
        return "; ".join(",".join(map(str, value)) for value in axis.values)
    return ", ".join(setting.format(value) for value in axis.values)


def _known(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a description; ConfigError where one is not known."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"This is not the description of a sweep: {str(values)[:80]!r}.")
    names = [field.name for field in dataclasses.fields(cls)]
    unknown = [name for name in values if name not in names]
    if unknown:
        raise ConfigError(
            f"There is no {unknown[0]!r} in a sweep's description; known are {', '.join(names)}."
        )
    return dict(values)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
