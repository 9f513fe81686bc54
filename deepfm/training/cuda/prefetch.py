"""Rows in host memory to batches on the device, copied on a stream of their own.

Each batch is gathered into one of a few page-locked slots and sent from there while the device
still works on the batches before it; so gathering, copying and computing go on side by side.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SLOTS: Final = 3
"""One that is filled, one that is copied, one whose batch is computed."""

Fill = Callable[["Slot"], int]
"""Writes a batch into the head of a slot's arrays; returns how many rows it has."""


class Slot:
    """Host memory for one batch of at most R rows: ids int32[R, F] and labels float32[R]."""

    def __init__(self, ids: Tensor, labels: Tensor) -> None:
        self._tensors = (ids, labels)
        self.ids: NDArray[np.int32] = ids.numpy()
        self.labels: NDArray[np.float32] = labels.numpy()

    def head(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first rows of both."""
        return self._tensors[0][:rows], self._tensors[1][:rows]


class Parcel(Protocol):
    """A batch on its way to the device."""

    def departed(self) -> None:
        """Wait until its slot may be written again."""

    def receive(self) -> tuple[Tensor, Tensor]:
        """The batch on the device; what the device does from here on waits for it."""


class Carrier(Protocol):
    """Brings batches from the host to a device."""

    def slot(self, rows: int, fields: int) -> Slot:
        """Host memory that it can send from."""

    def send(self, ids: Tensor, labels: Tensor) -> Parcel:
        """Begin to copy; returns at once."""


class Prefetcher:
    """Brings batches of at most so many rows to a device, two ahead of their use."""

    def __init__(self, carrier: Carrier, rows: int, fields: int) -> None:
        self._carrier = carrier
        self._slots = [carrier.slot(rows, fields) for _ in range(SLOTS)]

    def batches(self, fills: Iterable[Fill]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each batch on the device, in order: ids int32[n, F] and labels float32[n]."""
        under_way: deque[Parcel] = deque()
        sent: deque[Parcel] = deque()
        try:
            for number, fill in enumerate(fills):
                if len(sent) == SLOTS:
                    sent.popleft().departed()
                slot = self._slots[number % SLOTS]
                parcel = self._carrier.send(*slot.head(fill(slot)))
                sent.append(parcel)
                under_way.append(parcel)
                if len(under_way) == SLOTS:
                    yield under_way.popleft().receive()
            for parcel in under_way:
                yield parcel.receive()
        finally:  # Who stops in the middle of an epoch may ask for another one.
            for parcel in sent:
                parcel.departed()


class CudaCarrier:
    """Copies from page-locked memory on a second stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def slot(self, rows: int, fields: int) -> Slot:
        """Page-locked host memory."""
        ids = torch.zeros((rows, fields), dtype=torch.int32, pin_memory=True)
        return Slot(ids, torch.zeros(rows, pin_memory=True))

    def send(self, ids: Tensor, labels: Tensor) -> "CudaParcel":
        """Begin to copy; returns at once."""
        # The memory is the current stream's, which may still use what lay there before. Of its
        # work only that of two batches ago and earlier is queued yet, so the copy runs beside
        # the steps that come between.
        there = tuple(torch.empty_like(part, device=self._device) for part in (ids, labels))
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for part, target in zip((ids, labels), there, strict=True):
                target.copy_(part, non_blocking=True)
            done = torch.cuda.Event()
            done.record(self._stream)
        return CudaParcel((there[0], there[1]), done)


class CudaParcel:
    """A batch whose copy ends with an event."""

    def __init__(self, batch: tuple[Tensor, Tensor], done: torch.cuda.Event) -> None:
        self._batch = batch
        self._done = done

    def departed(self) -> None:
        """Wait until its slot may be written again."""
        self._done.synchronize()

    def receive(self) -> tuple[Tensor, Tensor]:
        """The batch on the device; what the current stream does from here on waits for it."""
        torch.cuda.current_stream(self._batch[0].device).wait_event(self._done)
        return self._batch
