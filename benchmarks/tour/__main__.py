"""The README's tour on Frappe: its figures as one table, one impression in words, its pictures.

python -m benchmarks.tour FOLDER                      (with valid.libsvm.gz and test.libsvm.gz)
python -m benchmarks.tour FOLDER --pictures assets    (draws the charts too; needs a Chromium)
python -m benchmarks.tour FOLDER --home HOME          (keeps the runs: DEEPFM_HOME=HOME shows them)

Trains DeepFM with the preset real-data, and beside it FM and DNN with the same settings, three
seeds each; then takes DeepFM apart on the test file. Prints a Markdown table, the impression, and
one JSON line.
"""

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.tour import figures, pictures
from benchmarks.tour.fields import prepare_frappe
from benchmarks.tour.impression import impression_in_words
from benchmarks.tour.runs import train_all

SEEDS: Final = (0, 1, 2)
ROW: Final = 2062
"""The impression of the tour, a row of the test file counted from 0."""


def main() -> None:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, help="where the runs are kept; by default nowhere")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where to draw the charts")
    parser.add_argument("--row", type=int, default=ROW, help="the impression, of the test file")
    given = parser.parse_args()
    kept = nullcontext(str(given.home)) if given.home else tempfile.TemporaryDirectory()
    with kept as place:
        tour(given.folder, Path(place).resolve(), given.row, given.pictures)


def tour(folder: Path, home: Path, row: int, drawn: Path | None) -> None:
    """All of it in one home folder."""
    runs = train_all(prepare_frappe(folder, home), home, SEEDS)
    rows = figures.rows_of(runs)
    words = impression_in_words(runs[0].whole, runs[0].beyond, row)
    print(report.title("A tour on Frappe", report.machine()))
    print(f"\n{figures.table(rows, SEEDS)}\n")
    print("\n".join(words), "\n")
    if drawn:
        for file in pictures.take(home, runs[0].whole.folder.name, row, drawn):
            print(f"{file}: {file.stat().st_size:,} bytes")
    report.print_json(
        "tour",
        report.machine(),
        {"rows": [each.to_dict() for each in rows], "impression": words},
    )


if __name__ == "__main__":
    main()
