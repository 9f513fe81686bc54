"""What a file is and what each column means, as agreed with the person; JSON both ways."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal, Self, get_args

from deepfm.errors import SchemaError

Role = Literal["label", "categorical", "numeric", "identifier", "ignored", "time", "group"]
"""What a column is used for; only categorical and numeric columns become fields."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
FIELD_ROLES: Final[tuple[Role, ...]] = ("categorical", "numeric")

Kind = Literal["text", "libsvm", "libffm", "parquet", "arrow", "json"]
Compression = Literal["", "gzip", "zip", "zstd", "bzip2", "xz", "lz4"]

SEPARATORS: Final[Mapping[str, str]] = {
    "\t": "tab",
    ",": "comma",
    ";": "semicolon",
    "|": "pipe",
    " ": "space",
    "\x01": "Ctrl-A",
    "~": "tilde",
    "^": "caret",
    "::": "double colon",
    "||": "double pipe",
}
ENCODINGS: Final[Mapping[str, str]] = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16-LE",
    "utf-16-be": "UTF-16-BE",
    "windows-1252": "Windows-1252",
    "windows-1250": "Windows-1250 (Central European)",
    "windows-1251": "Windows-1251 (Cyrillic)",
    "gb18030": "GB18030 (Chinese, also GBK)",
    "big5": "Big5 (Chinese)",
    "shift_jis": "Shift_JIS (Japanese)",
    "euc-jp": "EUC-JP (Japanese)",
    "euc-kr": "EUC-KR (Korean)",
}


@dataclass(frozen=True)
class FileFormat:
    """How the bytes of a file become cells; separator, header, encoding, quote only for text.

    `numbers` (libsvm, libffm) holds the positions, counted from 0, of entries whose index never
    changes, so that the value behind the colon is the cell and not the index. `skip` lines of
    text, a title say, stand before the table. With `escape` a quote within quotes has a backslash
    before it, as Spark and MySQL write it, and is not doubled.
    """

    kind: Kind
    separator: str = "\t"
    header: bool = False
    encoding: str = "utf-8"
    quote: bool = True
    compression: Compression = ""
    numbers: tuple[int, ...] = ()
    skip: int = 0
    escape: bool = False

    def __post_init__(self) -> None:
        _one_of("File format", self.kind, get_args(Kind))
        _one_of("Separator", self.separator, tuple(SEPARATORS))
        _one_of("Encoding", self.encoding, tuple(ENCODINGS))
        _one_of("Compression", self.compression, get_args(Compression))
        if type(self.skip) is not int or self.skip < 0:
            raise SchemaError(f"Lines above the table are {self.skip!r}; give 0 or more.")

    @property
    def has_names(self) -> bool:
        """Whether the columns have names of their own in the file."""
        return self.header or self.kind in ("parquet", "arrow", "json")

    def describe(self) -> str:
        """In words: "tab-separated text, no header, UTF-8, gzip"."""
        packed = (self.compression,) if self.compression else ()
        if self.kind != "text":
            names = {"parquet": "Parquet", "arrow": "Feather (Arrow)", "json": "JSON"}
            return ", ".join((names.get(self.kind, self.kind), *packed))
        header = "with header" if self.header else "no header"
        above = (f"below {self.skip} other line{'s' * (self.skip != 1)}",) if self.skip else ()
        return ", ".join(
            (
                f"{SEPARATORS[self.separator]}-separated text",
                header,
                *above,
                ENCODINGS[self.encoding],
                *packed,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types; `skip` and `escape` only where they say something.

        So a dataset of a file without either keeps the fingerprint that it had before.
        """
        values = {**_shallow(self), "numbers": list(self.numbers)}
        return {key: values[key] for key in values if key not in ("skip", "escape") or values[key]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key or value."""
        values = _checked(cls, values)
        return cls(**{**values, "numbers": tuple(values.get("numbers", ()))})


@dataclass(frozen=True)
class Column:
    """One column of the file: what it is used for, and why.

    decimal_comma   its numbers are written with one: "1.234,5" is 1234.5, and "1,234" is 1.234
    """

    name: str
    role: Role
    reason: str = ""
    decimal_comma: bool = False

    def __post_init__(self) -> None:
        _one_of(f"Role of column {self.name!r}", self.role, ROLES)

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types; `decimal_comma` only where there is one, as `FileFormat.to_dict`."""
        values = _shallow(self)
        return {key: values[key] for key in values if key != "decimal_comma" or values[key]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key or role."""
        return cls(**_checked(cls, values))


@dataclass(frozen=True)
class Schema:
    """Format, columns in file order, and which texts of the label mean 1 and 0.

    left_out   texts of the label whose rows are skipped
    """

    format: FileFormat
    columns: tuple[Column, ...]
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = self.names
        twice = (
            sorted({name for name in names if names.count(name) > 1})
            if (len(set(names)) < len(names))
            else []
        )
        if twice:
            raise SchemaError(
                f"Column {twice[0]!r} stands in the schema twice; name each column once."
            )
        meanings = {"1": self.positive, "0": self.negative, "to be left out": self.left_out}
        for (one, first), (other, second) in combinations(meanings.items(), 2):
            both = sorted(set(first) & set(second))
            if both:
                raise SchemaError(
                    f"Label value {both[0]!r} is said to mean both {one} and {other}; "
                    "give it one meaning."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def label(self) -> Column:
        """The label column; SchemaError unless there is exactly one."""
        labels = self.with_roles("label")
        if not labels:
            raise SchemaError(
                "No column is the label. Choose the column that says whether it was clicked."
            )
        if len(labels) > 1:
            raise SchemaError(
                f"Columns {listed(tuple(column.name for column in labels))} are all marked as "
                "label. Choose one."
            )
        return labels[0]

    @property
    def fields(self) -> tuple[Column, ...]:
        """The columns that the model sees, in file order."""
        return self.with_roles(*FIELD_ROLES)

    def with_roles(self, *roles: Role) -> tuple[Column, ...]:
        """The columns that have one of these roles, in file order."""
        return tuple(column for column in self.columns if column.role in roles)

    def column(self, name: str) -> Column:
        """One column by name; SchemaError lists the known ones if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"There is no column {name!r}; known are {listed(self.names)}.")

    def with_role(self, name: str, role: Role) -> "Schema":
        """A copy in which one column has this role, chosen by the person."""
        chosen = dataclasses.replace(self.column(name), role=role, reason="chosen by you")
        return self._with_columns({name: chosen})

    def with_label(
        self,
        name: str,
        *,
        positive: tuple[str, ...] = (),
        negative: tuple[str, ...] = (),
        left_out: tuple[str, ...] = (),
    ) -> "Schema":
        """A copy with another label column; the former one becomes categorical.

        positive, negative, left_out   its texts that mean 1, that mean 0, and whose rows are
                                       skipped; without them those known so far are kept if the
                                       column stays the same, else all are left empty
        """
        changed = {
            column.name: dataclasses.replace(
                column, role="categorical", reason="was the label before you chose another"
            )
            for column in self.with_roles("label")
            if column.name != name
        }
        kept = self.column(name)
        if kept.role == "label" and not (positive or negative or left_out):
            positive, negative, left_out = self.positive, self.negative, self.left_out
        if kept.role != "label":
            kept = dataclasses.replace(kept, role="label", reason="chosen by you")
        schema = self._with_columns({**changed, name: kept})
        return dataclasses.replace(schema, positive=positive, negative=negative, left_out=left_out)

    def _with_columns(self, changed: Mapping[str, Column]) -> "Schema":
        columns = tuple(changed.get(column.name, column) for column in self.columns)
        return dataclasses.replace(self, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types; `left_out` only where there is something in it.

        So a dataset that leaves nothing out keeps the fingerprint that it had before.
        """
        return {
            "format": self.format.to_dict(),
            "columns": [column.to_dict() for column in self.columns],
            "positive": list(self.positive),
            "negative": list(self.negative),
            **({"left_out": list(self.left_out)} if self.left_out else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key, role or format."""
        values = _checked(cls, values)
        return cls(
            format=FileFormat.from_dict(values["format"]),
            columns=tuple(Column.from_dict(column) for column in values["columns"]),
            positive=tuple(values.get("positive", ())),
            negative=tuple(values.get("negative", ())),
            left_out=tuple(values.get("left_out", ())),
        )


@dataclass(frozen=True)
class SkippedRow:
    """A row that could not be read: its line in the file, counted from 1, and why."""

    line: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return _shallow(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key."""
        return cls(**_checked(cls, values))


@dataclass(frozen=True)
class ColumnSample:
    """What a column looks like in the sample.

    examples   up to 5 values, commonest first
    distinct   how many different values the sample holds, empty cells left out
    missing    how many cells of the sample are empty
    """

    name: str
    role: Role
    reason: str
    examples: tuple[str, ...]
    distinct: int
    missing: int

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {**_shallow(self), "examples": list(self.examples)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key."""
        values = _checked(cls, values)
        return cls(**{**values, "examples": tuple(values["examples"])})


@dataclass(frozen=True)
class Inspection:
    """What was understood of a file, from the rows at its head.

    sample_rows      readable rows looked at
    rows_estimated   rows of the whole file, exact where `complete`; None where not to be told
    complete         the sample was the whole file
    skipped          the first unreadable rows of the sample, skipped_rows how many there were
    label_values     text of the label column -> rows of the sample
    proposed_split   "random" or "time:COLUMN", as PrepareConfig.split reads it
    rows             the first 20 rows, to show; None is an empty cell
    warnings         what the person should look at before preparing, one sentence each
    label_warnings   the same of the label's values, as `schema` gives them their meaning
    """

    file: str
    size_bytes: int
    schema: Schema
    columns: tuple[ColumnSample, ...]
    sample_rows: int
    rows_estimated: int | None
    complete: bool
    skipped: tuple[SkippedRow, ...]
    label_values: dict[str, int]
    proposed_split: str
    split_reason: str
    rows: tuple[tuple[str | None, ...], ...]
    skipped_rows: int = 0
    warnings: tuple[str, ...] = ()
    label_warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            **_shallow(self),
            "schema": self.schema.to_dict(),
            "columns": [column.to_dict() for column in self.columns],
            "skipped": [row.to_dict() for row in self.skipped],
            "label_values": dict(self.label_values),
            "rows": [list(row) for row in self.rows],
            "warnings": list(self.warnings),
            "label_warnings": list(self.label_warnings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From JSON's types; SchemaError for an unknown key."""
        values = _checked(cls, values)
        parts = {
            "schema": Schema.from_dict(values["schema"]),
            "columns": tuple(ColumnSample.from_dict(column) for column in values["columns"]),
            "skipped": tuple(SkippedRow.from_dict(row) for row in values["skipped"]),
            "label_values": dict(values["label_values"]),
            "rows": tuple(tuple(row) for row in values["rows"]),
            "warnings": tuple(values.get("warnings", ())),
            "label_warnings": tuple(values.get("label_warnings", ())),
        }
        return cls(**{**values, **parts})


def _shallow(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def _checked(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as keywords of the dataclass; SchemaError for a key too many or too few."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if not isinstance(values, Mapping):
        raise SchemaError(f"{cls.__name__} is written as {values!r}; an object was expected.")
    unknown = [str(name) for name in values if name not in fields]
    if unknown:
        raise SchemaError(
            f"{cls.__name__} has no key {unknown[0]!r}; known are {', '.join(fields)}."
        )
    needed = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING
    ]
    if needed:
        raise SchemaError(f"{cls.__name__} lacks the key {needed[0]!r}.")
    return dict(values)


def _one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SchemaError(f"{what} is {value!r}; choose one of {listed(known)}.")


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in quotes with commas between; a long list ends with how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
