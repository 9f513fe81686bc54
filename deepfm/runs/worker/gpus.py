"""How many GPUs the trainings of this machine may use, asked without loading torch."""

import os
import subprocess
from collections.abc import Mapping
from typing import Final

SECONDS: Final = 10.0
"""How long the driver is given to answer; it can be slow when it has just been loaded."""


def gpu_count(environment: Mapping[str, str] = os.environ, command: str = "nvidia-smi") -> int:
    """NVIDIA GPUs that are there and that CUDA_VISIBLE_DEVICES, where set, does not hide."""
    try:
        listed = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return count
    visible = environment["CUDA_VISIBLE_DEVICES"].split(",")
    return min(count, sum(name.strip() not in ("", "-1") for name in visible))


def training_slots(gpus: int) -> tuple[str, ...]:
    """One slot for each GPU; one where there is none."""
    return tuple(f"training-{number}" for number in range(max(1, gpus)))


def gpu_of(slot: str) -> int:
    """The number of the GPU that work in this slot is to use, from 0."""
    return int(slot.rpartition("-")[2])
