"""A dataset folder on disk to a Dataset: vocabulary, schema, and the encoded rows of each part.

dataset.json         name, fingerprint, settings, rows of each part, what was skipped
schema.json          columns and roles, as the person agreed to them
vocabulary.parquet   value <-> index
{part}_ids.npy       int32[N, F]
{part}_labels.npy    float32[N]
{part}_truth.npy     float32[N], the true click probability; only where it is known
{part}_rows.parquet  the raw text of all columns and __row__; validation and test only
The folder is made elsewhere and renamed into place, and nothing writes to it afterwards.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.reader import ROW, Skipped
from deepfm.data.schema import Schema, SkippedRow
from deepfm.data.vocabulary import Field, Vocabulary
from deepfm.errors import DataError, DeepFMError

DATASET_FILE: Final = "dataset.json"
SCHEMA_FILE: Final = "schema.json"
PART_NAMES: Final[tuple[str, ...]] = ("train", "validation", "test")
VERSION: Final = 1


@dataclass(frozen=True)
class Part:
    """The rows of one part, in file order; row N counts from 0 within the part.

    ids      int32[N, F], memory-mapped
    labels   float32[N], memory-mapped: 1 clicked, 0 not
    truth    float32[N], the true click probability, or None where it is not known
    """

    name: str
    ids: NDArray[np.int32]
    labels: NDArray[np.float32]
    truth: NDArray[np.float32] | None
    folder: Path

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_rows(self) -> bool:
        """Whether the raw rows are kept: true for validation and test."""
        return self.name != "train"

    def rows(self, start: int = 0, count: int | None = None) -> pa.Table:
        """The raw text of all columns, and __row__: the row's number in its file, from 0.

        start, count   which rows; by default all of them. Reads only the groups they lie in.
        """
        if not self.has_rows:
            raise DataError(
                "The raw rows of the train part are not kept. Decode its ids, or look at the "
                "validation or test part."
            )
        stop = len(self) if count is None else min(start + count, len(self))
        with pq.ParquetFile(self.folder / f"{self.name}_rows.parquet") as file:
            return _read_rows(file, start, stop)


@dataclass(frozen=True)
class PartSummary:
    """How many rows a part has, how many of them were clicked, and their share."""

    rows: int
    clicks: int

    @property
    def base_rate(self) -> float:
        """Clicks per row."""
        return self.clicks / self.rows


@dataclass(frozen=True)
class Summary:
    """A dataset in figures: rows and clicks of each part, fields F, features V, skipped rows."""

    parts: dict[str, PartSummary]
    fields: int
    features: int
    skipped_rows: int

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types, each part with its base rate."""
        parts = {
            name: {"rows": part.rows, "clicks": part.clicks, "base_rate": part.base_rate}
            for name, part in self.parts.items()
        }
        return {**dataclasses.asdict(self), "rows": self.rows, "parts": parts}


@dataclass(frozen=True)
class About:
    """What dataset.json holds.

    sources   part -> the file it came from, by name
    notices   what a person should know of the data, one sentence each
    """

    name: str
    fingerprint: str
    sources: dict[str, str]
    prepare: PrepareConfig
    parts: dict[str, PartSummary]
    skipped: Skipped
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            "version": VERSION,
            **dataclasses.asdict(self),
            "prepare": self.prepare.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "About":
        """From JSON's types; KeyError, TypeError or ValueError where they do not fit."""
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']}, expected {VERSION}")
        skipped = values["skipped"]
        return cls(
            name=values["name"],
            fingerprint=values["fingerprint"],
            sources=dict(values["sources"]),
            prepare=PrepareConfig.from_dict(values["prepare"]),
            parts={name: PartSummary(**values["parts"][name]) for name in values["parts"]},
            skipped=Skipped(
                skipped["count"],
                dict(skipped["reasons"]),
                [SkippedRow(**row) for row in skipped["examples"]],
            ),
            notices=tuple(values["notices"]),
        )


class Dataset:
    """An encoded, immutable folder of click data."""

    def __init__(
        self,
        folder: Path,
        about: About,
        schema: Schema,
        vocabulary: Vocabulary,
        parts: Mapping[str, Part],
    ) -> None:
        self.folder = folder
        self.schema = schema
        self.vocabulary = vocabulary
        self.parts = dict(parts)
        self._about = about

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(part):,}" for name, part in self.parts.items())
        return f"Dataset({self.name!r}, {len(self.fields)} fields, {parts})"

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self._about.name

    @property
    def fingerprint(self) -> str:
        """Names the content of the files, the settings of prepare and the schema together."""
        return self._about.fingerprint

    @property
    def fields(self) -> tuple[Field, ...]:
        """The F fields, in the order of the model's input."""
        return self.vocabulary.fields

    @property
    def prepare(self) -> PrepareConfig:
        """The settings it was prepared with."""
        return self._about.prepare

    @property
    def skipped(self) -> Skipped:
        """Rows of the files that are in no part, with the reasons."""
        return self._about.skipped

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of the data, one sentence each."""
        return self._about.notices

    @property
    def source(self) -> str:
        """The name of the file that the training rows came from."""
        return self._about.sources["train"]

    @property
    def sources(self) -> dict[str, str]:
        """Part to the name of the file that its rows came from."""
        return dict(self._about.sources)

    @cached_property
    def figures_part(self) -> str:
        """The part that figures are given for: test, else validation, else train."""
        return next(name for name in reversed(PART_NAMES) if name in self.parts)

    def summary(self) -> Summary:
        """Rows and clicks of each part, fields, features, skipped rows."""
        return Summary(
            dict(self._about.parts),
            len(self.fields),
            self.vocabulary.num_features,
            self.skipped.count,
        )


def open_dataset(folder: str | Path) -> Dataset:
    """Open a dataset folder; DataError names the file that is missing, damaged or foreign.

    Reads the vocabulary; the rows are memory-mapped, so that any size opens at once.
    """
    folder = Path(folder)
    if not (folder / DATASET_FILE).is_file():
        raise DataError(
            f"{folder} is not a dataset folder: it has no {DATASET_FILE}. "
            "Prepare a file first: python -m deepfm prepare FILE --out DIR."
        )
    about = _read_json(folder, DATASET_FILE, About.from_dict)
    schema = _read_json(folder, SCHEMA_FILE, Schema.from_dict)
    vocabulary = Vocabulary.load(folder)
    parts = {name: _open_part(folder, name, about, vocabulary) for name in about.parts}
    return Dataset(folder, about, schema, vocabulary, parts)


def _open_part(folder: Path, name: str, about: About, vocabulary: Vocabulary) -> Part:
    rows = about.parts[name].rows
    truth = f"{name}_truth.npy"
    part = Part(
        name,
        _open_array(folder, f"{name}_ids.npy", np.int32, (rows, len(vocabulary.fields))),
        _open_array(folder, f"{name}_labels.npy", np.float32, (rows,)),
        _open_array(folder, truth, np.float32, (rows,)) if (folder / truth).exists() else None,
        folder,
    )
    if part.has_rows:
        _check_rows(folder, f"{name}_rows.parquet", rows)
    return part


def _open_array(folder: Path, file: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = np.load(folder / file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise _missing(folder, file) from None
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, file, error) from error
    if array.dtype != dtype or array.shape != shape:
        raise _damaged(
            folder, file, f"{array.dtype}{list(array.shape)}, expected {np.dtype(dtype)}{[*shape]}"
        )
    return array


def _check_rows(folder: Path, file: str, rows: int) -> None:
    try:
        found = pq.read_metadata(folder / file).num_rows
    except FileNotFoundError:
        raise _missing(folder, file) from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(folder, file, error) from error
    if found != rows:
        raise _damaged(folder, file, f"{found} rows, expected {rows}")


def _read_rows(file: pq.ParquetFile, start: int, stop: int) -> pa.Table:
    """Rows start … stop − 1 from the row groups that hold them."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    groups = [
        i for i, end in enumerate(ends) if end > start and end - sizes[i] < max(stop, start + 1)
    ]
    table = file.read_row_groups(groups)
    before = int(ends[groups[0]]) - sizes[groups[0]] if groups else 0
    return table.slice(start - before, max(stop - start, 0))


def _read_json(folder: Path, file: str, parse: Any) -> Any:
    try:
        return parse(json.loads((folder / file).read_text("utf-8")))
    except FileNotFoundError:
        raise _missing(folder, file) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DeepFMError) as error:
        raise _damaged(folder, file, error) from error


def _missing(folder: Path, file: str) -> DataError:
    return DataError(f"{file} is missing in the dataset folder {folder}. Prepare the data again.")


def _damaged(folder: Path, file: str, why: object) -> DataError:
    return DataError(
        f"{file} in the dataset folder {folder} is damaged or foreign ({why}). "
        "Prepare the data again."
    )


__all__ = [
    "DATASET_FILE",
    "PART_NAMES",
    "ROW",
    "SCHEMA_FILE",
    "About",
    "Dataset",
    "Part",
    "PartSummary",
    "Summary",
    "open_dataset",
]
