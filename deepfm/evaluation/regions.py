"""Some rows among others to the values and fields that are over-represented in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.data.vocabulary import Field, Vocabulary
from deepfm.errors import DataError
from deepfm.evaluation.comparing import SIGNIFICANT, benjamini_hochberg, one_sided
from deepfm.evaluation.counting import Float64s, Int64s
from deepfm.trained.weights import Ids

FEWEST_ROWS: Final = 5
"""Values with fewer rows in all are not looked at: no share of them could be told from chance."""
_BLOCK_NUMBERS: Final = 2**20


@dataclass(frozen=True)
class ValueShare:
    """One value of a field: how common it is among the chosen rows and among the others.

    inside, outside              its rows
    share_inside, share_outside  of all chosen rows, of all others
    p_value   that so many or more would be chosen by chance (hypergeometric, one-sided: Fisher's
              exact test)
    adjusted  that p-value by Benjamini & Hochberg over all values that were looked at
    """

    field: str
    value: str
    inside: int
    outside: int
    share_inside: float
    share_outside: float
    p_value: float
    adjusted: float

    @property
    def times(self) -> float:
        """How many times as common it is inside; infinite where it is not found outside."""
        return self.share_inside / self.share_outside if self.outside else float("inf")

    @property
    def significant(self) -> bool:
        """Whether it is over-represented by more than chance, after the correction."""
        return self.adjusted < SIGNIFICANT


@dataclass(frozen=True)
class FieldShift:
    """How differently the chosen rows are spread over a field's values than the others.

    strength  Cramér's V, corrected for its bias (Bergsma 2013): 0 where they are spread alike, 1
              where the field alone tells chosen rows from others
    p_value   that chance alone spreads them so differently (χ² test, values of fewer than five
              rows taken together)
    adjusted  that p-value by Benjamini & Hochberg over all fields
    """

    field: str
    strength: float
    p_value: float
    adjusted: float

    @property
    def significant(self) -> bool:
        """Whether they are spread differently by more than chance, after the correction."""
        return self.adjusted < SIGNIFICANT


@dataclass(frozen=True)
class Region:
    """What is special about some rows.

    inside, outside    rows that were chosen, and all others; clicks among each
    looked_at          values that were tested
    values             the over-represented ones, the surest first, `most` of them at most
    fields             every field, the one that differs most first
    """

    inside: int
    outside: int
    clicks_inside: int
    clicks_outside: int
    looked_at: int
    values: tuple[ValueShare, ...]
    fields: tuple[FieldShift, ...]

    @property
    def significant(self) -> tuple[ValueShare, ...]:
        """The values that are over-represented by more than chance."""
        return tuple(value for value in self.values if value.significant)


def over_represented(
    vocabulary: Vocabulary,
    ids: Ids,
    labels: NDArray[Any],
    chosen: NDArray[np.bool_],
    most: int = 20,
) -> Region:
    """Compare the rows that are chosen with all others, value by value and field by field.

    ids     int32[N, F]; labels N of 0 and 1; chosen bool[N]
    DataError where no row, or every row, is chosen: there is nothing to compare.
    """
    inside, rows = int(chosen.sum()), len(chosen)
    if not 0 < inside < rows:
        what = "every one" if inside else "none"
        raise DataError(f"Of the {rows:,} impressions {what} lies in this region. Choose another.")
    counted = [
        _count(field, ids[:, place], chosen) for place, field in enumerate(vocabulary.fields)
    ]
    tested = [
        (field, int(code), int(within[code]), int(total[code]))
        for field, within, total in counted
        for code in np.flatnonzero(total >= FEWEST_ROWS)
    ]
    within = np.array([each[2] for each in tested], np.int64)
    total = np.array([each[3] for each in tested], np.int64)
    p_values = chance_of_so_many(within, total, inside, rows)
    adjusted = benjamini_hochberg(p_values)
    # Equal p-values, as of the many that are below what can be told from 0, by size of the effect.
    expected = total * (inside / rows)
    order = np.lexsort((-(within - expected) / np.sqrt(expected), adjusted))
    found = [place for place in order if within[place] > expected[place]][:most]
    clicked = np.asarray(labels) > 0.5
    return Region(
        inside,
        rows - inside,
        int(clicked[chosen].sum()),
        int(clicked[~chosen].sum()),
        len(tested),
        tuple(
            _value(
                vocabulary,
                tested[place][0],
                tested[place][1],
                (int(within[place]), int(total[place])),
                (inside, rows),
                (float(p_values[place]), float(adjusted[place])),
            )
            for place in found
        ),
        _shifts(counted),
    )


def _shifts(counted: list[tuple[Field, Int64s, Int64s]]) -> tuple[FieldShift, ...]:
    """Every field's difference, the largest first."""
    tests = [_spread_alike(within, total) for _, within, total in counted]
    adjusted = benjamini_hochberg(np.array([p_value for _, p_value in tests]))
    shifts = [
        FieldShift(field.name, strength, p_value, float(p))
        for (field, _, _), (strength, p_value), p in zip(counted, tests, adjusted, strict=True)
    ]
    return tuple(sorted(shifts, key=lambda shift: -shift.strength))


def _count(
    field: Field, ids: NDArray[np.int32], chosen: NDArray[np.bool_]
) -> tuple[Field, Int64s, Int64s]:
    """Rows of each of the field's values: chosen ones, and all; int64[S] each."""
    codes = ids - field.offset
    return (
        field,
        np.bincount(codes[chosen], minlength=field.size),
        np.bincount(codes, minlength=field.size),
    )


def _value(
    vocabulary: Vocabulary,
    field: Field,
    code: int,
    found: tuple[int, int],
    of: tuple[int, int],
    chances: tuple[float, float],
) -> ValueShare:
    """found: chosen rows that have it, and all; of: chosen rows, and all rows."""
    text = vocabulary.decode_column(field.name, np.array([field.offset + code]))[0].as_py()
    inside, outside = found[0], found[1] - found[0]
    return ValueShare(
        field.name,
        text,
        inside,
        outside,
        inside / of[0],
        outside / (of[1] - of[0]),
        *chances,
    )


def chance_of_so_many(within: Int64s, total: Int64s, inside: int, rows: int) -> Float64s:
    """P(at least `within` of `total` marked rows are among `inside` rows drawn of `rows`).

    within, total  int64[M]; returns float64[M]
    The upper tail of the hypergeometric distribution, summed term by term; 1 up to its mean, where
    no one asks how small the chance is.
    """
    log_factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, rows + 1))))
    mean = total * (inside / rows)
    spread = np.sqrt(mean * (1 - inside / rows))
    # Beyond twelve standard deviations above its mean a tail adds nothing that is left to see.
    length = np.minimum(np.minimum(total, inside) - within, np.ceil(12 * spread + 40)) + 1
    chance = np.ones(len(within))
    asked = np.flatnonzero(within > mean)
    asked = asked[np.argsort(length[asked])]
    for some in _blocks(asked, length):
        terms = within[some, None] + np.arange(int(length[some].max()))
        possible = terms <= np.minimum(total[some], inside)[:, None]
        terms = np.where(possible, terms, within[some, None])
        logs = _log_probability(log_factorial, terms, total[some, None], inside, rows)
        chance[some] = np.minimum(1.0, np.where(possible, np.exp(logs), 0.0).sum(axis=1))
    return chance


def _blocks(asked: Int64s, length: Float64s) -> Iterator[Int64s]:
    """Tests of about equal length together, so that few numbers are computed in vain."""
    start = 0
    while start < len(asked):
        stop = min(len(asked), start + max(1, _BLOCK_NUMBERS // int(length[asked[start]])))
        while stop > start + 1 and (stop - start) * length[asked[stop - 1]] > 2 * _BLOCK_NUMBERS:
            stop = start + (stop - start) // 2
        yield asked[start:stop]
        start = stop


def _log_probability(
    log_factorial: Float64s, k: Int64s, total: Int64s, inside: int, rows: int
) -> Float64s:
    def choose(n: Any, some: Any) -> Any:
        return log_factorial[n] - log_factorial[some] - log_factorial[n - some]

    logs: Float64s = (
        choose(total, k) + choose(rows - total, inside - k) - choose(np.int64(rows), inside)
    )
    return logs


def _spread_alike(within: Int64s, total: Int64s) -> tuple[float, float]:
    """Cramér's V, corrected for bias, and the p-value of a χ² test that it is 0.

    within, total  int64[S], chosen rows and all rows of each value; V 0 and p 1 for a field of
                   one value
    """
    rare = total < FEWEST_ROWS
    within = np.append(within[~rare], within[rare].sum())
    total = np.append(total[~rare], total[rare].sum())
    within, total = within[total > 0], total[total > 0]
    rows, inside, values = int(total.sum()), int(within.sum()), len(total)
    if values < 2 or rows < 3:
        return 0.0, 1.0
    expected = total * (inside / rows)
    # Two columns, inside and outside, with the same distance and expectations that add to `total`.
    squares = (within - expected) ** 2
    chi_square = float((squares / expected + squares / (total - expected)).sum())
    phi = max(0.0, chi_square / rows - (values - 1) / (rows - 1))
    columns = 2 - 1 / (rows - 1)
    levels = values - (values - 1) ** 2 / (rows - 1)
    least = min(columns, levels) - 1
    strength = float(min(1.0, np.sqrt(phi / least))) if least > 0 else 0.0
    return strength, chi_square_tail(chi_square, values - 1)


def chi_square_tail(value: float, degrees: int) -> float:
    """How often a χ² of so many degrees of freedom is at least so large.

    Wilson & Hilferty 1931: its cube root is about normal. A p-value below 0.2 is right to within
    0.005, at one degree of freedom too.
    """
    if value <= 0:
        return 1.0
    variance = 2 / (9 * degrees)
    return one_sided(((value / degrees) ** (1 / 3) - (1 - variance)) / variance**0.5)
