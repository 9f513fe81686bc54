"""Seeds to click data whose true click probability is known: the bundled demo, and D2L's form.

The demo's clicks follow a sum that is written out here: single fields, two tables of pairs, and
a rule of three fields that no list of pairs can say. Fields are drawn independently.
"""

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from deepfm.errors import SchemaError
from deepfm.terms import sigmoid

DEMO_LABEL: Final = "clicked"
DEMO_ROWS: Final[Mapping[str, int]] = {"train": 48_000, "validation": 6_000, "test": 6_000}
DEMO_VERSION: Final = 2
"""Goes up with any change of the rows, so that a demo made before is made again."""

_WEEKDAYS: Final = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
_SITES: Final = (
    "news",
    "recipes",
    "sport",
    "games",
    "music",
    "travel",
    "finance",
    "weather",
    "parenting",
    "cars",
)
_ADS: Final = (
    "kitchenware",
    "running shoes",
    "video game",
    "concert",
    "holiday",
    "bank account",
    "umbrella",
    "toys",
    "car hire",
    "coffee",
    "pizza",
    "insurance",
)
_SITE_OF_AD: Final[Mapping[str, str]] = {
    "kitchenware": "recipes",
    "running shoes": "sport",
    "video game": "games",
    "concert": "music",
    "holiday": "travel",
    "bank account": "finance",
    "umbrella": "weather",
    "toys": "parenting",
    "car hire": "cars",
}
_SEGMENTS: Final = ("students", "singles", "couples", "families", "empty nesters", "retired")
_REGIONS: Final = (
    "north",
    "north-north-east",
    "north-east",
    "east-north-east",
    "east",
    "east-south-east",
    "south-east",
    "south-south-east",
    "south",
    "south-south-west",
    "south-west",
    "west-south-west",
    "west",
    "west-north-west",
    "north-west",
    "north-north-west",
)
_AD_IDS: Final = tuple(f"ad-{number:02}" for number in range(1, 61))
_RARE_AD_IDS: Final = tuple(f"ad-{number:02}" for number in range(61, 69))
_RARE_COUNTS: Final = {"train": (1, 1, 2, 2, 2, 3, 3, 3), "validation": (1,) * 8, "test": (1,) * 8}

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "hour": tuple(f"{hour:02}:00" for hour in range(24)),
    "weekday": _WEEKDAYS,
    "device": ("phone", "tablet", "laptop", "TV"),
    "slot": ("top", "in text", "side", "bottom"),
    "format": ("picture", "short clip", "long video", "live stream"),
    "site": _SITES,
    "ad": _ADS,
    "segment": _SEGMENTS,
    "region": _REGIONS,
    "ad_id": _AD_IDS + _RARE_AD_IDS,
}
DEMO_FIELDS: Final[tuple[str, ...]] = tuple(_VALUES)

_HOUR_WEIGHTS: Final = (
    *(1.0, 0.6, 0.4, 0.3, 0.3, 0.6, 1.5, 2.6),
    *(3.4, 3.2, 3.0, 3.0, 3.4, 3.4, 3.2, 3.2),
    *(3.4, 3.8, 4.2, 4.8, 5.0, 4.6, 3.4, 2.0),
)
_WEIGHTS: Final[Mapping[str, tuple[float, ...]]] = {
    "hour": _HOUR_WEIGHTS,
    "device": (0.40, 0.10, 0.35, 0.15),
    "slot": (0.20, 0.36, 0.22, 0.22),
    "format": (0.25, 0.25, 0.30, 0.20),
    "ad_id": (*(rank**-0.6 for rank in range(1, 61)), *(0.0,) * len(_RARE_AD_IDS)),
}
"""How often each value is drawn, up to a factor; fields not named here are drawn evenly."""

_BASE: Final = -1.75
_LINEAR: Final[Mapping[str, tuple[float, ...]]] = {
    "weekday": (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.1),
    "device": (0.15, 0.0, -0.1, -0.1),
    "slot": (0.55, 0.0, 0.0, -0.5),
}
_AD_ID_SPREAD: Final = 0.25
_AD_ID_SEED: Final = 14
_ROW_SEED: Final = 60
_MATCH: Final = 2.6
_HOUR_EFFECTS: Final = (
    ("coffee", 6, 9, 2.2),
    ("coffee", 18, 23, -1.6),
    ("pizza", 17, 21, 2.2),
    ("pizza", 6, 9, -1.8),
    ("video game", 20, 23, 1.6),
)
"""Ad, first and last hour, effect on the logit before the table is centred."""

_ON_THE_GO_AT_WEEKENDS: Final = 2.4
_AT_A_SCREEN_ON_WORKDAYS: Final = 1.2
_PUT_OFF: Final = -1.4

Codes = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class PinnedImpression:
    """An impression composed to show one thing; values for every field of the demo."""

    name: str
    values: dict[str, str]
    note: str


def demo_table(part: str) -> pa.Table:
    """The rows of one part: the label and the fields as text, and `truth`, float64.

    part    train (48,000 rows), validation or test (6,000 each); the same rows at every call
    """
    rng = np.random.default_rng([_ROW_SEED, list(DEMO_ROWS).index(part)])
    codes = _draw(rng, DEMO_ROWS[part])
    _place_rare_ids(rng, codes["ad_id"], _RARE_COUNTS[part])
    truth = sigmoid(_logit(codes))
    clicked = rng.random(len(truth)) < truth
    columns = {name: pa.array(_VALUES[name]).take(pa.array(codes[name])) for name in DEMO_FIELDS}
    labels = pa.array(("0", "1")).take(pa.array(clicked.astype(np.int64)))
    return pa.table({DEMO_LABEL: labels, **columns, "truth": truth})


def write_demo(folder: Path) -> dict[str, Path]:
    """Write train.tsv, validation.tsv and test.tsv (tabs, header): part to path.

    `deepfm.prepare` makes of them what `open_demo` gives, but for the true probabilities.
    """
    paths = {}
    for part in DEMO_ROWS:
        paths[part] = folder / f"{part}.tsv"
        _write_tabs(paths[part], demo_table(part).drop_columns(["truth"]), header=True)
    return paths


def true_probability(impression: Mapping[str, str]) -> float:
    """The probability that this demo impression is clicked.

    impression   one value for each of DEMO_FIELDS; an ad_id that the demo does not have counts
                 as a new one, without an effect. SchemaError for any other unknown value.
    """
    codes = {name: np.array([_code(name, impression)]) for name in DEMO_FIELDS}
    return float(sigmoid(_logit(codes))[0])


def demo_values(field: str) -> tuple[str, ...]:
    """The values of one field of the demo, in their natural order; SchemaError if unknown."""
    if field not in _VALUES:
        raise SchemaError(f"The demo has no field {field!r}; it has {', '.join(DEMO_FIELDS)}.")
    return _VALUES[field]


def _code(field: str, impression: Mapping[str, str]) -> int:
    value = impression.get(field)
    if value in _VALUES[field]:
        return _VALUES[field].index(value)
    if field == "ad_id" and value is not None:
        return len(_AD_IDS)
    known = ", ".join(_VALUES[field])
    raise SchemaError(f"The demo's field {field!r} cannot be {value!r}; choose one of {known}.")


def _draw(rng: np.random.Generator, rows: int) -> dict[str, NDArray[np.int64]]:
    """Codes of every field, int64[rows], drawn independently."""
    return {name: rng.choice(len(_VALUES[name]), rows, p=_shares(name)) for name in DEMO_FIELDS}


def _shares(field: str) -> NDArray[np.float64]:
    weights = np.array(_WEIGHTS.get(field, (1.0,) * len(_VALUES[field])))
    return weights / weights.sum()


def _place_rare_ids(
    rng: np.random.Generator, ad_ids: NDArray[np.int64], counts: tuple[int, ...]
) -> None:
    """Put each rare ad id into so many rows."""
    rare = np.repeat(np.arange(len(_AD_IDS), len(_AD_IDS) + len(counts)), counts)
    ad_ids[rng.choice(len(ad_ids), len(rare), replace=False)] = rare


def _logit(codes: Codes) -> NDArray[np.float64]:
    """The true logit: base, single fields, pairs, and the rule of three; float64[N]."""
    linear = sum(np.array(table)[codes[name]] for name, table in _LINEAR.items())
    pairs = _site_by_ad()[codes["site"], codes["ad"]] + _hour_by_ad()[codes["hour"], codes["ad"]]
    return _BASE + linear + _ad_id_effects()[codes["ad_id"]] + pairs + _rule_of_three(codes)


def _rule_of_three(codes: Codes) -> NDArray[np.float64]:
    """Long videos and live streams: welcome on the go at weekends and at a screen on workdays."""
    on_the_go = np.isin(codes["device"], (0, 1))
    weekend = codes["weekday"] >= _WEEKDAYS.index("Saturday")
    welcome = np.where(
        weekend,
        np.where(on_the_go, _ON_THE_GO_AT_WEEKENDS, _PUT_OFF),
        np.where(on_the_go, _PUT_OFF, _AT_A_SCREEN_ON_WORKDAYS),
    )
    return np.where(np.isin(codes["format"], (2, 3)), welcome, 0.0)


@dataclass(frozen=True)
class PlantedShares:
    """The exact analysis of variance of something planted: shares that add up to 1."""

    singles: float
    pairs: float
    beyond: float


@cache
def planted_rule() -> PlantedShares:
    """Of the demo's rule of three, over the shares that its fields are drawn by."""
    singles, pairs, beyond = _rule_variances()
    total = sum(singles.values()) + pairs + beyond
    return PlantedShares(sum(singles.values()) / total, pairs / total, beyond / total)


@cache
def planted_logit() -> PlantedShares:
    """Of the demo's whole true logit; the two tables of pairs are centred as they are planted."""
    singles, pairs, beyond = _rule_variances()
    for field, effects in (*_LINEAR.items(), ("ad_id", _ad_id_effects())):
        own = np.array(effects) + _rule_effect(field)
        singles[field] = _variance(own, _shares(field))
    for table, rows in ((_site_by_ad(), "site"), (_hour_by_ad(), "hour")):
        pairs += _variance(table, np.outer(_shares(rows), _shares("ad")))
    total = sum(singles.values()) + pairs + beyond
    return PlantedShares(sum(singles.values()) / total, pairs / total, beyond / total)


_RULE_FIELDS: Final = ("weekday", "device", "format")


def _rule_table() -> NDArray[np.float64]:
    """The rule of three at every value of its three fields, float64[7, 4, 4]."""
    grid = np.indices([len(_VALUES[name]) for name in _RULE_FIELDS])
    return _rule_of_three(dict(zip(_RULE_FIELDS, grid, strict=True)))


def _rule_part(*fields: str) -> NDArray[np.float64]:
    """What the rule says of these fields beyond any fewer of them; the other axes have length 1."""
    part = _rule_table()
    for axis, name in enumerate(_RULE_FIELDS):
        mean = np.average(part, axis=axis, weights=_shares(name), keepdims=True)
        part = part - mean if name in fields else mean
    return part


def _rule_effect(field: str) -> NDArray[np.float64] | float:
    return _rule_part(field).ravel() if field in _RULE_FIELDS else 0.0


def _rule_variances() -> tuple[dict[str, float], float, float]:
    """Variances of the rule: of each field alone, of its pairs, of all three together."""

    def variance(*fields: str) -> float:
        weights = [_shares(name) if name in fields else np.ones(1) for name in _RULE_FIELDS]
        return _variance(_rule_part(*fields), np.einsum("i,j,k->ijk", *weights))

    first, second, third = _RULE_FIELDS
    pairs = variance(first, second) + variance(first, third) + variance(second, third)
    return {name: variance(name) for name in _RULE_FIELDS}, pairs, variance(*_RULE_FIELDS)


def _variance(values: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    mean = np.average(values, weights=shares)
    return float(np.average((values - mean) ** 2, weights=shares))


@cache
def _ad_id_effects() -> NDArray[np.float64]:
    """float64[ad ids]; the rare ones have none."""
    common = np.random.default_rng(_AD_ID_SEED).normal(0.0, _AD_ID_SPREAD, len(_AD_IDS))
    return np.append(common, np.zeros(len(_RARE_AD_IDS)))


@cache
def _site_by_ad() -> NDArray[np.float64]:
    """float64[sites, ads], centred."""
    table = np.zeros((len(_SITES), len(_ADS)))
    for ad, site in _SITE_OF_AD.items():
        table[_SITES.index(site), _ADS.index(ad)] = _MATCH
    return _centred(table, _shares("site"), _shares("ad"))


@cache
def _hour_by_ad() -> NDArray[np.float64]:
    """float64[hours, ads], centred."""
    table = np.zeros((24, len(_ADS)))
    for ad, first, last, effect in _HOUR_EFFECTS:
        table[first : last + 1, _ADS.index(ad)] = effect
    return _centred(table, _shares("hour"), _shares("ad"))


def _centred(
    table: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A table of pairs without what its rows and columns say alone, at these shares of both."""
    row_means, column_means = table @ columns, rows @ table
    return table - row_means[:, None] - column_means + rows @ table @ columns


_COFFEE: Final = {
    "hour": "08:00",
    "weekday": "Tuesday",
    "device": "phone",
    "slot": "in text",
    "format": "picture",
    "site": "news",
    "ad": "coffee",
    "segment": "couples",
    "region": "north",
    "ad_id": "ad-01",
}
_KITCHENWARE: Final = {
    "hour": "12:00",
    "weekday": "Saturday",
    "device": "laptop",
    "slot": "in text",
    "format": "long video",
    "site": "recipes",
    "ad": "kitchenware",
    "segment": "couples",
    "region": "north",
    "ad_id": "ad-03",
}
PINNED: Final[tuple[PinnedImpression, ...]] = (
    PinnedImpression(
        "Coffee in the morning",
        _COFFEE,
        "Composed: two values that meet, coffee and eight o'clock.",
    ),
    PinnedImpression(
        "Coffee in the evening",
        {**_COFFEE, "hour": "20:00"},
        "Composed: the same at 20:00; the pair turns round.",
    ),
    PinnedImpression(
        "Kitchenware on a laptop",
        _KITCHENWARE,
        "Composed: the branches disagree; the ad matches the site, but a long video on a "
        "laptop at the weekend puts people off.",
    ),
    PinnedImpression(
        "Kitchenware on a phone",
        {**_KITCHENWARE, "device": "phone"},
        "Composed: one word changed, laptop to phone.",
    ),
)

D2L_FORM_ROWS: Final[Mapping[str, int]] = {"train": 15_000, "test": 3_000}
_D2L_CARDINALITIES: Final = (
    *(150, 80, 4, 800, 300, 230, 95, 60, 115, 280, 55, 170, 80, 2, 55, 400, 2),
    *(2, 2, 150, 100, 180, 18, 14, 2, 85, 400, 36, 22, 14, 30, 36, 16, 12),
)
_D2L_FACTORS: Final = 4


def write_d2l_form(
    folder: Path, *, seed: int = 0, rows: Mapping[str, int] = D2L_FORM_ROWS
) -> dict[str, Path]:
    """Write train.csv and test.csv as D2L's ctr set has them: part to path.

    Tab-separated without header: a label, then 34 columns of hash-like values; 15,000 and 3,000
    rows, about as many different values as in the real set. Clicks follow a factorization
    machine, so that there is something to learn.
    """
    rng = np.random.default_rng(seed)
    fields = [_HashedField(rng, size) for size in _D2L_CARDINALITIES]
    paths = {}
    for part, count in rows.items():
        codes = [field.draw(rng, count) for field in fields]
        pull = np.sum([f.weights[c] for f, c in zip(fields, codes, strict=True)], axis=0)
        factors = np.stack([f.factors[c] for f, c in zip(fields, codes, strict=True)])
        pairs = (factors.sum(axis=0) ** 2 - (factors**2).sum(axis=0)).sum(axis=1) / 2
        clicked = rng.random(count) < sigmoid(-1.4 + pull + pairs)
        columns = [field.texts.take(pa.array(c)) for field, c in zip(fields, codes, strict=True)]
        table = pa.table([pa.array(clicked.astype(np.int8)), *columns], [*map(str, range(35))])
        paths[part] = folder / f"{part}.csv"
        _write_tabs(paths[part], table, header=False)
    return paths


def write_d2l_zip(path: Path, *, seed: int = 0) -> None:
    """Write a zip of the form of D2L's ctr.zip: ctr/train.csv and ctr/test.csv."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in write_d2l_form(Path(folder), seed=seed).values():
            archive.write(file, f"ctr/{file.name}")


class _HashedField:
    """One column of hash-like values, drawn by Zipf's law, with its pull and factors.

    texts     size texts of 8 hex digits
    weights   float64[size]; factors float64[size, 4]
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        numbers = rng.integers(1 << 32, size=size)
        self.texts = pa.array([f"{number:08x}" for number in numbers.tolist()])
        self.weights = rng.normal(0.0, 0.15, size)
        self.factors = rng.normal(0.0, 0.12, (size, _D2L_FACTORS))
        shares = 1.0 / np.arange(1, size + 1)
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
        return rng.choice(len(self.texts), rows, p=self._shares)


def _write_tabs(path: Path, table: pa.Table, *, header: bool) -> None:
    """Write texts that hold neither tabs nor quotes, as they are."""
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as file:
        if header:
            file.write(("\t".join(table.column_names) + "\n").encode())
        pyarrow.csv.write_csv(table, file, options)
