"""The GPU's way through a training: batches, steps and scores, each at the cost of few launches.

    step.py        the whole step captured as one CUDA graph, replayed for every batch
    moves.py       what is captured: gradients, and Adam over all rows or over a batch's rows
    capture.py     a function of tensors to a graph of it; the only module that knows CUDA graphs
    prefetch.py    rows in host memory to batches on the device, copied beside its work
    parallel.py    each batch divided among all GPUs of the machine, for one run on all of them
    scoring.py     blocks of rows to their terms, by one captured graph

Nothing here needs Triton or a compiler at run time.
"""

from deepfm.training.cuda.step import choose

__all__ = ["choose"]
