"""Raw values to feature indices and back, field by field.

Each field owns a run of indices. A categorical field's values stand in the order of their text;
a numeric field's are buckets (its edges are quantiles of the training rows), then one for missing
numbers. The last index of every field is its default, for values that are rare or unseen.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deepfm.data.reader.numbers import is_missing, to_numbers
from deepfm.errors import DataError, SchemaError

RARE: Final = "rare or unseen"
"""How the default feature of a field reads; also accepted where a value is encoded."""
MISSING: Final = "missing"
"""How a numeric field without a number reads; an empty categorical cell is the value ""."""
VOCABULARY_FILE: Final = "vocabulary.parquet"

_VERSION: Final = 1
_FEW_EDGES: Final = 16
"""So many comparisons of whole columns are faster than a search for each number."""

FieldRole = Literal["categorical", "numeric"]
Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


@dataclass(frozen=True)
class Field:
    """A column of the model: indices offset … offset + size − 1, the last one its default."""

    name: str
    role: FieldRole
    offset: int
    size: int

    @property
    def default(self) -> int:
        """The index of rare and unseen values."""
        return self.offset + self.size - 1

    @property
    def indices(self) -> slice:
        """The field's rows of any table with one row per feature."""
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True)
class CategoricalValues:
    """The kept values of one categorical field, before it has its place among the others.

    texts             distinct, ascending by code point
    counts, clicks    int64[len(texts) + 1] over the training rows; last: the default feature
    distinct          how many values the training rows hold, the rare ones too
    """

    name: str
    texts: pa.StringArray
    counts: NDArray[np.int64]
    clicks: NDArray[np.int64]
    distinct: int

    role: Final = "categorical"

    @property
    def size(self) -> int:
        """Features of the field, the default included."""
        return len(self.texts) + 1


@dataclass(frozen=True)
class NumericBuckets:
    """The buckets of one numeric field, before it has its place among the others.

    edges             float64, ascending: bucket i holds edges[i − 1] < x ≤ edges[i]
    counts, clicks    int64[len(edges) + 3] over the training rows: buckets, missing, default
    distinct          how many numbers the training rows hold (of a sample if there are many)
    """

    name: str
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    clicks: NDArray[np.int64]
    distinct: int

    role: Final = "numeric"

    @property
    def size(self) -> int:
        """Features of the field: buckets, missing, default."""
        return len(self.edges) + 3


@dataclass(frozen=True)
class FieldValues:
    """The features of one field, the commonest first and the default last.

    value             how each reads; "" is an empty cell
    index             int32, over all fields
    count, clicks     int64, over the training rows
    """

    value: tuple[str, ...]
    index: NDArray[np.int32]
    count: NDArray[np.int64]
    clicks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.value)


class Vocabulary:
    """Which index stands for which value of which field: V features in F fields.

    fields            the F fields, in the order of the model's input
    counts, clicks    int64[V]: training rows, and clicks among them, of each feature
    distinct          per field, how many values the training rows hold, the rare ones too
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        texts: pa.StringArray,
        edges: Mapping[str, NDArray[np.float64]],
        counts: NDArray[np.int64],
        clicks: NDArray[np.int64],
        distinct: tuple[int, ...],
    ) -> None:
        self.fields = fields
        self.counts = counts
        self.clicks = clicks
        self.distinct = distinct
        self._texts = texts
        self._edges = edges
        self._by_name = {field.name: field for field in fields}

    @classmethod
    def of(cls, parts: Sequence[CategoricalValues | NumericBuckets]) -> "Vocabulary":
        """Lay the fields one after the other."""
        fields = tuple(_laid_out((part.name, part.role, part.size) for part in parts))
        return cls(
            fields,
            pa.concat_arrays([_readable(part) for part in parts]),
            {part.name: part.edges for part in parts if isinstance(part, NumericBuckets)},
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.clicks for part in parts]),
            tuple(part.distinct for part in parts),
        )

    @property
    def num_features(self) -> int:
        """V."""
        return len(self._texts)

    @property
    def field_dims(self) -> tuple[int, ...]:
        """Features of each field; they add up to V."""
        return tuple(field.size for field in self.fields)

    def field(self, name: str) -> Field:
        """One field by name; SchemaError if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(repr(field.name) for field in self.fields)
            raise SchemaError(f"There is no field {name!r}. The fields are {known}.") from None

    def edges(self, name: str) -> NDArray[np.float64]:
        """The upper edges of a numeric field's buckets, but the last one's, which has none."""
        return self._edges[self.field(name).name]

    def encode_column(self, name: str, values: Texts) -> NDArray[np.int32]:
        """Texts of one field to indices, int32[N]; null is an empty cell; never fails on a value.

        A numeric field reads numbers and the names of its buckets; other texts are missing.
        """
        field, texts = self.field(name), _string_array(values)
        if field.role == "numeric":
            return self._encode_numbers(field, texts)
        found = pc.index_in(pc.fill_null(texts, ""), value_set=self._kept(field))
        return _to_numpy(pc.fill_null(found, field.size - 1), np.int32) + np.int32(field.offset)

    def encode(self, impression: Mapping[str, str | float | None]) -> NDArray[np.int32]:
        """One impression, field name to value, to int32[F].

        An unknown or missing field is a SchemaError; an unknown value is the field's default.
        """
        for name in impression:
            self.field(name)
        missing = [field.name for field in self.fields if field.name not in impression]
        if missing:
            raise SchemaError(
                f"The impression has no value for {', '.join(map(repr, missing))}. "
                "Give every field; an empty text stands for an empty cell."
            )
        return np.array(
            [self._encode_one(field, as_text(impression[field.name])) for field in self.fields],
            dtype=np.int32,
        )

    def decode(self, ids: NDArray[np.integer] | Sequence[int]) -> dict[str, str]:
        """Indices of one impression, int[F], to field name and readable value.

        A default reads "rare or unseen", a bucket "12.5 to 30". DataError if an index lies
        outside its field.
        """
        if len(ids) != len(self.fields):
            raise DataError(f"{len(ids)} indices given for {len(self.fields)} fields.")
        return {
            field.name: self.decode_column(field.name, np.array([index]))[0].as_py()
            for field, index in zip(self.fields, ids, strict=True)
        }

    def decode_column(self, name: str, ids: NDArray[np.integer]) -> pa.StringArray:
        """Indices of one field, int[N], to readable values; DataError for one outside it."""
        field = self.field(name)
        outside = (ids < field.offset) | (ids > field.default)
        if outside.any():
            raise DataError(
                f"Index {ids[outside][0]} does not belong to field {name!r}, whose indices are "
                f"{field.offset} to {field.default}."
            )
        return self._texts.take(pa.array(ids))

    def values(self, name: str) -> FieldValues:
        """The features of one field with their training counts."""
        field = self.field(name)
        counts = self.counts[field.indices]
        order = np.append(np.argsort(-counts[:-1], kind="stable"), field.size - 1)
        ids = (field.offset + order).astype(np.int32)
        return FieldValues(
            tuple(self.decode_column(name, ids).to_pylist()),
            ids,
            self.counts[ids],
            self.clicks[ids],
        )

    def bucket(self, name: str, numbers: NDArray[np.float64]) -> NDArray[np.int32]:
        """Numbers of a numeric field to indices, int32[N]; NaN is missing."""
        field, edges = self.field(name), self.edges(name)
        return (field.offset + to_buckets(numbers, edges)).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write vocabulary.parquet: one row per feature."""
        table = pa.table(
            {
                "field": _field_column(self.fields),
                "value": self._texts,
                "upper_edge": self._edge_column(),
                "count": self.counts,
                "clicks": self.clicks,
            }
        )
        about = {
            "version": _VERSION,
            "fields": [
                {"name": field.name, "role": field.role, "size": field.size, "distinct": distinct}
                for field, distinct in zip(self.fields, self.distinct, strict=True)
            ],
        }
        pq.write_table(
            table.replace_schema_metadata({"deepfm": json.dumps(about)}),
            folder / VOCABULARY_FILE,
            compression="zstd",
        )

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read what `save` wrote; DataError if the file is missing, damaged or foreign."""
        path = folder / VOCABULARY_FILE
        if not path.is_file():
            raise DataError(f"{VOCABULARY_FILE} is missing in {folder}. Prepare the data again.")
        try:
            # pq.read_table would load pandas first, for a fifth of a second.
            with pq.ParquetFile(path) as file:
                return cls._from_table(file.read())
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{VOCABULARY_FILE} in {folder} is damaged or is not a vocabulary ({error}). "
                "Prepare the data again."
            ) from error

    @classmethod
    def _from_table(cls, table: pa.Table) -> "Vocabulary":
        about = json.loads((table.schema.metadata or {})[b"deepfm"])
        if about["version"] != _VERSION:
            raise ValueError(f"version {about['version']}, expected {_VERSION}")
        fields = tuple(_laid_out((f["name"], f["role"], f["size"]) for f in about["fields"]))
        if sum(field.size for field in fields) != table.num_rows:
            raise ValueError("the sizes of its fields do not add up")
        edges = table["upper_edge"]
        return cls(
            fields,
            table["value"].cast(pa.string()).combine_chunks(),
            {
                field.name: _numbers(edges.slice(field.offset, field.size - 3), np.float64)
                for field in fields
                if field.role == "numeric"
            },
            _numbers(table["count"], np.int64),
            _numbers(table["clicks"], np.int64),
            tuple(int(f["distinct"]) for f in about["fields"]),
        )

    def _kept(self, field: Field) -> pa.StringArray:
        return self._texts.slice(field.offset, field.size - 1)

    def _encode_one(self, field: Field, text: str) -> int:
        if field.role == "numeric":
            return int(self._encode_numbers(field, pa.array([text], pa.string()))[0])
        kept = self._kept(field)
        place = bisect_left(range(len(kept)), text, key=lambda i: kept[i].as_py())
        found = place < len(kept) and kept[place].as_py() == text
        return field.offset + place if found else field.default

    def _encode_numbers(self, field: Field, texts: pa.StringArray) -> NDArray[np.int32]:
        numbers, unread = parse_numbers(texts)
        ids = self.bucket(field.name, numbers)
        if unread.any():
            names = pc.index_in(texts.filter(pa.array(unread)), self._names[field.name])
            ids[unread] = field.offset + _to_numpy(pc.fill_null(names, field.size - 2), np.int32)
        return ids

    @cached_property
    def _names(self) -> dict[str, pa.StringArray]:
        """The readable features of each numeric field."""
        return {name: self._texts[self._by_name[name].indices] for name in self._edges}

    def _edge_column(self) -> pa.Array:
        column = np.full(self.num_features, np.nan)
        for name, edges in self._edges.items():
            offset = self._by_name[name].offset
            column[offset : offset + len(edges)] = edges
        return pa.array(column, from_pandas=True)


def parse_numbers(texts: pa.StringArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Texts to numbers.

    returns  float64[N], NaN where there is no number; bool[N], true where a text is neither a
             number nor a usual sign for a missing one (empty, NA, null …)
    """
    numbers = _to_numpy(to_numbers(texts), np.float64)
    unread = np.isnan(numbers)
    if np.count_nonzero(unread) == texts.null_count:
        unread[:] = False
    else:
        unread[unread] = ~_to_numpy(is_missing(texts.filter(pa.array(unread))), np.bool_)
    return numbers, unread


def quantile_edges(numbers: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    """At most buckets − 1 ascending upper edges, each a number of the data, none without rows.

    numbers   float64[N]; NaN is left out. Equal numbers stay in one bucket, so that a column
              with few values has fewer buckets; one with a single value has no edge.
    """
    return edges_of_sorted(np.sort(numbers[~np.isnan(numbers)]), buckets)


def edges_of_sorted(present: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    """`quantile_edges` of numbers that are in order, without NaN."""
    if not len(present):
        return np.empty(0)
    ranks = np.ceil(len(present) * np.arange(1, buckets) / buckets).astype(np.int64) - 1
    edges = np.unique(present[np.maximum(ranks, 0)])
    return edges[edges < present[-1]]


def to_buckets(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers to places within their field, int64[N]; NaN to the one after the buckets."""
    if len(edges) <= _FEW_EDGES:
        buckets = np.zeros(len(numbers), np.int64)
        for edge in edges:
            buckets += numbers > edge
    else:
        buckets = np.searchsorted(edges, numbers, side="left")
    buckets[np.isnan(numbers)] = len(edges) + 1
    return buckets


def as_text(value: str | float | None) -> str:
    """A value given from Python as the reader would have found it in a file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def bucket_names(edges: NDArray[np.float64]) -> list[str]:
    """The buckets in words: "up to 3", "3 to 12.5", "above 12.5" (lower ends are outside)."""
    if not len(edges):
        return ["any number"]
    ends = _shortest_texts(edges)
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]}", *between, f"above {ends[-1]}"]


def _shortest_texts(edges: NDArray[np.float64]) -> list[str]:
    """The edges with four digits, or as many more as tell them apart."""
    for digits in range(4, 17):
        texts = [_plainly(f"{edge:.{digits}g}") for edge in edges]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(float(edge)) for edge in edges]


def _plainly(text: str) -> str:
    """ "1.429e+04" as "14290"; what has more than a dozen digits, or is tiny, keeps its power."""
    return str(int(float(text))) if "e+" in text and abs(float(text)) < 1e12 else text


def _laid_out(parts: Iterator[tuple[str, FieldRole, int]]) -> Iterator[Field]:
    offset = 0
    for name, role, size in parts:
        yield Field(name, role, offset, size)
        offset += size


def _readable(part: CategoricalValues | NumericBuckets) -> pa.StringArray:
    if isinstance(part, NumericBuckets):
        return pa.array([*bucket_names(part.edges), MISSING, RARE], pa.string())
    return pa.concat_arrays([part.texts.cast(pa.string()), pa.array([RARE], pa.string())])


def _field_column(fields: tuple[Field, ...]) -> pa.DictionaryArray:
    numbers = np.repeat(np.arange(len(fields), dtype=np.int32), [field.size for field in fields])
    return pa.DictionaryArray.from_arrays(numbers, [field.name for field in fields])


def _string_array(values: Texts) -> pa.StringArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return (values if isinstance(values, pa.Array) else pa.array(values, pa.string())).cast(
        pa.string()
    )


def _numbers(column: pa.ChunkedArray, dtype: Any) -> NDArray[Any]:
    """A column without gaps. Its own to_numpy would load pandas, in a fifth of a second."""
    return np.from_dlpack(column.combine_chunks()).astype(dtype)


def _to_numpy(values: pa.Array, dtype: Any) -> NDArray[Any]:
    return values.to_numpy(zero_copy_only=False).astype(dtype)
