"""Kinds of work to calls of the library: what a child of the worker does, and how it warms up.

Each function takes what it works on (a job's payload, or the run) and a Context, and returns
its result as JSON. The library is imported inside, so that a short job never loads torch.
"""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.config import ModelConfig, PrepareConfig, Settings, TrainConfig
from deepfm.errors import RunError
from deepfm.events import Event, Notice, Resumed
from deepfm.runs.store import RunRow
from deepfm.runs.worker.measuring import queue_beyond
from deepfm.runs.worker.table import Context

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset


def train(run: RunRow, context: Context) -> dict[str, Any]:
    """Train a run into its folder, from its checkpoint where it is resumed; events.Finished."""
    from deepfm.data.dataset import open_dataset
    from deepfm.training.checkpoint import drop_checkpoint, has_checkpoint
    from deepfm.training.loop import resume
    from deepfm.training.loop import train as train_model

    _use_gpu(context.gpu)
    dataset = open_dataset(run.dataset_folder)
    model, plan = ModelConfig.from_dict(run.model), TrainConfig.from_dict(run.train)
    ears: dict[str, Any] = {"on_event": context.report, "should_stop": context.stopping}
    if run.attempt > 1 and has_checkpoint(run.folder):
        trained = resume(run.folder, dataset, model=model, train=plan, attempt=run.attempt, **ears)
    else:
        if run.attempt > 1:
            drop_checkpoint(run.folder)  # what is left of it
            _say_it_begins_again(run, context)
        trained = train_model(dataset, model, plan, out=run.folder, pinned=run.pinned, **ears)
    queue_beyond(run, context)
    return dataclasses.asdict(trained.result)


def _say_it_begins_again(run: RunRow, context: Context) -> None:
    """What an earlier attempt reported is superseded from the beginning on."""
    context.report(Resumed(run.attempt, 0.0, 0.0))
    context.report(
        Notice(
            "begun-again",
            "The checkpoint of this run is no longer there, so it was begun again: the curves "
            "of the attempt before are gone.",
        )
    )


def inspect(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{path, schema?} → the Inspection of a file, as its `to_dict` gives it."""
    from deepfm.data.schema import Schema
    from deepfm.data.schema import inspect as inspect_file

    schema = payload.get("schema")
    return inspect_file(
        Path(payload["path"]),
        settings=context.settings,
        schema=None if schema is None else Schema.from_dict(schema),
    ).to_dict()


def prepare(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{train, test?, schema?, config?, name?} → where the dataset is."""
    from deepfm.data.dataset import prepare as prepare_files
    from deepfm.data.schema import Schema

    schema, test = payload.get("schema"), payload.get("test")
    listener = _Listener(context)
    dataset = prepare_files(
        Path(payload["train"]),
        None if test is None else Path(test),
        config=PrepareConfig.from_dict(payload.get("config") or {}),
        schema=None if schema is None else Schema.from_dict(schema),
        name=payload.get("name"),
        on_event=listener,
        cancelled=context.stopping,
        settings=context.settings,
    )
    return _place(dataset, listener)


def demo(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{} → where the bundled demo is; it is made where it is not yet."""
    from deepfm.data.catalog import open_demo

    listener = _Listener(context)
    dataset = open_demo(context.home, on_event=listener, cancelled=context.stopping)
    return _place(dataset, listener)


def fetch_d2l(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{archive?} or {url?, sha1?} → where D2L's set is: prepared from a zip that was brought by
    hand, else downloaded where it is not yet.
    """
    from deepfm.data.catalog import fetch_d2l as fetch
    from deepfm.data.catalog import prepare_d2l

    listener = _Listener(context)
    where: dict[str, Any] = {"on_event": listener, "cancelled": context.stopping}
    if "archive" in payload:
        dataset = prepare_d2l(Path(payload["archive"]), context.home, **where)
    else:
        dataset = fetch(context.home, **payload, **where)
    return _place(dataset, listener)


def profile(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{folder} → the Profile of a dataset, as its `to_dict` gives it."""
    from deepfm.data.dataset import open_dataset
    from deepfm.data.dataset import profile as profile_dataset

    return profile_dataset(open_dataset(Path(payload["folder"]))).to_dict()


def baselines(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{run, dataset, out, run_id} → what other models reach on a run's parts, written to `out`.

    dataset   its folder; "" for the bundled demo, which is made where it is not yet
    run_id    under which pages know it
    """
    from deepfm.data.catalog import open_demo
    from deepfm.data.dataset import open_dataset
    from deepfm.evaluation.baselines import run_baselines, verdict, write_baselines
    from deepfm.trained import open_run

    ears: dict[str, Any] = {"on_event": context.report, "cancelled": context.stopping}
    folder = payload["dataset"]
    dataset = open_dataset(Path(folder)) if folder else open_demo(context.home, **ears)
    found = run_baselines(open_run(Path(payload["run"])), dataset, **ears)
    try:
        write_baselines(Path(payload["out"]), found)
    except OSError as error:
        raise RunError(
            f"What the other models reached cannot be written: {error.strerror or error}."
        ) from error
    return {"verdict": verdict(found)}


def sweep(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{sweep, pinned?, owner?, token} → a sweep's group, its data prepared, its runs queued."""
    from deepfm.runs.store import Store
    from deepfm.sweeps import Sweep, begin

    with Store.open(context.home, settings=context.settings) as store:
        group = begin(
            store,
            Sweep.from_dict(payload["sweep"]),
            pinned=payload.get("pinned", ()),
            owner=payload.get("owner", ""),
            token=payload["token"],
            settings=context.settings,
            on_event=context.report,
            cancelled=context.stopping,
        )
    return {"group": group}


def advance(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{group, places} → how many configurations of an open sweep were queued next."""
    from deepfm.runs.store import Store
    from deepfm.sweeps import advance as advance_sweep

    with Store.open(context.home, settings=context.settings) as store:
        return {"queued": advance_sweep(store, payload["group"], payload["places"])}


def warm_short(settings: Settings) -> None:
    """Import what reading a file needs: about half a second that an upload then does not wait."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import deepfm.data.dataset
    import deepfm.data.schema.inspection  # noqa: F401


def warm_training(settings: Settings) -> None:
    """Train a tiny model on a tiny file: torch is imported, its kernels and the device ready."""
    import torch

    from deepfm.data.dataset import prepare as prepare_files
    from deepfm.training.loop import train as train_model

    torch.set_num_threads(_cores())
    # On Windows the mapped arrays cannot be removed while they are open.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=sys.platform == "win32") as name:
        folder = Path(name)
        file = folder / "rows.csv"
        lines = [f"{row % 2},{row % 3},{row % 5}" for row in range(64)]
        file.write_text("\n".join(("click,first,second", *lines)) + "\n")
        dataset = prepare_files(
            file,
            out=folder / "dataset",
            config=PrepareConfig(min_count=1, validation=0.25),
            settings=settings,
        )
        train_model(
            dataset,
            ModelConfig(num_factors=2, mlp_dims=(4,), embedding_drop_rate=0.1),
            TrainConfig(epochs=1, batch_size=16),
            out=folder / "run",
        )
    with contextlib.suppress(ImportError):  # without numba the plain step trains
        from deepfm.training.cpu_step import UPDATES, load_kernels

        for update in UPDATES:
            for narrow in (True, False):
                load_kernels(update, narrow=narrow)


class _Listener:
    """Passes events on and keeps the notices: a job has no list of events to read them from."""

    def __init__(self, context: Context) -> None:
        self._report = context.report
        self.notices: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)
        self._report(event)


def _place(dataset: "Dataset", listener: _Listener) -> dict[str, Any]:
    """Where a dataset is, and what a person should be told about it."""
    return {
        "folder": str(dataset.folder),
        "fingerprint": dataset.fingerprint,
        "name": dataset.name,
        "notices": listener.notices,
    }


def _use_gpu(number: int) -> None:
    """Make one of several GPUs the one that "cuda" names. (The spare warmed up on the first.)"""
    if number:
        import torch

        torch.cuda.set_device(number)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
