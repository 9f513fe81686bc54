"""A column's cells in the sample to what its role is guessed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.data.reader.numbers import (
    is_missing,
    says_decimal_comma,
    to_numbers,
    with_decimal_point,
)


def with_commas_read(columns: Sequence["Facts"], *, european: bool) -> list["Facts"]:
    """The columns, each with what the commas in its numbers mean.

    A column whose numbers can be read either way ("1,234" is all there is) goes with the others
    of its file; where these say nothing either, a comma parts thousands.

    european   whether the file's own form speaks for decimal commas, as semicolons between the
               cells do
    """
    told = [says_decimal_comma(facts.values) if facts.is_number else False for facts in columns]
    doubtful = european or True in told
    return [
        replace(facts, decimal_comma=doubtful if comma is None else comma)
        for facts, comma in zip(columns, told, strict=True)
    ]


@dataclass(frozen=True)
class Facts:
    """One column of the sample.

    cells       string[N], null where empty
    position    its place in the file, from 0
    rows_file   rows of the whole file, as estimated; None where not known
    decimal_comma   whether its numbers are written with one: "1,234" is 1.234
    """

    name: str
    position: int
    cells: pa.Array
    rows_file: int | None = None
    decimal_comma: bool = False

    @cached_property
    def _counted(self) -> tuple[pa.Array, NDArray[np.int64]]:
        held = self.cells.drop_null()
        counted = pc.value_counts(held)
        values, counts = counted.field(0), counted.field(1).to_numpy(zero_copy_only=False)
        order = np.argsort(-counts, kind="stable")
        return values.take(pa.array(order)), counts[order]

    @property
    def values(self) -> pa.Array:
        """The different texts, commonest first: string[distinct]."""
        return self._counted[0]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each of `values` stands in the sample: int64[distinct]."""
        return self._counted[1]

    @property
    def distinct(self) -> int:
        """How many different texts there are, empty cells left out."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """Empty cells."""
        return int(self.cells.null_count)

    @property
    def filled(self) -> int:
        """Cells that are not empty."""
        return len(self.cells) - self.missing

    @cached_property
    def _numbered(self) -> tuple[NDArray[np.float64], NDArray[np.int64], bool]:
        spoken = pc.invert(is_missing(self.values)).to_numpy(zero_copy_only=False)
        values = with_decimal_point(self.values) if self.decimal_comma else self.values
        numbers = to_numbers(values).to_numpy(zero_copy_only=False)
        counts = self.counts
        read = spoken & ~np.isnan(numbers)
        unread = counts[spoken & np.isnan(numbers)].sum()
        enough = read.any() and unread <= 0.01 * counts[spoken].sum()
        order = np.argsort(numbers[read], kind="stable")
        return numbers[read][order], counts[read][order], bool(enough)

    @property
    def is_number(self) -> bool:
        """Whether 99 in 100 cells that say something are numbers."""
        return self._numbered[2]

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The different numbers, rising; equal ones written differently stand side by side."""
        return self._numbered[0]

    @property
    def number_counts(self) -> NDArray[np.int64]:
        """How often each of `numbers` stands in the sample."""
        return self._numbered[1]

    @cached_property
    def is_whole(self) -> bool:
        """Whether all numbers are whole."""
        return self.is_number and bool((self.numbers == np.floor(self.numbers)).all())

    def share_matching(self, pattern: str) -> float:
        """Share of the filled cells that fit a regular expression as a whole."""
        if not self.filled:
            return 0.0
        fits = pc.match_substring_regex(self.values, f"^(?:{pattern})$")
        return float(self.counts[fits.to_numpy(zero_copy_only=False)].sum() / self.filled)

    @cached_property
    def counts_rows(self) -> bool:
        """Whether the cells are whole numbers that rise by one from row to row."""
        if not self.is_whole or self.filled < 3 or self.distinct < self.filled:
            return False
        numbers = to_numbers(self.cells).to_numpy(zero_copy_only=False)
        steps = np.diff(numbers[~np.isnan(numbers)])
        # Rows that were skipped leave a gap.
        return bool((steps == 1).mean() >= 0.9 and (steps >= 1).all()) if len(steps) else False

    @cached_property
    def is_hash(self) -> bool:
        """Whether the values are hexadecimal codes of one length, as hashing leaves them."""
        if not self.filled or self.is_whole:
            return False
        lengths = pc.utf8_length(self.values.slice(0, 200)).to_pylist()
        return (
            len(set(lengths)) == 1
            and lengths[0] >= 6
            and self.share_matching("[0-9a-fA-F]+") == 1.0
        )

    @cached_property
    def nearly_all_distinct(self) -> bool:
        """Whether hardly a value comes twice, in a sample large enough to say so."""
        ratio = self.distinct / max(1, self.filled)
        if self.filled < 20:
            return False
        if self.filled < 100:
            return ratio == 1.0
        return ratio >= (0.98 if self.filled < 1_000 else 0.95) and self.repeats_in_file < 4

    @property
    def repeats_in_file(self) -> float:
        """How often a value comes in the whole file, told from how often two of the sample meet.

        n rows drawn from U equally common values meet about n²/2U times.
        """
        meetings = self.filled - self.distinct
        if not self.rows_file or meetings < 5:
            return 1.0
        values = self.filled**2 / (2 * meetings)
        return self.rows_file * self.filled / max(1, len(self.cells)) / values


def near_zero_is_dense(facts: Facts) -> bool:
    """Whether whole numbers thin out from zero up with gaps in the tail, as counts do."""
    numbers = facts.numbers
    if numbers[0] < -10 or numbers[-1] < 100:
        return False
    small = np.isin(np.arange(1, 11), numbers).mean() >= 0.8
    gaps = len(numbers) / (numbers[-1] - numbers[0] + 1) < 0.5
    low, high = numbers <= numbers[-1] / 2, numbers > numbers[-1] / 2
    falling = facts.number_counts[low].sum() > 4 * facts.number_counts[high].sum()
    return bool(small and gaps and falling)


def is_smooth(facts: Facts) -> bool:
    """Whether neighbouring numbers are about equally common, as amounts are and codes are not."""
    logs = np.log(facts.number_counts)
    if len(logs) < 30 or logs.std() == 0:
        return False
    return bool(np.corrcoef(logs[:-1], logs[1:])[0, 1] >= 0.5)
