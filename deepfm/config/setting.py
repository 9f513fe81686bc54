"""One setting: text from a form, flag or address to a checked value, and back."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from deepfm.config.models import TERM_SETS
from deepfm.errors import ConfigError


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
            what = f": {text!r} is not {_EXPECTED[self.kind]}" if text.strip() else " is empty"
            raise ConfigError(f"{self.label}{what}. {self.bounds}") from None

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
    "mlp_precision": "MLP precision",
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


def declare(default: Any, help: str, kind: str = "", **bounds: Any) -> Any:
    """A dataclass field that is a setting; its kind is that of the default unless given."""
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
