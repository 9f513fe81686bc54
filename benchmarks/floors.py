"""A model's sizes to the least time of a step: its matrix products, and the bytes it must move."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat

import torch

from deepfm.config import ModelConfig

FLOAT = 4
"""Bytes of a float32, and of an int32."""


@torch.inference_mode()
def matrix_products(widths: Sequence[int], batch_size: int, device: torch.device) -> Iterator[int]:
    """The network's products and nothing else, into reused buffers; yields the rows of each step.

    widths   F·K, the hidden layers, 1. Forward one product a layer, backward two: the gradient
             of the weights, and that of the layer's input (of the first layer too, since the
             embeddings learn).
    """
    inputs = [torch.randn(batch_size, width, device=device) for width in widths]
    gradients = [torch.randn(batch_size, width, device=device) for width in widths]
    weights = [torch.randn(after, before, device=device) for before, after in pairwise(widths)]
    weight_gradients = [torch.empty_like(weight) for weight in weights]
    layers = range(len(weights))
    for _ in repeat(None):
        for i in layers:
            torch.mm(inputs[i], weights[i].t(), out=inputs[i + 1])
        for i in reversed(layers):
            torch.mm(gradients[i + 1].t(), inputs[i], out=weight_gradients[i])
            torch.mm(gradients[i + 1], weights[i], out=gradients[i])
        yield batch_size


def network_widths(num_fields: int, model: ModelConfig) -> tuple[int, ...]:
    """F·K, the hidden layers, 1."""
    return (num_fields * model.num_factors, *model.mlp_dims, 1)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one step must move if kernels join everything but the matrix products.

    indices      read for the lookup and again for the gradients
    embeddings   as the network reads them: written once, read forward and backward; their
                 gradient written and read
    hidden       the same for the hidden layers
    tables       rows of the batch: read, their gradient written and read
    adam         weight and two moments, read and written, of every row or of the batch's rows
    """

    indices: int
    embeddings: int
    hidden: int
    tables: int
    adam: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.indices + self.embeddings + self.hidden + self.tables + self.adam


def traffic(
    batch_size: int,
    num_fields: int,
    touched_rows: float,
    updated_rows: float,
    model: ModelConfig,
) -> Traffic:
    """The floor of a step in float32.

    touched_rows   different features in a batch
    updated_rows   features that Adam visits: all with adam, the touched ones with lazy-adam
    """
    numbers_a_row = model.num_factors + 1
    width = num_fields * model.num_factors
    return Traffic(
        indices=2 * FLOAT * batch_size * num_fields,
        embeddings=5 * FLOAT * batch_size * width,
        hidden=5 * FLOAT * batch_size * sum(model.mlp_dims),
        tables=round(3 * FLOAT * touched_rows * numbers_a_row),
        adam=round(6 * FLOAT * updated_rows * numbers_a_row),
    )


def copy_bandwidth(device: torch.device, *, nbytes: int = 1 << 30, copies: int = 20) -> float:
    """Bytes a second that a plain copy in the GPU's memory reads and writes together."""
    source = torch.ones(nbytes // FLOAT, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(copies):
        target.copy_(source)
    torch.cuda.synchronize(device)
    return 2 * nbytes * copies / (time.perf_counter() - began)
