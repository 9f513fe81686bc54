"""A raw file, read by a run's schema and encoded by its vocabulary, to scored rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm.data.labelled import clicked, with_label, without_label
from deepfm.data.reader import ROW, RowReader, Skipped, check_same_columns, open_agreed
from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.data.schema import Schema, SkippedRow
from deepfm.errors import DataError, SchemaError
from deepfm.terms import Terms
from deepfm.trained import Scores, TrainedModel
from deepfm.trained.weights import Ids

FILE: Final = "file"
"""The part that the rows of a file given by hand are called."""
MOST_EXAMPLES: Final = 100


@dataclass(frozen=True)
class ScoredBatch:
    """Some readable rows of a file: the batch with all its columns as text, and their terms."""

    rows: pa.RecordBatch
    terms: Terms


@dataclass(frozen=True)
class FileScores:
    """The scored rows of a labelled file, and which rows were skipped, and why."""

    scores: Scores
    skipped: Skipped


def open_for(model: TrainedModel, path: Path) -> RowReader:
    """Open a file by the run's schema; SchemaError names the fields that it lacks.

    Other columns do not matter, and neither does the label, where columns have names.
    """
    reader = open_agreed(path, model.schema)
    try:
        if model.schema.format.has_names and reader.format.has_names:
            _require(reader, tuple(field.name for field in model.fields))
        else:
            check_same_columns(model.schema, reader, label_needed=False)
    except SchemaError:
        reader.close()
        raise
    return reader


def score_file(
    model: TrainedModel, reader: RowReader, reporter: Reporter | None = None
) -> Iterator[ScoredBatch]:
    """The readable rows of an opened file in their order, batch by batch; needs no label."""
    reporter = reporter or Reporter()
    for rows in reader.batches():
        yield ScoredBatch(rows, model.score(encode_rows(model, rows)))
        reporter.step("Scoring", reader.bytes_done, reader.bytes_total, "bytes")


def encode_rows(model: TrainedModel, rows: pa.RecordBatch) -> Ids:
    """Raw text to int32[N, F]; an unknown value is its field's default."""
    columns = [
        model.vocabulary.encode_column(field.name, rows.column(field.name))
        for field in model.fields
    ]
    return np.stack(columns, axis=1)


def scores_of_file(
    model: TrainedModel,
    path: Path,
    *,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> FileScores:
    """Score a labelled file; `rows` of the scores are row numbers in the file, from 0.

    Rows without a label, or with one that is left out, are skipped and counted. SchemaError for a
    label that is neither of the run's values, DataError for a file that is missing, damaged or
    without a usable row.
    """
    rows, terms, labels = [], [], []
    with open_for(model, path) as reader:
        label = model.schema.label.name
        _require(reader, (label,))
        skipped = Skipped()
        for batch in score_file(model, reader, Reporter(on_event, cancelled)):
            for reason, others in without_label(model.schema, batch.rows):
                _count_skipped(skipped, reader, others, reason)
            labelled = with_label(model.schema, batch.rows)
            kept = batch.rows.filter(labelled)
            rows.append(kept.column(ROW).to_numpy())
            terms.append(batch.terms[labelled.to_numpy(zero_copy_only=False)])
            labels.append(_labels(model.schema, reader, kept))
        _add(skipped, reader.skipped)
    if not sum(map(len, rows)):
        raise DataError(f"No row of {path.name!r} has a label in column {label!r}.")
    scores = Scores(
        part=FILE,
        rows=np.concatenate(rows),
        terms=Terms(*(np.concatenate(term) for term in zip(*terms, strict=True))),
        labels=np.concatenate(labels),
        truth=None,
    )
    return FileScores(scores, skipped)


def read_impression(model: TrainedModel, path: Path, row: int) -> Mapping[str, str | None]:
    """The fields of row `row` of a file, counted from 0, as `explain` takes them.

    DataError for a row that cannot be read, or that is past the end of the file.
    """
    with open_for(model, path) as reader:
        for rows in reader.batches() if row >= 0 else ():
            numbers = rows.column(ROW).to_numpy()
            place = int(np.searchsorted(numbers, row))
            if place < len(numbers):
                if numbers[place] != row:
                    raise DataError(
                        f"Row {row:,} of {path.name!r} cannot be read"
                        f"{_reason(reader)}. Choose another row."
                    )
                values = rows.slice(place, 1).to_pylist()[0]
                return {field.name: values[field.name] for field in model.fields}
        raise DataError(
            f"There is no row {row:,} in {path.name!r}; "
            f"choose one from 0 to {max(reader.rows_read - 1, 0):,}."
            if row >= 0
            else f"Row is {row}; rows count from 0."
        )


def _reason(reader: RowReader) -> str:
    reasons = list(reader.skipped.reasons)
    return f" ({reasons[0]})" if len(reasons) == 1 else ""


def _require(reader: RowReader, names: tuple[str, ...]) -> None:
    there = set(reader.column_names)
    missing = [repr(name) for name in names if name not in there]
    if missing:
        more = f" and {len(missing) - 12} more" if len(missing) > 12 else ""
        raise SchemaError(
            f"{reader.path.name!r} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing[:12])}{more}, which this run needs. "
            "Give a file with the columns that the run was trained on."
        )


def _labels(schema: Schema, reader: RowReader, rows: pa.RecordBatch) -> np.ndarray:
    """1 or 0, float32[N], of rows that all have a label."""
    column = rows.column(schema.label.name)
    labels = clicked(schema, column)
    if labels.null_count:
        first = pc.index(pc.is_null(labels), True).as_py()
        line = reader.line_of(rows.column(ROW)[first].as_py())
        meant = " or ".join(map(repr, (*schema.positive, *schema.negative)))
        raise SchemaError(
            f"{reader.path.name!r}: column {schema.label.name!r} holds "
            f"{column[first].as_py()!r} on {reader.row_word} {line:,}; "
            f"in this run a label is {meant}. Map its values to these."
        )
    return labels.to_numpy(zero_copy_only=False).astype(np.float32)


def _count_skipped(skipped: Skipped, reader: RowReader, rows: pa.RecordBatch, reason: str) -> None:
    lines = map(reader.line_of, rows.column(ROW).slice(0, MOST_EXAMPLES).to_pylist())
    examples = [SkippedRow(line, reason) for line in lines]
    _add(skipped, Skipped(rows.num_rows, {reason: rows.num_rows}, examples))


def _add(skipped: Skipped, more: Skipped) -> None:
    skipped.count += more.count
    for reason, count in more.reasons.items():
        skipped.reasons[reason] = skipped.reasons.get(reason, 0) + count
    skipped.examples = (skipped.examples + more.examples)[:MOST_EXAMPLES]
