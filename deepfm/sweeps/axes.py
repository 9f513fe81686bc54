"""One swept setting: its values or range, as typed, as JSON and in words."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deepfm.config import ModelConfig, PrepareConfig, Setting, TrainConfig
from deepfm.errors import ConfigError

PREPARED: Final = ("min_count", "numeric_buckets")
"""Settings of prepare that may be swept: they change features, never which rows are held out."""
_NOT_SWEPT: Final[Mapping[str, str]] = {
    "seed": "Seeds are not swept: each configuration is trained with all of the sweep's seeds.",
    "device": "The device changes how fast a run is, not what it learns; choose it for all runs.",
    "monitor": "What chooses the best epoch would change what the sweep is judged by.",
    "validation": "Another validation fraction holds out other rows; such runs do not compare.",
    "split": "Another split holds out other rows; such runs do not compare.",
}


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
        known = known_entries(cls, values)
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


def known_entries(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
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
