"""A process that starts to its first optimisation step, beside importing torch alone.

python -m benchmarks.cold_start

Each variant starts fresh processes, in turn; the medians count. "First ever" compiles into an empty
folder, as on a new machine; afterwards compiled code is loaded. "Warmed" is a worker's child that
waits for a run: what is left between the run's start and its first step.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import report
from benchmarks.shapes import add_cache_flag, seed_shape

IMPORT_TORCH: Final = "import torch"
FIRST_STEP: Final = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
from deepfm.config import PRESETS, ModelConfig, TrainConfig
from deepfm.data.dataset import open_dataset
from deepfm.model import DeepFM
from deepfm.training.rows import Rows
from deepfm.training.step import choose_step

def first_step():
    dataset = open_dataset(Path(sys.argv[1]))
    config = TrainConfig.from_dict(PRESETS["d2l"].train)
    model = DeepFM(dataset.vocabulary.field_dims, ModelConfig.from_dict(PRESETS["d2l"].model))
    step, _ = choose_step(model, config)
    rows = Rows(dataset.parts["train"], torch.device("cpu"))
    step(*next(iter(rows.batches(config.batch_size, 0, 1, True))), 1, 0)
    step.close()
"""
COLD: Final = FIRST_STEP + "first_step()\n"
WARMED: Final = (
    FIRST_STEP
    + """
from deepfm.training.cpu_step import load_kernels
load_kernels("dense")
began = time.perf_counter()
first_step()
print(time.perf_counter() - began)
"""
)


def seconds_of(program: str, arguments: list[str], numba_cache: str = "") -> float:
    """Wall time of a process that runs this program, its start and end included."""
    settings = {"NUMBA_CACHE_DIR": numba_cache} if numba_cache else {}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, env=os.environ | settings
    )
    return time.perf_counter() - began


def seconds_told(program: str, arguments: list[str]) -> float:
    """What the program itself measured and printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add_cache_flag(parser)
    given = parser.parse_args()
    arguments = [str(seed_shape(given.cache).folder), str(given.threads)]
    variants: dict[str, Callable[[], float]] = {
        "import torch": lambda: seconds_of(IMPORT_TORCH, []),
        "first step, cold process": lambda: seconds_of(COLD, arguments),
        "first step, first ever": lambda: first_ever(arguments),
        "first step, warmed": lambda: seconds_told(WARMED, arguments),
    }
    seconds_of(COLD, arguments)  # compiles what is not compiled yet
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(given.rounds):
        for name, measure in variants.items():
            found[name].append(measure())
    medians = {name: median(seconds) for name, seconds in found.items()}
    torch_alone = medians["import torch"]
    rows = [
        [
            name,
            f"{seconds:.2f} s",
            NOT_BESIDE if name in ALONE else f"{seconds - torch_alone:+.2f} s",
        ]
        for name, seconds in medians.items()
    ]
    print(report.title("Start to first step, d2l preset", report.machine()))
    print(f"\n{report.markdown(['from a start to', 'seconds', 'beside torch'], rows)}\n")
    report.print_json("cold_start", report.machine(), {"seconds": medians})


ALONE: Final = ("import torch", "first step, warmed")
NOT_BESIDE: Final = report.NONE


def first_ever(arguments: list[str]) -> float:
    """A cold process that has to compile everything."""
    with tempfile.TemporaryDirectory() as empty:
        return seconds_of(COLD, arguments, str(Path(empty) / "numba"))


if __name__ == "__main__":
    main()
