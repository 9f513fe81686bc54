"""Frappe's anonymous indices to fields with names, checked against what is known of them.

The file has no names: each row is ten indices, and an index belongs to one field only. Baltrunas
et al. 2015 list the fields and how many values each has; the indices count through them in that
order. A file whose indices leave their field's block, or where the days of a weekend are not days
of the week, is refused: the names would be guesses.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepfm.config import PRESETS, Settings
from deepfm.data.dataset import Dataset, prepare
from deepfm.data.schema import Schema, inspect
from deepfm.errors import DataError

SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "user": 957,
        "item": 4082,
        "daytime": 7,
        "weekday": 7,
        "isweekend": 2,
        "homework": 3,
        "cost": 2,
        "weather": 9,
        "country": 80,
        "city": 233,
    }
)
"""Values of each field, in the paper's order."""


def prepare_frappe(folder: Path, home: Path) -> Dataset:
    """The two files as the preset real-data prepares them, with names, in the home's datasets.

    folder   with valid.libsvm.gz and test.libsvm.gz; DataError where they are not Frappe's
    """
    dataset = prepare(
        folder / "valid.libsvm.gz",
        folder / "test.libsvm.gz",
        schema=with_names(inspect(folder / "valid.libsvm.gz").schema),
        name="Frappe",
        settings=Settings.from_environment().with_values(home=str(home)),
        **PRESETS["real-data"].prepare,
    )
    check_blocks(dataset.parts["test"].rows())
    check_blocks(dataset.parts["validation"].rows())
    return dataset


def with_names(schema: Schema) -> Schema:
    """The same columns under the paper's names; DataError unless there are ten fields."""
    if schema.format.kind != "libsvm" or len(schema.fields) != len(SIZES):
        raise DataError(
            f"Frappe's rows have {len(SIZES)} indices each, in libsvm's form; these have "
            f"{len(schema.fields)}. Give the folder with valid.libsvm.gz and test.libsvm.gz."
        )
    names = ("label", *SIZES)
    columns = tuple(
        dataclasses.replace(column, name=name)
        for column, name in zip(schema.columns, names, strict=True)
    )
    return dataclasses.replace(schema, columns=columns)


def check_blocks(rows: pa.Table) -> None:
    """DataError where an index leaves its field's block, or weekends do not follow from days."""
    start = 0
    for name, size in SIZES.items():
        indices = _indices(rows, name)
        low, high = int(indices.min()), int(indices.max())
        if low < start or high >= start + size:
            raise DataError(
                f"The indices of field {name} are {low} to {high}; Frappe's would lie in {start} "
                f"to {start + size - 1}. These are other data: the tour's words do not fit them."
            )
        start += size
    weekend = {
        day: float((_indices(rows, "isweekend")[_indices(rows, "weekday") == day]).mean())
        for day in np.unique(_indices(rows, "weekday"))
    }
    clear = sum(
        share in (min(weekend.values()), max(weekend.values())) for share in weekend.values()
    )
    if clear < len(weekend) - 1:
        raise DataError(
            "The fifth field does not follow from the fourth as weekends follow from days of the "
            "week. These are other data: the tour's words do not fit them."
        )


def _indices(rows: pa.Table, name: str) -> NDArray[np.int64]:
    indices: NDArray[np.int64] = pc.cast(rows[name], pa.int64()).to_numpy()
    return indices
