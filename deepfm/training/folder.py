"""A trained model to its run folder: everything needed to score and explain on another machine."""

import contextlib
import dataclasses
import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file

from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, Part
from deepfm.data.reader import ROW
from deepfm.errors import RunError
from deepfm.events import Event, Finished, to_json
from deepfm.model import DeepFM
from deepfm.terms import TERM_NAMES, Terms
from deepfm.training.checkpoint import FILES as CHECKPOINT
from deepfm.training.checkpoint import TENSORS
from deepfm.versions import versions

VERSION = 1
RESULT = "result.json"
MAX_IMPRESSIONS = 100_000
"""Rows of each part whose raw values go with the run."""
_ROWS_IN_GROUP = 1 << 20
_SCORES = pa.schema(
    [
        ("part", pa.string()),
        ("row", pa.int64()),
        *((name, pa.float32()) for name in (*TERM_NAMES, "label", "truth")),
    ]
)


@dataclasses.dataclass(frozen=True)
class ScoredPart:
    """A part, its first rows by number, and the terms of every one of them."""

    part: Part
    terms: Terms


def write_run_folder(
    folder: Path,
    dataset: Dataset,
    model: DeepFM,
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    reference: NDArray[np.int32],
    pinned: Sequence[Mapping[str, str | None]],
    scored: Sequence[ScoredPart],
    events: Sequence[Event],
    result: Finished,
    device: str,
    again: bool = False,
) -> None:
    """Write the folder aside and rename it into place; an existing empty folder is replaced.

    again   the folder may hold this run's earlier end, from which it was resumed
    OSError where that cannot be done; nothing is left aside then.
    """
    if not again:
        check_free(folder, besides=CHECKPOINT)
    with _aside(folder) as aside:
        config = _config(dataset, model_config, train_config, pinned, result)
        _write_json(aside / "config.json", config)
        _write_json(aside / RESULT, dataclasses.asdict(result))
        _write_json(aside / "environment.json", _environment(device, train_config.seed))
        for name in ("schema.json", "vocabulary.parquet"):
            shutil.copyfile(dataset.folder / name, aside / name)
        save_file(model.weights(), aside / "model.safetensors")
        np.save(aside / "reference.npy", reference)
        _write_scores(aside, dataset, scored)
        lines = (to_json(event) + "\n" for event in events)
        (aside / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
        _put_in_place(aside, folder)


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A new folder beside it, removed where it could not be filled and put in place."""
    aside = folder.with_name(folder.name + ".writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except SafetensorError as error:
        # So it tells of a full disk; there is nothing else that it could not write here.
        raise OSError(errno.EIO, str(error)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(aside: Path, folder: Path) -> None:
    """Rename the folder; where there is a checkpoint beside which it must stand, file by file.

    result.json goes first and comes last: a folder without it is not taken for a whole one.
    """
    if not folder.exists() or not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return
    (folder / RESULT).unlink(missing_ok=True)
    for path in sorted(aside.iterdir(), key=lambda each: each.name == RESULT):
        path.replace(folder / path.name)


def check_free(folder: Path, besides: Sequence[str] = ()) -> None:
    """RunError if the folder holds anything else: a run is never overwritten."""
    if not folder.exists():
        return
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if not held - set(besides):
        return
    if TENSORS in held:
        raise RunError(
            f"{folder} holds a training that was interrupted or stopped. Go on with it by "
            f"python -m deepfm resume {folder}, or give --out a new folder."
        )
    raise RunError(f"{folder} is not empty. Give --out a new folder; runs are never replaced.")


def _config(
    dataset: Dataset,
    model: ModelConfig,
    train: TrainConfig,
    pinned: Sequence[Mapping[str, str | None]],
    result: Finished,
) -> dict[str, Any]:
    return {
        "version": VERSION,
        "model": model.to_dict(),
        "train": train.to_dict(),
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "pinned": [dict(impression) for impression in pinned],
        "part": result.part,
    }


def _environment(device: str, seed: int) -> dict[str, Any]:
    return {
        **versions(),
        "device": device,
        "threads": torch.get_num_threads(),
        "seed": seed,
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _write_scores(folder: Path, dataset: Dataset, scored: Sequence[ScoredPart]) -> None:
    """scores.parquet of all rows; impressions.parquet and impression_ids.npy of the first ones."""
    impressions, ids = [], []
    for each in scored:
        count = min(len(each.terms), MAX_IMPRESSIONS)
        impressions.append(_impressions_table(dataset, each.part, count))
        ids.append(np.array(each.part.ids[:count]))
    with pq.ParquetWriter(folder / "scores.parquet", _SCORES, write_page_checksum=True) as file:
        for each in scored:
            for start in range(0, len(each.terms), _ROWS_IN_GROUP):
                file.write_table(_scores_table(each, start))
    pq.write_table(
        pa.concat_tables(impressions, promote_options="permissive"),
        folder / "impressions.parquet",
        write_page_checksum=True,
    )
    np.save(folder / "impression_ids.npy", np.concatenate(ids))


def _scores_table(scored: ScoredPart, start: int) -> pa.Table:
    """The rows from `start` on, at most _ROWS_IN_GROUP of them."""
    rows = slice(start, min(start + _ROWS_IN_GROUP, len(scored.terms)))
    count, truth = rows.stop - rows.start, scored.part.truth
    terms = (np.asarray(term[rows], dtype=np.float32) for term in scored.terms)
    columns = [
        pa.repeat(scored.part.name, count),
        pa.array(np.arange(rows.start, rows.stop), pa.int64()),
        *map(pa.array, terms),
        pa.array(np.array(scored.part.labels[rows])),
        pa.nulls(count, pa.float32()) if truth is None else pa.array(np.array(truth[rows])),
    ]
    return pa.table(columns, schema=_SCORES)


def _impressions_table(dataset: Dataset, part: Part, count: int) -> pa.Table:
    """part, row, and the raw text of every column; training rows are decoded from their ids."""
    if part.has_rows:
        raw = part.rows(0, count).drop_columns([ROW])
    else:
        decode, ids = dataset.vocabulary.decode_column, np.array(part.ids[:count])
        names = [field.name for field in dataset.fields]
        raw = pa.table([decode(name, ids[:, i]) for i, name in enumerate(names)], names=names)
    index = {
        "part": pa.array([part.name] * count, pa.string()),
        "row": pa.array(np.arange(count), pa.int64()),
    }
    columns = {f"value:{name}": raw.column(name) for name in raw.column_names}
    return pa.table({**index, **columns})
