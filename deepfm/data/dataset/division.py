"""The rows of a recording to parts: what is held out, and how many rows and clicks each has."""

from collections import Counter
from collections.abc import Callable, Iterator
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
Places: TypeAlias = NDArray[np.uint8]
"""The part of each row: its place in PART_NAMES."""
TRAIN, VALIDATION, TEST = range(3)
Split: TypeAlias = Callable[[NDArray[np.bool_], float], NDArray[np.bool_]]
"""The rows to choose from, bool[N], and a fraction of them, to those that are held out."""


@dataclass(frozen=True)
class Division:
    """Which rows go to which part.

    held_out   source -> uint8[rows], places in PART_NAMES; only for sources that are split
    parts      rows and clicks of each part that has rows, in the order train, validation, test
    """

    held_out: dict[int, Places]
    parts: dict[str, PartSummary]

    def of_block(self, recording: Recording, block: Block) -> Iterator[tuple[str, Rows]]:
        """The parts that a block's rows go to, with the rows of each."""
        yield from _rows_by_part(recording, self.held_out, block)


def divide(recording: Recording, config: PrepareConfig) -> Division:
    """Choose the validation and test rows; SchemaError where the train part has one class only."""
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
    recording: Recording, held_out: dict[int, Places], block: Block
) -> Iterator[tuple[str, Rows]]:
    part = recording.sources[block.source].part
    if part is not None:
        yield part, slice(None)
        return
    places = held_out[block.source][block.rows]
    for place in (VALIDATION, TEST, TRAIN):
        chosen = places == place
        if chosen.any():
            yield PART_NAMES[place], slice(None) if chosen.all() else chosen


def _hold_out(recording: Recording, source: int, config: PrepareConfig) -> Places:
    """Test rows first, then validation rows among the others: both fractions are of all rows."""
    kind, _, column = config.split.partition(":")
    times = _times(recording, source, column) if kind == "time" else None
    split = _splitter(recording, source, config, times)
    places = np.full(recording.rows_of(source), TRAIN, dtype=np.uint8)
    rest = np.ones(len(places), dtype=np.bool_)
    if config.test_share:
        rest = ~split(rest, config.test_share)
        places[~rest] = TEST
    if config.validation and all(each.part != "validation" for each in recording.sources):
        places[split(rest, config.validation / (1 - config.test_share))] = VALIDATION
    if times is not None:
        _note_time_split(recording, column, times, places)
    return places


def _splitter(
    recording: Recording,
    source: int,
    config: PrepareConfig,
    times: NDArray[np.float64] | None,
) -> Split:
    """What holds out rows as the configuration says; by time where times are given."""
    if times is not None:
        return _among(lambda rows, share: split_by_time(times[rows], share))
    kind, _, column = config.split.partition(":")
    if kind == "random":
        labels = recording.labels_of(source)
        return _among(lambda rows, share: split_at_random(labels[rows], share, config.seed))
    groups = _groups(recording, source, column)
    return _among(lambda rows, share: split_by_group(groups[rows], share, config.seed))


def _among(split: Split) -> Split:
    """A split that answers for some of the rows alone, as one that answers for all rows."""

    def split_all(rows: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
        chosen = np.zeros(len(rows), dtype=np.bool_)
        chosen[rows] = split(rows, share)
        return chosen

    return split_all


def _groups(recording: Recording, source: int, column: str) -> NDArray[np.int32]:
    number, merged = recording.coded.index(column), recording.column(column)
    return np.concatenate(
        [
            merged.codes(block.number)[block.codes[number]]
            for block in recording.blocks()
            if block.source == source
        ]
    )


def _times(recording: Recording, source: int, column: str) -> NDArray[np.float64]:
    return read_times(column, lambda: _column_texts(recording, source, column))


def _column_texts(recording: Recording, source: int, column: str) -> Iterator[pa.StringArray]:
    for block in recording.blocks(with_text=True):
        if block.source == source:
            yield recording.text(block, column, slice(None))


def _note_time_split(
    recording: Recording, column: str, times: NDArray[np.float64], places: Places
) -> None:
    found = [
        (int((places == place).sum()), PART_NAMES[place])
        for place in (TEST, VALIDATION)
        if (places == place).any()
    ]
    (latest, part), *before = found
    words = f"The {latest:,} latest rows by {column!r} are the {part} part"
    words += "".join(f", the {count:,} before them the {name} part" for count, name in before)
    unknown = int(np.isnan(times).sum())
    recording.notices.append(
        words + (f"; {unknown:,} rows without a time are trained on." if unknown else ".")
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
