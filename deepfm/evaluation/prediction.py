"""A raw file to the same file as CSV with its scores beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from deepfm.data.export import neutralise_formulas
from deepfm.data.reader import ROW, RowReader
from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.errors import DataError
from deepfm.evaluation.file_rows import ScoredBatch, open_for, score_file
from deepfm.terms import Terms
from deepfm.trained import TrainedModel

SCORE_NAMES = ("probability", "logit", "linear", "pairwise", "deep")
PREFIX = "deepfm_"
BLANK_ROWS = 10_000
"""Unreadable rows written at once where many stand together."""


def predict_file(
    model: TrainedModel,
    path: Path,
    out: Path,
    *,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> dict[str, Any]:
    """Score every row of a file into a CSV, and count them; needs no label.

    The CSV has the file's columns, then probability, logit, linear, pairwise and deep (all with
    deepfm_ before them where the file has a column of such a name). Row N of the file is row N
    of the CSV: one that cannot be read is there as empty cells. Text that a spreadsheet would
    take for a formula is written so that it is none. The CSV appears when it is whole.
    returns  out, rows, scored_rows, skipped_rows and reasons
    """
    out = Path(out)
    aside = out.with_name(out.name + ".writing")
    try:
        with open_for(model, path) as reader:
            sheet = _Sheet(reader)
            with pa.csv.CSVWriter(aside, sheet.schema) as writer:
                for table in sheet.tables(score_file(model, reader, Reporter(on_event, cancelled))):
                    writer.write_table(table)
            aside.replace(out)
            rows, skipped = reader.rows_read, reader.skipped
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}. Choose another place."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return {
        "out": str(out),
        "rows": rows,
        "scored_rows": rows - skipped.count,
        "skipped_rows": skipped.count,
        "skipped_reasons": skipped.reasons,
    }


@dataclass(frozen=True)
class _Sheet:
    """The columns of the CSV, and its rows as tables of them."""

    reader: RowReader

    @property
    def schema(self) -> pa.Schema:
        """The file's columns as text, then the scores as numbers."""
        names = [neutralise_formulas(name) for name in self.reader.column_names]
        scores = score_columns(self.reader.column_names)
        return pa.schema(
            [(name, pa.string()) for name in names] + [(name, pa.float64()) for name in scores]
        )

    def tables(self, batches: Iterator[ScoredBatch]) -> Iterator[pa.Table]:
        """Every row of the file, the unreadable ones blank."""
        written = 0
        for batch in batches:
            numbers = batch.rows.column(ROW).to_numpy()
            yield from self._blank(int(numbers[0]) - written)
            yield self._filled(batch, numbers - numbers[0])
            written = int(numbers[-1]) + 1
        yield from self._blank(self.reader.rows_read - written)

    def _filled(self, batch: ScoredBatch, places: np.ndarray) -> pa.Table:
        """A batch with a blank row for each that is missing between its first and last."""
        texts = [_without_formulas(batch.rows.column(name)) for name in self.reader.column_names]
        scores = [pa.array(score) for score in _scores(batch.terms)]
        table = pa.table([*texts, *scores], schema=self.schema)
        rows = int(places[-1]) + 1
        if rows == len(places):
            return table
        source = np.full(rows, -1)
        source[places] = np.arange(len(places))
        return table.take(pa.array(source, mask=source < 0))

    def _blank(self, rows: int) -> Iterator[pa.Table]:
        for start in range(0, rows, BLANK_ROWS):
            nothing = [pa.nulls(min(BLANK_ROWS, rows - start), field.type) for field in self.schema]
            yield pa.table(nothing, schema=self.schema)


def score_columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the five score columns beside columns of these names."""
    prefix, taken = "", set(names)
    while taken & {prefix + name for name in SCORE_NAMES}:
        prefix += PREFIX
    return tuple(prefix + name for name in SCORE_NAMES)


def _scores(terms: Terms) -> tuple[np.ndarray, ...]:
    return (terms.probability, terms.logit, *terms)


def _without_formulas(texts: pa.Array) -> pa.Array:
    """Texts with those neutralised that a spreadsheet would run; none begins with a letter."""
    suspect = pc.fill_null(pc.match_substring_regex(texts, r"^\W"), False)
    if not pc.any(suspect).as_py():
        return texts
    safe = [neutralise_formulas(text) for text in texts.filter(suspect).to_pylist()]
    return pc.replace_with_mask(texts, suspect, pa.array(safe, pa.string()))
