"""Raw text of Criteo's shape to encoded rows: ours beside the seed's plain Python loader.

python -m benchmarks.ingest                       (1 million rows × 40 columns)
python -m benchmarks.ingest --rows 4000000 --plain-rows 1000000

Every reading has a process of its own, takes turns with the others, and the median of the rounds
counts. Prints a Markdown table and one JSON line.

Beside ours stand the same columns read, counted and encoded by hand with pyarrow and, where it is
installed, with polars: whole tables in memory, nothing checked, nothing written. They are here to
choose what ours is built on: on 2026-11-24, on two cores that were not quiet, pyarrow encoded 430
thousand rows a second and polars 2.1 half as many (221), each taking about 1 GB for a million rows.
So ours is built on pyarrow, which reads a file in blocks as well.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import criteo, report
from benchmarks.memory import MIB, AnonymousPeak, in_own_process, status
from benchmarks.shapes import add_cache_flag, chosen_keys
from deepfm.data.dataset import prepare
from deepfm.data.schema import Schema

MIN_COUNT: Final = 4
COLUMNS: Final = 1 + len(criteo.FIELDS)


@dataclass(frozen=True)
class Reading:
    """One file read once: how long it took, and the memory of the process, in bytes.

    anonymous   the most of its own at any time; resident the most with mapped files
    before      its own when the reading began, all imports done
    """

    rows: int
    features: int
    seconds: float
    anonymous: int
    resident: int
    before: int


class PlainLoader:
    """The seed's loader, as D2L's book has it: split lines, count in dicts, keep what is common.

    The book looks indices up when a row is asked for; `encoded` asks for all of them.
    """

    def __init__(self, path: Path, num_fields: int, min_threshold: int) -> None:
        self.labels: list[np.float32] = []
        self._rows: list[list[str]] = []
        counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        with path.open(encoding="utf-8") as file:
            for line in file:
                values = line.rstrip("\n").split("\t")
                if len(values) != num_fields + 1:
                    continue
                self.labels.append(np.float32(values[0]))
                for i in range(1, num_fields + 1):
                    counts[i - 1][values[i]] += 1
                self._rows.append(values[1:])
        kept = {
            i: {value for value, count in found.items() if count >= min_threshold}
            for i, found in counts.items()
        }
        self.mapper = {
            i: {value: index for index, value in enumerate(sorted(values))}
            for i, values in kept.items()
        }
        self.field_dims = [len(self.mapper[i]) + 1 for i in range(num_fields)]
        self._offsets = np.cumsum([0, *self.field_dims[:-1]])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> tuple[NDArray[np.int64], np.float32]:
        """Indices, int64[F], and the label; a value that is not kept has its field's last one."""
        ids = np.array(
            [
                self.mapper[i].get(value, self.field_dims[i] - 1)
                for i, value in enumerate(self._rows[row])
            ]
        )
        return ids + self._offsets, self.labels[row]

    def encoded(self) -> NDArray[np.int32]:
        """All rows, int32[N, F]."""
        return np.stack([self[row][0] for row in range(len(self))]).astype(np.int32)


def read_plainly(path: Path, encode: bool) -> Reading:
    """The plain loader; with `encode` all rows as indices too, else only its dicts."""
    with _Measuring() as measured:
        loader = PlainLoader(path, len(criteo.FIELDS), MIN_COUNT)
        if encode:
            loader.encoded()
    return measured.reading(len(loader), sum(loader.field_dims))


def read_ours(path: Path, schema: Schema | None) -> Reading:
    """`prepare` to a dataset folder: looking at the file, counting, encoding, writing."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, _Measuring() as measured:
        dataset = prepare(
            path, out=Path(folder) / "out", schema=schema, min_count=MIN_COUNT, validation=0.0
        )
    return measured.reading(len(dataset.parts["train"]), dataset.vocabulary.num_features)


def read_by_hand(path: Path, encode: Callable[[Path], tuple[int, int]]) -> Reading:
    """A library's own reader and hash table: the file to int32[N, F] in memory."""
    with _Measuring() as measured:
        rows, features = encode(path)
    return measured.reading(rows, features)


def by_pyarrow(path: Path) -> tuple[int, int]:
    """Rows and features; the whole table in memory, columns encoded side by side."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    names = ["label", *(field.name for field in criteo.FIELDS)]
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(column_names=names, block_size=8 * MIB),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    labels = table["label"].cast(pa.float32()).to_numpy()

    def encode(name: str) -> tuple[NDArray[np.int32], int]:
        found = table[name].combine_chunks().dictionary_encode()
        codes = found.indices.to_numpy()
        kept = np.flatnonzero(np.bincount(codes, minlength=len(found.dictionary)) >= MIN_COUNT)
        order = pc.array_sort_indices(found.dictionary.take(pa.array(kept))).to_numpy()
        places = np.full(len(found.dictionary), len(kept), np.int32)
        places[kept[order]] = np.arange(len(kept))
        return places[codes], len(kept) + 1

    ids = np.empty((len(labels), len(names) - 1), np.int32)
    features = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, (places, size) in enumerate(pool.map(encode, names[1:])):
            ids[:, i] = places + features
            features += size
    return len(ids), features


def by_polars(path: Path) -> tuple[int, int]:
    """Rows and features; polars uses all cores by itself."""
    import polars as pl  # type: ignore[import-not-found]

    names = ["label", *(field.name for field in criteo.FIELDS)]
    table = pl.read_csv(
        path,
        separator="\t",
        has_header=False,
        quote_char=None,
        schema=dict.fromkeys(names, pl.String),
        empty_string_is_null=False,
    )
    labels = table["label"].cast(pl.Float32).to_numpy()
    ids = np.empty((len(labels), len(names) - 1), np.int32)
    features = 0
    for i, name in enumerate(names[1:]):
        counts = table[name].value_counts()
        kept = counts.filter(pl.col("count") >= MIN_COUNT)[name].sort()
        places = pl.DataFrame({name: kept, "place": np.arange(len(kept), dtype=np.int32)})
        found = table.select(name).join(places, on=name, how="left", maintain_order="left")
        ids[:, i] = found["place"].fill_null(len(kept)).to_numpy() + features
        features += len(kept) + 1
    return len(ids), features


class _Measuring:
    """Wall time and memory of the block."""

    def __enter__(self) -> "_Measuring":
        self._before = status("RssAnon")
        self._peak = AnonymousPeak()
        self._peak.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: Any) -> None:
        self._seconds = time.perf_counter() - self._began
        self._peak.__exit__(*error)

    def reading(self, rows: int, features: int) -> Reading:
        """What was measured, of so many rows."""
        return Reading(
            rows, features, self._seconds, self._peak.bytes, status("VmHWM"), self._before
        )


def all_categorical() -> Schema:
    """Criteo's columns with the numbers taken as texts, as the seed's loader takes them."""
    schema = criteo.SCHEMA
    for field in criteo.FIELDS:
        schema = schema.with_role(field.name, "categorical")
    return schema


@dataclass(frozen=True)
class Variant:
    """One way to read, of all rows, of a quarter of them, or of as many as the plain loader."""

    label: str
    read: Callable[[Path], Reading]
    share: str = "all"
    needs: str = ""
    """A package that this project does not need; without it the variant is left out."""


VARIANTS: Final[Mapping[str, Variant]] = {
    "plain": Variant("plain loader, all rows encoded", partial(read_plainly, encode=True), "plain"),
    "plain_dicts": Variant(
        "plain loader, dicts only", partial(read_plainly, encode=False), "plain"
    ),
    "ours": Variant("ours, roles guessed", partial(read_ours, schema=None)),
    "ours_categorical": Variant(
        "ours, every column categorical", partial(read_ours, schema=all_categorical())
    ),
    "ours_quarter": Variant(
        "ours, a quarter of the rows", partial(read_ours, schema=None), "quarter"
    ),
    "pyarrow": Variant("pyarrow by hand", partial(read_by_hand, encode=by_pyarrow)),
    "polars": Variant("polars by hand", partial(read_by_hand, encode=by_polars), needs="polars"),
}
RATIOS: Final = (
    ("ours ÷ plain loader", "ours", "plain"),
    ("ours, every column categorical ÷ plain loader", "ours_categorical", "plain"),
    ("ours ÷ plain loader, dicts only", "ours", "plain_dicts"),
    ("ours ÷ polars by hand", "ours", "polars"),
    ("pyarrow by hand ÷ polars by hand", "pyarrow", "polars"),
)


def measure(
    files: Mapping[str, Path], rounds: int, chosen: Sequence[str]
) -> dict[str, list[Reading]]:
    """Each variant once a round, in a process of its own."""
    found: dict[str, list[Reading]] = {key: [] for key in chosen}
    for number in range(rounds):
        for key in chosen:
            variant = VARIANTS[key]
            found[key].append(in_own_process(variant.read, files[variant.share]))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def is_there(variant: Variant) -> bool:
    """Whether what it needs is installed; says so where it is not."""
    if variant.needs and importlib.util.find_spec(variant.needs) is None:
        print(f"{variant.needs} is not installed: {variant.label} is left out", file=sys.stderr)
        return False
    return True


def rate_of(readings: list[Reading]) -> float:
    """The median of rows a second."""
    return median(reading.rows / reading.seconds for reading in readings)


def table(found: Mapping[str, list[Reading]]) -> str:
    """Rows a second, features and memory of each variant."""
    rows = [
        [
            VARIANTS[key].label,
            f"{readings[0].rows:,}",
            report.thousands(rate_of(readings)),
            f"{median(r.seconds for r in readings):.1f}",
            f"{readings[0].features:,}",
            f"{max(r.anonymous for r in readings) / MIB:,.0f}",
            f"{max(r.resident for r in readings) / MIB:,.0f}",
        ]
        for key, readings in found.items()
    ]
    header = ["raw text to encoded", "rows", "thousand rows/s", "seconds", "features"]
    return report.markdown([*header, "peak of its own, MiB", "peak resident, MiB"], rows)


def ratios(found: Mapping[str, list[Reading]]) -> dict[str, float]:
    """Quotients of rows a second, where both were measured."""
    return {
        name: rate_of(found[above]) / rate_of(found[below])
        for name, above, below in RATIOS
        if above in found and below in found
    }


def text_file(cache: Path, rows: int) -> Path:
    """The text with so many rows, made once."""
    path = cache / f"criteo-{criteo.VERSION}-{rows}.txt"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".writing")
        criteo.write_text(unfinished, rows)
        unfinished.rename(path)
    return path


def main() -> None:
    """Make the text, read it in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--plain-rows", type=int, help="of the plain loader, by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="KEY,KEY", help=", ".join(VARIANTS))
    parser.add_argument("--quick", action="store_true", help="one round of 100,000 rows")
    add_cache_flag(parser)
    given = parser.parse_args()
    chosen = [key for key in chosen_keys(given.only, VARIANTS) if is_there(VARIANTS[key])]
    rows, rounds = (100_000, 1) if given.quick else (given.rows, given.rounds)
    sizes = {"all": rows, "quarter": rows // 4, "plain": given.plain_rows or rows}
    files = {share: text_file(given.cache, size) for share, size in sizes.items()}
    found = measure(files, rounds, chosen)
    quotients = ratios(found)
    print(report.title(f"Ingest of {COLUMNS} columns, min_count {MIN_COUNT}", report.machine()))
    print(f"\n{table(found)}\n")
    for name, value in quotients.items():
        print(f"{name}: {report.times(value)}")
    figures = {key: [asdict(reading) for reading in readings] for key, readings in found.items()}
    bytes_of_text = files["all"].stat().st_size
    report.print_json(
        "ingest",
        report.machine(),
        {"bytes": bytes_of_text, "readings": figures, "ratios": quotients},
    )


if __name__ == "__main__":
    main()
