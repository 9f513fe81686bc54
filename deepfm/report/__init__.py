"""A run, or one impression, to one HTML file that needs nothing else: to mail, print and keep.

run_report          what a run is, how good, and how it learned
impression_report   why one impression got its score
write_report        the text of either into a file
Charts are drawn as SVG by drawing.py, so that a report is small: a plotting library alone has
4 MB. Nothing in it asks the network for anything, and it forbids itself to.
"""

from pathlib import Path

from deepfm.errors import DataError, DeepFMError
from deepfm.report.document import document, paragraph
from deepfm.report.impression import impression_report
from deepfm.report.run import run_report

__all__ = ["impression_report", "refusal", "run_report", "write_report"]


def refusal(error: DeepFMError) -> str:
    """In the place of a report that was asked for and cannot be made: why, and the way out."""
    return document("This report could not be made", paragraph(str(error), "lead"))


def write_report(text: str, out: Path) -> int:
    """Put a report into a file, which appears when it is whole; returns its bytes.

    DataError where it cannot be written.
    """
    content = text.encode("utf-8")
    aside = out.with_name(out.name + ".writing")
    try:
        aside.write_bytes(content)
        aside.replace(out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}. Choose another place."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return len(content)
