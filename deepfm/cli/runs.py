"""Verbs of the run store: its list, stop, one file out and in, and the worker that trains."""

import argparse
from pathlib import Path
from typing import Any

from deepfm.config import Settings
from deepfm.runs.store.people import shell_owner


def runs_verb(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of this installation, newest first."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        return [
            {"run": r.id, "state": r.state, "name": r.name, "epoch": r.epoch, "auc": r.auc}
            | ({"damaged": list(r.damaged)} if r.damaged else {})
            for r in store.runs()
        ]


def stop_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Ask a run to stop; what it has learned is kept."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        store.request_stop(given.run, by=shell_owner())
        return {"run": given.run, "state": store.run(given.run).state, "wanted": "stop"}


def export_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Write a run that has ended, with its model and curves, into one file."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        file = store.export_run(given.run, Path(given.out))
        return {"run": given.run, "file": str(file), "bytes": file.stat().st_size}


def import_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Take in a run that was exported, here or elsewhere."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        run = store.run(store.import_run(Path(given.file), owner=shell_owner()))
    return {"run": run.id, "imported": run.imported, "state": run.state, "name": run.name}


def worker_verb(given: argparse.Namespace) -> None:
    """Train what is queued until stopped: one worker for each DEEPFM_HOME."""
    from deepfm.runs.worker import run_worker

    home = Path(given.home).resolve() if given.home else Settings.from_environment().home_folder
    run_worker(home, exit_when_idle=given.exit_when_idle)
