"""What a column of the sample looks like to its role, with the reason in one sentence."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from deepfm.data.schema.declared import Role
from deepfm.data.schema.facts import Facts, is_smooth, near_zero_is_dense
from deepfm.data.schema.times import time_writing
from deepfm.data.schema.words import (
    is_code_name,
    is_id_name,
    is_number_name,
    is_version_name,
    names_amount,
)

Guess = tuple[Role, str]

_FEW_VALUES: Final = 20
_MANY_VALUES: Final = 100


def guess_roles(columns: Sequence[Facts], *, named: bool) -> list[Guess]:
    """Role and reason of each column but the label, in order.

    named   the columns have names of their own in the file
    """
    whole_file = _criteo_form(columns, named) or _already_indexed(columns, named)
    return whole_file or [guess_role(facts, named=named) for facts in columns]


def _criteo_form(columns: Sequence[Facts], named: bool) -> list[Guess] | None:
    """13 columns of whole numbers, then 26 hashed ones: the form of the Criteo logs."""
    if named or len(columns) != 39:
        return None
    counts, codes = columns[:13], columns[13:]
    if not all(facts.is_whole or not facts.filled for facts in counts):
        return None
    if sum(facts.is_hash for facts in codes) < 20:
        return None
    form = "the file has the form of the Criteo logs, 13 counts and 26 hashed columns"
    numeric: Guess = ("numeric", f"{form}; this is a count")
    categorical: Guess = ("categorical", f"{form}; this is hashed")
    return [numeric] * 13 + [categorical] * 26


def _already_indexed(columns: Sequence[Facts], named: bool) -> list[Guess] | None:
    """Whole numbers that rise from column to column without overlap: indices given before."""
    if named or len(columns) < 4 or not all(facts.is_whole for facts in columns):
        return None
    ranges = [(facts.numbers[0], facts.numbers[-1]) for facts in columns]
    overlaps = sum(low <= high for (_, high), (low, _) in pairwise(ranges))
    if overlaps or ranges[0][0] < 0:
        return None
    return [
        (
            "categorical",
            "whole numbers of its own range, rising from column to column: already indexed codes",
        )
    ] * len(columns)


def guess_role(facts: Facts, *, named: bool) -> Guess:
    """Role and reason of one column that is not the label."""
    if not facts.filled:
        return "ignored", "empty in every row of the sample"
    writing = time_writing(facts)
    if writing:
        return "time", f"{writing}: when it happened, used to split and left out of the fields"
    if facts.counts_rows and (facts.filled >= 20 or is_id_name(facts.name)):
        return "identifier", "counts the rows, so that no value comes twice"
    if facts.is_number:
        return _guess_whole(facts, named) if facts.is_whole else _guess_fraction(facts)
    return _guess_text(facts)


def _guess_fraction(facts: Facts) -> Guess:
    if is_version_name(facts.name):
        return "categorical", f"versions, {facts.distinct:,} different ones"
    if facts.distinct <= 2:
        return "categorical", f"only {facts.distinct} different values"
    return "numeric", "numbers with decimals, put into ranges of equal size"


def _guess_whole(facts: Facts, named: bool) -> Guess:
    distinct = facts.distinct
    called_id = named and is_id_name(facts.name)
    amount = named and names_amount(facts.name)
    if facts.nearly_all_distinct and not amount:
        if called_id or _looks_like_id(facts):
            return "identifier", _distinct_words(facts)
        return "numeric", "whole numbers that hardly come twice, put into ranges of equal size"
    if called_id:
        return "categorical", f"an id that comes again: {distinct:,} different values"
    if amount and distinct >= 3:
        return "numeric", f"whole numbers, and {facts.name!r} speaks of an amount"
    if named and is_code_name(facts.name):
        return "categorical", f"whole numbers, but {facts.name!r} speaks of a code"
    if distinct <= _FEW_VALUES:
        return "categorical", f"only {distinct} different whole numbers"
    if named and is_number_name(facts.name):
        return "numeric", f"whole numbers, and {facts.name!r} speaks of an amount"
    if distinct > _MANY_VALUES and near_zero_is_dense(facts):
        return "numeric", "whole numbers that thin out upward from zero, as counts do"
    if distinct > _MANY_VALUES and is_smooth(facts) and _has_gaps(facts):
        return "numeric", "whole numbers of which neighbours are about equally common"
    return "categorical", f"whole numbers that come again like codes, {distinct:,} different ones"


def _has_gaps(facts: Facts) -> bool:
    """Codes given one after the other from 0 or 1 leave no gaps."""
    numbers = facts.numbers
    return not (numbers[0] in (0, 1) and len(numbers) >= 0.9 * (numbers[-1] - numbers[0] + 1))


def _looks_like_id(facts: Facts) -> bool:
    """Long numbers, or numbers that all have the same many digits."""
    digits = np.floor(np.log10(np.maximum(np.abs(facts.numbers), 1))) + 1
    return bool(np.median(digits) >= 12 or (digits.min() == digits.max() and digits[0] >= 6))


def _guess_text(facts: Facts) -> Guess:
    called_id = is_id_name(facts.name)
    all_distinct = facts.filled >= 3 and facts.distinct == facts.filled
    if facts.share_matching(r"\s*[\[{].*[\]}]\s*") == 1.0:
        return "ignored", "lists or records, which are not one value"
    if facts.nearly_all_distinct or (called_id and all_distinct):
        return "identifier", _distinct_words(facts)
    if facts.is_hash:
        return "categorical", f"hashed codes, {facts.distinct:,} different ones"
    return "categorical", f"text, {facts.distinct:,} different values"


def _distinct_words(facts: Facts) -> str:
    if facts.distinct == facts.filled:
        return "every row has a value of its own, so that nothing can be learned from it"
    return (
        f"{facts.distinct:,} different values in {facts.filled:,} rows: too few come again "
        "to learn from"
    )
