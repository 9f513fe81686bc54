"""A field's vocabulary to the values that a person would choose: the commonest, or by search."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.data.vocabulary import Field, FieldValues, Vocabulary

COMMONEST: Final = 200
"""How many values of each field are tried for a change."""
SEEN_OFTEN: Final = 20
"""Training rows from which on a value's own effect is more than chance."""
FEWEST_COMMON: Final = 50
COMMON_SHARE: Final = 0.001
"""A value in at least so many training rows, and in such a share of them all, is a common one."""


def common_from(vocabulary: Vocabulary) -> int:
    """Training rows from which on a value is common: 50, or 0.1 % of all where that is more.

    A person meets such values and can act on them, and the model has seen them often enough.
    """
    first = vocabulary.fields[0]
    rows = int(vocabulary.counts[first.offset : first.default + 1].sum())
    return max(FEWEST_COMMON, math.ceil(COMMON_SHARE * rows))


def values_at(vocabulary: Vocabulary, name: str, index: NDArray[np.int32]) -> FieldValues:
    """Features int32[U] of one field as they read, with their training counts, in that order."""
    return FieldValues(
        tuple(vocabulary.decode_column(name, index).to_pylist()),
        index,
        vocabulary.counts[index],
        vocabulary.clicks[index],
    )


def commonest(
    vocabulary: Vocabulary, name: str, most: int, also: Sequence[int] = ()
) -> FieldValues:
    """At most `most` values of a field, the commonest first; then `also`, the default last.

    also  features of the field that are among them in any case, such as an impression's own
    SchemaError for an unknown field.
    """
    field = vocabulary.field(name)
    counts = vocabulary.counts[field.offset : field.default]
    places = _most_counted(counts, most)
    places = places[np.lexsort((places, -counts[places]))]
    kept = (field.offset + places).astype(np.int32)
    besides = [i for i in dict.fromkeys(also) if i != field.default and i not in kept]
    return values_at(vocabulary, name, np.array([*kept, *besides, field.default], dtype=np.int32))


def find_values(vocabulary: Vocabulary, name: str, text: str, most: int = 50) -> FieldValues:
    """The values of a field that contain a text, whatever its case, the commonest first.

    SchemaError for an unknown field. The default, “rare or unseen”, is found as any other.
    """
    field = vocabulary.field(name)
    readable = vocabulary.decode_column(name, np.arange(field.offset, field.default + 1))
    hits = pc.match_substring(readable, text, ignore_case=True)
    places = np.flatnonzero(hits.to_numpy(zero_copy_only=False))
    counts = vocabulary.counts[field.offset + places]
    order = np.lexsort((places, -counts))[:most]
    return values_at(vocabulary, name, (field.offset + places[order]).astype(np.int32))


def choosable(vocabulary: Vocabulary, field: Field) -> NDArray[np.int32]:
    """The values of a field that a change may propose, int32[U].

    The 200 commonest, without “rare or unseen”, missing and empty ones, which nobody can choose,
    and without those seen in fewer than 20 training rows where others were seen more often.
    """
    last = field.default - (field.role == "numeric")
    first = field.offset
    if first < last and not _readable(vocabulary, field, first):
        first += 1
    counts = vocabulary.counts[first:last]
    places = _most_counted(counts, COMMONEST)
    often = places[counts[places] >= SEEN_OFTEN]
    return (first + (often if len(often) else places)).astype(np.int32)


def _most_counted(counts: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Places of the `most` largest counts, in their order; of equal ones the first."""
    if len(counts) <= most:
        return np.arange(len(counts))
    least = np.partition(counts, len(counts) - most)[len(counts) - most]
    above = np.flatnonzero(counts > least)
    return np.sort(np.append(above, np.flatnonzero(counts == least)[: most - len(above)]))


def _readable(vocabulary: Vocabulary, field: Field, index: int) -> str:
    column: pa.StringArray = vocabulary.decode_column(field.name, np.array([index]))
    text: str = column[0].as_py()
    return text
