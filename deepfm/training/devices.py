"""The device setting to devices that are there, and to their names."""

from collections import Counter
from typing import Final

import torch

from deepfm.config import ALL_GPUS
from deepfm.errors import LimitError
from deepfm.events import Notice

CPU: Final = torch.device("cpu")


def choose_devices(wanted: str) -> tuple[torch.device, ...]:
    """auto, cpu, cuda or cuda:all to the devices of a training; LimitError if there is no GPU.

    The first holds the model. More than one only for cuda:all, on a machine with several GPUs.
    """
    there = torch.cuda.is_available()
    if wanted in ("cuda", ALL_GPUS) and not there:
        raise LimitError("This machine has no usable GPU. Set the device to auto or cpu.")
    if wanted == "cpu" or not there:
        return (CPU,)
    count = torch.cuda.device_count() if wanted == ALL_GPUS else 1
    if count == 1:
        return (torch.device("cuda"),)
    return tuple(torch.device("cuda", number) for number in range(count))


def device_name(*devices: torch.device) -> str:
    """The devices of a training as a person knows them; what is behind a comma is a detail."""
    if devices[0].type == "cuda":
        names = [torch.cuda.get_device_name(device) for device in devices]
        if len(names) == 1:
            return names[0]
        return f"{len(names)} GPUs, {' and '.join(Counter(names))}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def one_gpu_notice(wanted: str, devices: tuple[torch.device, ...]) -> Notice | None:
    """A run that was to have all GPUs on a machine that has one."""
    if wanted != ALL_GPUS or len(devices) > 1:
        return None
    return Notice(
        "one-gpu",
        f"The device is set to {ALL_GPUS}, and this machine has one usable GPU: the run is trained "
        "on that one, as with cuda.",
    )
