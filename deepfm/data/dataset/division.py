"""The rows of a recording to parts: what is held out, and how many rows and clicks each has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepfm.config import PrepareConfig
from deepfm.data.dataset.folder import PART_NAMES, PartSummary
from deepfm.data.dataset.recording import Block, Recording
from deepfm.data.dataset.splitting import split_at_random, split_by_group, split_by_time
from deepfm.data.dataset.times import read_times
from deepfm.errors import SchemaError

Rows: TypeAlias = slice | NDArray[np.bool_]
"""Some rows, as numpy chooses them."""


@dataclass(frozen=True)
class Division:
    """Which rows go to which part.

    held_out   source -> bool[rows]: which rows are validation; only for sources that are split
    parts      rows and clicks of each part that has rows, in the order train, validation, test
    """

    held_out: dict[int, NDArray[np.bool_]]
    parts: dict[str, PartSummary]

    def of_block(self, recording: Recording, block: Block) -> Iterator[tuple[str, Rows]]:
        """The parts that a block's rows go to, with the rows of each."""
        yield from _rows_by_part(recording, self.held_out, block)


def divide(recording: Recording, config: PrepareConfig) -> Division:
    """Choose the validation rows; SchemaError where the train part has one class only."""
    held_out = {
        number: _hold_out(recording, number, config)
        for number, source in enumerate(recording.sources)
        if source.part is None
    }
    rows, clicks = Counter[str](), Counter[str]()
    for block in recording.blocks():
        for part, chosen in _rows_by_part(recording, held_out, block):
            labels = block.labels[chosen]
            rows[part] += len(labels)
            clicks[part] += int(labels.sum(dtype=np.int64))
    parts = {name: PartSummary(rows[name], clicks[name]) for name in PART_NAMES if rows[name]}
    _refuse_one_class(recording, parts["train"])
    return Division(held_out, parts)


def _rows_by_part(
    recording: Recording, held_out: dict[int, NDArray[np.bool_]], block: Block
) -> Iterator[tuple[str, Rows]]:
    part = recording.sources[block.source].part
    if part is not None:
        yield part, slice(None)
        return
    mask = held_out[block.source][block.rows]
    if mask.any():
        yield "validation", mask
    if not mask.all():
        yield "train", slice(None) if not mask.any() else ~mask


def _hold_out(recording: Recording, source: int, config: PrepareConfig) -> NDArray[np.bool_]:
    kind, _, column = config.split.partition(":")
    if kind == "random":
        return split_at_random(recording.labels_of(source), config.validation, config.seed)
    if kind == "group":
        number, merged = recording.coded.index(column), recording.column(column)
        groups = [
            merged.codes(block.number)[block.codes[number]]
            for block in recording.blocks()
            if block.source == source
        ]
        return split_by_group(np.concatenate(groups), config.validation, config.seed)
    times = read_times(column, lambda: _column_texts(recording, source, column))
    mask = split_by_time(times, config.validation)
    _note_time_split(recording, column, times, mask)
    return mask


def _column_texts(recording: Recording, source: int, column: str) -> Iterator[pa.StringArray]:
    for block in recording.blocks(with_text=True):
        if block.source == source:
            yield recording.text(block, column, slice(None))


def _note_time_split(
    recording: Recording, column: str, times: NDArray[np.float64], mask: NDArray[np.bool_]
) -> None:
    unknown = int(np.isnan(times).sum())
    recording.notices.append(
        f"The {int(mask.sum()):,} latest rows by {column!r} are the validation part"
        + (f"; {unknown:,} rows without a time are trained on." if unknown else ".")
    )


def _refuse_one_class(recording: Recording, train: PartSummary) -> None:
    if 0 < train.clicks < train.rows:
        return
    schema = recording.schema
    value = (schema.positive if train.clicks else schema.negative)[0]
    raise SchemaError(
        f"All {train.rows:,} training rows have the label {value!r} in column "
        f"{schema.label.name!r}; a model needs clicked and unclicked rows. Choose another label "
        "column, another split, or a file with both."
    )
