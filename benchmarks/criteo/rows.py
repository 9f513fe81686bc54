"""A seed to rows of Criteo Kaggle's shape: ranks of values block by block, and as raw text."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from deepfm.data.schema import Column, FileFormat, Schema
from deepfm.terms import sigmoid

FULL_ROWS: Final = 45_840_617
"""Rows of the real log."""
MIN_COUNT: Final = 8
BLOCK_ROWS: Final = 65_536
VERSION: Final = 1
"""Goes up with any change of the rows."""

_STEEPNESS: Final = 6
"""k of the law: the share of rank r falls as r^(−1 − 1/k). With 6 a million features are kept."""
_EFFECTS: Final = 4_096
"""Different effects of a field; value number r has effect number r modulo this."""
_STREAMS: Final = {"train": 0, "test": 1, "edges": 2, "effects": 3, "validation": 4}
"""Random numbers of their own for each part, and for the truth."""
_BASE: Final = -1.5
_EFFECT_SPREAD: Final = 0.13
_TRAIT_SPREAD: Final = 0.75
_PAIRS: Final = ((13, 28), (14, 33), (15, 21), (22, 26), (17, 38), (5, 29))
"""Columns, counted from 0, whose values meet."""

_NUMBERS: Final = (5775, 257675, 65535, 969, 23159456, 431037, 56311)
_NUMBERS_REST: Final = (6047, 29019, 11, 231, 4008, 7393)
_NUMBERS_MISSING: Final = (45, 0, 21, 22, 3, 22, 4, 0, 4, 45, 4, 77, 22)
_HASHES: Final = (1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194)
_HASHES_REST: Final = (27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572)
_HASHES_MISSING: Final = (0, 0, 3, 3, 0, 12, 0, 0, 0, 0, 0, 3, 0)
_HASHES_MISSING_REST: Final = (0, 0, 3, 0, 0, 44, 44, 3, 76, 0, 3, 44, 44)


@dataclass(frozen=True)
class CriteoField:
    """One column: how many different values it has, and the share of its cells that is empty."""

    number: int
    name: str
    numeric: bool
    values: int
    missing: float

    @property
    def least(self) -> float:
        """The smallest v of the law: rank = v^−k for v even between this and 1."""
        return float((self.values + 1) ** (-1 / _STEEPNESS))

    def kept(self, log_rows: int) -> int:
        """Values that a log of so many rows is expected to hold MIN_COUNT times; at least one.

        The share of rank r is about r^(−1 − 1/k) / k / (1 − least).
        """
        ratio = log_rows * (1 - self.missing) / (MIN_COUNT * _STEEPNESS * (1 - self.least))
        return max(1, min(self.values, int(ratio ** (_STEEPNESS / (_STEEPNESS + 1)))))

    def draw(self, rng: np.random.Generator, rows: int) -> NDArray[np.int32]:
        """Ranks, int32[rows]: 1 is the commonest value, 0 an empty cell.

        Products and a division only, so that every machine draws the same.
        """
        v = rng.random(rows)
        v *= 1 - self.least
        v += self.least
        v *= v
        ranks = (1 / (v * v * v)).astype(np.int32)
        np.minimum(ranks, self.values, out=ranks)
        if self.missing:
            ranks[rng.random(rows, dtype=np.float32) < self.missing] = 0
        return ranks

    def codes(self, ranks: NDArray[np.int32]) -> NDArray[np.uint32]:
        """Ranks to hashes, one to one within the field."""
        mixed = ranks.astype(np.uint32)
        mixed *= np.uint32(0x9E3779B1)
        mixed += np.uint32(self.number * 0x632BE5AB & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
        return mixed

    def texts(self, ranks: NDArray[np.int32]) -> pa.StringArray:
        """Ranks to cells: whole numbers from 0 or 8 hex digits; null is an empty cell."""
        empty = pa.array(ranks == 0)
        if self.numeric:
            return pa.array(ranks - 1, mask=ranks == 0).cast(pa.string())
        return pc.if_else(empty, pa.scalar(None, pa.string()), _hex(self.codes(ranks)))


def _fields() -> tuple[CriteoField, ...]:
    columns = [
        *zip((*_NUMBERS, *_NUMBERS_REST), _NUMBERS_MISSING, strict=True),
        *zip((*_HASHES, *_HASHES_REST), (*_HASHES_MISSING, *_HASHES_MISSING_REST), strict=True),
    ]
    return tuple(
        CriteoField(i, f"I{i + 1}" if i < 13 else f"C{i - 12}", i < 13, values, percent / 100)
        for i, (values, percent) in enumerate(columns)
    )


FIELDS: Final = _fields()
SCHEMA: Final = Schema(
    FileFormat("text"),
    (
        Column("label", "label"),
        *(Column(f.name, "numeric" if f.numeric else "categorical") for f in FIELDS),
    ),
    positive=("1",),
    negative=("0",),
)


@dataclass(frozen=True)
class Block:
    """Some rows in a row.

    ranks    int32[39, n]; 0 is an empty cell
    truth    float32[n], the true click probability
    labels   uint8[n]
    """

    ranks: NDArray[np.int32]
    truth: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, rows: int) -> "Block":
        """The first rows only."""
        return Block(self.ranks[:, :rows], self.truth[:rows], self.labels[:rows])


def draw_block(number: int, *, part: str = "train", seed: int = 0) -> Block:
    """Block number 0, 1, … of a part: BLOCK_ROWS rows, a pure function of its arguments."""
    rng = np.random.default_rng([VERSION, seed, _STREAMS[part], number])
    ranks = np.stack([field.draw(rng, BLOCK_ROWS) for field in FIELDS])
    truth = sigmoid(_logit(ranks, seed)).astype(np.float32)
    labels = (rng.random(BLOCK_ROWS, dtype=np.float32) < truth).astype(np.uint8)
    return Block(ranks, truth, labels)


def blocks(rows: int, *, part: str = "train", seed: int = 0) -> Iterator[Block]:
    """The first rows of a part, block by block."""
    for number in range(count_blocks(rows)):
        yield draw_block(number, part=part, seed=seed).first(rows - number * BLOCK_ROWS)


def count_blocks(rows: int) -> int:
    """Blocks that hold so many rows, the last one in part."""
    return -(-rows // BLOCK_ROWS)


def _logit(ranks: NDArray[np.int32], seed: int) -> NDArray[np.float32]:
    """int32[39, n] to the true logit, float32[n]: single values, and pairs of columns."""
    effects, traits = _effects(seed)
    places = ranks & (_EFFECTS - 1)
    logit = np.full(ranks.shape[1], _BASE, np.float32)
    for field in FIELDS:
        logit += effects[field.number][places[field.number]]
    for a, b in _PAIRS:
        logit += traits[a][places[a]] * traits[b][places[b]]
    return logit


@cache
def _effects(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Effect of each value alone, and what it brings to a pair: float32[39, _EFFECTS] each."""
    rng = np.random.default_rng([VERSION, seed, _STREAMS["effects"]])
    shape = (2, len(FIELDS), _EFFECTS)
    single, pair = rng.standard_normal(shape, dtype=np.float32)
    return _EFFECT_SPREAD * single, _TRAIT_SPREAD * pair


def _hex(codes: NDArray[np.uint32]) -> pa.StringArray:
    """uint32[n] to texts of 8 hex digits."""
    octets = codes.astype(">u4").view(np.uint8).reshape(-1, 4)
    digits = _hex_pairs()[octets]
    offsets = np.arange(0, 8 * len(codes) + 1, 8, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(codes), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(digits))
    )


@cache
def _hex_pairs() -> NDArray[np.uint16]:
    """The two digits of each octet, as they lie in memory."""
    return np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), np.uint16)


def write_text(path: Path, rows: int, *, part: str = "train", seed: int = 0) -> None:
    """Write tab-separated text as the real log has it: no header, the label first."""
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as file:
        for block in blocks(rows, part=part, seed=seed):
            pyarrow.csv.write_csv(text_table(block), file, options)


def text_table(block: Block) -> pa.Table:
    """A block as it stands in the text: the label and 39 columns, pa.string()."""
    labels = pa.array(("0", "1")).take(pa.array(block.labels))
    cells = [field.texts(ranks) for field, ranks in zip(FIELDS, block.ranks, strict=True)]
    return pa.table([labels, *cells], list(SCHEMA.names))
