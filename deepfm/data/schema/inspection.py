"""The head of a file to an Inspection: what it is, column by column, with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from deepfm.config import Settings
from deepfm.data.reader.border import foreign_errors_named
from deepfm.data.reader.names import ROW
from deepfm.data.reader.rows import RowReader, open_rows
from deepfm.data.reader.sniffing import Sniffed, sniff
from deepfm.data.schema.declared import (
    SEPARATORS,
    Column,
    ColumnSample,
    FileFormat,
    Inspection,
    Role,
    Schema,
)
from deepfm.data.schema.facts import Facts, with_commas_read
from deepfm.data.schema.labels import LabelGuess, doubt_of, guess_label, label_meanings
from deepfm.data.schema.roles import Guess, guess_roles
from deepfm.data.schema.words import is_event_time_name
from deepfm.errors import DataError

SAMPLE_BYTES: Final = 4 << 20
SAMPLE_ROWS: Final = 20_000
SHOWN_ROWS: Final = 20
_SHOWN_CHARACTERS: Final = 500


@dataclass(frozen=True)
class Sample:
    """The rows at the head of a file.

    table   every column string[N], and ROW
    lines   line (or row) in the file of each row, from 1
    """

    table: pa.Table
    lines: list[int]
    reader: RowReader
    complete: bool

    def facts(self) -> list[Facts]:
        """What each column looks like."""
        columns = [
            Facts(name, position, _whole(self.table.column(name)), self.reader.rows_estimated)
            for position, name in enumerate(self.reader.column_names)
        ]
        format = self.reader.format
        # Whoever writes decimal commas cannot part cells by them.
        european = format.kind == "text" and format.separator == ";"
        return with_commas_read(columns, european=european)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def inspect_file(path: Path, *, settings: Settings | None, schema: Schema | None) -> Inspection:
    """See `deepfm.data.schema.inspect`."""
    settings = settings or Settings.from_environment()
    with foreign_errors_named(path):
        sniffed = Sniffed(schema.format) if schema else sniff(path, settings)
        with open_rows(
            path, schema or sniffed.format, settings=settings, limit_bytes=SAMPLE_BYTES
        ) as reader:
            sample = read_sample(reader)
    _check_columns(path, reader)
    columns = sample.facts()
    agreed = _agreed_or_guessed(columns, reader, schema)
    return _described(path, sample, columns, agreed, sniffed.remarks)


def read_sample(reader: RowReader) -> Sample:
    """The rows of the first SAMPLE_BYTES, SAMPLE_ROWS at most."""
    batches, lines, rows = [], [], 0
    complete = True
    for batch in reader.batches():
        taken = batch.slice(0, SAMPLE_ROWS - rows)
        batches.append(taken)
        lines += [reader.line_of(row) for row in taken.column(ROW).to_pylist()]
        rows += taken.num_rows
        if rows >= SAMPLE_ROWS:
            complete = taken.num_rows == batch.num_rows
            break
    return Sample(pa.Table.from_batches(batches), lines, reader, complete and reader.complete)


def _check_columns(path: Path, reader: RowReader) -> None:
    if len(reader.column_names) > 1:
        return
    format = reader.format
    if format.kind != "text":
        raise DataError(f"{path.name!r} has one column only; a label and a field are needed.")
    others = [word for mark, word in SEPARATORS.items() if mark != format.separator]
    raise DataError(
        f"{path.name!r} has one column only when split at {SEPARATORS[format.separator]}; a label "
        f"and a field are needed. If it has more, choose another separator: {', '.join(others)}."
    )


def _agreed_or_guessed(
    columns: Sequence[Facts], reader: RowReader, schema: Schema | None
) -> Schema:
    """The person's schema where it fits the columns, with label texts filled in; else a guess."""
    if schema is None or schema.names != reader.column_names:
        return _guessed(columns, reader.format)
    labels = schema.with_roles("label")
    if schema.positive or schema.negative or len(labels) != 1:
        return replace(schema, format=reader.format)
    facts = columns[schema.names.index(labels[0].name)]
    meant = label_meanings(facts)
    return replace(
        schema,
        format=reader.format,
        positive=meant.positive,
        negative=meant.negative,
        left_out=schema.left_out or meant.left_out,
    )


def _guessed(columns: Sequence[Facts], format: FileFormat) -> Schema:
    named = format.has_names
    label = guess_label(columns, named=named)
    if format.kind in ("libsvm", "libffm"):
        return _guessed_entries(columns, format, label)
    others = [facts for facts in columns if label is None or facts.position != label.position]
    guesses = iter(guess_roles(others, named=named))
    roles: list[Guess] = [
        ("label", label.reason) if label and facts.position == label.position else next(guesses)
        for facts in columns
    ]
    return _schema(columns, format, roles, label)


def _guessed_entries(
    columns: Sequence[Facts], format: FileFormat, label: LabelGuess | None
) -> Schema:
    """libsvm and libffm say by their form which is the label, and which entries are numbers."""
    first = columns[0]
    meanings = label_meanings(first)
    label = LabelGuess(0, f"the first number of each line{meanings.how}", meanings)
    roles: list[Guess] = [("label", label.reason)]
    for position in range(len(columns) - 1):
        if position in format.numbers:
            roles.append(("numeric", "the index is always the same, so its value is the number"))
        else:
            roles.append(("categorical", "indices, one for each value"))
    return _schema(columns, format, roles, label)


def _schema(
    columns: Sequence[Facts],
    format: FileFormat,
    roles: Sequence[Guess],
    label: LabelGuess | None,
) -> Schema:
    return Schema(
        format,
        tuple(
            _column(facts, role, reason)
            for facts, (role, reason) in zip(columns, roles, strict=True)
        ),
        label.meanings.positive if label else (),
        label.meanings.negative if label else (),
        label.meanings.left_out if label else (),
    )


def _column(facts: Facts, role: Role, reason: str) -> Column:
    if role == "numeric" and facts.decimal_comma:
        reason += "; a comma is the decimal sign"
    return Column(facts.name, role, reason, facts.decimal_comma)


def _described(
    path: Path,
    sample: Sample,
    columns: Sequence[Facts],
    schema: Schema,
    remarks: tuple[str, ...],
) -> Inspection:
    split, split_reason = _proposed_split(columns, schema)
    reader = sample.reader
    return Inspection(
        file=path.name,
        size_bytes=path.stat().st_size,
        schema=schema,
        columns=tuple(
            _column_sample(column, facts)
            for column, facts in zip(schema.columns, columns, strict=True)
        ),
        sample_rows=sample.table.num_rows,
        rows_estimated=reader.rows_estimated,
        complete=sample.complete,
        skipped=tuple(reader.skipped.examples),
        label_values=_label_values(columns, schema),
        proposed_split=split,
        split_reason=split_reason,
        rows=_shown_rows(sample.table.drop_columns([ROW])),
        skipped_rows=reader.skipped.count,
        warnings=(*remarks, *reader.remarks, *_warnings(sample, columns, schema)),
        label_warnings=_label_warnings(sample, _label_facts(columns, schema), schema),
    )


def _column_sample(column: Column, facts: Facts) -> ColumnSample:
    examples = tuple(_shortened(text) for text in facts.values.slice(0, 5).to_pylist())
    return ColumnSample(
        column.name, column.role, column.reason, examples, facts.distinct, facts.missing
    )


def _shortened(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return text[:_SHOWN_CHARACTERS] + "…"


def _shown_rows(table: pa.Table) -> tuple[tuple[str | None, ...], ...]:
    columns = table.slice(0, SHOWN_ROWS).columns
    cells = [[text and _shortened(text) for text in column.to_pylist()] for column in columns]
    return tuple(zip(*cells, strict=True))


def _label_facts(columns: Sequence[Facts], schema: Schema) -> Facts | None:
    labels = schema.with_roles("label")
    return columns[schema.names.index(labels[0].name)] if len(labels) == 1 else None


def _label_values(columns: Sequence[Facts], schema: Schema) -> dict[str, int]:
    """Text of the label -> rows of the sample, the 20 commonest."""
    label = _label_facts(columns, schema)
    if label is None:
        return {}
    texts, counts = label.values.slice(0, 20).to_pylist(), label.counts[:20].tolist()
    return dict(zip(texts, counts, strict=True))


def _proposed_split(columns: Sequence[Facts], schema: Schema) -> tuple[str, str]:
    """How to hold out rows: the latest by the time column with most moments, else at random."""
    named = [
        (is_event_time_name(column.name), facts.distinct, column.name)
        for column, facts in zip(schema.columns, columns, strict=True)
        if column.role == "time" and facts.distinct > 1
    ]
    if not named:
        return "random", "no column says when it happened, so rows are held out at random"
    event, _, name = max(named)
    if not event:
        return "random", f"{name!r} is a date, but hardly that of the impression"
    return (
        f"time:{name}",
        f"{name!r} says when it happened: the latest rows are held out, as in real use the model "
        "is asked about rows later than those it learned from",
    )


def _warnings(sample: Sample, columns: Sequence[Facts], schema: Schema) -> list[str]:
    """What the person should look at before preparing, one sentence each."""
    warnings = []
    skipped = sample.reader.skipped
    if skipped.count:
        commonest = max(skipped.reasons, key=lambda reason: skipped.reasons[reason])
        first = skipped.examples[0].line
        warnings.append(
            f"{skipped.count:,} of {sample.reader.rows_read:,} rows are skipped, the first on "
            f"line {first:,}; the commonest reason: {commonest}."
        )
    label = _label_facts(columns, schema)
    if label is None:
        warnings.append(
            "No column looks like the label. Choose the one that says whether it was clicked."
        )
    elif label.missing:
        warnings.append(f"{label.missing:,} rows of the sample have no label and are left out.")
    if label is not None and (doubt := doubt_of(schema.column(label.name))):
        warnings.append(doubt)
    return warnings


def _label_warnings(sample: Sample, label: Facts | None, schema: Schema) -> tuple[str, ...]:
    """What is wrong with the meanings of the label's values."""
    if label is None:
        return ()
    known = {*schema.positive, *schema.negative, *schema.left_out}
    unknown = [text for text in label.values.to_pylist() if text not in known]
    if unknown:
        row = label.cells.index(unknown[0]).as_py()
        word, line = sample.reader.row_word, sample.lines[row]
        more = f" ({len(unknown):,} such values)" if len(unknown) > 1 else ""
        return (
            f"Column {label.name!r} holds {_shortened(unknown[0])!r} on {word} {line:,}{more}, "
            "which means neither a click nor no click so far. Say what it means, have its rows "
            "left out, or choose another label column.",
        )
    clicked, others = (
        sum(_count(label, text) for text in texts) for texts in (schema.positive, schema.negative)
    )
    if clicked + others == 0 or (clicked and others):
        return ()
    extent = "file" if sample.complete else "sample"
    empty = (
        " Should an empty cell mean no click, write 0 there first."
        if clicked and label.missing
        else ""
    )
    return (
        f"All {clicked + others:,} labelled rows of the {extent} are "
        f"{'clicked' if clicked else 'not clicked'}; to learn anything, a model needs both."
        f"{empty} Choose another label column, or a file that holds both.",
    )


def _count(facts: Facts, text: str) -> int:
    place = facts.values.index(text).as_py()
    return int(facts.counts[place]) if place >= 0 else 0
