"""The files of a run folder to checked Python values; what is wrong with one is a RunError.

config.json          the configurations, the dataset's name, the pinned impressions
schema.json, vocabulary.parquet, model.safetensors, reference.npy, environment.json, result.json
scores.parquet       part, row, linear, pairwise, deep, label, truth of the evaluated rows
impressions.parquet  part, row, and the raw text of every column as value:NAME, of the first rows
impression_ids.npy   int32[rows of impressions.parquet, F]
metrics.jsonl        the events
training_means.npz   the means over all training rows; only once they were measured
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.schema import Schema
from deepfm.data.vocabulary import Vocabulary
from deepfm.errors import DeepFMError, RunError
from deepfm.events import Event, Finished, from_json
from deepfm.terms import TERM_NAMES
from deepfm.trained.training_means import TRAINING_MEANS, TrainingMeans, read_training_means
from deepfm.trained.weights import Float32s, Ids

VERSION: Final = 1
"""The newest layout of a run folder that this program reads."""
FILES: Final = (
    "config.json",
    "schema.json",
    "vocabulary.parquet",
    "model.safetensors",
    "reference.npy",
    "scores.parquet",
    "impressions.parquet",
    "impression_ids.npy",
    "metrics.jsonl",
    "environment.json",
    "result.json",
)
CHECKPOINT: Final = "checkpoint.json"
"""Where a training that has not ended is, which a whole run folder does not need."""
SCORE_COLUMNS: Final = ("part", "row", *TERM_NAMES, "label", "truth")
PARTS: Final = ("test", "validation", "train")
VALUE: Final = "value:"
"""Before the name of each raw column in impressions.parquet, so that none is taken for another."""

_ADVICE: Final = "Copy the whole run folder again, or train the run again."
_DAMAGE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    EOFError,
    RecursionError,
    MemoryError,
    SyntaxError,
    TokenError,
    BadZipFile,
    pa.ArrowException,
    SafetensorError,
    DeepFMError,
)
"""What readers raise over bytes that are not what the name promises; numpy tokenizes headers."""


@dataclass(frozen=True)
class RunConfig:
    """config.json: what was trained, on what, and which part its figures are of."""

    model: ModelConfig
    train: TrainConfig
    dataset_name: str
    dataset_fingerprint: str
    pinned: tuple[dict[str, str | None], ...]
    part: str


@dataclass(frozen=True)
class RunFolder:
    """One run folder; every method reads one file, and raises a RunError that names it."""

    path: Path

    def check_complete(self) -> None:
        """RunError for a folder that is not there or lacks a file."""
        if not self.path.is_dir():
            raise RunError(f"There is no run folder {self.path}. Check the path, or train a run.")
        missing = [name for name in FILES if not (self.path / name).is_file()]
        if missing and (self.path / CHECKPOINT).is_file():
            raise RunError(
                f"The training in {self.path} was interrupted. "
                f"Go on with it by python -m deepfm resume {self.path}, then open it."
            )
        if "config.json" in missing:
            raise RunError(
                f"{self.path} is not a run folder: config.json is missing. "
                "Give the folder that the training wrote."
            )
        if missing:
            raise RunError(f"The run folder {self.path} lacks {', '.join(missing)}. {_ADVICE}")

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        try:
            yield self.path / name
        except _DAMAGE as error:
            cause = str(error) or type(error).__name__
            raise RunError(
                f"{name} in the run folder {self.path} is damaged or foreign: "
                f"{cause.rstrip('. ')}. {_ADVICE}"
            ) from error

    def _json(self, path: Path) -> dict[str, Any]:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it does not hold an object")
        return values

    def config(self) -> RunConfig:
        """config.json; RunError too for a version that only a newer program reads."""
        with self._reading("config.json") as path:
            values = self._json(path)
            version = values["version"]
            if version == VERSION:
                return _config(values)
            if not isinstance(version, int) or version < VERSION:
                raise ValueError(f"its version is {version!r}, expected {VERSION}")
        raise RunError(
            f"The run folder {self.path} was written by a newer version of this program "
            f"(layout {version}; this one reads {VERSION}). Update the program to open it."
        )

    def schema(self) -> Schema:
        """schema.json: what the columns of the file mean."""
        with self._reading("schema.json") as path:
            return Schema.from_dict(self._json(path))

    def vocabulary(self) -> Vocabulary:
        """vocabulary.parquet."""
        with self._reading("vocabulary.parquet"):
            return Vocabulary.load(self.path)

    def tensors(self) -> dict[str, Float32s]:
        """model.safetensors: every tensor by name, unchecked."""
        with self._reading("model.safetensors") as path:
            return load_file(path)

    def reference(self, vocabulary: Vocabulary) -> Ids:
        """reference.npy: int32[R, F], R at least 1, each index within its field."""
        with self._reading("reference.npy") as path:
            ids = np.load(path, allow_pickle=False)
            check_ids(ids, vocabulary)
            if not len(ids):
                raise ValueError("it holds no rows")
            return ids

    def training_means(self, vocabulary: Vocabulary, num_factors: int) -> TrainingMeans | None:
        """training_means.npz, None where it is not there: `measure` writes it after a training."""
        if not (self.path / TRAINING_MEANS).is_file():
            return None
        with self._reading(TRAINING_MEANS) as path:
            measured = read_training_means(path, len(vocabulary.fields), num_factors)
            check_ids(measured.ids, vocabulary)
            return measured

    def result(self) -> Finished:
        """result.json: the figures at the end of the training."""
        with self._reading("result.json") as path:
            return Finished(**self._json(path))

    def environment(self) -> dict[str, Any]:
        """environment.json: versions, device, seed."""
        with self._reading("environment.json") as path:
            return self._json(path)

    def events(self) -> tuple[Event, ...]:
        """metrics.jsonl: the events in their order."""
        with self._reading("metrics.jsonl") as path:
            lines = path.read_text(encoding="utf-8").splitlines()
            return tuple(from_json(line) for line in lines if line)

    def scores(self) -> "PartTable":
        """scores.parquet: part, row, linear, pairwise, deep, label, truth (may be empty)."""
        with self._reading("scores.parquet") as path:
            table = pq.read_table(path, page_checksum_verification=True)
            if tuple(table.column_names) != SCORE_COLUMNS:
                raise ValueError(f"its columns are {', '.join(table.column_names)}")
            for name in SCORE_COLUMNS[:-1]:
                if table[name].null_count:
                    raise ValueError(f"column {name} has empty cells")
            _check_numbers(table)
            return _by_part(table)

    def impressions(self, fields: set[str]) -> "PartTable":
        """impressions.parquet: part, row, and raw text columns, named value:NAME; all fields."""
        with self._reading("impressions.parquet") as path:
            table = pq.read_table(path, page_checksum_verification=True)
            for name in table.column_names[2:]:
                if not name.startswith(VALUE):
                    raise ValueError(f"column {name} is none that a run has")
            if lacking := fields - {name.removeprefix(VALUE) for name in table.column_names[2:]}:
                raise ValueError(f"it lacks the field {min(lacking)}")
            return _by_part(table)

    def impression_ids(self, rows: int, vocabulary: Vocabulary) -> Ids:
        """impression_ids.npy: int32[rows, F], each index within its field."""
        with self._reading("impression_ids.npy") as path:
            ids = np.load(path, allow_pickle=False)
            check_ids(ids, vocabulary)
            if len(ids) != rows:
                raise ValueError(f"it holds {len(ids)} rows, impressions.parquet {rows}")
            return ids


def _config(values: dict[str, Any]) -> RunConfig:
    dataset = values["dataset"]
    config = RunConfig(
        model=ModelConfig.from_dict(values["model"]),
        train=TrainConfig.from_dict(values["train"]),
        dataset_name=str(dataset["name"]),
        dataset_fingerprint=str(dataset["fingerprint"]),
        pinned=tuple(dict(impression) for impression in values["pinned"]),
        part=values["part"],
    )
    if config.part not in PARTS:
        raise ValueError(f"its part is {config.part!r}; known are {', '.join(PARTS)}")
    return config


def check_ids(ids: NDArray[Any], vocabulary: Vocabulary) -> None:
    """ValueError unless ids are int32[N, F] with each index within its field."""
    fields = vocabulary.fields
    if ids.ndim != 2 or ids.shape[1] != len(fields) or ids.dtype != np.int32:
        raise ValueError(
            f"it holds {ids.dtype}{list(ids.shape)}, expected int32[rows, {len(fields)}]"
        )
    low = np.array([field.offset for field in fields])
    high = np.array([field.default for field in fields])
    if ((ids < low) | (ids > high)).any():
        raise ValueError("it holds an index outside its field")


def _check_numbers(table: pa.Table) -> None:
    """ValueError unless terms are finite and labels are 0 or 1."""
    for name in TERM_NAMES:
        if not np.isfinite(table[name].to_numpy()).all():
            raise ValueError(f"column {name} holds values that are not numbers")
    if not np.isin(table["label"].to_numpy(), (0, 1)).all():
        raise ValueError("column label holds a value that is neither 0 nor 1")


@dataclass(frozen=True)
class PartTable:
    """A table whose rows stand part by part.

    table  without the columns part and row
    spans  part to its first row and its number of rows
    """

    table: pa.Table
    spans: dict[str, tuple[int, int]]

    def of(self, part: str) -> pa.Table:
        """The rows of one part, none for a part that is not there."""
        return self.table.slice(*self.spans.get(part, (0, 0)))


def _by_part(table: pa.Table) -> PartTable:
    """ValueError unless each part is known, stands together, and has its rows count from 0."""
    if table.column_names[:2] != ["part", "row"]:
        raise ValueError("its first columns are not part and row")
    runs = pc.run_end_encode(table["part"].combine_chunks())
    parts, ends = runs.values.to_pylist(), runs.run_ends.to_pylist()
    if len(set(parts)) < len(parts) or not set(parts) <= set(PARTS):
        raise ValueError(f"its parts are {', '.join(map(str, parts[:5]))}")
    spans, start, rows = {}, 0, table["row"].to_numpy()
    for part, end in zip(parts, ends, strict=True):
        if not np.array_equal(rows[start:end], np.arange(end - start)):
            raise ValueError(f"the rows of its part {part} do not count from 0")
        spans[part] = (start, end - start)
        start = end
    return PartTable(table.drop_columns(["part", "row"]), spans)
