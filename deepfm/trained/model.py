"""A run folder to a TrainedModel: encode, score, decode, and what the run keeps of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.schema import Schema
from deepfm.data.vocabulary import Field, Vocabulary
from deepfm.errors import RunError
from deepfm.events import Event, Finished
from deepfm.terms import TERM_NAMES, Terms
from deepfm.trained.choices import choosable
from deepfm.trained.reference import Reference, reference_from_ids
from deepfm.trained.run_folder import VALUE, PartTable, RunConfig, RunFolder
from deepfm.trained.training_means import TrainingMeans
from deepfm.trained.weights import Float32s, Float64s, Ids, Weights, weights_from_tensors


@dataclass(frozen=True, eq=False)
class Scores:
    """The terms of N rows of one part, with what happened; rows count from 0 in the part.

    rows    int64[N]
    labels  float32[N]          0 or 1
    truth   float32[N] or None  the true click probability, for synthetic data
    """

    part: str
    rows: NDArray[np.int64]
    terms: Terms
    labels: Float32s
    truth: Float32s | None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Impression:
    """One row kept with the run: ids int32[F], and the raw text of all columns of its file.

    values  column to text, None for an empty cell; a training row has its fields alone, as read
            back from ids
    fields  the same for the fields alone, as `encode` and `explain` take them
    """

    part: str
    row: int
    ids: Ids
    values: dict[str, str | None]
    fields: dict[str, str | None]
    label: float
    truth: float | None


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained run, read from its folder; numpy only, safe to share between threads."""

    files: RunFolder
    config: RunConfig
    schema: Schema
    vocabulary: Vocabulary
    weights: Weights
    reference_ids: Ids
    """int32[R, F]: training rows drawn at random, against which contributions are measured."""
    result: Finished
    environment: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.files.path

    @property
    def model(self) -> ModelConfig:
        """The function that was learned."""
        return self.config.model

    @property
    def train(self) -> TrainConfig:
        """How it was learned."""
        return self.config.train

    @property
    def dataset_name(self) -> str:
        """The dataset's name as a person gave it."""
        return self.config.dataset_name

    @property
    def dataset_fingerprint(self) -> str:
        """The fingerprint of the dataset's content and preparation."""
        return self.config.dataset_fingerprint

    @property
    def pinned(self) -> tuple[dict[str, str | None], ...]:
        """The impressions that rode on every event, field to raw value."""
        return self.config.pinned

    @property
    def part(self) -> str:
        """The part that figures are of: test, else validation, else train (seen in training)."""
        return self.config.part

    @property
    def fields(self) -> tuple[Field, ...]:
        """The F fields, in the order of the model's input."""
        return self.vocabulary.fields

    def encode(self, impression: Mapping[str, str | float | None]) -> Ids:
        """Field to raw value to int32[F]; SchemaError for an unknown or missing field."""
        return self.vocabulary.encode(impression)

    def decode(self, ids: Ids) -> dict[str, str]:
        """int32[F] to field and readable value; a default reads "rare or unseen"."""
        return self.vocabulary.decode(ids)

    def score(self, ids: Ids) -> Terms:
        """int32[N, F] to the three terms, float64[N] each, in bounded memory."""
        return self.weights.terms(ids)

    def deep(self, ids: Ids) -> Float64s:
        """int32[N, F] to the network's output alone, float64[N]."""
        return self.weights.deep(ids)

    @cached_property
    def reference(self) -> Reference:
        """The reference population with its means; computed once."""
        rows = len(self.reference_ids)
        name = f"{rows:,} training row{'' if rows == 1 else 's'} drawn at random"
        return reference_from_ids(self.weights, self.reference_ids, name)

    def training_means(self) -> TrainingMeans | None:
        """The means over all training rows; None where no job has measured this very model yet."""
        measured = self.files.training_means(self.vocabulary, self.weights.factors.shape[1])
        return measured if measured is not None and measured.fits(self.weights) else None

    @cached_property
    def choosable(self) -> tuple[NDArray[np.int32], ...]:
        """By field, the values that a change may propose, int32[U]; found once."""
        return tuple(choosable(self.vocabulary, field) for field in self.fields)

    def events(self) -> tuple[Event, ...]:
        """What the run reported while it was trained."""
        return self._events

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts whose scores the run keeps, the one that figures are of first."""
        return tuple(sorted(self._scores.spans, key=lambda part: part != self.part))

    def scores(self, part: str | None = None) -> Scores:
        """The stored scores of a part, by default the one that figures are of."""
        part = self._known_part(part)
        table = self._scores.of(part)
        has_truth = len(table) > 0 and not table["truth"].null_count
        return Scores(
            part=part,
            rows=np.arange(len(table)),
            terms=Terms(*(_numbers(table, name) for name in TERM_NAMES)),
            labels=_numbers(table, "label"),
            truth=_numbers(table, "truth") if has_truth else None,
        )

    def impressions(self, part: str | None = None) -> pa.Table:
        """The raw text of every column; row i belongs to row i of `scores(part)`.

        Kept for the first 100,000 rows of a part, so it may be shorter than the scores.
        """
        raw = self._impressions.of(self._known_part(part))
        return raw.rename_columns([name.removeprefix(VALUE) for name in raw.column_names])

    def impression_ids(self, part: str | None = None) -> Ids:
        """The feature indices of the same rows, int32[N, F]."""
        start, count = self._span(self._known_part(part))
        return self._impression_ids[start : start + count]

    def impression(self, part: str | None = None, row: int = 0) -> Impression:
        """One row of a part; RunError names the rows that the run keeps."""
        part = self._known_part(part)
        start, count = self._span(part)
        if not 0 <= row < count:
            raise RunError(
                f"There is no row {row:,} of the {part} part in this run: it keeps rows 0 to "
                f"{count - 1:,}. Choose one of these, or explain an impression given by value."
            )
        raw = self.impressions(part).slice(row, 1).to_pylist()[0]
        scores = self._scores.of(part).slice(row, 1).to_pylist()[0]
        return Impression(
            part=part,
            row=row,
            ids=self._impression_ids[start + row],
            values=raw,
            fields={field.name: raw[field.name] for field in self.fields},
            label=scores["label"],
            truth=scores["truth"],
        )

    def _known_part(self, part: str | None) -> str:
        part = part or self.part
        if part not in self._scores.spans:
            raise RunError(
                f"This run keeps no rows of the part {part!r}, only {', '.join(self.parts)}. "
                "Choose one of these, or evaluate with the dataset."
            )
        return part

    def _span(self, part: str) -> tuple[int, int]:
        return self._impressions.spans.get(part, (0, 0))

    @cached_property
    def _events(self) -> tuple[Event, ...]:
        return self.files.events()

    @cached_property
    def _scores(self) -> PartTable:
        return self.files.scores()

    @cached_property
    def _impressions(self) -> PartTable:
        return self.files.impressions({field.name for field in self.fields})

    @cached_property
    def _impression_ids(self) -> Ids:
        rows = len(self._impressions.table)
        return self.files.impression_ids(rows, self.vocabulary)


def _numbers(table: pa.Table, name: str) -> Float32s:
    return table[name].to_numpy().astype(np.float32)


def open_run(folder: Path | str) -> TrainedModel:
    """Read a run folder; RunError names the file that is missing, damaged or foreign.

    Scores, raw rows and events are read when first asked for, and checked then.
    """
    files = RunFolder(Path(folder))
    files.check_complete()
    config = files.config()
    vocabulary = files.vocabulary()
    return TrainedModel(
        files=files,
        config=config,
        schema=files.schema(),
        vocabulary=vocabulary,
        weights=_weights(files, config.model, vocabulary),
        reference_ids=files.reference(vocabulary),
        result=files.result(),
        environment=files.environment(),
    )


def open_beside(model: TrainedModel, folder: Path) -> TrainedModel:
    """Another model of a run's dataset, from a folder of what is its own; the rest is the run's.

    Its own are config.json, model.safetensors, environment.json and result.json. It
    encodes and is explained against the same reference as the run; it keeps no rows of its own.
    RunError where a file is missing or damaged, or the folder is of another dataset.
    """
    files = RunFolder(folder)
    config = files.config()
    if config.dataset_fingerprint != model.dataset_fingerprint:
        raise RunError(
            f"The folder {folder} was trained on another dataset than the run {model.folder}. "
            "Open it beside a run on its own dataset."
        )
    return replace(
        model,
        files=files,
        config=config,
        weights=_weights(files, config.model, model.vocabulary),
        result=files.result(),
        environment=files.environment(),
    )


def _weights(files: RunFolder, model: ModelConfig, vocabulary: Vocabulary) -> Weights:
    tensors = files.tensors()
    try:
        return weights_from_tensors(tensors, model, vocabulary.num_features, len(vocabulary.fields))
    except RunError as error:
        raise RunError(
            f"model.safetensors in the run folder {files.path} does not fit: {error}. "
            "Copy the whole run folder again, or train the run again."
        ) from error
