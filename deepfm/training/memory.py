"""A model to the memory it needs: refused before it is allocated, told in words if it runs out."""

import contextlib
from collections.abc import Iterator
from typing import Final

import torch

from deepfm.config import (
    BYTES_A_PARAMETER,
    ModelConfig,
    Settings,
    machine_memory,
    parameter_count,
)
from deepfm.data.dataset import Dataset
from deepfm.errors import LimitError

BYTES_OF_A_SUM: Final = 4
"""The gradient of all devices of each parameter, float32, beside the first device's own."""
BYTES_OF_A_REPLICA: Final = 8
"""Weight and gradient of each parameter, float32 both, on a device that does not move them."""


def check_memory(
    dataset: Dataset, model: ModelConfig, device: torch.device, *replicas: torch.device
) -> None:
    """LimitError, before anything is allocated, where the model cannot fit.

    replicas   devices that hold a replica of the model beside the first
    """
    count = parameter_count(dataset.vocabulary.num_features, len(dataset.fields), model)
    limit = Settings.from_environment().max_parameters
    if count > limit:
        raise LimitError(
            f"This model has {count:,} parameters; at most {limit:,} are allowed here "
            "(DEEPFM_MAX_PARAMETERS). Lower the factor size or the MLP dims, or raise min_count."
        )
    bytes_of_sum = BYTES_OF_A_SUM if replicas else 0
    _refuse_beyond(count * (BYTES_A_PARAMETER + bytes_of_sum), device)
    for replica in replicas:
        _refuse_beyond(count * BYTES_OF_A_REPLICA, replica)


def _refuse_beyond(needed: int, device: torch.device) -> None:
    there = memory_bytes(device)
    if needed > there:
        raise LimitError(
            f"This model needs about {needed / 2**30:.1f} GiB to train; {there / 2**30:.1f} GiB "
            "are there. Lower the factor size or the MLP dims, or raise min_count."
        )


def memory_bytes(device: torch.device) -> int:
    """Memory of the GPU that is free, or of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return machine_memory()


@contextlib.contextmanager
def memory_errors_in_words() -> Iterator[None]:
    """Memory that runs out, as torch and Python raise it, to a LimitError with the way out."""
    advice = "Lower the batch size, the factor size or the MLP dims, and train again."
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise LimitError(f"The GPU ran out of memory. {advice}") from error
    except MemoryError as error:
        raise LimitError(f"The machine ran out of memory. {advice}") from error
    except RuntimeError as error:
        # torch's CPU allocator has no exception of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise LimitError(f"The machine ran out of memory. {advice}") from error
