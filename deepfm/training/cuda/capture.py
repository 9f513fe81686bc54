"""A function of tensors to a CUDA graph of it: hundreds of launches for the price of one.

A graph repeats the recorded kernels on the recorded addresses. So whatever goes in is copied to
tensors that stay (and were made outside the recording), and whatever comes out is copied away
before the next replay. All graphs of one recorder share one memory pool: they are replayed one
after the other and hand nothing over to each other, so they may use the same memory.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

import torch
from torch import Tensor

Outputs = tuple[Tensor, ...]
OfBatch = Callable[[Tensor, Tensor], Outputs]
"""ids int32[B, F] and labels float32[B], to whatever is computed from them."""

WARM_UPS: Final = 3
"""Runs of a function before it is recorded: its kernels are loaded, its workspaces there."""


class CaptureFailed(Exception):
    """The function could not be recorded, for another reason than memory."""


class Replay(Protocol):
    """Runs what was recorded; returns the same tensors at every call, with new contents."""

    def __call__(self) -> Outputs: ...


class Recorder(Protocol):
    """Records functions on one device. generator: what dropout on that device draws from."""

    device: torch.device
    generator: torch.Generator

    def aside(self) -> AbstractContextManager[None]:
        """Work inside runs where recording happens, in order with the work before and after."""

    def record(self, body: Callable[[], Outputs]) -> Replay:
        """Record without running. CaptureFailed, or torch.OutOfMemoryError."""


class CudaReplay:
    """A recorded graph, and the tensors it writes; its memory is free once both are dropped."""

    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Outputs) -> None:
        self.graph = graph
        self._outputs = outputs

    def __call__(self) -> Outputs:
        """Queue the graph on the current stream."""
        self.graph.replay()
        return self._outputs


class BatchGraph:
    """A function of batches of one size, recorded, with the tensors that it reads."""

    def __init__(
        self, body: OfBatch, warm_up: OfBatch, shape: tuple[int, int], recorder: Recorder
    ) -> None:
        """shape: rows and fields. CaptureFailed, or torch.OutOfMemoryError."""
        ids = torch.zeros(shape, dtype=torch.int32, device=recorder.device)
        labels = torch.zeros(shape[0], device=recorder.device)
        with recorder.aside():
            for _ in range(WARM_UPS):
                warm_up(ids, labels)
        self._replay = recorder.record(lambda: body(ids, labels))
        self._ids, self._labels = ids, labels

    def __call__(self, ids: Tensor, labels: Tensor) -> Outputs:
        """The same tensors at every call, with new contents; the batch may be on any device."""
        self._ids.copy_(ids, non_blocking=True)
        self._labels.copy_(labels, non_blocking=True)
        return self._replay()


_failed: list[torch.cuda.CUDAGraph] = []
"""Graphs, empty, whose capture failed: torch's allocator may keep asking them what is theirs."""


class CudaRecorder:
    """Records on a stream of its own, as recording must.

    Dropout draws from the device's own generator. A replay reads seed and offset of that
    generator anew each time, so seeding it before a replay gives the masks that the same seed
    gives an eager step: they stay a pure function of the seed.
    """

    def __init__(self, device: torch.device) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        self._stream = torch.cuda.Stream(self.device)
        self.generator = torch.cuda.default_generators[index]
        self._first: weakref.ref[CudaReplay] | None = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The recorder's stream, after the current one's work and before what follows there."""
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    def record(self, body: Callable[[], Outputs]) -> CudaReplay:
        """Record without running. CaptureFailed, or torch.OutOfMemoryError."""
        graph = torch.cuda.CUDAGraph()
        try:
            outputs = self._capture(graph, body)
        except RuntimeError as error:
            self._clean_up(graph)
            raise _reason(error) from error
        replay = CudaReplay(graph, outputs)
        if self._alive() is None:
            self._first = weakref.ref(replay)
        return replay

    def _capture(self, graph: torch.cuda.CUDAGraph, body: Callable[[], Outputs]) -> Outputs:
        first = self._alive()
        pool = None if first is None else first.graph.pool()
        # The outer stream is put back even where the capture cannot be ended in order. Other
        # threads may go on allocating: only this one must do nothing that cannot be recorded.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self.device)),
            torch.cuda.graph(graph, pool, self._stream, "thread_local"),
        ):
            return body()

    def _alive(self) -> CudaReplay | None:
        """A graph whose pool is still there; a pool ends with the last graph that uses it."""
        return None if self._first is None else self._first()

    def _clean_up(self, graph: torch.cuda.CUDAGraph) -> None:
        """Leave neither memory nor a generator behind that believes it is being recorded.

        A recording that ends in order puts the generator right. Where none can be made, no graph
        depends on the generator's state, and a copy of it, which is not recorded, takes its place.
        """
        graph.reset()
        _failed.append(graph)
        torch.cuda.empty_cache()
        try:
            self._capture(torch.cuda.CUDAGraph(), lambda: (torch.zeros(1, device=self.device),))
        except RuntimeError:
            self.generator.graphsafe_set_state(self.generator.clone_state())


def _reason(error: BaseException) -> Exception:
    """What made a recording fail: the error that ends the capture hides the one within."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, torch.OutOfMemoryError):
            return torch.OutOfMemoryError(str(link))
        link = link.__cause__ or link.__context__
    return CaptureFailed(str(error))
