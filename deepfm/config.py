"""Settings: each declared once, with default, bounds and help, for form, JSON, address and flag."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from deepfm.errors import ConfigError

TERM_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "LR": ("linear",),
        "FM": ("linear", "pairwise"),
        "DNN": ("deep",),
        "Wide & Deep": ("linear", "deep"),
        "DeepFM": ("linear", "pairwise", "deep"),
    }
)
"""The five models by the terms of their logit."""


def model_name(terms: tuple[str, ...]) -> str:
    """The field's name of a set of terms: ("linear", "pairwise") is "FM"."""
    return next(name for name, members in TERM_SETS.items() if members == terms)


@dataclass(frozen=True)
class Setting:
    """One setting, as every form, flag and reader of JSON needs it."""

    name: str
    default: Any
    help: str
    kind: str
    """"int", "float", "bool", "text", "choice", "ints" (30,20,10) or "terms"."""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as a person reads it: `num_factors` is "Factor size"."""
        return _LABELS.get(self.name, self.name.replace("_", " ").capitalize())

    @property
    def flag(self) -> str:
        """The name on the command line: `--num-factors`."""
        return "--" + self.name.replace("_", "-")

    def format(self, value: Any) -> str:
        """A value as text that `parse` reads back."""
        if self.kind in ("ints", "terms"):
            return ",".join(str(item) for item in value)
        return "" if value is None else str(value)

    def parse(self, text: str) -> Any:
        """Text from a form, flag or address to a value within bounds; ConfigError otherwise."""
        try:
            return self.check(_PARSERS[self.kind](text.strip()))
        except ValueError:
            raise ConfigError(
                f"{self.label}: {text!r} is not {_EXPECTED[self.kind]}. {self.bounds}"
            ) from None

    def check(self, value: Any) -> Any:
        """The value itself if it has the right type and lies within bounds; ConfigError if not."""
        if self.default is None and value is None:
            return None
        value = _coerce(self, value)
        for number in value if self.kind == "ints" else (value,):
            if self.kind in ("int", "float", "ints") and not self._within(number):
                raise ConfigError(f"{self.label} is {number}. {self.bounds}")
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"{self.label} is {value!r}; choose one of {', '.join(self.choices)}."
            )
        return value

    def _within(self, number: float) -> bool:
        return (
            math.isfinite(number)
            and (self.low is None or number >= self.low)
            and (self.above is None or number > self.above)
            and (self.high is None or number <= self.high)
        )

    @property
    def bounds(self) -> str:
        """The allowed range in words."""
        low = f"at least {self.low:g}" if self.low is not None else ""
        low = f"above {self.above:g}" if self.above is not None else low
        high = f"at most {self.high:,.10g}" if self.high is not None else ""
        example = " Example: 30,20,10." if self.kind == "ints" else ""
        subject = "Each must" if self.kind == "ints" else "It must"
        return f"{subject} be {' and '.join(filter(None, (low, high)))}.{example}" if low else ""


def _parse_int(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _parse_bool(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _parse_ints(text: str) -> tuple[int, ...]:
    return tuple(_parse_int(part) for part in text.replace("-", ",").split(","))


def _parse_terms(text: str) -> tuple[str, ...]:
    if text in TERM_SETS:
        return TERM_SETS[text]
    return tuple(part.strip() for part in text.split(","))


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "int": _parse_int,
    "float": float,
    "bool": _parse_bool,
    "text": str,
    "choice": str,
    "ints": _parse_ints,
    "terms": _parse_terms,
}
_EXPECTED: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "yes or no",
    "text": "text",
    "choice": "one of the choices",
    "ints": "a list of whole numbers with commas between",
    "terms": "a list of terms",
}
_LABELS: Final[Mapping[str, str]] = {
    "num_factors": "Factor size",
    "mlp_dims": "MLP dims",
    "embedding_l2": "Embedding L2",
}


def _coerce(setting: Setting, value: Any) -> Any:
    """JSON's types to the setting's: lists to tuples, 1 to 1.0; ConfigError for any other."""
    kind = setting.kind
    if kind == "terms":
        value = tuple(value) if isinstance(value, list | tuple) else value
        if value not in TERM_SETS.values():
            raise ConfigError(
                f"Terms {value!r} are not one of the five models: "
                + "; ".join(f"{name} = {','.join(terms)}" for name, terms in TERM_SETS.items())
                + "."
            )
        return value
    if kind == "ints" and isinstance(value, list | tuple) and all(_is_int(v) for v in value):
        return tuple(value)
    if kind == "float" and (_is_int(value) or isinstance(value, float)):
        return float(value)
    if (
        (kind == "int" and _is_int(value))
        or (kind == "bool" and isinstance(value, bool))
        or (kind in ("text", "choice") and isinstance(value, str))
    ):
        return value
    raise ConfigError(f"{setting.label} is {value!r}, which is not {_EXPECTED[kind]}.")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _setting(default: Any, help: str, kind: str = "", **bounds: Any) -> Any:
    kind = kind or {int: "int", float: "float", bool: "bool", str: "text"}[type(default)]
    return dataclasses.field(
        default=default, metadata={"kind": kind, "help": help, "bounds": bounds}
    )


class Config:
    """Base of the configurations: frozen, validated when made, unknown keys refused."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        for setting in self.settings():
            object.__setattr__(self, setting.name, setting.check(getattr(self, setting.name)))

    @classmethod
    def settings(cls) -> Iterator[Setting]:
        """The settings in the order of declaration."""
        for field in cls.__dataclass_fields__.values():
            yield Setting(
                field.name,
                field.default,
                field.metadata["help"],
                field.metadata["kind"],
                **field.metadata["bounds"],
            )

    @classmethod
    def setting(cls, name: str) -> Setting:
        """One setting by name; ConfigError if there is none."""
        for setting in cls.settings():
            if setting.name == name:
                return setting
        raise ConfigError(
            f"There is no setting {name!r}; known are "
            f"{', '.join(setting.name for setting in cls.settings())}."
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; a missing key has its default, an unknown one is a ConfigError."""
        for name in values:
            cls.setting(name)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            setting.name: list(value)
            if isinstance(value := getattr(self, setting.name), tuple)
            else value
            for setting in self.settings()
        }

    def with_values(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        return self.from_dict({**self.to_dict(), **changes})


@dataclass(frozen=True)
class PrepareConfig(Config):
    """Raw file to dataset."""

    min_count: int = _setting(
        4,
        "Values seen fewer times than this in the training rows share their field's "
        "default feature, “rare or unseen”.",
        low=1,
        high=1_000_000,
    )
    validation: float = _setting(
        0.1,
        "Fraction of the training rows held out to choose the best epoch. "
        "With 0 nothing is held out and the last epoch is kept.",
        low=0.0,
        high=0.5,
    )
    split: str = _setting(
        "random",
        "How validation rows are chosen: random (stratified by label), time:COLUMN "
        "(the latest rows) or group:COLUMN (whole groups).",
    )
    numeric_buckets: int = _setting(
        10, "Quantile buckets for each numeric column.", low=2, high=1_000
    )
    seed: int = _setting(0, "Seed of the split.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind, _, column = self.split.partition(":")
        if not (self.split == "random" or (kind in ("time", "group") and column)):
            raise ConfigError(
                f"Split is {self.split!r}; write random, time:COLUMN or group:COLUMN."
            )


@dataclass(frozen=True)
class ModelConfig(Config):
    """The function that is learned."""

    num_factors: int = _setting(
        10,
        "Length K of the embedding of each feature, shared by the factorization machine "
        "and the network.",
        low=1,
        high=1_024,
    )
    mlp_dims: tuple[int, ...] = _setting(
        (30, 20, 10),
        "Width of each hidden layer of the network, first to last.",
        kind="ints",
        low=1,
        high=8_192,
    )
    drop_rate: float = _setting(
        0.1, "Dropout after each hidden layer of the network.", low=0.0, high=0.95
    )
    terms: tuple[str, ...] = _setting(
        TERM_SETS["DeepFM"],
        "Which terms make the logit: linear (LR), linear,pairwise (FM), deep (DNN), "
        "linear,deep (Wide & Deep) or linear,pairwise,deep (DeepFM).",
        kind="terms",
    )
    shared_embedding: bool = _setting(
        True,
        "The network reads the same embedding table as the factorization machine; "
        "off gives it a table of its own.",
    )
    activation: str = _setting(
        "relu",
        "Non-linearity of the network's hidden layers.",
        kind="choice",
        choices=("relu", "tanh"),
    )
    embedding_drop_rate: float = _setting(
        0.0, "Dropout on the embeddings as the network reads them.", low=0.0, high=0.95
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.mlp_dims) <= 16:
            raise ConfigError("MLP dims: give 1 to 16 layers. Example: 30,20,10.")

    @property
    def name(self) -> str:
        """LR, FM, DNN, Wide & Deep or DeepFM."""
        return model_name(self.terms)


@dataclass(frozen=True)
class TrainConfig(Config):
    """How it is learned."""

    learning_rate: float = _setting(0.01, "Step size of Adam.", above=0.0, high=10.0)
    epochs: int = _setting(30, "Passes over the training rows, at most.", low=1, high=10_000)
    batch_size: int = _setting(2048, "Rows in one step.", low=1, high=1_048_576)
    patience: int = _setting(
        0,
        "Stop when this many epochs in a row have not improved on the best one; 0 never stops.",
        low=0,
        high=10_000,
    )
    monitor: str = _setting(
        "auc",
        "What chooses the best epoch on the validation rows.",
        kind="choice",
        choices=("auc", "log_loss"),
    )
    weight_decay: float = _setting(0.0, "L2 penalty in Adam, on every weight.", low=0.0, high=1.0)
    embedding_l2: float = _setting(
        0.0,
        "L2 penalty on the embedding rows that a batch touches, by occurrence.",
        low=0.0,
        high=10.0,
    )
    optimizer: str = _setting(
        "adam",
        "adam moves every row of the tables at every step, as in the paper; lazy-adam only "
        "the rows in the batch (faster on large tables, not the same optimiser).",
        kind="choice",
        choices=("adam", "lazy-adam"),
    )
    drop_last: bool = _setting(
        False, "Leave out the last, smaller batch of each epoch, as the deck does."
    )
    seed: int = _setting(
        0, "Seed of initial weights, shuffling and dropout.", low=0, high=2**31 - 1
    )
    device: str = _setting(
        "auto",
        "Where to train: auto takes a GPU where there is one.",
        kind="choice",
        choices=("auto", "cpu", "cuda"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer == "lazy-adam" and self.weight_decay:
            raise ConfigError(
                "Weight decay does not go with lazy-adam, which leaves untouched rows alone. "
                "Use embedding L2 instead, or the optimizer adam."
            )


@dataclass(frozen=True)
class Preset:
    """Named values for some settings of all three configurations; explicit values win."""

    name: str
    help: str
    prepare: Mapping[str, Any]
    model: Mapping[str, Any]
    train: Mapping[str, Any]


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "d2l",
                "The deck's recipe: factor size 10, MLP 30-20-10, Adam 0.01, 30 epochs; "
                "nothing held out, the last epoch is kept.",
                {"validation": 0.0, "min_count": 4},
                {"num_factors": 10, "mlp_dims": (30, 20, 10), "drop_rate": 0.1},
                {"learning_rate": 0.01, "batch_size": 2048, "epochs": 30, "drop_last": True},
            ),
            Preset(
                "real-data",
                "For real click logs: wide embeddings with dropout and L2, small batches, "
                "stops early on validation AUC.",
                {"validation": 0.1, "min_count": 1},
                {
                    "num_factors": 128,
                    "mlp_dims": (30, 20, 10),
                    "drop_rate": 0.5,
                    "embedding_drop_rate": 0.2,
                },
                {
                    "learning_rate": 0.01,
                    "batch_size": 512,
                    "epochs": 100,
                    "patience": 3,
                    "embedding_l2": 0.001,
                },
            ),
            Preset(
                "quick",
                "The deck's model for the bundled demo: a few seconds, best epoch kept.",
                {"validation": 0.1, "min_count": 4},
                {"num_factors": 10, "mlp_dims": (30, 20, 10), "drop_rate": 0.1},
                {"learning_rate": 0.01, "batch_size": 2048, "epochs": 15},
            ),
        )
    }
)


def parameter_count(num_features: int, num_fields: int, model: ModelConfig) -> int:
    """How many numbers the model learns, for V features in F fields.

    The tables hold V·1 (linear) and V·K (factors); the network F·K → mlp_dims → 1.
    """
    count = 0
    if "linear" in model.terms:
        count += num_features + 2
    tables = ("pairwise" in model.terms) + ("deep" in model.terms)
    count += (
        num_features * model.num_factors * (min(tables, 1) if model.shared_embedding else tables)
    )
    if "deep" in model.terms:
        widths = (num_fields * model.num_factors, *model.mlp_dims, 1)
        count += sum((before + 1) * after for before, after in pairwise(widths))
    return count


@dataclass(frozen=True)
class Settings(Config):
    """Limits and places of one installation, each from an environment variable DEEPFM_NAME."""

    home: str = _setting("", "Folder of all state; by default .deepfm beside app.py.")
    max_upload_mb: int = _setting(
        2_000, "Largest file that may be uploaded, in MB.", low=1, high=1_000_000
    )
    max_unpacked_mb: int = _setting(
        20_000, "Largest size of a compressed file once unpacked, in MB.", low=1, high=10_000_000
    )
    max_rows: int = _setting(50_000_000, "Most rows of a dataset.", low=1, high=2_000_000_000)
    max_parameters: int = _setting(
        500_000_000, "Most parameters of a model.", low=1, high=100_000_000_000
    )
    max_train_minutes: int = _setting(
        240, "Longest training time, in minutes.", low=1, high=100_000
    )
    max_job_minutes: int = _setting(
        60, "Longest time to inspect or prepare a file, in minutes.", low=1, high=100_000
    )
    max_job_memory_mb: int = _setting(
        8_000, "Most memory to inspect or prepare a file, in MB.", low=500, high=1_000_000
    )
    max_queued: int = _setting(50, "Most runs that may wait in the queue.", low=1, high=100_000)
    data_folder: str = _setting(
        "", "Folder on the server whose files anyone may open; empty for none."
    )

    @classmethod
    def from_environment(cls) -> "Settings":
        """DEEPFM_HOME, DEEPFM_MAX_UPLOAD_MB and so on; ConfigError names the variable."""
        values = {}
        for setting in cls.settings():
            text = os.environ.get(f"DEEPFM_{setting.name.upper()}")
            if text is not None:
                try:
                    values[setting.name] = setting.parse(text)
                except ConfigError as error:
                    raise ConfigError(f"DEEPFM_{setting.name.upper()}: {error}") from error
        return cls.from_dict(values)

    @property
    def home_folder(self) -> Path:
        """The folder of all state, absolute; not made here."""
        if self.home:
            return Path(self.home).expanduser().resolve()
        return Path(__file__).resolve().parent.parent / ".deepfm"
