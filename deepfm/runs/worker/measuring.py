"""A finished run to what is worked out over its dataset once and kept in the run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepfm.runs.worker.table import Context


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
