"""A raw file to the same file with its scores beside it, as CSV or Parquet."""

from pathlib import Path
from typing import Any, Final

import pyarrow.csv
import pyarrow.parquet as pq

from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.errors import DataError
from deepfm.evaluation.file_rows import open_for
from deepfm.prediction.columns import CONTRIBUTIONS, Contributions, ScoreColumns
from deepfm.prediction.sheet import Sheet
from deepfm.trained import TrainedModel

__all__ = ["CONTRIBUTIONS", "Contributions", "predict_file"]

PARQUET: Final = (".parquet", ".pq")


def predict_file(
    model: TrainedModel,
    path: Path,
    out: Path,
    *,
    contributions: Contributions = "none",
    permutations: int = 0,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> dict[str, Any]:
    """Score every row of a file, and count them; needs no label.

    out            Parquet where it ends so, else CSV: the file's columns, then the score columns
                   (all with deepfm_ before them where the file has a column of such a name)
    contributions  none: probability, logit, linear, pairwise, deep; terms: base and each term minus
                   its mean over the run's reference too; fields: these by field too
    permutations   random orders a row for deep by field, as `explain` has them; 0 leaves it out

    Row N of the file is row N of the result: one that cannot be read is there as empty cells. In
    CSV, text that a spreadsheet would take for a formula is written so that it is none. The result
    appears when it is whole; memory does not grow with the rows.
    returns  out, rows, scored_rows, skipped_rows and reasons, contributions, permutations, and
             the reference with its base where there are contributions
    """
    out = Path(out)
    columns = ScoreColumns(model, contributions, permutations)
    parquet = out.suffix.lower() in PARQUET
    aside = out.with_name(out.name + ".writing")
    try:
        with open_for(model, path) as reader:
            sheet = Sheet(reader, columns, neutral=not parquet)
            make = pq.ParquetWriter if parquet else pyarrow.csv.CSVWriter
            with make(aside, sheet.schema) as writer:
                for table in sheet.tables(Reporter(on_event, cancelled)):
                    writer.write_table(table)
            aside.replace(out)
            rows, skipped = reader.rows_read, reader.skipped
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}. Choose another place."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return {
        "out": str(out),
        "rows": rows,
        "scored_rows": rows - skipped.count,
        "skipped_rows": skipped.count,
        "skipped_reasons": skipped.reasons,
        "contributions": contributions,
        "permutations": permutations,
        **_measured_against(model, contributions),
    }


def _measured_against(model: TrainedModel, contributions: Contributions) -> dict[str, Any]:
    if contributions == "none":
        return {}
    return {"reference": model.reference.name, "base": model.reference.base}
