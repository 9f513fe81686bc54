"""A trained run to what is worked out once and kept in its folder."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepfm.errors import DeepFMError
from deepfm.runs.store import RunRow, Store
from deepfm.runs.worker.table import BEYOND, Context

_log = logging.getLogger(__name__)


def training_means(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{run, dataset}, two folders → how many rows; the means over them are in the run's folder."""
    from deepfm.data.dataset import open_dataset
    from deepfm.data.reporting import Reporter
    from deepfm.explanation import measure_training_rows
    from deepfm.trained import open_run

    model, dataset = open_run(Path(payload["run"])), open_dataset(Path(payload["dataset"]))
    rows = len(dataset.parts["train"])
    reporter = Reporter(context.report, context.stopping)

    def on_block(done: int) -> None:
        reporter.step("Measuring all training rows", done, rows, "rows")

    measure_training_rows(model, dataset, on_block)
    return {"rows": rows}


def beyond(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """{run}, a folder → the share beyond pairs; the figures and the fit are in the run's folder."""
    from deepfm.explanation.beyond import measure_beyond, save_beyond
    from deepfm.trained import open_run

    model = open_run(Path(payload["run"]))
    found = measure_beyond(model, on_event=context.report, cancelled=context.stopping)
    save_beyond(model, found)
    return {"beyond": found.deep.beyond.value, "seconds": found.seconds}


def queue_beyond(run: RunRow, context: Context) -> None:
    """Queue that job for a run just trained, where this server wants it and it is soon done.

    A run is trained whatever becomes of this, so what goes wrong is left to the log.
    """
    from deepfm.explanation.beyond import expected_seconds
    from deepfm.trained import open_run

    most = context.settings.beyond_seconds
    try:
        if not most or not 0 < expected_seconds(open_run(run.folder)) <= most:
            return
        with Store.open(context.home, settings=context.settings) as store:
            store.queue_job(BEYOND, {"run": str(run.folder)}, run.owner)
    except DeepFMError as error:
        _log.warning("Beyond pairs was not queued for run %s: %s", run.id, error)
