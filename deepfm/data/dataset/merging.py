"""The dictionaries of a column's blocks to one: each value's code, the same all over the column."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_LEAST_WAITING: Final = 1 << 18
"""Values that are worth a merging."""


@dataclass(frozen=True)
class Column:
    """One column of all blocks.

    texts    its different values in the order in which they first came
    _codes   int32, memory-mapped: the values of the blocks' dictionaries, block after block
    _ends    where the values of each block end
    """

    texts: pa.StringArray
    _codes: NDArray[np.int32]
    _ends: NDArray[np.int64]

    def codes(self, block: int) -> NDArray[np.int32]:
        """Place in the dictionary of a block -> place in `texts`; no two are the same."""
        start = 0 if block == 0 else self._ends[block - 1]
        return self._codes[start : self._ends[block]]


def merge(dictionaries: Iterable[pa.StringArray], path: Path) -> Column:
    """One column's dictionaries, block by block, to its values and codes.

    dictionaries   the different values of each block, at least one, none of them null
    path           a file to be made for the codes

    Dictionaries wait until they hold as many values as are known, and are then looked up together
    with these. So no value is looked up often, and memory grows with the number of different
    values alone.
    """
    ends = [0]
    texts = pa.array([], pa.string())
    waiting: list[pa.StringArray] = []
    with path.open("wb") as file:

        def look_up() -> None:
            nonlocal texts, waiting
            # Arrow leaves out empty chunks.
            known = [texts] if len(texts) else []
            merged = pa.chunked_array([*known, *waiting], pa.string()).dictionary_encode()
            for chunk in merged.chunks[len(known) :]:
                chunk.indices.to_numpy().tofile(file)
                ends.append(ends[-1] + len(chunk))
            texts, waiting = merged.chunks[-1].dictionary, []

        for dictionary in dictionaries:
            waiting.append(dictionary)
            if sum(map(len, waiting)) >= max(len(texts), _LEAST_WAITING):
                look_up()
        if waiting:
            look_up()
    return Column(texts, np.memmap(path, np.int32, "r"), np.array(ends[1:], np.int64))
