"""The rows of an opened file, scored, to tables of the columns that are written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.data.export import neutralise_formulas
from deepfm.data.reader import ROW, RowReader
from deepfm.data.reporting import Reporter
from deepfm.evaluation.file_rows import encode_rows
from deepfm.prediction.columns import PREFIX, OnShare, ScoreColumns

BLANK_ROWS: Final = 10_000
"""Unreadable rows written at once where many stand together."""


@dataclass(frozen=True)
class Sheet:
    """The columns of the result, and its rows as tables of them.

    neutral  text is written so that no spreadsheet runs it
    """

    reader: RowReader
    columns: ScoreColumns
    neutral: bool

    @cached_property
    def schema(self) -> pa.Schema:
        """The file's columns as text, then the scores as numbers."""
        names = self.reader.column_names
        texts = [neutralise_formulas(name) if self.neutral else name for name in names]
        return pa.schema(
            [(name, pa.string()) for name in texts]
            + [(name, pa.float64()) for name in prefixed(self.columns.names, names)]
        )

    def tables(self, reporter: Reporter) -> Iterator[pa.Table]:
        """Every row of the file, the unreadable ones blank; raises Cancelled when asked to."""
        written = 0
        for rows, begin, end in self._pieces():
            on_share = partial(self._tell, reporter, begin, end)
            numbers = rows.column(ROW).to_numpy()
            yield from self._blank(int(numbers[0]) - written)
            yield self._filled(rows, numbers - numbers[0], on_share)
            on_share(1.0)
            written = int(numbers[-1]) + 1
        yield from self._blank(self.reader.rows_read - written)

    def _pieces(self) -> Iterator[tuple[pa.RecordBatch, float, float]]:
        """A few rows at a time, and how many bytes of the file are done before and after them."""
        before = 0.0
        for batch in self.reader.batches():
            read = self.reader.bytes_done - before
            for start in range(0, batch.num_rows, self.columns.rows_at_once):
                rows = batch.slice(start, self.columns.rows_at_once)
                stop = start + rows.num_rows
                yield (
                    rows,
                    before + read * start / batch.num_rows,
                    before + read * stop / batch.num_rows,
                )
            before += read

    def _tell(self, reporter: Reporter, begin: float, end: float, share: float) -> None:
        done = begin + share * (end - begin)
        reporter.step("Scoring", done, self.reader.bytes_total, "bytes")

    def _filled(
        self, rows: pa.RecordBatch, places: NDArray[np.int64], on_share: OnShare
    ) -> pa.Table:
        """Readable rows with a blank one for each that is missing between the first and last."""
        texts = [rows.column(name) for name in self.reader.column_names]
        if self.neutral:
            texts = [_without_formulas(each) for each in texts]
        ids = encode_rows(self.columns.model, rows)
        scores = [pa.array(values, from_pandas=True) for values in self.columns.of(ids, on_share)]
        table = pa.table([*texts, *scores], schema=self.schema)
        count = int(places[-1]) + 1
        if count == len(places):
            return table
        source = np.full(count, -1)
        source[places] = np.arange(len(places))
        return table.take(pa.array(source, mask=source < 0))

    def _blank(self, rows: int) -> Iterator[pa.Table]:
        for start in range(0, rows, BLANK_ROWS):
            nothing = [pa.nulls(min(BLANK_ROWS, rows - start), field.type) for field in self.schema]
            yield pa.table(nothing, schema=self.schema)


def prefixed(names: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """The names, all with the same prefix where one of them is taken already."""
    prefix = ""
    while set(taken) & {prefix + name for name in names}:
        prefix += PREFIX
    return tuple(prefix + name for name in names)


def _without_formulas(texts: pa.Array) -> pa.Array:
    """Texts with those neutralised that a spreadsheet would run; none begins with a letter."""
    suspect = pc.fill_null(pc.match_substring_regex(texts, r"^\W"), False)
    if not pc.any(suspect).as_py():
        return texts
    safe = [neutralise_formulas(text) for text in texts.filter(suspect).to_pylist()]
    return pc.replace_with_mask(texts, suspect, pa.array(safe, pa.string()))
