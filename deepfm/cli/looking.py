"""Verbs that look at a trained run: its figures, scores of a file, reasons for a score."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.errors import ConfigError
from deepfm.progress import ProgressLine

if TYPE_CHECKING:
    from deepfm.explanation import Explanation
    from deepfm.trained import TrainedModel


def evaluate_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Figures of a run on its own test rows, or on another labelled file."""
    from deepfm.evaluation import evaluate
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    evaluation = evaluate(model, data=Path(given.data) if given.data else None)
    return {
        **evaluation.to_dict(),
        "examples_per_second": model.result.examples_per_second,
        "epochs": model.result.epochs,
    }


def predict_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Score every row of a file, labelled or not, into CSV or Parquet."""
    from deepfm.prediction import predict_file
    from deepfm.trained import open_run

    with ProgressLine() as line:
        return predict_file(
            open_run(Path(given.run)),
            Path(given.file),
            Path(given.out),
            contributions=given.contributions,
            permutations=given.permutations,
            on_event=line.show,
        )


def explain_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Why one impression got its score."""
    from deepfm.trained import open_run

    return _explained(open_run(Path(given.run)), given).to_dict()


def _explained(model: "TrainedModel", given: argparse.Namespace) -> "Explanation":
    """Row --row of the run's own part, or of the file --data."""
    from deepfm.evaluation import read_impression
    from deepfm.explanation import explain

    if given.data:
        impression = read_impression(model, Path(given.data), given.row)
        return explain(model, impression, permutations=given.permutations)
    return explain(model, row=given.row, permutations=given.permutations)


def report_verb(given: argparse.Namespace) -> dict[str, Any]:
    """One HTML file about a run, or about one impression, that needs nothing else."""
    from deepfm.report import impression_report, run_report, write_report
    from deepfm.trained import open_run

    if given.data and given.row is None:
        raise ConfigError("A file is given to find a row in; say which one: --row N.")
    model = open_run(Path(given.run))
    row = f"-row-{given.row}" if given.row is not None else ""
    out = Path(given.out or f"{model.folder.resolve().name}{row}.html")
    if given.row is None:
        text = run_report(model)
    else:
        text = impression_report(model, _explained(model, given))
    return {"report": str(out), "bytes": write_report(text, out), "row": given.row}


def beyond_verb(given: argparse.Namespace) -> dict[str, Any]:
    """What the network adds beyond pairs of fields; kept in the run's folder for the pages."""
    from deepfm.explanation.beyond import measure_beyond, save_beyond
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    with ProgressLine() as line:
        found = measure_beyond(model, on_event=line.show)
    save_beyond(model, found)
    return {"run": str(model.folder), **found.to_dict()}


def export_onnx_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Write the model as ONNX, and check it where onnxruntime is installed."""
    from deepfm.onnx_export import OUTPUTS, export_onnx
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    done = export_onnx(model, Path(given.out), given.ids)
    if not done.checked_rows:
        print(
            "deepfm: the file was not checked against the run: onnxruntime is not installed.",
            file=sys.stderr,
        )
    return {
        "files": [str(file) for file in done.files],
        "bytes": sum(file.stat().st_size for file in done.files),
        "inputs": {"ids": [given.ids, "N", len(model.fields)]},
        "outputs": list(OUTPUTS),
        "checked_rows": done.checked_rows,
        "largest_difference": done.largest_difference,
    }
