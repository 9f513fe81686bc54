"""What grows with the rows, and what must not: the memory of processes that take few and many.

What is counted is RssAnon, the memory of the process itself; mapped files belong to the system.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory, scale
from deepfm.config import TrainConfig
from deepfm.data.dataset import prepare

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads /proc, which only Linux has"
)
TRAIN_BYTES_A_ROW = 25
PREPARE_BYTES_A_ROW = 12
"""Indices and labels alone would take 16; allocators keep a few more or less each time."""


def test_training_takes_a_few_bytes_a_row(tmp_path: Path) -> None:
    """The order of the rows, and the train curve's AUC; not ids, labels, or several of each."""
    config = TrainConfig(epochs=1, batch_size=8_192, optimizer="lazy-adam", device="cpu")
    few, many = 100_000, 1_600_000
    folders = {rows: memory.in_own_process(prepared, tmp_path, rows) for rows in (few, many)}
    # Compiling takes memory too, and is done once.
    memory.in_own_process(scale.run_folder, folders[few], config)
    peaks = {
        rows: memory.in_own_process(scale.run_folder, folder, config).training
        for rows, folder in folders.items()
    }
    assert (peaks[many] - peaks[few]) / (many - few) < TRAIN_BYTES_A_ROW


def prepared(folder: Path, rows: int) -> Path:
    """A dataset with so many training rows, and a few test rows."""
    paths = {part: folder / f"{rows}-{part}.tsv" for part in ("train", "test")}
    write_text(paths["train"], rows)
    write_text(paths["test"], 20_000)
    out = folder / f"{rows}"
    return prepare(paths["train"], paths["test"], out=out, validation=0.0).folder


PREPARING = """
import sys
from benchmarks.memory import AnonymousPeak
from deepfm.data.dataset import prepare
from deepfm.data.reader import blocks

blocks.BLOCK = 1 << 20
with AnonymousPeak() as peak:
    dataset = prepare(sys.argv[1], out=sys.argv[2], validation=0.1)
print(peak.bytes)
"""


def test_preparing_takes_next_to_nothing_a_row(tmp_path: Path) -> None:
    """A mark for each row that is held out; the text, codes and numbers lie in files."""
    peaks = {}
    for rows in (1_200_000, 3_600_000):
        path = tmp_path / f"{rows}.tsv"
        write_text(path, rows)
        done = subprocess.run(
            [sys.executable, "-c", PREPARING, str(path), str(tmp_path / f"{rows}")],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[rows] = int(done.stdout)
        path.unlink()
    grown = (peaks[3_600_000] - peaks[1_200_000]) / 2_400_000
    assert grown < PREPARE_BYTES_A_ROW


def write_text(path: Path, rows: int) -> None:
    """A label, two columns of a thousand values, one of numbers."""
    rng = np.random.default_rng(0)
    lines = [
        f"{label}\ta{a}\tb{b}\t{number}\n"
        for label, a, b, number in zip(
            rng.integers(0, 2, 20_000),
            rng.integers(0, 1_000, 20_000),
            rng.integers(0, 1_000, 20_000),
            rng.integers(0, 500, 20_000),
            strict=True,
        )
    ]
    text = "".join(lines)
    with path.open("w", encoding="utf-8") as file:
        file.write("clicked\tfirst\tsecond\tamount\n")
        for _ in range(rows // 20_000):
            file.write(text)
