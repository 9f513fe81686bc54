"""Queued runs and jobs to finished ones: the worker process, and how to start, find and stop it.

One worker serves one home folder; a file lock decides which. It claims what is queued and hands
each piece to a child process that does it, reports to the store itself, and exits, or after a
short training waits for the next one:

    service.py      the app's side: keep_worker, ensure_worker, worker_alive, stop_worker
    supervisor.py   the worker's loop: claims, watches its children, enforces the limits
    lanes.py        children by lane, and the spare that is kept warm in each
    child.py        the child's life: warm up, wait, do one piece of work, say how it ended
    jobs.py         what the work is: a call of the library for each kind
    remains.py      what a child that died has left of its run, and so how that ends
    table.py        kinds of work to those functions, by name
    gpus.py         how many GPUs there are: each trains one run at a time
    link.py         between the work and the store, on a thread of the child's
    lock.py         file locks: who is alive is known by a lock, never by a clock
    words.py        how a process ended, in words

Importing this package loads nothing heavy: torch and pyarrow are imported in children alone.
"""

from deepfm.runs.worker.service import ensure_worker, keep_worker, stop_worker, worker_alive
from deepfm.runs.worker.supervisor import run_worker

__all__ = ["ensure_worker", "keep_worker", "run_worker", "stop_worker", "worker_alive"]
