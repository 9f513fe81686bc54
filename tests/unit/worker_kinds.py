"""Work that finishes, waits, refuses and dies on request, and a worker that does it."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from deepfm.config import Settings
from deepfm.errors import Cancelled, DataError, StoreError
from deepfm.events import Finished, Metrics, Point, Progress
from deepfm.runs.store import RunRow
from deepfm.runs.worker import run_worker, supervisor
from deepfm.runs.worker.table import WORK, Context

FIGURES = Metrics(loss=0.5, accuracy=0.75, auc=0.75, rows=100)


KEPT: list[bytes] = []
"""What trainings have not given back."""


def point(epoch: float) -> Point:
    return Point(epoch, epoch, 1000.0, FIGURES, None, None, ())


def finished(stopped: bool) -> Finished:
    return Finished(
        epochs=1,
        best_epoch=1,
        seconds=1.0,
        examples_per_second=1.0,
        step_examples_per_second=1.0,
        part="test",
        rows=10,
        auc=0.875,
        log_loss=0.25,
        log_loss_calibrated=0.25,
        accuracy=0.75,
        base_rate=0.5,
        stopped=stopped,
    )


def die(payload: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), getattr(signal, payload["signal"]))
    time.sleep(10)


def train(run: RunRow, context: Context) -> dict[str, Any]:
    """A training as run.model asks for it: {"points": n}, {"endless": true}, {"signal": …} …"""
    model = run.model
    run.folder.mkdir(parents=True, exist_ok=True)
    if "error" in model:
        raise {"data": DataError, "memory": MemoryError, "bug": ZeroDivisionError}[model["error"]](
            "the cause"
        )
    if "mark" in model:
        Path(model["mark"]).write_text(str(context.gpu))
    if "pid" in model:
        Path(model["pid"]).write_text(str(os.getpid()))
    KEPT.append(b"x" * model.get("keep_bytes", 0))
    for number in range(model.get("points", 1)):
        context.report(point(number))
    if "signal" in model:
        time.sleep(0.2)
        die(model)
    if "stuck" in model:
        time.sleep(0.2)
        ctypes.PyDLL(None).sleep(60)  # holds the interpreter: no other thread of this child runs
    number = 0.0
    while model.get("endless") and (model.get("deaf") or not context.stopping()):
        number += 0.01
        context.report(point(number))
        time.sleep(0.01)
    last = finished(stopped=context.stopping())
    context.report(last)
    return asdict(last)


def echo(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    return {**payload, "torch": "torch" in sys.modules, "pid": os.getpid()}


def wait(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    Path(payload["mark"]).write_text(str(os.getpid()))
    end = time.monotonic() + payload["seconds"]
    while time.monotonic() < end:
        context.report(Progress("Waiting", time.monotonic(), end, "s"))
        if context.stopping() and not payload.get("deaf"):
            raise Cancelled("as asked")
        time.sleep(0.005)
    return {}


def hoard(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    return {"bytes": len(b"x" * payload["bytes"])}


def leave(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    os._exit(3)


def suicide(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    die(payload)
    return {}


def refuse(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    raise StoreError("No, for a reason.")


def warm(settings: Settings) -> None:
    """Nothing to warm."""


def die_early(settings: Settings) -> None:
    os._exit(9)


HERE = "tests.unit.worker_kinds"
TABLE = replace(
    WORK,
    functions={
        **WORK.functions,
        **{name: f"{HERE}:{name}" for name in ("train", "echo", "wait", "hoard", "leave")},
        **{name: f"{HERE}:{name}" for name in ("suicide", "refuse")},
    },
    quick=WORK.quick | {"echo"},
    warm_ups={"training": f"{HERE}:warm", "short": f"{HERE}:warm"},
)


def serve(
    home: str,
    *,
    idle: float = 0.0,
    stillborn: bool = False,
    minute: float = 60.0,
    gpus: int = 0,
    **settings: Any,
) -> None:
    """A worker that can do all of this, whose minutes may be short."""
    supervisor.MINUTE = minute  # type: ignore[misc]
    table = TABLE
    if stillborn:
        table = replace(TABLE, warm_ups=dict.fromkeys(TABLE.warm_ups, f"{HERE}:die_early"))
    run_worker(home, exit_when_idle=idle, settings=Settings(**settings), table=table, gpus=gpus)
