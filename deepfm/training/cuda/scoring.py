"""Blocks of rows to the three terms of each, by one captured graph."""

import logging
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfm.model import DeepFM
from deepfm.training.cuda.capture import WARM_UPS, CaptureFailed, CudaRecorder, Recorder
from deepfm.training.cuda.prefetch import Carrier, CudaCarrier, Fill, Prefetcher, Slot

LEAST_BLOCKS: Final = 4
"""From so many blocks on a graph and its copies beside the work are worth their making."""

_log = logging.getLogger(__name__)


class BlockScorer:
    """The terms of blocks of at most so many rows, by a model in evaluation mode.

    The graph reads the weights where they lie, so it stays right while training moves them.
    """

    def __init__(self, model: DeepFM, rows: int, recorder: Recorder, carrier: Carrier) -> None:
        fields = len(model.field_dims)
        self._rows = rows
        self._ids = torch.zeros((rows, fields), dtype=torch.int32, device=recorder.device)
        with recorder.aside():
            for _ in range(WARM_UPS):
                _stacked_terms(model, self._ids)
        ids = self._ids
        self._replay = recorder.record(lambda: (_stacked_terms(model, ids),))
        self._prefetcher = Prefetcher(carrier, rows, fields)
        self._places = _places(model)

    def still_fits(self, model: DeepFM) -> bool:
        """Whether the model's weights still lie where the graph reads them."""
        return self._places == _places(model)

    def __call__(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """int32[N, F] to float32[3, N]: linear, pairwise, deep."""
        terms = torch.empty((3, len(ids)), device=self._ids.device)
        start = 0
        for block, _ in self._prefetcher.batches(self._blocks(ids)):
            # Behind a smaller last block lie rows of the one before: scored, and not read.
            self._ids[: len(block)].copy_(block, non_blocking=True)
            (scored,) = self._replay()
            terms[:, start : start + len(block)].copy_(scored[:, : len(block)])
            start += len(block)
        return terms.cpu().numpy()

    def _blocks(self, ids: NDArray[np.int32]) -> Iterator[Fill]:
        for start in range(0, len(ids), self._rows):
            yield partial(_fill, ids[start : start + self._rows])


def _fill(rows: NDArray[np.int32], slot: Slot) -> int:
    slot.ids[: len(rows)] = rows
    return len(rows)


def _stacked_terms(model: DeepFM, ids: Tensor) -> Tensor:
    return torch.stack(model.terms(ids))


def _places(model: DeepFM) -> tuple[int, ...]:
    return tuple(weight.data_ptr() for weight in model.parameters())


_scorers: weakref.WeakKeyDictionary[DeepFM, BlockScorer | None] = weakref.WeakKeyDictionary()
"""The scorer of each model that is there, made at its first large part; None where that failed."""


def block_scorer(model: DeepFM, rows: int, device: torch.device) -> BlockScorer | None:
    """The model's scorer for blocks of so many rows; None where none can be captured."""
    known = _scorers.get(model)
    if model in _scorers and (known is None or known.still_fits(model)):
        return known
    try:
        _scorers[model] = BlockScorer(model, rows, CudaRecorder(device), CudaCarrier(device))
    except CaptureFailed as error:
        _log.warning("Scoring could not be captured as a CUDA graph: %s", error)
        _scorers[model] = None
    return _scorers[model]
