"""Verbs of training: one model now or queued, on from a checkpoint, several settings at once."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.cli.data import data_source, dataset_of
from deepfm.cli.flags import configs
from deepfm.config import Settings
from deepfm.interrupts import Interrupts
from deepfm.progress import ProgressLine
from deepfm.runs.store.people import shell_owner

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.training.loop import Run


class Stopped(Exception):
    """Ctrl-C ended a verb in order; there is still an answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("stopped")
        self.answer = answer


def train_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Train one model on a dataset or a raw file."""
    model, train = configs(given)
    dataset = dataset_of(given)
    from deepfm.training.loop import train as train_model

    with ProgressLine() as line, Interrupts() as interrupts:
        run = train_model(
            dataset,
            model,
            train,
            out=given.out,
            on_event=line.show,
            should_stop=interrupts.asked,
        )
    return _trained(run, dataset)


def resume_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Go on with a run that was interrupted or stopped, from its last checkpoint."""
    home = Settings.from_environment().home_folder
    folder = Path(given.run)
    if (queued := _resume_in_store(folder, home)) is not None:
        return queued
    from deepfm.data.dataset import open_dataset
    from deepfm.training.checkpoint import read_checkpoint
    from deepfm.training.loop import resume

    there = given.dataset or read_checkpoint(folder).subject.dataset_folder
    dataset = open_dataset(Path(there))
    with ProgressLine() as line, Interrupts() as interrupts:
        run = resume(folder, dataset, on_event=line.show, should_stop=interrupts.asked)
    return _trained(run, dataset)


def _resume_in_store(folder: Path, home: Path) -> dict[str, Any] | None:
    """Queue a run of the store, given by its id or its folder; None for any other folder."""
    from deepfm.runs.store import Store
    from deepfm.runs.worker import ensure_worker

    if folder.is_dir() and folder.resolve().parent != home / "runs":
        return None
    with Store.open(home) as store:
        if folder.is_dir() and folder.name not in {run.id for run in store.runs()}:
            return None
        store.resume_run(folder.name)
        run = store.run(folder.name)
    ensure_worker(home)
    return {"run": run.id, "state": run.state, "attempt": run.attempt}


def _trained(run: "Run", dataset: "Dataset") -> dict[str, Any]:
    """What train and resume print; a run that was stopped by Ctrl-C says how to go on with it."""
    from deepfm.trained import open_run

    answer = {
        "run": str(run.folder),
        "model": open_run(run.folder).model.name,
        **dataclasses.asdict(run.result),
        "skipped_rows": dataset.skipped.count,
    }
    if run.result.stopped:
        print(
            f"deepfm: stopped. Go on with it by: python -m deepfm resume {run.folder}",
            file=sys.stderr,
        )
        raise Stopped(answer)
    return answer


def submit_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Queue a training for the worker, and start the worker if none is alive."""
    from deepfm.data.watched import watched_impressions
    from deepfm.runs.store import NewRun, Store
    from deepfm.runs.worker import ensure_worker

    model, train = configs(given)
    dataset = dataset_of(given)
    home = Settings.from_environment().home_folder
    run = NewRun(
        given.name or model.name,
        dataset.folder,
        dataset.name,
        model.to_dict(),
        train.to_dict(),
        watched_impressions(dataset),
        shell_owner(),
        dataset.fingerprint,
    )
    with Store.open(home) as store:
        submitted = store.submit_run(run, anew=given.anew)
        state = store.run(submitted.run).state
    if submitted.joined:
        print(
            f"deepfm: the same run is there already ({state}), so it was joined; "
            "--anew trains it again.",
            file=sys.stderr,
        )
    ensure_worker(home)
    return {"run": submitted.run, "joined": submitted.joined}


def sweep_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Queue several values of some settings as one group, and follow it to its end."""
    from deepfm import sweeps
    from deepfm.runs.store import Store
    from deepfm.runs.worker import ensure_worker

    model, train = configs(given)
    dataset = dataset_of(given)
    home = Settings.from_environment().home_folder
    axes = sweeps.axes_of(
        given.set, given.study or "", dataset.summary().parts["train"].rows, model
    )
    with Store.open(home) as store, ProgressLine() as line:
        sweep = sweeps.sweep_of(
            axes,
            data_source(given, dataset, store),
            dataset.prepare,
            model,
            train,
            seeds=given.seeds,
            sampler=given.sampler,
            trials=given.trials,
            objective=given.objective,
            study=given.study or "",
            name=given.name or "",
        )
        group = sweeps.begin(store, sweep, owner=shell_owner(), on_event=line.show)
        ensure_worker(home)
        if given.detach:
            return {"sweep": group, "runs": sweep.runs, "queued": len(store.group(group).runs)}
        try:
            results = sweeps.follow(store, group, line.show, lambda: ensure_worker(home))
        except KeyboardInterrupt:
            print("\nThe sweep goes on without this command.", file=sys.stderr)
            raise
    return sweeps.to_json(results, group)
